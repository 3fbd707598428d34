package casework_test

import (
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/reason"
)

const (
	deadAddress = "abuse@isp.example"
	nextAddress = "soc@isp.example"
)

// bounceOf is a temporary bounce of a notification of a live case whose owner
// has another contact, changed.
func bounceOf(now time.Time, change func(b *casedb.Bounce)) casedb.Bounce {
	id := int64(1)
	b := casedb.Bounce{Status: "4.2.2", Temporary: []time.Time{now},
		Message: casedb.Message{ID: 7, Purpose: casedb.PurposeNotification, Reason: casedb.ReasonFirst, ContactID: &id, Recipient: deadAddress, Language: "ja"},
		Case:    casedb.Case{ID: 3, State: casedb.CaseNotified},
		Contacts: []casedb.Contact{{ID: 1, Email: " Abuse@ISP.example", Language: "ja", Gate: casedb.GateAuto}, {ID: 2, Email: nextAddress, Language: "en"},
			{ID: 3, Email: "noc@isp.example"}}}
	if change != nil {
		change(&b)
	}
	return b
}

// dead makes a bounce one of an address that does not exist.
func dead(b *casedb.Bounce) { b.Hard, b.Dead, b.Status, b.Temporary = true, true, "5.1.1", nil }

// refused makes a bounce an attempt that the server refused for good.
func refused(b *casedb.Bounce) { b.Refused, b.Hard, b.Status, b.Temporary = true, true, "", nil }

func both(changes ...func(*casedb.Bounce)) func(*casedb.Bounce) {
	return func(b *casedb.Bounce) {
		for _, change := range changes {
			change(b)
		}
	}
}

func TestWhatABounceMeans(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	const same = casedb.Waiting("as before")
	status := func(s string) func(*casedb.Bounce) { return func(b *casedb.Bounce) { b.Status = s } }
	underWay := func(b *casedb.Bounce) { b.UnderWay = true }
	answer := func(b *casedb.Bounce) { b.Message.Purpose = casedb.PurposeAnswer }
	step := func(b *casedb.Bounce) { b.Message.Reason = casedb.ReasonEscalated }
	closed := func(b *casedb.Bounce) { b.Case.State = casedb.CaseClosed }
	reply := func(b *casedb.Bounce) { b.Case.Waiting = casedb.WaitingReply }
	alone := func(b *casedb.Bounce) { b.Contacts = b.Contacts[:1] }
	before := func(ago ...time.Duration) func(*casedb.Bounce) {
		return func(b *casedb.Bounce) {
			for _, d := range ago {
				b.Temporary = append(b.Temporary, now.Add(-d))
			}
		}
	}
	for _, test := range []struct {
		name    string
		change  func(*casedb.Bounce)
		waiting casedb.Waiting
		letter  string // its reason
	}{
		{"temporary", nil, same, casedb.ReasonSoftRetry},
		{"a full mailbox", status("5.2.2"), same, casedb.ReasonSoftRetry},
		{"a filter", status("5.7.1"), casedb.WaitingBounce, ""},
		{"nobody says why", status(""), casedb.WaitingBounce, ""},
		{"the second", before(oneDay), same, casedb.ReasonSoftRetry},
		{"the third", before(oneDay, 59*oneDay), casedb.WaitingBounce, ""},
		{"the third, the first of them long ago", before(oneDay, 60*oneDay), same, casedb.ReasonSoftRetry},
		{"temporary, another letter is under way", underWay, casedb.WaitingBounce, ""},
		{"temporary, an answer", answer, casedb.WaitingBounce, ""},
		{"temporary, a step of an escalation", step, casedb.WaitingBounce, ""},
		{"temporary, the case has ended", closed, same, ""},
		{"temporary, a reply waits", reply, same, casedb.ReasonSoftRetry},
		{"a filter, a reply waits", both(status("5.7.1"), reply), same, ""},
		{"hard, the address lives", func(b *casedb.Bounce) { b.Hard = true }, casedb.WaitingBounce, ""},
		{"dead, said of a temporary error", func(b *casedb.Bounce) { b.Dead = true }, same, casedb.ReasonSoftRetry},
		{"dead", dead, casedb.WaitingApproval, casedb.ReasonNextContact},
		{"dead, a reply waits", both(dead, reply), same, casedb.ReasonNextContact},
		{"dead, nobody is left", both(dead, alone), casedb.WaitingBounce, ""},
		{"dead, another letter is under way", both(dead, underWay), casedb.WaitingBounce, ""},
		{"dead, an answer", both(dead, answer), casedb.WaitingBounce, ""},
		{"dead, a step of an escalation", both(dead, step), casedb.WaitingBounce, ""},
		{"dead, the case has ended", both(dead, closed), same, ""},
		{"refused", refused, casedb.WaitingFailed, ""},
		{"refused, a reply waits", both(refused, reply), same, ""},
		{"refused, the case has ended", both(refused, closed), same, ""},
		{"refused, dead", both(refused, dead), casedb.WaitingApproval, casedb.ReasonNextContact},
		{"refused, dead, nobody is left", both(refused, dead, alone), casedb.WaitingBounce, ""},
	} {
		got := casework.AfterBounce(bounceOf(now, test.change), now)
		waiting, letter := same, ""
		if got.Waiting != nil {
			waiting = *got.Waiting
		}
		if got.Letter != nil {
			letter = got.Letter.Reason
		}
		if waiting != test.waiting || letter != test.letter {
			t.Errorf("%s: waits for %q with letter %q, want %q and %q", test.name, waiting, letter, test.waiting, test.letter)
		}
		if (got.Contact != nil) != (letter == casedb.ReasonNextContact) {
			t.Errorf("%s: the case gets the contact %+v", test.name, got.Contact)
		}
	}
}

// TestLettersWrittenAfterABounce: to whom, in which language, held or when.
func TestLettersWrittenAfterABounce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	again := casework.AfterBounce(bounceOf(now, nil), now).Letter
	if again.State != casedb.MessageQueued || again.Recipient != deadAddress || *again.ContactID != 1 || again.Language != "ja" ||
		again.NextAttemptAt == nil || !again.NextAttemptAt.Equal(now.Add(3*oneDay)) || len(again.HoldWhy) != 0 {
		t.Errorf("again: %+v", again)
	}
	step := casework.AfterBounce(bounceOf(now, dead), now)
	next := step.Letter
	if next.State != casedb.MessageHeld || next.Recipient != nextAddress || *next.ContactID != 2 || next.Language != "en" ||
		next.NextAttemptAt != nil || next.HoldWhy.String() != reason.Of(reason.ContactApproval).String() {
		t.Errorf("to the next contact: %+v", next)
	}
	if step.Contact.ID != 2 || step.Why.String() != reason.Of(reason.Bounced, deadAddress).String() {
		t.Errorf("the case gets %+v because of %s", step.Contact, step.Why)
	}
}

// TestLettersWrittenAgainThatWait: what a person has to look at does not go by
// itself a second time.
func TestLettersWrittenAgainThatWait(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	invalid := false
	for name, test := range map[string]struct {
		change func(*casedb.Bounce)
		why    reason.Code
	}{
		"by hand only":              {func(b *casedb.Bounce) { b.Contacts[0].Gate = casedb.GateHuman }, reason.ContactByHand},
		"never approved":            {func(b *casedb.Bounce) { b.Contacts[0].Gate = casedb.GateApprove }, reason.ContactApproval},
		"the registry doubts it":    {func(b *casedb.Bounce) { b.Contacts[0].Valid = &invalid }, reason.ContactInvalid},
		"it is gone":                {func(b *casedb.Bounce) { b.Contacts = b.Contacts[1:] }, reason.ContactReplaced},
		"the owner has answered":    {func(b *casedb.Bounce) { b.Case.State = casedb.CaseAnswered }, reason.CaseWaits},
		"a reply waits":             {func(b *casedb.Bounce) { b.Case.Waiting = casedb.WaitingReply }, reason.CaseWaits},
		"a coordinator's own words": {func(b *casedb.Bounce) { b.Message.Edited = true }, reason.EditedBefore},
	} {
		got := casework.AfterBounce(bounceOf(now, test.change), now)
		l := got.Letter
		if l == nil || l.State != casedb.MessageHeld || l.NextAttemptAt != nil || l.HoldWhy.String() != reason.Of(test.why).String() {
			t.Errorf("%s: got %+v", name, l)
			continue
		}
		if waits := got.Waiting != nil && *got.Waiting == casedb.WaitingApproval; waits == (test.why == reason.CaseWaits && name == "a reply waits") {
			t.Errorf("%s: the case waits for %v", name, got.Waiting)
		}
	}
}

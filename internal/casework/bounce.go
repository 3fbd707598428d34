package casework

import (
	"slices"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

const (
	// softBounces is the number of temporary bounces in softBounceSpan with which
	// a coordinator is asked; until then the letter is written again.
	softBounces    = 3
	softBounceSpan = 60 * 24 * time.Hour
	// softRetryAfter leaves a full mailbox, or a server in trouble, some time.
	softRetryAfter = 3 * 24 * time.Hour
)

// AfterBounce decides, as a pure function, what follows when a message of a case
// did not arrive: a dead address is replaced by the owner's next contact, whose
// letter waits for approval; after a temporary error the letter is written again
// later; else a coordinator is asked.
func AfterBounce(b casedb.Bounce, now time.Time) casedb.BounceStep {
	step := writtenAgain(b, now)
	// Somebody's words that nobody has read come first; the bounce is in the
	// case's history and in the message's state.
	if !b.Case.State.Live() || b.Case.Waiting == casedb.WaitingReply {
		return step
	}
	switch {
	case step.Letter != nil && step.Letter.State == casedb.MessageHeld:
		step.Waiting = casedb.WaitFor(casedb.WaitingApproval)
	case step.Letter != nil: // it goes by itself
	case b.Refused && !b.Dead:
		step.Waiting = casedb.WaitFor(casedb.WaitingFailed)
	default:
		step.Waiting = casedb.WaitFor(casedb.WaitingBounce)
	}
	return step
}

// writtenAgain says which letter is written in place of one that did not arrive.
// Two letters of a case are never under way, and who comes next in an escalation
// is no bounce's to say. A bounce that is late, or comes twice, is none of a case
// that writes to somebody else since.
func writtenAgain(b casedb.Bounce, now time.Time) casedb.BounceStep {
	m := b.Message
	if m.Purpose != casedb.PurposeNotification || !b.Case.State.Live() || casedb.IsEscalation(m.Reason) || b.UnderWay || writesElsewhere(b) {
		return casedb.BounceStep{}
	}
	switch {
	case b.Hard && b.Dead:
		return toNextContact(m, b.Contacts)
	case b.Hard, !retryable(b.Status), temporarySince(b.Temporary, now.Add(-softBounceSpan)) >= softBounces:
		return casedb.BounceStep{}
	}
	at := now.Add(softRetryAfter)
	return casedb.BounceStep{Letter: &casedb.Message{State: casedb.MessageQueued, Reason: casedb.ReasonSoftRetry, ContactID: m.ContactID,
		Recipient: m.Recipient, Language: m.Language, NextAttemptAt: &at}}
}

// writesElsewhere reports whether the case has another contact by now, which can
// be used, than the one that the message went to.
func writesElsewhere(b casedb.Bounce) bool {
	return b.Case.ContactID != nil && slices.ContainsFunc(b.Contacts, func(k casedb.Contact) bool {
		return k.ID == *b.Case.ContactID && casedb.BaseAddress(k.Email) != casedb.BaseAddress(b.Message.Recipient)
	})
}

// toNextContact proposes the letter to the first contact with another address.
func toNextContact(m casedb.Message, contacts []casedb.Contact) casedb.BounceStep {
	i := slices.IndexFunc(contacts, func(k casedb.Contact) bool { return casedb.BaseAddress(k.Email) != casedb.BaseAddress(m.Recipient) })
	if i < 0 {
		return casedb.BounceStep{}
	}
	k := contacts[i]
	return casedb.BounceStep{Contact: &k, Why: reason.Of(reason.Bounced, m.Recipient),
		Letter: &casedb.Message{State: casedb.MessageHeld, Reason: casedb.ReasonNextContact, HoldWhy: reason.Of(reason.ContactApproval),
			ContactID: &k.ID, Recipient: k.Email, Language: k.Language}}
}

// retryable reports whether a bounce's status means that the address may take
// mail later (RFC 3463: 4.x.x; 5.2.2, a full mailbox). A filter's decision does
// not change by asking again.
func retryable(status string) bool { return strings.HasPrefix(status, "4.") || status == "5.2.2" }

func temporarySince(times []time.Time, since time.Time) int {
	n := 0
	for _, at := range times {
		if at.After(since) {
			n++
		}
	}
	return n
}

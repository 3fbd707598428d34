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
// later, or waits for approval where it may not go by itself; else a coordinator
// is asked.
func AfterBounce(b casedb.Bounce, now time.Time) casedb.BounceStep {
	step := writtenAgain(b, now)
	// A person's words that no coordinator has read come first; the bounce is in the
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
// Two letters of a case are never under way at once, and a bounce does not choose
// the next step of an escalation. A bounce that is late, or comes twice, changes
// nothing in a case whose contact is another one now.
func writtenAgain(b casedb.Bounce, now time.Time) casedb.BounceStep {
	m := b.Message
	if m.Purpose != casedb.PurposeNotification || !b.Case.State.Live() || casedb.IsEscalation(m.Reason) || b.UnderWay || writesElsewhere(b) {
		return casedb.BounceStep{}
	}
	switch {
	case b.Hard && b.Dead:
		return toNextContact(m, b.Contacts)
	case b.Hard, !Retryable(b.Status), temporarySince(b.Temporary, now.Add(-softBounceSpan)) >= softBounces:
		return casedb.BounceStep{}
	}
	letter := casedb.Message{State: casedb.MessageHeld, Reason: casedb.ReasonSoftRetry, HoldWhy: retryHolds(b), ContactID: m.ContactID,
		Recipient: m.Recipient, Language: m.Language}
	if len(letter.HoldWhy) == 0 {
		at := now.Add(softRetryAfter)
		letter.State, letter.NextAttemptAt = casedb.MessageQueued, &at
	}
	return casedb.BounceStep{Letter: &letter}
}

// retryHolds says why a letter that is written again needs a person's approval:
// for its contact, because the owner has answered since, or because the words
// of the last one were a coordinator's and the new one's are not.
func retryHolds(b casedb.Bounce) reason.List {
	i := slices.IndexFunc(b.Contacts, func(k casedb.Contact) bool { return b.Message.ContactID != nil && k.ID == *b.Message.ContactID })
	switch {
	case i < 0:
		return reason.Of(reason.ContactReplaced)
	case len(contactHolds(b.Contacts[i])) > 0:
		return contactHolds(b.Contacts[i])
	case b.Case.State == casedb.CaseAnswered, b.Case.Waiting == casedb.WaitingReply:
		return reason.Of(reason.CaseWaits)
	case b.Message.Edited:
		return reason.Of(reason.EditedBefore)
	}
	return nil
}

// writesElsewhere reports whether the case has a usable contact now that is not
// the one that the message went to.
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

// Retryable reports whether a bounce's status means that the address may take
// mail later (RFC 3463: 4.x.x; 5.2.2, a full mailbox). A filter's decision does
// not change by asking again.
func Retryable(status string) bool { return strings.HasPrefix(status, "4.") || status == "5.2.2" }

func temporarySince(times []time.Time, since time.Time) int {
	n := 0
	for _, at := range times {
		if at.After(since) {
			n++
		}
	}
	return n
}

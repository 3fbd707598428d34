package casedb

import (
	"context"
	"strings"
	"time"

	"teiten/internal/reason"
)

// Why a letter is written again after a bounce, in message.reason.
const (
	ReasonSoftRetry   = "soft-retry"   // the last one came back with a temporary error
	ReasonNextContact = "next-contact" // the last one's address is dead
)

// inboundPerDay is the number of mails that are a case's events in 24 hours.
// Two machines that answer each other would fill its timeline otherwise; what is
// beyond is stored with the case, and nothing else.
const inboundPerDay = 50

// Bounce is what is known of a message about a locked case that did not arrive.
type Bounce struct {
	Message Message
	Case    Case
	Refused bool   // at the last attempt to send it; else a mail told of it later
	Hard    bool   // the same again has no chance
	Dead    bool   // the recipient is suppressed because of it
	Status  string // of the mail that told of it (RFC 3463)
	// Temporary are the times of the latest temporary bounces about the case, the
	// newest first, this one among them if it is one.
	Temporary []time.Time
	UnderWay  bool      // a notification of the case is held or queued
	Contacts  []Contact // of the owner, that can be used now, the best first
}

// BounceStep is what follows from a bounce.
type BounceStep struct {
	// Letter is written in place of the message: State, Reason, HoldWhy,
	// ContactID, Recipient, Language and NextAttemptAt say how; nil: none is.
	Letter  *Message
	Contact *Contact    // the case's from now on; nil: it keeps the one it has
	Why     reason.List // the case gets the contact
	Waiting *Waiting    // what the case waits for from now on; nil: as before
}

// BouncePlan decides what follows from a bounce. It is asked in the transaction
// that records the bounce, so it must be a pure function.
type BouncePlan func(b Bounce, now time.Time) BounceStep

// temporaryKept is the number of temporary bounces that a plan is told of.
const temporaryKept = 20

// bounced does what the plan says about a message of a locked case that is
// recorded as bounced or failed already. It returns what the case waits for.
func (t *Tx) bounced(ctx context.Context, b Bounce, c *Case, plan BouncePlan, now time.Time) (*Waiting, error) {
	b.Case = *c
	if err := t.q.SelectContext(ctx, &b.Temporary, `select processed_at from inbound where case_id = $1 and class = 'bounce' and trusted
		and not hard and processed_at is not null order by processed_at desc limit $2`, c.ID, temporaryKept); err != nil {
		return nil, fail("list temporary bounces", err)
	}
	state, err := t.NotificationState(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	b.UnderWay = state.UnderWay
	if b.Contacts, err = t.UsableContacts(ctx, c.OwnerID, now); err != nil {
		return nil, err
	}
	step := plan(b, now)
	if step.Letter != nil {
		if err := t.writeAgain(ctx, c, b.Message, *step.Letter, now); err != nil {
			return nil, err
		}
	}
	if step.Contact != nil {
		if err := t.SetCaseContact(ctx, c, *step.Contact, ActorSystem, step.Why, now); err != nil {
			return nil, err
		}
	}
	return step.Waiting, nil
}

// writeAgain writes a letter in place of one that did not arrive.
func (t *Tx) writeAgain(ctx context.Context, c *Case, old, again Message, now time.Time) error {
	_, domain, _ := strings.Cut(old.HeaderID, "@")
	again.CaseID, again.Purpose, again.CreatedAt = &c.ID, PurposeNotification, now
	again.HeaderID, again.Token = NewIdentity(domain)
	_, err := t.InsertMessage(ctx, again, ActorSystem)
	return err
}

// flooded reports whether a case has had so many mails in a day that more are
// stored only.
func (t *Tx) flooded(ctx context.Context, caseID int64, now time.Time) (bool, error) {
	var n int
	err := t.q.GetContext(ctx, &n, `select count(*) from case_event where case_id = $1 and inbound_id is not null and at > $2`,
		caseID, now.Add(-24*time.Hour))
	return n >= inboundPerDay, fail("count the case's mails of a day", err)
}

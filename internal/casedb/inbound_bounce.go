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

const (
	// softBounces is the number of temporary bounces in softBounceSpan with which
	// a coordinator is asked; until then the letter is written again.
	softBounces    = 3
	softBounceSpan = 60 * 24 * time.Hour
	// softRetryAfter leaves a full mailbox, or a server in trouble, some time.
	softRetryAfter = 3 * 24 * time.Hour
	// inboundPerDay is the number of mails that are a case's events in 24 hours.
	// Two machines that answer each other would fill its timeline otherwise;
	// what is beyond is stored with the case, and nothing else.
	inboundPerDay = 50
)

// afterBounce does what follows from a trusted bounce of a notification of a
// live case: a dead address is replaced by the owner's next contact, whose
// letter waits for approval; after a temporary error the letter is written
// again later, and with the third a coordinator is asked. It returns what the
// case waits for.
func (t *Tx) afterBounce(ctx context.Context, in Inbound, c *Case, m *Message, suppressed bool, now time.Time) (Waiting, error) {
	if m == nil || m.Purpose != PurposeNotification || !c.State.Live() || IsEscalation(m.Reason) { // who comes next is no bounce's to say
		return WaitingBounce, nil
	}
	if in.Hard && suppressed {
		proposed, err := t.proposeNext(ctx, c, *m, now)
		if proposed {
			return WaitingApproval, err
		}
		return WaitingBounce, err
	}
	if in.Hard || !retryable(in.Status) {
		return WaitingBounce, nil
	}
	var soft int
	if err := t.q.GetContext(ctx, &soft, `select count(*) from inbound where case_id = $1 and class = 'bounce' and trusted and not hard
		and processed_at > $2`, c.ID, now.Add(-softBounceSpan)); err != nil {
		return WaitingBounce, fail("count temporary bounces", err)
	}
	if soft >= softBounces {
		return WaitingBounce, nil
	}
	written, err := t.writeAgain(ctx, c, *m, Message{State: MessageQueued, Reason: ReasonSoftRetry, ContactID: m.ContactID, Recipient: m.Recipient,
		Language: m.Language, NextAttemptAt: ptr(now.Add(softRetryAfter))}, now)
	if written {
		return c.Waiting, err
	}
	return WaitingBounce, err
}

// retryable reports whether a bounce's status means that the address may take
// mail later (RFC 3463: 4.x.x; 5.2.2, a full mailbox). A filter's decision does
// not change by asking again.
func retryable(status string) bool { return strings.HasPrefix(status, "4.") || status == "5.2.2" }

// proposeNext writes a held letter to the owner's next contact that can be
// used; false if there is none.
func (t *Tx) proposeNext(ctx context.Context, c *Case, m Message, now time.Time) (bool, error) {
	contacts, err := t.UsableContacts(ctx, c.OwnerID, now)
	if err != nil {
		return false, err
	}
	for _, k := range contacts {
		if BaseAddress(k.Email) == BaseAddress(m.Recipient) {
			continue
		}
		written, err := t.writeAgain(ctx, c, m, Message{State: MessageHeld, Reason: ReasonNextContact, HoldWhy: reason.Of(reason.ContactApproval),
			ContactID: &k.ID, Recipient: k.Email, Language: k.Language}, now)
		if err != nil || !written {
			return false, err
		}
		return true, t.SetCaseContact(ctx, c, k, ActorSystem, reason.Of(reason.Bounced, m.Recipient), now)
	}
	return false, nil
}

// writeAgain writes a letter in place of one that came back, unless one is
// under way.
func (t *Tx) writeAgain(ctx context.Context, c *Case, old, again Message, now time.Time) (bool, error) {
	state, err := t.NotificationState(ctx, c.ID)
	if err != nil || state.UnderWay {
		return false, err
	}
	_, domain, _ := strings.Cut(old.HeaderID, "@")
	again.CaseID, again.Purpose, again.CreatedAt = &c.ID, PurposeNotification, now
	again.HeaderID, again.Token = NewIdentity(domain)
	_, err = t.InsertMessage(ctx, again, ActorSystem)
	return err == nil, err
}

// flooded reports whether a case has had so many mails in a day that more are
// stored only.
func (t *Tx) flooded(ctx context.Context, caseID int64, now time.Time) (bool, error) {
	var n int
	err := t.q.GetContext(ctx, &n, `select count(*) from case_event where case_id = $1 and inbound_id is not null and at > $2`,
		caseID, now.Add(-24*time.Hour))
	return n >= inboundPerDay, fail("count the case's mails of a day", err)
}

func ptr[T any](v T) *T { return &v }

package casedb

import (
	"context"
	"strings"
	"time"

	"teiten/internal/reason"
)

// ReasonCorrection is the reason of an answer that takes an accusation back. Its words
// are a template's; it waits for a coordinator, whatever the rules may do on their own.
const ReasonCorrection = "correction"

// proposeCorrections writes a held correction to each address that a sent letter of the
// case went to, in the thread of the last one, unless that letter was corrected before.
// Letters that came back told nobody anything, and the last one about a case only says
// that it is over.
func (t *Tx) proposeCorrections(ctx context.Context, c *Case, now time.Time) error {
	var told []Message
	if err := t.q.SelectContext(ctx, &told, `select distinct on (lower(recipient)) `+messageColumns+` from message m
		where case_id = $1 and purpose = 'notification' and state = 'sent' and reason <> $2
			and not exists (select from message k where k.case_id = m.case_id and k.reason = $3 and lower(k.recipient) = lower(m.recipient) and k.created_at >= m.sent_at)
			and not exists (select from suppression s where s.address = lower(m.recipient) and s.lifted_at is null and (s.until is null or s.until > $4))
		order by lower(recipient), sent_at desc, id desc`, c.ID, ReasonRecovered, ReasonCorrection, now); err != nil {
		return fail("find who was told", err)
	}
	for _, m := range told {
		_, domain, _ := strings.Cut(m.HeaderID, "@")
		k := Message{CaseID: &c.ID, ContactID: m.ContactID, Purpose: PurposeAnswer, State: MessageHeld, Reason: ReasonCorrection, HoldWhy: reason.Of(reason.Correction),
			Recipient: m.Recipient, Language: m.Language, InReplyTo: m.HeaderID, CreatedAt: now}
		k.HeaderID, k.Token = NewIdentity(domain)
		if _, err := t.InsertMessage(ctx, k, ActorSystem); err != nil {
			return err
		}
	}
	if len(told) == 0 {
		return nil
	}
	return t.ChangeCase(ctx, c, CaseChange{Waiting: WaitFor(WaitingApproval)}, now)
}

// cancelCorrections cancels the held corrections of a case that is live again.
func (t *Tx) cancelCorrections(ctx context.Context, caseID int64, by string, now time.Time) error {
	var held []int64
	if err := t.q.SelectContext(ctx, &held, `select id from message where case_id = $1 and reason = $2 and state = 'held' order by id for update`, caseID, ReasonCorrection); err != nil {
		return fail("find corrections", err)
	}
	for _, id := range held {
		if err := t.moveMessages(ctx, "cancel correction", messageMove{To: MessageCanceled, Why: reason.Of(reason.Reopened)}, now, id); err != nil {
			return err
		}
		if err := t.AddEvent(ctx, CaseEvent{CaseID: caseID, At: now, Kind: EventCanceled, Actor: by, MessageID: &id, Why: reason.Of(reason.Reopened)}); err != nil {
			return err
		}
	}
	return nil
}

// Corrected is what a correction takes back.
type Corrected struct {
	Sources []string // the addresses that letters to the recipient named, at most the limit
	All     int      // how many there are
	Why     reason.List
}

// Corrected returns what a correction to an address of a case takes back.
func (q *Queries) Corrected(ctx context.Context, caseID int64, recipient string, limit int) (Corrected, error) {
	var c Corrected
	if err := q.q.SelectContext(ctx, &c.Sources, `select host(source) from (select distinct ms.source from message_source ms join message m on m.id = ms.message_id
		where m.case_id = $1 and m.purpose = 'notification' and m.state = 'sent' and lower(m.recipient) = lower($2)) s order by source`, caseID, recipient); err != nil {
		return c, fail("get what a correction takes back", err)
	}
	c.All = len(c.Sources)
	c.Sources = c.Sources[:min(limit, c.All)]
	err := q.q.GetContext(ctx, &c.Why, `select why from case_event where case_id = $1 and kind in ('closed','ignored') order by id desc limit 1`, caseID)
	if err = fail("get why a case ended", err); isNotFound(err) {
		err = nil
	}
	return c, err
}

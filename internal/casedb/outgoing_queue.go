package casedb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"

	"teiten/internal/reason"
)

// Due is the result of DueMessage.
type Due struct {
	ID      int64 // 0: nothing may be sent now
	Limited bool  // something is due, but an hourly limit is reached
	PutOff  bool  // a message was put off instead: ask again, in a new transaction
	Digest  bool  // its contact asks for digests
}

// LockSending makes the caller the only one to choose messages until the
// transaction ends. It comes before every other lock.
func (t *Tx) LockSending(ctx context.Context) error {
	_, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock($1, 0)`, lockSend)
	return fail("lock sending", err)
}

// expireAttempts gives the attempts that died with their process the outcome
// unknown. They count as sent at the last moment they can have been.
const expireAttempts = `update message_attempt set outcome = 'unknown', finished_at = started_at + cast($2 as interval)
	where outcome = 'delivering' and started_at <= $1`

// mailed is the condition that attempt a put a mail on its way, or may have,
// after the time in the parameter that follows it: the mail arrived between
// started_at and finished_at.
const mailed = `a.outcome in ('delivering','sent','unknown') and (a.finished_at is null or a.finished_at > `

// domainOf is the part of a recipient that names the receiving side.
const domainOf = `coalesce(lower(substring(m.recipient from '@([^@]*)$')), '')`

// DueMessage chooses the message that has been due for longest. Letters and what
// else we write go before confirmations, which a stranger can cause as many of as
// a form takes. Recipient domains with an attempt under way are left out, one
// connection at a time being manners, and so are those that wait after a failure;
// a message that meets a daily limit is put off until it does not. LockSending
// must have been called.
func (t *Tx) DueMessage(ctx context.Context, limits SendLimits, lease time.Duration, now time.Time) (Due, error) {
	alive := now.Add(-lease)
	if _, err := t.q.ExecContext(ctx, expireAttempts, alive, interval(lease)); err != nil {
		return Due{}, fail("expire attempts", err)
	}
	due, err := t.dueOf(ctx, `m.purpose <> 'confirmation'`, limits, lease, now)
	if err != nil || due.ID != 0 || due.PutOff {
		return due, err
	}
	confirmation, err := t.dueOf(ctx, `m.purpose = 'confirmation'`, limits, lease, now)
	confirmation.Limited = confirmation.Limited || due.Limited && confirmation.ID == 0
	return confirmation, err
}

// dueOf is DueMessage for the messages that a condition selects.
func (t *Tx) dueOf(ctx context.Context, which string, limits SendLimits, lease time.Duration, now time.Time) (Due, error) {
	var d struct {
		Destination
		Digest bool `db:"digest"`
	}
	// Where it goes is asked of the chosen one only.
	err := t.q.GetContext(ctx, &d, `with busy as (
			select a.domain from message_attempt a where a.outcome = 'delivering' and a.started_at > $2),
		chosen as materialized (select m.id from message m where m.state = 'queued' and m.digest_id is null and m.next_attempt_at <= $1
			and `+which+` and `+domainOf+` not in (select domain from busy) and `+notBackedOff+`
			order by m.next_attempt_at, m.id limit 1)
		select `+destinationColumns+`, `+wantsDigest+` as digest from chosen join message m on m.id = chosen.id`, now, now.Add(-lease))
	if err = fail("find a due message", err); err != nil {
		if isNotFound(err) {
			return Due{}, nil
		}
		return Due{}, err
	}
	free, name, err := t.sendFree(ctx, limits, d.Destination, lease, now)
	switch {
	case err != nil:
		return Due{}, err
	case name == "":
		return Due{ID: d.MessageID, Digest: d.Digest}, nil
	case name == LimitHour, name == LimitConfirmations:
		return Due{Limited: true}, nil // no mail of the kind goes out before that
	}
	// The transaction ends here: with this row locked, no code may wait for a case.
	_, err = t.q.ExecContext(ctx, `update message set next_attempt_at = $2, version = version + 1,
		delay_why = $3 where id = $1`, d.MessageID, free, reason.Of(name))
	return Due{PutOff: true}, fail("put off message", err)
}

func interval(d time.Duration) string { return fmt.Sprintf("%d microseconds", d.Microseconds()) }

// LockDueMessage locks a message that DueMessage chose, and its case (nil for
// one about a registration). ErrStale if it is not due any more.
func (t *Tx) LockDueMessage(ctx context.Context, id int64, now time.Time) (Message, *Case, error) {
	m, c, err := t.lockMessage(ctx, id, 0)
	if err != nil {
		return m, c, err
	}
	if m.State != MessageQueued || m.NextAttemptAt == nil || m.NextAttemptAt.After(now) {
		return m, c, fmt.Errorf("message %d: %w", id, ErrStale)
	}
	return m, c, nil
}

// AcknowledgedSources returns the organisations that acknowledge sources of a
// case now: by their present verdict, or by an allowlist entry in force. At
// most five.
func (q *Queries) AcknowledgedSources(ctx context.Context, caseID int64, now time.Time) ([]string, error) {
	var o []string
	err := q.q.SelectContext(ctx, &o, `select v.acknowledged from case_source cs
			join verdict v on v.source = cs.source and v.superseded_at is null
			where cs.case_id = $1 and v.acknowledged <> ''
		union
		select s.organisation from case_source cs join scanner s on s.prefix >>= cs.source
			where cs.case_id = $1 and (s.valid_from is null or s.valid_from <= $2) and (s.valid_to is null or s.valid_to > $2)
		order by 1 limit 5`, caseID, now)
	return o, fail("look for acknowledged sources", err)
}

// ContactInForce reports whether a message's contact is still the right one at
// the time: it exists, and the directory has not come to know a better one of
// its owner since the message was written or approved.
func (q *Queries) ContactInForce(ctx context.Context, m Message, now time.Time) (bool, error) {
	since := m.CreatedAt
	if m.ApprovedAt != nil {
		since = *m.ApprovedAt
	}
	var n int
	err := q.q.GetContext(ctx, &n, `select count(*) from contact c where c.id = $1 and c.retired_at is null and `+inForceOrRegistry+`
		and not exists (select 1 from contact k join directory_entry d on d.id = k.directory_id
			where k.owner_id = c.owner_id and k.retired_at is null and k.created_at > $3 and k.rank < 0 and (c.directory_id is null or k.rank < c.rank)
			and lower(k.email) <> lower(c.email) and d.ended_at is null and (d.valid_from is null or d.valid_from <= $2)
			and (d.valid_until is null or d.valid_until > $2) and not exists (select 1 from suppression s
				where s.address = lower(k.email) and s.lifted_at is null and (s.until is null or s.until > $2)))`, m.ContactID, now, since)
	return n > 0, fail("look for the contact", err)
}

// BeginAttempt records, before anybody dials, that the locked message is being
// sent, and keeps the bytes of the first attempt for all others and which
// sources they tell about. If the attempt dies with its process, the message is due again at next.
func (t *Tx) BeginAttempt(ctx context.Context, m *Message, next, now time.Time) error {
	err := t.q.GetContext(ctx, m, `update message set attempts = attempts + 1, next_attempt_at = $2, delay_why = '[]', subject = $3, body = $4,
		template = $5, raw = $6, version = version + 1 where id = $1 and state = 'queued' and attempts = $7
		and not (purpose = 'notification' and `+heldAsControl+`$8)) returning attempts, next_attempt_at, version`,
		m.ID, next, m.Subject, m.Body, m.Template, m.Raw, m.Attempts, now)
	if err = fail("begin attempt", err); err != nil {
		if isNotFound(err) {
			return fmt.Errorf("begin attempt: %w", ErrStale)
		}
		return err
	}
	if err := t.settle(ctx, *m, now); err != nil {
		return err
	}
	_, err = t.q.ExecContext(ctx, `insert into message_attempt (message_id, n, started_at, outcome, domain, asn, confirmation)
		select m.id, $2, $3, 'delivering', `+domainOf+`, `+asnOf+`, m.purpose = 'confirmation' from message m where m.id = $1`, m.ID, m.Attempts, now)
	return fail("record attempt", err)
}

// settle does what the beginning of an attempt means for others: the sources
// that the message tells about are noted, and the owner's controls end.
func (t *Tx) settle(ctx context.Context, m Message, now time.Time) error {
	if err := t.contaminate(ctx, m, now); err != nil {
		return err
	}
	if m.Purpose != PurposeNotification || m.CaseID == nil || m.Attempts > 1 || m.Edited || m.choosesSources() {
		return nil
	}
	return t.coverSources(ctx, m.ID, *m.CaseID, now)
}

// KeepSigned replaces the bytes of a message whose attempt n is on record and
// has not begun to dial by the same mail with its signatures. ErrStale if
// another sender has the message now.
func (q *Queries) KeepSigned(ctx context.Context, id int64, n int, raw []byte) error {
	res, err := q.q.ExecContext(ctx, `update message set raw = $3 where id = $1 and attempts = $2 and state = 'queued'`, id, n, raw)
	err = fail("keep the signed mail", oneRow(res, err))
	if isNotFound(err) {
		return fmt.Errorf("keep the signed mail: %w", ErrStale)
	}
	return err
}

// AttemptEnd is how an attempt ended.
type AttemptEnd struct {
	Outcome  AttemptOutcome // sent, temporary, permanent, or unknown: the connection broke when the server had it all
	Code     int
	Enhanced string
	Response string
	GiveUp   bool        // after a temporary or unknown end: it was the last try
	BackOff  BackOff     // after a temporary or unknown end: whose other mail waits, and how long
	DeadFor  reason.List // after a permanent end: why the address is suppressed; empty: it is not
}

// FinishAttempt records the end of attempt n of a message, and what follows
// from it for the message and its case; the plan says what follows if it failed.
// ErrStale if another sender has the message now; the attempt's end is still
// recorded.
func (t *Tx) FinishAttempt(ctx context.Context, id int64, n int, end AttemptEnd, plan BouncePlan, now time.Time) error {
	m, c, err := t.lockMessage(ctx, id, 0)
	if err != nil {
		return err
	}
	end.Response = Clean(end.Response, 2000)
	if _, err := t.q.ExecContext(ctx, `update message_attempt set finished_at = $3, outcome = $4, code = $5, enhanced = $6,
		response = $7 where message_id = $1 and n = $2 and outcome in ('delivering','unknown')`,
		id, n, now, end.Outcome, end.Code, CleanLine(end.Enhanced, 20), end.Response); err != nil {
		return fail("finish attempt", err)
	}
	if err := t.noteHealth(ctx, id, end, now); err != nil {
		return err
	}
	if m.Attempts != n || m.State != MessageQueued {
		return fmt.Errorf("finish attempt %d of message %d: %w", n, id, ErrStale)
	}
	if err := t.finishMessage(ctx, m, c, n, end, plan, now); err != nil || m.Purpose != PurposeDigest {
		return err
	}
	letters, err := t.LockLetters(ctx, id)
	if err != nil {
		return err
	}
	for _, l := range letters {
		if l.Message.State != MessageQueued {
			continue // it left the digest before this attempt
		}
		if err := t.finishMessage(ctx, l.Message, &l.Case, n, end, plan, now); err != nil {
			return err
		}
	}
	return t.freeHeld(ctx, id)
}

// finishMessage does what follows from the end of attempt n for a locked
// message and its case.
func (t *Tx) finishMessage(ctx context.Context, m Message, c *Case, n int, end AttemptEnd, plan BouncePlan, now time.Time) error {
	data := EventData{Contact: m.Recipient, Code: end.Code, Status: CleanLine(end.Enhanced, 20), Count: n}
	ev := CaseEvent{Actor: ActorSystem, MessageID: &m.ID, Text: end.Response, Data: JSON[EventData]{data}}
	switch {
	case end.Outcome == AttemptSent:
		return t.messageSent(ctx, m, c, ev, now)
	case end.Outcome == AttemptPermanent:
		return t.messageFailed(ctx, m, c, ev, end.DeadFor, plan, now)
	case end.GiveUp:
		ev.Why = reason.Of(reason.GaveUp, strconv.Itoa(n))
		return t.messageFailed(ctx, m, c, ev, nil, plan, now)
	}
	if _, err := t.q.ExecContext(ctx, `update message set last_error = $2, version = version + 1 where id = $1`, m.ID, end.Response); err != nil {
		return fail("note error", err)
	}
	if c == nil {
		return nil
	}
	ev.CaseID, ev.At, ev.Kind = c.ID, now, EventAttempt
	return t.AddEvent(ctx, ev)
}

// noteHealth keeps what the end of an attempt says about those whom other mail
// goes to or through.
func (t *Tx) noteHealth(ctx context.Context, id int64, end AttemptEnd, now time.Time) error {
	switch end.Outcome {
	case AttemptSent, AttemptPermanent:
		return t.endBackOff(ctx, id, end.Outcome == AttemptSent)
	case AttemptTemporary, AttemptUnknown:
		return t.backOff(ctx, id, end.BackOff, end.Response, now)
	}
	return nil
}

// messageSent also ends what the case waited for, unless a person has to look
// at something else meanwhile.
func (t *Tx) messageSent(ctx context.Context, m Message, c *Case, ev CaseEvent, now time.Time) error {
	if err := t.moveMessages(ctx, "mark message sent", messageMove{To: MessageSent, Response: new(string)}, now, m.ID); err != nil {
		return err
	}
	if c == nil {
		return nil
	}
	ev.Kind, ev.Text = EventSent, ""
	ch := CaseChange{Event: ev}
	// An answer may be on record before the 250 is: it stays the last word.
	if m.Purpose == PurposeNotification && c.State.Live() && c.Waiting != WaitingReply {
		ch.State = CaseNotified
		if slices.Contains([]Waiting{WaitingApproval, WaitingFailed, WaitingBounce, WaitingContact}, c.Waiting) {
			ch.Waiting = WaitFor(WaitingNone)
		}
	}
	return t.ChangeCase(ctx, c, ch, now)
}

func (t *Tx) messageFailed(ctx context.Context, m Message, c *Case, ev CaseEvent, deadFor reason.List, plan BouncePlan, now time.Time) error {
	move := messageMove{To: MessageFailed, Why: ev.Why, Response: &ev.Text}
	if err := t.moveMessages(ctx, "mark message failed", move, now, m.ID); err != nil {
		return err
	}
	if len(deadFor) > 0 {
		if err := t.Suppress(ctx, Suppression{Address: m.Recipient, Why: deadFor, MessageID: &m.ID, CreatedAt: now}); err != nil {
			return err
		}
	}
	if c == nil {
		return nil
	}
	ev.Kind = EventFailed
	waiting, err := t.bounced(ctx, Bounce{Message: m, Refused: true, Hard: true, Dead: len(deadFor) > 0}, c, plan, now)
	if err != nil {
		return err
	}
	if err := t.ChangeCase(ctx, c, CaseChange{Event: ev, Waiting: waiting}, now); err != nil || len(deadFor) == 0 {
		return err
	}
	return t.AddEvent(ctx, CaseEvent{CaseID: c.ID, At: now, Kind: EventSuppressed, Actor: ActorSystem, MessageID: &m.ID,
		Why: deadFor, Data: JSON[EventData]{EventData{Contact: m.Recipient}}})
}

// HoldDue puts a locked due message back for approval, with the reason.
func (t *Tx) HoldDue(ctx context.Context, m Message, c *Case, why reason.List, now time.Time) error {
	return t.holdLocked(ctx, m, c, ActorSystem, why, now)
}

// CancelDue cancels a locked due message, with the reason.
func (t *Tx) CancelDue(ctx context.Context, m Message, c *Case, why reason.List, now time.Time) error {
	return t.cancelLocked(ctx, m, c, ActorSystem, why, now)
}

// FailDue fails a locked due message that must not be sent, and makes its case
// wait for a coordinator.
func (t *Tx) FailDue(ctx context.Context, m Message, c *Case, waiting Waiting, why reason.List, now time.Time) error {
	why = cleaned(why)
	if err := t.moveMessages(ctx, "mark message failed", messageMove{To: MessageFailed, Why: why}, now, m.ID); err != nil {
		return err
	}
	if c == nil {
		return nil
	}
	if err := t.coverAll(ctx, c.ID, m.ID); err != nil {
		return err
	}
	ch := CaseChange{Event: CaseEvent{Kind: EventFailed, Actor: ActorSystem, MessageID: &m.ID, Why: why,
		Data: JSON[EventData]{EventData{Contact: m.Recipient}}}}
	if c.State.Live() {
		ch.Waiting = WaitFor(waiting)
	}
	return t.ChangeCase(ctx, c, ch, now)
}

// PutOffMessage makes a queued message due later, and says why.
func (q *Queries) PutOffMessage(ctx context.Context, id int64, why reason.List, until time.Time) error {
	_, err := q.q.ExecContext(ctx, `update message set next_attempt_at = $2, delay_why = $3, version = version + 1
		where id = $1 and state = 'queued'`, id, until, cleaned(why))
	return fail("put off message", err)
}

// SetAsideMessage makes a queued message due later because of an error that is
// not its receiver's, so that others are not kept waiting behind it.
func (q *Queries) SetAsideMessage(ctx context.Context, id int64, cause string, until time.Time) error {
	_, err := q.q.ExecContext(ctx, `update message set next_attempt_at = $2, last_error = $3, delay_why = '[]', version = version + 1
		where id = $1 and state = 'queued'`, id, until, Clean(cause, 2000))
	return fail("set message aside", err)
}

// Backlog is how much waits in a queue.
type Backlog struct {
	Due    int          `db:"due"`    // rows that are due
	Held   int          `db:"held"`   // rows that wait for a coordinator
	Oldest sql.NullTime `db:"oldest"` // when the oldest due row became due
}

// SendBacklog returns the state of the outgoing queue.
func (q *Queries) SendBacklog(ctx context.Context, now time.Time) (Backlog, error) {
	var b Backlog
	err := q.q.GetContext(ctx, &b, `select count(*) filter (where state = 'queued' and next_attempt_at <= $1) as due,
		count(*) filter (where state = 'held') as held,
		min(next_attempt_at) filter (where state = 'queued' and next_attempt_at <= $1) as oldest
		from message where state in ('held','queued') and (digest_id is null or state = 'held')`, now)
	return b, fail("measure the outgoing queue", err)
}

// InboundBacklog returns the state of the queue of mails that came to us.
func (q *Queries) InboundBacklog(ctx context.Context, now time.Time) (Backlog, error) {
	var b Backlog
	err := q.q.GetContext(ctx, &b, `select count(*) as due, 0 as held, min(next_attempt_at) as oldest from inbound
		where state = 'received' and next_attempt_at <= $1`, now)
	return b, fail("measure the inbound queue", err)
}

// oneRow turns a change of no row into sql.ErrNoRows.
func oneRow(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = sql.ErrNoRows
	}
	return err
}

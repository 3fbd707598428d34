package casedb

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"teiten/internal/reason"
)

// MessageState is the state of a message.
type MessageState string

// The states, as in the CHECK constraint of table message.
const (
	MessageHeld     MessageState = "held"
	MessageQueued   MessageState = "queued"
	MessageSent     MessageState = "sent"
	MessageBounced  MessageState = "bounced"
	MessageCanceled MessageState = "canceled"
	MessageFailed   MessageState = "failed"
)

// Purpose says why a message exists.
type Purpose string

// The purposes, as in the CHECK constraint of table message.
const (
	PurposeNotification Purpose = "notification" // tells an owner
	PurposeAnswer       Purpose = "answer"       // a coordinator's mail in the case's thread
	PurposeConfirmation Purpose = "confirmation" // the link that confirms a researcher's address
	PurposeDecision     Purpose = "decision"     // what became of a registration
)

// Message is one mail to one contact; the row is also the job that sends it.
type Message struct {
	ID             int64        `db:"id"`
	CaseID         *int64       `db:"case_id"`
	RegistrationID *int64       `db:"registration_id"`
	ContactID      *int64       `db:"contact_id"`
	Purpose        Purpose      `db:"purpose"`
	State          MessageState `db:"state"`
	Reason         string       `db:"reason"`    // why it is written: first, new-sources, contact-changed, again ...
	HoldWhy        reason.List  `db:"hold_why"`  // why it waits for a coordinator, or did last
	DelayWhy       reason.List  `db:"delay_why"` // why a queued one is due later; empty: it was not put off
	EndWhy         reason.List  `db:"end_why"`   // why it was canceled, failed or bounced, where we know
	Recipient      string       `db:"recipient"`
	Language       string       `db:"language"`
	Subject        string       `db:"subject"` // empty until edited or sent: composed from the case
	Body           string       `db:"body"`
	Edited         bool         `db:"edited"` // Subject and Body are a coordinator's and not composed again
	Template       string       `db:"template"`
	InReplyTo      string       `db:"in_reply_to"`
	HeaderID       string       `db:"message_id"` // the Message-ID header without brackets; the same on every attempt
	Token          string       `db:"token"`      // random; in the Message-ID, and in the proof of the addresses that lead back
	TokenRule      int          `db:"token_rule"` // 1: proofs are made without Token, as before 0109; 2: with it
	Raw            []byte       `db:"raw"`        // the bytes sent, kept from the first attempt on
	Attempts       int          `db:"attempts"`
	NextAttemptAt  *time.Time   `db:"next_attempt_at"`
	LastError      string       `db:"last_error"` // what its last attempt met: others' words
	ApprovedBy     string       `db:"approved_by"`
	ApprovedAt     *time.Time   `db:"approved_at"`
	// Overruled are the codes of the reasons that it was held for when people
	// approved it.
	Overruled pq.StringArray `db:"overruled"`
	CreatedAt time.Time      `db:"created_at"`
	SentAt    *time.Time     `db:"sent_at"`
	Version   int            `db:"version"`
	Evidence  bool           `db:"evidence"`  // an answer with the evidence of its case
	DigestID  *int64         `db:"digest_id"` // the message that carries it, or carried it
}

// AttemptOutcome is how an attempt to send ended.
type AttemptOutcome string

// The outcomes, as in the CHECK constraint of table message_attempt. An
// attempt is recorded as delivering before dialling; one that never got
// further (crash) becomes unknown.
const (
	AttemptDelivering AttemptOutcome = "delivering"
	AttemptSent       AttemptOutcome = "sent"
	AttemptTemporary  AttemptOutcome = "temporary"
	AttemptPermanent  AttemptOutcome = "permanent"
	AttemptUnknown    AttemptOutcome = "unknown"
)

// Attempt is one try to send a message.
type Attempt struct {
	MessageID  int64          `db:"message_id"`
	N          int            `db:"n"`
	StartedAt  time.Time      `db:"started_at"`
	FinishedAt *time.Time     `db:"finished_at"`
	Outcome    AttemptOutcome `db:"outcome"`
	Code       int            `db:"code"`     // SMTP reply code, 0 if there was none
	Enhanced   string         `db:"enhanced"` // RFC 3463 status
	Response   string         `db:"response"`
}

// InsertMessage writes a new message (State held or queued; a queued one needs
// NextAttemptAt) and the event that tells of it. HeaderID and Token must be
// unique; package notify makes them. ErrConflict if the case has a notification
// under way already.
func (t *Tx) InsertMessage(ctx context.Context, m Message, actor string) (Message, error) {
	err := t.q.GetContext(ctx, &m, `insert into message (case_id, registration_id, contact_id, purpose, state, reason,
		hold_why, recipient, language, subject, body, edited, template, in_reply_to, message_id, token, next_attempt_at,
		approved_by, approved_at, created_at, evidence)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
		returning `+messageColumns,
		m.CaseID, m.RegistrationID, m.ContactID, m.Purpose, m.State, m.Reason, cleaned(m.HoldWhy), m.Recipient, m.Language,
		m.Subject, m.Body, m.Edited, m.Template, m.InReplyTo, m.HeaderID, m.Token, m.NextAttemptAt,
		m.ApprovedBy, m.ApprovedAt, m.CreatedAt, m.Evidence)
	if err != nil {
		return m, fail("insert message", err)
	}
	if m.CaseID == nil {
		return m, nil
	}
	if m.Purpose == PurposeNotification {
		if err := t.noteRules(ctx, m.ID, ScopeOf(m, m.CreatedAt)); err != nil {
			return m, err
		}
	}
	kind := EventHeld
	if m.State == MessageQueued {
		kind = EventQueued
	}
	return m, t.AddEvent(ctx, CaseEvent{CaseID: *m.CaseID, At: m.CreatedAt, Kind: kind, Actor: actor, MessageID: &m.ID,
		Why: m.HoldWhy, Data: JSON[EventData]{EventData{Contact: m.Recipient, Reason: m.Reason}}})
}

// maxArgument is how long an argument of a reason may be.
const maxArgument = 2000

// cleaned are reasons whose arguments, which may be anybody's words, are fit for
// a column and for people's eyes.
func cleaned(why reason.List) reason.List {
	return why.Map(func(s string) string { return Clean(s, maxArgument) })
}

// CancelMessages cancels the held and queued messages of a case that no
// attempt is under way for.
func (t *Tx) CancelMessages(ctx context.Context, caseID int64, by string, why reason.List, now time.Time) error {
	var ids []int64
	err := t.q.SelectContext(ctx, &ids, `select m.id from message m where m.case_id = $1 and m.state in ('held','queued')
		and not `+underWay+`$2) for update`, caseID, now.Add(-AttemptLease))
	if err != nil {
		return fail("find the messages to cancel", err)
	}
	if err := t.moveMessages(ctx, "cancel messages", messageMove{To: MessageCanceled, Why: why}, now, ids...); err != nil {
		return err
	}
	if err := t.coverAll(ctx, caseID, ids...); err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.AddEvent(ctx, CaseEvent{CaseID: caseID, At: now, Kind: EventCanceled, Actor: by, MessageID: &id, Why: why}); err != nil {
			return err
		}
	}
	return nil
}

// AttemptLease is how long an attempt may take. One that has no end by then
// died with its process.
const AttemptLease = 7 * time.Minute

// underWay is the condition that a sender is sending message m right now. The
// time since which such an attempt can still be alive and a closing
// parenthesis follow it.
const underWay = `exists (select 1 from message_attempt a where a.message_id in (m.id, m.digest_id)
	and a.outcome = 'delivering' and a.started_at > `

// Message returns the message with the id.
func (q *Queries) Message(ctx context.Context, id int64) (Message, error) {
	var m Message
	err := q.q.GetContext(ctx, &m, `select `+messageColumns+` from message where id = $1`, id)
	return m, fail("get message", err)
}

// CaseMessages returns the latest limit messages of a case, oldest first.
func (q *Queries) CaseMessages(ctx context.Context, caseID int64, limit int) ([]Message, error) {
	var m []Message
	err := q.q.SelectContext(ctx, &m, `select `+messageColumns+` from message where case_id = $1
		order by id desc limit $2`, caseID, limit)
	slices.Reverse(m)
	return m, fail("list messages of case", err)
}

// MessageAttempts returns the latest limit attempts to send a message, oldest
// first.
func (q *Queries) MessageAttempts(ctx context.Context, messageID int64, limit int) ([]Attempt, error) {
	var a []Attempt
	err := q.q.SelectContext(ctx, &a, `select message_id, n, started_at, finished_at, outcome, code, enhanced, response
		from message_attempt where message_id = $1 order by n desc limit $2`, messageID, limit)
	slices.Reverse(a)
	return a, fail("list attempts", err)
}

// MessageProof returns of a message what tokens of it are proved with, and nothing
// else: its ID, Token and TokenRule.
func (q *Queries) MessageProof(ctx context.Context, id int64) (Message, error) {
	var m Message
	err := q.q.GetContext(ctx, &m, `select id, token, token_rule from message where id = $1`, id)
	return m, fail("get proof of message", err)
}

// NewIdentity makes the identifiers of a new message: its Message-ID (without
// brackets, at our mail domain) and its token.
func NewIdentity(domain string) (headerID, token string) {
	token = strings.ToLower(rand.Text())
	return "tt." + token + "@" + domain, token
}

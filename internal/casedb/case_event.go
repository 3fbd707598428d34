package casedb

import (
	"context"
	"errors"
	"time"

	"teiten/internal/reason"
)

// EventKind is the kind of an event in a case.
type EventKind string

// The kinds of case events. The locale catalogue has a line for each
// ("event.opened" ...).
const (
	EventOpened           EventKind = "opened"
	EventSourceJoined     EventKind = "source-joined"
	EventHeld             EventKind = "message-held"
	EventQueued           EventKind = "message-queued"
	EventApproved         EventKind = "message-approved"
	EventEdited           EventKind = "message-edited"
	EventCanceled         EventKind = "message-canceled"
	EventAttempt          EventKind = "attempt-failed" // a temporary failure; it will be tried again
	EventSent             EventKind = "message-sent"
	EventFailed           EventKind = "message-failed"
	EventBounce           EventKind = "bounce"
	EventDelay            EventKind = "delay"
	EventAutoReply        EventKind = "autoreply"
	EventReply            EventKind = "reply"
	EventFeedback         EventKind = "feedback"
	EventChallenge        EventKind = "challenge" // our mail waits until somebody proves that a person sent it
	EventForged           EventKind = "forged"    // a bounce without our HMAC: shown, changes nothing
	EventSuppressed       EventKind = "suppressed"
	EventContact          EventKind = "contact-changed"
	EventNote             EventKind = "note"
	EventClosed           EventKind = "closed"
	EventReopened         EventKind = "reopened"
	EventIgnored          EventKind = "ignored"
	EventAcknowledged     EventKind = "acknowledged" // a source turned out to be an acknowledged scanner
	EventLinkEnded        EventKind = "link-ended"   // an owner's page was closed before its time
	EventQuiet            EventKind = "quiet"        // all sources were quiet for long enough
	EventReturned         EventKind = "returned"     // a source of a quiet case was seen again
	EventTell             EventKind = "tell"         // the owner will hear when all sources are quiet
	EventTellNot          EventKind = "tell-not"     // ... and will not
	EventFinding          EventKind = "finding"      // what the owner found was recorded
	EventFindingWithdrawn EventKind = "finding-withdrawn"
	EventTicket           EventKind = "ticket"           // a coordinator said what the other side's ticket is
	EventDrawn            EventKind = "drawn"            // for the control group, or to be told at once
	EventEscalated        EventKind = "escalated"        // another contact is written to
	EventEscalationEnded  EventKind = "escalation-ended" // no contact is left
	EventControlEnded     EventKind = "control-ended"    // its letter is decided about as any other
)

// EventKinds lists every kind of event.
var EventKinds = []EventKind{
	EventOpened, EventSourceJoined, EventHeld, EventQueued, EventApproved, EventEdited, EventCanceled, EventAttempt,
	EventSent, EventFailed, EventBounce, EventDelay, EventAutoReply, EventReply, EventFeedback, EventChallenge, EventForged,
	EventSuppressed, EventContact, EventNote, EventClosed, EventReopened, EventIgnored, EventAcknowledged, EventLinkEnded,
	EventQuiet, EventReturned, EventTell, EventTellNot, EventFinding, EventFindingWithdrawn, EventTicket, EventDrawn, EventControlEnded, EventEscalated, EventEscalationEnded,
	OwnerFixing.Event(), OwnerFixed.Event(), OwnerNotOurs.Event(), OwnerResearch.Event(), OwnerContact.Event(), OwnerPause.Event(),
	OwnerLanguage.Event(), OwnerTell.Event(),
}

// ActorSystem is the actor of events that no person and no rule caused.
const ActorSystem = "teiten"

// ActorCommandLine is the actor of changes made at the command line; ", " and
// the user of the machine may follow.
const ActorCommandLine = "command line"

// ActorOwner is the actor of answers by a person with the link in a mail.
const ActorOwner = "owner"

// EventData holds the data of some kinds of events besides their text. Reason is a
// code: why a message is written, how hard a bounce is, an arm, an end.
type EventData struct {
	Contact string `json:"contact,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Code    int    `json:"code,omitempty"`
	Status  string `json:"status,omitempty"`
	Ticket  string `json:"ticket,omitempty"`
	Count   int    `json:"count,omitempty"`

	Finding *FindingCodes `json:"finding,omitempty"` // of EventFinding
}

// CaseEvent is one line of a case's timeline.
type CaseEvent struct {
	ID        int64           `db:"id"`
	CaseID    int64           `db:"case_id"`
	At        time.Time       `db:"at"`
	Kind      EventKind       `db:"kind"`
	Actor     string          `db:"actor"`
	MessageID *int64          `db:"message_id"`
	InboundID *int64          `db:"inbound_id"`
	Text      string          `db:"text"` // a note, a mail, a server's answer, an address: others' words
	Why       reason.List     `db:"why"`  // why it happened: the program's reasons, and what a person typed
	Data      JSON[EventData] `db:"data"`
}

// AddEvent appends to a case's timeline.
func (t *Tx) AddEvent(ctx context.Context, e CaseEvent) error {
	_, err := t.q.ExecContext(ctx, `insert into case_event (case_id, at, kind, actor, message_id, inbound_id, text, why, data)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		e.CaseID, e.At, e.Kind, e.Actor, e.MessageID, e.InboundID, Clean(e.Text, 0), cleaned(e.Why), e.Data)
	return fail("add event", err)
}

// CaseEvents returns at most limit events of a case with ids above after,
// oldest first.
func (q *Queries) CaseEvents(ctx context.Context, caseID, after int64, limit int) ([]CaseEvent, error) {
	var e []CaseEvent
	err := q.q.SelectContext(ctx, &e, `select `+eventColumns+`
		from case_event where case_id = $1 and id > $2 order by id limit $3`, caseID, after, limit)
	return e, fail("list events", err)
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// The first keys of the advisory locks.
const (
	lockOpenCase int32 = 0x7e17e901 + iota
	lockSend
	lockPartition
	lockScanners
	lockFloods
	lockDirectory
	lockAggregates
	lockLetters
)

package casedb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"

	"teiten/internal/reason"
)

// InboundClass is the class of a received mail.
type InboundClass string

// The classes, as in the CHECK constraint of table inbound.
const (
	InboundBounce    InboundClass = "bounce"
	InboundDelay     InboundClass = "delay"
	InboundAutoReply InboundClass = "autoreply"
	InboundFeedback  InboundClass = "feedback"  // RFC 5965 complaint
	InboundChallenge InboundClass = "challenge" // our mail waits until somebody proves that a person sent it
	InboundHuman     InboundClass = "human"
)

// InboundState is how far an inbound mail has got.
type InboundState string

// The states, as in the CHECK constraint of table inbound.
const (
	InboundReceived  InboundState = "received"
	InboundProcessed InboundState = "processed"
	InboundFailed    InboundState = "failed" // could not be read; raw stays
)

// Inbound is a mail that came to us, stored raw before anything is made of it.
type Inbound struct {
	ID            int64        `db:"id"`
	ReceivedAt    time.Time    `db:"received_at"`
	EnvelopeFrom  string       `db:"envelope_from"`
	EnvelopeTo    string       `db:"envelope_to"`
	Raw           []byte       `db:"raw"`
	State         InboundState `db:"state"`
	Attempts      int          `db:"attempts"`
	NextAttemptAt time.Time    `db:"next_attempt_at"`
	LastError     string       `db:"last_error"`
	Class         InboundClass `db:"class"`
	Hard          bool         `db:"hard"`
	Status        string       `db:"status"`    // RFC 3463, of the bounce
	Recipient     string       `db:"recipient"` // whom the bounce is about
	Trusted       bool         `db:"trusted"`   // the envelope token's HMAC is ours
	MatchedBy     string       `db:"matched_by"`
	CaseID        *int64       `db:"case_id"`
	MessageID     *int64       `db:"message_id"`
	RemoteTicket  string       `db:"remote_ticket"` // as people name it
	TicketTag     string       `db:"ticket_tag"`    // as it stands in subjects
	Sender        string       `db:"sender"`        // the From header's address
	ReplyTo       string       `db:"reply_to"`      // a mail's of a person, if another than Sender; shown, never written to by default
	Subject       string       `db:"subject"`
	Text          string       `db:"text"`
	HeaderID      string       `db:"header_id"`
	ProcessedAt   *time.Time   `db:"processed_at"`

	Attachments JSON[InboundFiles] `db:"attachments"`

	Answers bool   `db:"answers"` // it counts as the owner's answer
	Waits   bool   `db:"waits"`   // a person must look at it
	Auth    string `db:"auth"`    // what our own mail server found about the sender: "spf=pass dkim=fail"; empty: nothing is known

	SuggestedCaseID *int64 `db:"suggested_case_id"` // the case that a stranger's mail names by its number
}

// Personal reports whether a person may have written the mail, so that a
// coordinator reads it and can answer: a ticket system may mark its people's words
// as automatic.
func (in *Inbound) Personal() bool {
	return in.Class == InboundHuman || in.Class == InboundAutoReply && in.Waits
}

// The ways to match an inbound mail to its message or case.
const (
	MatchedByToken   = "token"   // envelope or reply token with our HMAC
	MatchedByHeader  = "header"  // In-Reply-To, References, or the returned mail's Message-ID
	MatchedBySubject = "subject" // the case's tag
	MatchedByHand    = "hand"    // filed by a coordinator
)

// ReasonUnverified in the event of a reply says that nothing but its words ties
// it to the case.
const ReasonUnverified = "unverified"

// StoreInbound keeps a mail that came to us, before its sender is told that we
// have it.
func (q *Queries) StoreInbound(ctx context.Context, from, to string, raw []byte, now time.Time) (int64, error) {
	var id int64
	err := q.q.GetContext(ctx, &id, `insert into inbound (received_at, envelope_from, envelope_to, raw, state, next_attempt_at)
		values ($1, $2, $3, $4, 'received', $1) returning id`, now, CleanLine(from, 500), CleanLine(to, 500), raw)
	return id, fail("store inbound mail", err)
}

// NoteAuth keeps with a stored mail what our own mail server found about its sender.
func (q *Queries) NoteAuth(ctx context.Context, id int64, auth string) error {
	_, err := q.q.ExecContext(ctx, `update inbound set auth = $2 where id = $1`, id, CleanLine(auth, 100))
	return fail("note what our mail server found", err)
}

// ClaimInbound returns at most limit mails that nothing was made of yet. They
// are due again after a back-off, so a mail whose worker dies is not lost.
func (q *Queries) ClaimInbound(ctx context.Context, limit int, now time.Time) ([]Inbound, error) {
	var in []Inbound
	err := q.q.SelectContext(ctx, &in, `update inbound set attempts = attempts + 1,
		next_attempt_at = cast($1 as timestamptz) + least(power(2, attempts) * interval '30 seconds', interval '1 hour')
		where id in (select id from inbound where state = 'received' and next_attempt_at <= $1
			order by next_attempt_at, id limit $2 for update skip locked)
		returning `+inboundColumns, now, limit)
	return in, fail("claim inbound mail", err)
}

// FailInbound notes why a claimed mail could not be processed. After the last
// try it becomes failed; the mail itself stays.
func (q *Queries) FailInbound(ctx context.Context, in Inbound, reason string, last bool, now time.Time) error {
	state := InboundReceived
	if last {
		state = InboundFailed
	}
	_, err := q.q.ExecContext(ctx, `update inbound set state = $3, last_error = $4, processed_at = case when $3 = 'failed' then $5::timestamptz end
		where id = $1 and attempts = $2 and state = 'received'`, in.ID, in.Attempts, state, Clean(reason, 2000), now)
	return fail("note failure of inbound mail", err)
}

// Inbound returns the inbound mail with the id.
func (q *Queries) Inbound(ctx context.Context, id int64) (Inbound, error) {
	var in Inbound
	err := q.q.GetContext(ctx, &in, `select `+inboundColumns+` from inbound where id = $1`, id)
	return in, fail("get inbound mail", err)
}

// CaseInbound returns the latest limit inbound mails of a case that were not purged,
// newest first, without their raw contents.
func (q *Queries) CaseInbound(ctx context.Context, caseID int64, limit int) ([]Inbound, error) {
	var in []Inbound
	err := q.q.SelectContext(ctx, &in, `select `+inboundListed+` from inbound where case_id = $1 and state <> 'purged'
		order by id desc limit $2`, caseID, limit)
	return in, fail("list inbound mail of case", err)
}

// unfiled is the condition that an inbound mail belongs to no case and no
// message, or is what a person wrote about a digest.
const unfiled = `case_id is null and (message_id is null or (class in ('human','feedback','challenge') or class = 'autoreply' and waits)
	and exists (select 1 from message d where d.id = inbound.message_id and d.purpose = 'digest'))`

// UnmatchedInbound returns at most limit mails that belong to no case and no
// message, could not be read, or answer a digest and do not say which case, with ids below before (0: from the newest),
// newest first, without their raw contents.
func (q *Queries) UnmatchedInbound(ctx context.Context, before int64, limit int) ([]Inbound, error) {
	var in []Inbound
	err := q.q.SelectContext(ctx, &in, `select `+inboundListed+` from inbound
		where state in ('processed','failed') and `+unfiled+` and ($1::bigint = 0 or id < $1)
		order by id desc limit $2`, before, limit)
	return in, fail("list unmatched mail", err)
}

// Inbox says how much of what came to us a coordinator has not looked after yet, each
// counted to CountLimit+1.
type Inbox struct {
	Unmatched     int `db:"unmatched"`     // mails that belong to no case
	Registrations int `db:"registrations"` // registrations of scanners that wait for a decision
}

// CountInbox returns what a coordinator has not looked after yet.
func (q *Queries) CountInbox(ctx context.Context) (Inbox, error) {
	var n Inbox
	err := q.q.GetContext(ctx, &n, `select (select count(*) from (select 1 from inbound
			where state in ('processed','failed') and `+unfiled+` limit $1) few) as unmatched,
		(select count(*) from (select 1 from registration where state = 'pending' limit $1) few) as registrations`, CountLimit+1)
	return n, fail("count what came in", err)
}

// MessageByHeaderIDs returns the newest message that has one of the
// Message-IDs (without brackets).
func (q *Queries) MessageByHeaderIDs(ctx context.Context, ids []string) (Message, error) {
	var m Message
	err := q.q.GetContext(ctx, &m, `select `+messageColumns+` from message where message_id = any($1)
		order by id desc limit 1`, pq.Array(ids))
	return m, fail("find message by Message-ID", err)
}

// ProcessInbound records the class of a claimed mail, and applies its effect to
// its message and case, exactly once. suppress is the reason why the message's
// recipient gets no more mail; it counts for a trusted hard bounce only. The plan
// says what follows from a trusted bounce. ErrStale if another worker has the
// mail now.
func (t *Tx) ProcessInbound(ctx context.Context, in Inbound, suppress reason.List, plan BouncePlan, now time.Time) error {
	var m *Message
	var c *Case
	if in.MessageID != nil {
		locked, its, err := t.lockMessage(ctx, *in.MessageID, 0)
		if err != nil {
			return err
		}
		m, c = &locked, its
		in.CaseID = locked.CaseID
	} else if in.CaseID != nil {
		locked, err := t.LockCase(ctx, *in.CaseID)
		if err != nil {
			return err
		}
		c = &locked
	}
	res, err := t.q.ExecContext(ctx, `update inbound set state = 'processed', class = $3, hard = $4, status = $5, recipient = $6,
		trusted = $7, matched_by = $8, case_id = $9, message_id = $10, remote_ticket = $11, sender = $12, subject = $13,
		text = $14, header_id = $15, processed_at = $16, reply_to = $17, ticket_tag = $18, attachments = $19, answers = $20, waits = $21,
		suggested_case_id = $22, last_error = '' where id = $1 and attempts = $2 and state = 'received'`,
		in.ID, in.Attempts, in.Class, in.Hard, CleanLine(in.Status, 20), CleanLine(in.Recipient, 254), in.Trusted, in.MatchedBy,
		in.CaseID, in.MessageID, CleanLine(in.RemoteTicket, 100), CleanLine(in.Sender, 254), CleanLine(in.Subject, 500),
		Clean(in.Text, 200_000), CleanLine(in.HeaderID, 500), now, CleanLine(in.ReplyTo, 254), CleanLine(in.TicketTag, 100),
		in.Attachments, in.Answers, in.Waits, in.SuggestedCaseID)
	if err = oneRow(res, err); err != nil {
		if err = fail("process inbound mail", err); isNotFound(err) {
			return fmt.Errorf("process inbound mail %d: %w", in.ID, ErrStale)
		}
		return err
	}
	if in.Class == InboundBounce && in.Trusted && m != nil {
		if err := t.messageBounced(ctx, in, m, suppress, now); err != nil {
			return err
		}
	}
	switch {
	case m != nil && m.Purpose == PurposeDigest:
		return t.inboundOfDigest(ctx, in, m, suppress, plan, now)
	case c == nil:
		return nil
	}
	return t.inboundEvent(ctx, in, c, m, suppress, plan, now)
}

func (t *Tx) messageBounced(ctx context.Context, in Inbound, m *Message, suppress reason.List, now time.Time) error {
	// A queued one is here too: the first attempt arrived, its end was lost.
	if m.State == MessageSent || (m.State == MessageQueued && in.Hard) {
		why := reason.Of(reason.CameBack, cmp.Or(CleanLine(in.Status, 20), "5.0.0"))
		if err := t.moveMessages(ctx, "mark message bounced", messageMove{To: MessageBounced, Why: why}, now, m.ID); err != nil {
			return err
		}
	}
	if !in.Hard || len(suppress) == 0 {
		return nil
	}
	// The bounce can name any address; the message is ours.
	return t.Suppress(ctx, Suppression{Address: m.Recipient, Why: suppress, MessageID: &m.ID, CreatedAt: now})
}

// inboundEvent writes the event of a mail and moves its case. The plan is asked
// about a trusted bounce of a message.
func (t *Tx) inboundEvent(ctx context.Context, in Inbound, c *Case, m *Message, suppress reason.List, plan BouncePlan, now time.Time) error {
	if in.Class != InboundBounce || !in.Trusted { // of those there are no more than mails of ours
		if flooded, err := t.flooded(ctx, c.ID, now); err != nil || flooded {
			return err
		}
	}
	if err := t.keepTicket(ctx, in, c, m, now); err != nil {
		return err
	}
	ev := CaseEvent{Actor: in.Sender, InboundID: &in.ID, MessageID: in.MessageID,
		Data: JSON[EventData]{EventData{Contact: CleanLine(in.Recipient, 254), Status: CleanLine(in.Status, 20), Ticket: CleanLine(in.RemoteTicket, 100)}}}
	if ev.Actor = CleanLine(ev.Actor, 254); ev.Actor == "" {
		ev.Actor = ActorSystem
	}
	ch := CaseChange{}
	switch in.Class {
	case InboundBounce:
		ev.Kind, ev.Text = EventBounce, Clean(in.Text, 4000)
		if !in.Trusted {
			ev.Kind = EventForged
			break
		}
		ev.Data.V.Reason = "soft"
		if in.Hard {
			ev.Data.V.Reason = "hard"
		}
		if m == nil { // filed by hand: without the message there is nothing to plan
			if c.State.Live() && c.Waiting != WaitingReply {
				ch.Waiting = WaitFor(WaitingBounce)
			}
			break
		}
		var err error
		if ch.Waiting, err = t.bounced(ctx, Bounce{Message: *m, Hard: in.Hard, Dead: len(suppress) > 0, Status: in.Status}, c, plan, now); err != nil {
			return err
		}
	case InboundDelay:
		ev.Kind, ev.Text = EventDelay, Clean(in.Text, 4000)
	case InboundAutoReply:
		ev.Kind, ev.Text = EventAutoReply, Clean(in.Text, 20_000)
		if in.Waits { // perhaps a person's words, but not surely an answer
			ev.Data.V.Contact = CleanLine(in.ReplyTo, 254)
			ch.Waiting = WaitFor(WaitingReply)
		}
	case InboundChallenge:
		ev.Kind, ev.Text = EventChallenge, Clean(in.Text, 20_000)
		if c.Waiting != WaitingReply {
			ch.Waiting = WaitFor(WaitingAttention)
		}
	case InboundFeedback:
		ev.Kind, ev.Text = EventFeedback, Clean(in.Text, 20_000)
		ch.Waiting = WaitFor(WaitingAttention)
	case InboundHuman:
		ev.Kind, ev.Text = EventReply, Clean(in.Text, 200_000)
		ev.Data.V.Contact = CleanLine(in.ReplyTo, 254)
		if in.MatchedBy == MatchedByHeader || in.MatchedBy == MatchedBySubject {
			ev.Data.V.Reason = ReasonUnverified
		}
		// Whoever knows a case's number can write its tag: such a mail is shown
		// to a coordinator, who judges whether the owner has answered.
		if in.Answers && in.MatchedBy != MatchedBySubject && c.State.Live() {
			ch.State = CaseAnswered
		}
		ch.Waiting = WaitFor(WaitingReply)
	default:
		return fmt.Errorf("inbound mail %d of class %q: %w", in.ID, in.Class, ErrState)
	}
	ch.Event = ev
	if err := t.ChangeCase(ctx, c, ch, now); err != nil {
		return err
	}
	if in.Class == InboundBounce && in.Trusted && in.Hard && len(suppress) > 0 {
		return t.AddEvent(ctx, CaseEvent{CaseID: c.ID, At: now, Kind: EventSuppressed, Actor: ActorSystem, MessageID: in.MessageID,
			InboundID: &in.ID, Why: suppress})
	}
	return nil
}

// KnowsSender reports whether a case has to do with the person at an address: a mail
// of it went there, it is the address of its contact, or a mail from there was
// matched by more than the case's number.
func (q *Queries) KnowsSender(ctx context.Context, caseID int64, address string) (bool, error) {
	if address == "" {
		return false, nil
	}
	var known bool
	err := q.q.GetContext(ctx, &known, `select exists (select 1 from message where case_id = $1 and attempts > 0 and lower(recipient) = $2)
		or exists (select 1 from cases c join contact k on k.id = c.contact_id where c.id = $1 and lower(k.email) = $2)
		or exists (select 1 from inbound where case_id = $1 and lower(sender) = $2 and matched_by in ('token','header','hand'))`,
		caseID, BaseAddress(address))
	return known, fail("look whether the case knows a sender", err)
}

// FileInbound gives an unmatched mail to cases, the first of which it belongs to
// from now on; its event follows in each as if it had been matched. ErrState if
// it belongs to a case already or was not processed.
func (t *Tx) FileInbound(ctx context.Context, id int64, caseIDs []int64, by string, now time.Time) error {
	caseIDs = slices.Compact(slices.Sorted(slices.Values(caseIDs)))
	if len(caseIDs) == 0 {
		return fmt.Errorf("file inbound mail %d: %w", id, ErrNotFound)
	}
	cases := make([]Case, len(caseIDs))
	for i, caseID := range caseIDs {
		var err error
		if cases[i], err = t.LockCase(ctx, caseID); err != nil {
			return err
		}
	}
	var in Inbound
	err := t.q.GetContext(ctx, &in, `update inbound set case_id = $2, matched_by = $3
		where id = $1 and `+unfiled+` and state = 'processed' returning `+inboundColumns, id, caseIDs[0], MatchedByHand)
	if err = fail("file inbound mail", err); err != nil {
		if isNotFound(err) {
			return fmt.Errorf("file inbound mail %d: %w", id, ErrState)
		}
		return err
	}
	in.Answers, in.MessageID = in.Class == InboundHuman, nil // that of a digest is none of the case's
	for i := range cases {
		in.CaseID = &cases[i].ID
		if err := t.inboundEvent(ctx, in, &cases[i], nil, nil, nil, now); err != nil {
			return err
		}
		if err := t.AddEvent(ctx, CaseEvent{CaseID: cases[i].ID, At: now, Kind: EventNote, Actor: by, InboundID: &id, Why: reason.Of(reason.Filed)}); err != nil {
			return err
		}
	}
	return nil
}

// InboundFile is a file that came with a mail. Nobody has looked into it.
type InboundFile struct {
	Name      string `json:"name"` // safe to show; empty: it has none
	Type      string `json:"type"` // as the mail says
	SizeBytes int    `json:"size"`
	SHA256    string `json:"sha256"`
}

// InboundFiles are the files that came with a mail.
type InboundFiles struct {
	List       []InboundFile `json:"list,omitempty"`
	Left       int           `json:"left,omitempty"`       // how many are not in List
	Unreadable bool          `json:"unreadable,omitempty"` // some parts are not counted
}

// Any reports whether there is something to tell.
func (f InboundFiles) Any() bool { return len(f.List) > 0 || f.Left > 0 || f.Unreadable }

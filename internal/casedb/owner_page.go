package casedb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"teiten/internal/reason"
)

// OwnerAct is an answer that an owner can give on the page that a mail links to.
type OwnerAct string

// The acts. Each is an event on the case, "owner-" and the act, and puts it
// into the queue.
const (
	OwnerFixing   OwnerAct = "fixing"   // we are looking into it
	OwnerFixed    OwnerAct = "fixed"    // it is done
	OwnerNotOurs  OwnerAct = "not-ours" // wrong network or wrong desk
	OwnerResearch OwnerAct = "research" // we scan for research
	OwnerContact  OwnerAct = "contact"  // write to another address
	OwnerPause    OwnerAct = "pause"    // send nothing for a while
	OwnerLanguage OwnerAct = "language" // write in the other language
	OwnerTell     OwnerAct = "tell"     // tell us when you see nothing any more
)

// OwnerActs lists every act.
var OwnerActs = []OwnerAct{OwnerFixing, OwnerFixed, OwnerNotOurs, OwnerResearch, OwnerContact, OwnerPause, OwnerLanguage, OwnerTell}

// Event returns the kind of the event that an act becomes.
func (a OwnerAct) Event() EventKind { return EventKind("owner-" + string(a)) }

const (
	// ownerLinkLife is how long the link in a mail works after the mail was
	// last on its way.
	ownerLinkLife = 90 * 24 * time.Hour
	// MaxOwnerPause is the longest pause an owner can ask for.
	MaxOwnerPause = 90 * 24 * time.Hour
	// ownerActsPerDay bounds what is written into a case's timeline without a
	// login.
	ownerActsPerDay = 20
)

// OwnerPage is the data that the page of a mail shows besides the evidence.
type OwnerPage struct {
	MessageID   int64      `db:"message_id"`
	CaseID      int64      `db:"case_id"`
	Number      string     `db:"number"`
	Kind        Kind       `db:"kind"`
	Live        bool       `db:"live"`
	Language    string     `db:"language"`      // of the mail
	WriteIn     string     `db:"case_language"` // the language of the next mail
	Owner       string     `db:"owner"`
	Country     string     `db:"country"`
	TLP         TLP        `db:"tlp"` // empty: as configured
	SentAt      time.Time  `db:"sent_at"`
	PausedUntil *time.Time `db:"paused_until"`
	EndedAt     *time.Time `db:"ended_at"`
	Asked       bool       `db:"tell_recovered"` // to hear when nothing is seen any more
}

// Scope is the evidence that the owner of the page may see: what its mail
// named, as far as it may be named now.
func (p OwnerPage) Scope(now time.Time) LetterScope {
	return LetterScope{CaseID: p.CaseID, MessageID: p.MessageID, Now: now}
}

// ExpiresAt is when the link stops working by itself.
func (p OwnerPage) ExpiresAt() time.Time { return p.SentAt.Add(ownerLinkLife) }

// Works reports whether the link leads anywhere at the time.
func (p OwnerPage) Works(now time.Time) bool { return p.EndedAt == nil && now.Before(p.ExpiresAt()) }

// OwnerPage returns the page of a notification that was on its way at least
// once, whether its link works or not. ErrNotFound for any other message.
func (q *Queries) OwnerPage(ctx context.Context, messageID int64) (OwnerPage, error) {
	var p OwnerPage
	err := q.q.GetContext(ctx, &p, `select m.id as message_id, c.id as case_id, c.number, c.kind,
			c.state not in ('closed','ignored') as live, m.language, c.language as case_language, o.name as owner, o.country, c.paused_until, c.tell_recovered, c.tlp, e.ended_at,
			coalesce(m.sent_at, (select max(a.started_at) from message_attempt a where a.message_id in (m.id, m.digest_id))) as sent_at
		from message m join cases c on c.id = m.case_id join owner o on o.id = c.owner_id
		left join owner_link_end e on e.message_id = m.id
		where m.id = $1 and m.purpose = 'notification' and m.attempts > 0`, messageID)
	return p, fail("get owner page", err)
}

// OwnerStatement is an act with its data.
type OwnerStatement struct {
	Act     OwnerAct
	Text    string        // in the owner's words, or empty
	Email   string        // of OwnerContact: no mail goes there before a coordinator approves it
	Pause   time.Duration // of OwnerPause
	NewLang string        // of OwnerLanguage
}

// OwnerSays records an owner's answer on the page of a message, and puts the
// case into the queue. ErrNotFound if the link does not work, ErrState if the
// case has heard enough for a day.
func (t *Tx) OwnerSays(ctx context.Context, messageID int64, s OwnerStatement, now time.Time) error {
	p, err := t.OwnerPage(ctx, messageID)
	if err != nil {
		return err
	}
	c, err := t.LockCase(ctx, p.CaseID)
	if err != nil {
		return err
	}
	// Once more with the case locked: it may have been revoked meanwhile.
	if p, err = t.OwnerPage(ctx, messageID); err != nil {
		return err
	}
	if !p.Works(now) {
		return fmt.Errorf("owner page of message %d: %w", messageID, ErrNotFound)
	}
	var today int
	if err := t.q.GetContext(ctx, &today, `select count(*) from case_event where case_id = $1 and actor = $2 and at > $3`,
		c.ID, ActorOwner, now.Add(-24*time.Hour)); err != nil {
		return fail("count owner's acts", err)
	}
	if today >= ownerActsPerDay {
		return fmt.Errorf("owner of case %s: %w", c.Number, ErrState)
	}
	ch := CaseChange{Event: CaseEvent{Kind: s.Act.Event(), Actor: ActorOwner, MessageID: &messageID, Text: Clean(s.Text, 5000)}}
	data := &ch.Event.Data.V
	switch s.Act {
	case OwnerContact:
		data.Contact = CleanLine(s.Email, 254)
	case OwnerPause:
		until := now.Add(min(s.Pause, MaxOwnerPause))
		data.Count = int(min(s.Pause, MaxOwnerPause) / (24 * time.Hour))
		if _, err := t.q.ExecContext(ctx, `update cases set paused_until = $2 where id = $1`, c.ID, until); err != nil {
			return fail("pause case", err)
		}
	case OwnerTell:
		if _, err := t.q.ExecContext(ctx, `update cases set tell_recovered = true where id = $1`, c.ID); err != nil {
			return fail("note that the owner asks for news", err)
		}
	case OwnerLanguage:
		data.Reason = s.NewLang
		if err := t.setOwnerLanguage(ctx, c.ID, messageID, s.NewLang); err != nil {
			return err
		}
	}
	if c.State.Live() {
		if !slices.Contains([]OwnerAct{OwnerPause, OwnerLanguage, OwnerTell}, s.Act) { // says nothing of the matter itself
			ch.State = CaseAnswered
		}
		if c.Waiting != WaitingAttention {
			ch.Waiting = WaitFor(WaitingReply)
		}
	}
	return t.ChangeCase(ctx, &c, ch, now)
}

// setOwnerLanguage makes the case, and the contact the message went to, speak
// another language from the next letter on.
func (t *Tx) setOwnerLanguage(ctx context.Context, caseID, messageID int64, language string) error {
	if _, err := t.q.ExecContext(ctx, `update cases set language = $2 where id = $1`, caseID, language); err != nil {
		return fail("set language of case", err)
	}
	_, err := t.q.ExecContext(ctx, `update contact k set language = $2 from message m
		where m.id = $1 and k.id = m.contact_id and k.retired_at is null`, messageID, language)
	return fail("set language of contact", err)
}

// EndOwnerLink ends the link of a mail before its time, and says so in the
// case. A second time changes nothing.
func (t *Tx) EndOwnerLink(ctx context.Context, messageID int64, by, why string, now time.Time) error {
	p, err := t.OwnerPage(ctx, messageID)
	if err != nil {
		return err
	}
	c, err := t.LockCase(ctx, p.CaseID)
	if err != nil {
		return err
	}
	res, err := t.q.ExecContext(ctx, `insert into owner_link_end (message_id, ended_at, ended_by, reason) values ($1, $2, $3, $4)
		on conflict (message_id) do nothing`, messageID, now, by, Clean(why, 2000))
	if err != nil {
		return fail("end owner link", err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return nil
	}
	return t.ChangeCase(ctx, &c, CaseChange{Event: CaseEvent{Kind: EventLinkEnded, Actor: by, MessageID: &messageID, Why: reason.Typed(why)}}, now)
}

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

// CaseState is the state of a case.
type CaseState string

// The states, as in the CHECK constraint of table cases; docs/states.md draws
// the moves.
const (
	CaseNew      CaseState = "new"
	CaseOpen     CaseState = "open"
	CaseNotified CaseState = "notified"
	CaseAnswered CaseState = "answered"
	CaseClosed   CaseState = "closed"
	CaseIgnored  CaseState = "ignored"
)

// CaseStates lists every state.
var CaseStates = []CaseState{CaseNew, CaseOpen, CaseNotified, CaseAnswered, CaseClosed, CaseIgnored}

// Live reports whether sources still join the case.
func (s CaseState) Live() bool { return s != CaseClosed && s != CaseIgnored }

// caseMoves lists the states that may follow each state.
var caseMoves = map[CaseState][]CaseState{
	CaseNew:      {CaseOpen, CaseNotified, CaseAnswered, CaseClosed, CaseIgnored},
	CaseOpen:     {CaseNotified, CaseAnswered, CaseClosed, CaseIgnored},
	CaseNotified: {CaseOpen, CaseAnswered, CaseClosed, CaseIgnored},
	CaseAnswered: {CaseOpen, CaseNotified, CaseClosed, CaseIgnored},
	CaseClosed:   {CaseOpen},
	CaseIgnored:  {CaseOpen},
}

// MayMove reports whether a case may go from one state to another.
func MayMove(from, to CaseState) bool {
	return from == to || slices.Contains(caseMoves[from], to)
}

// Waiting is the thing that a case waits for in the coordinators' queue; empty: it
// does not wait.
type Waiting string

// The things that a case can wait for, as in the CHECK constraint of table cases.
const (
	WaitingNone      Waiting = ""
	WaitingApproval  Waiting = "approval"  // a message is held
	WaitingReply     Waiting = "reply"     // a person wrote
	WaitingBounce    Waiting = "bounce"    // the contact's address is dead
	WaitingContact   Waiting = "contact"   // no address to write to
	WaitingFailed    Waiting = "failed"    // the message could not be sent
	WaitingAttention Waiting = "attention" // a contradiction or a complaint
)

// WaitingReasons lists every reason to wait.
var WaitingReasons = []Waiting{WaitingApproval, WaitingReply, WaitingBounce, WaitingContact, WaitingFailed, WaitingAttention}

// Case is one owner, one kind, its sources and everything said about them.
type Case struct {
	ID           int64      `db:"id"`
	Number       string     `db:"number"` // "TT-2026-000123"
	OwnerID      int64      `db:"owner_id"`
	Kind         Kind       `db:"kind"`
	Malware      string     `db:"malware"`
	State        CaseState  `db:"state"`
	Waiting      Waiting    `db:"waiting"`
	WaitingSince *time.Time `db:"waiting_since"`
	ContactID    *int64     `db:"contact_id"`
	Language     string     `db:"language"`
	Version      int        `db:"version"` // counts changes, for ErrStale
	CreatedAt    time.Time  `db:"created_at"`
	UpdatedAt    time.Time  `db:"updated_at"`
	ClosedAt     *time.Time `db:"closed_at"`
	PausedUntil  *time.Time `db:"paused_until"` // the owner wants no mail before that
	// TellRecovered: the owner or a coordinator asked for a mail when all sources are quiet.
	TellRecovered bool `db:"tell_recovered"`
	TLP           TLP  `db:"tlp"` // its own label; empty: as configured
}

// CaseSource is a source of a case with the verdict that brought it there.
type CaseSource struct {
	CaseID    int64     `db:"case_id"`
	Source    Addr      `db:"source"`
	VerdictID int64     `db:"verdict_id"`
	JoinedAt  time.Time `db:"joined_at"`
}

// Case returns the case with the id.
func (q *Queries) Case(ctx context.Context, id int64) (Case, error) {
	var c Case
	err := q.q.GetContext(ctx, &c, `select `+caseColumns+` from cases where id = $1`, id)
	return c, fail("get case", err)
}

// CaseByNumber returns the case with the number, as it stands in subjects.
func (q *Queries) CaseByNumber(ctx context.Context, number string) (Case, error) {
	var c Case
	err := q.q.GetContext(ctx, &c, `select `+caseColumns+` from cases where number = $1`, number)
	return c, fail("get case by number", err)
}

// CaseNumbers returns the numbers of cases by their ids.
func (q *Queries) CaseNumbers(ctx context.Context, ids ...int64) (map[int64]string, error) {
	numbers := make(map[int64]string, len(ids))
	if len(ids) == 0 {
		return numbers, nil
	}
	var list []struct {
		ID     int64  `db:"id"`
		Number string `db:"number"`
	}
	err := q.q.SelectContext(ctx, &list, `select id, number from cases where id = any($1)`, pq.Array(ids))
	for _, c := range list {
		numbers[c.ID] = c.Number
	}
	return numbers, fail("get numbers of cases", err)
}

// LockCase returns the case and keeps others from changing it until the
// transaction ends.
func (t *Tx) LockCase(ctx context.Context, id int64) (Case, error) {
	var c Case
	err := t.q.GetContext(ctx, &c, `select `+caseColumns+` from cases where id = $1 for update`, id)
	return c, fail("lock case", err)
}

// LockCaseVersion is LockCase for a change that a person decided on while
// looking at the given version; ErrStale if the case has moved on since.
func (t *Tx) LockCaseVersion(ctx context.Context, id int64, version int) (Case, error) {
	c, err := t.LockCase(ctx, id)
	if err == nil && c.Version != version {
		return c, fmt.Errorf("case %s: %w", c.Number, ErrStale)
	}
	return c, err
}

// NewCase is the data that opens a case or joins one.
type NewCase struct {
	OwnerID   int64
	Kind      Kind
	Malware   string
	ContactID *int64 // nil: no address to write to
	Language  string // ja or en
	Sources   []CaseSource
	Waiting   Waiting
	Actor     string // who or what opens it: "rule worm445", a user's name
}

// OpenOrJoinCase adds the sources to the live case of the owner and kind, or
// opens one, and writes the events. It returns the case, whether it is new,
// and how many sources were not in it before. The index cases_live makes two
// openers at once meet in one case.
func (t *Tx) OpenOrJoinCase(ctx context.Context, n NewCase, now time.Time) (c Case, opened bool, joined int, err error) {
	// One opener per owner at a time; without it the loser would fail on
	// cases_live and have to run again.
	if _, err = t.q.ExecContext(ctx, `select pg_advisory_xact_lock($1, $2)`, lockOpenCase, int32(n.OwnerID)); err != nil {
		return c, false, 0, fail("lock owner", err)
	}
	err = t.q.GetContext(ctx, &c, `select `+caseColumns+` from cases
		where owner_id = $1 and kind = $2 and state not in ('closed','ignored') for update`, n.OwnerID, n.Kind)
	if err = fail("find live case", err); isNotFound(err) {
		opened = true
		c, err = t.insertCase(ctx, n, now)
	}
	if err != nil {
		return c, false, 0, err
	}
	for _, s := range n.Sources {
		res, err := t.q.ExecContext(ctx, `insert into case_source (case_id, source, verdict_id, joined_at)
			values ($1, $2, $3, $4) on conflict (case_id, source) do nothing`, c.ID, s.Source, s.VerdictID, now)
		if err != nil {
			return c, opened, joined, fail("join source", err)
		}
		if k, _ := res.RowsAffected(); k == 0 {
			continue
		}
		joined++
		ev := CaseEvent{CaseID: c.ID, At: now, Kind: EventSourceJoined, Actor: n.Actor, Text: s.Source.String()}
		if err := t.AddEvent(ctx, ev); err != nil {
			return c, opened, joined, err
		}
	}
	if !opened && joined > 0 {
		if err := t.touchCase(ctx, &c, now); err != nil {
			return c, opened, joined, err
		}
	}
	return c, opened, joined, nil
}

func (t *Tx) insertCase(ctx context.Context, n NewCase, now time.Time) (Case, error) {
	var c Case
	var last int
	year := now.UTC().Year()
	err := t.q.GetContext(ctx, &last, `insert into case_number (year, last) values ($1, 1)
		on conflict (year) do update set last = case_number.last + 1 returning last`, year)
	if err != nil {
		return c, fail("number case", err)
	}
	var since *time.Time
	if n.Waiting != WaitingNone {
		since = &now
	}
	err = t.q.GetContext(ctx, &c, `insert into cases
		(number, owner_id, kind, malware, state, waiting, waiting_since, contact_id, language, created_at, updated_at)
		values ($1, $2, $3, $4, 'new', $5, $6, $7, $8, $9, $9) returning `+caseColumns,
		fmt.Sprintf("TT-%d-%06d", year, last), n.OwnerID, n.Kind, n.Malware, n.Waiting, since, n.ContactID, n.Language, now)
	if err != nil {
		return c, fail("open case", err)
	}
	return c, t.AddEvent(ctx, CaseEvent{CaseID: c.ID, At: now, Kind: EventOpened, Actor: n.Actor})
}

// touchCase counts a change.
func (t *Tx) touchCase(ctx context.Context, c *Case, now time.Time) error {
	err := t.q.GetContext(ctx, c, `update cases set version = version + 1, updated_at = $2 where id = $1
		returning `+caseColumns, c.ID, now)
	return fail("touch case", err)
}

// CaseChange is a change of a case's state, of the thing it waits for, or both,
// with the event that tells of it.
type CaseChange struct {
	State   CaseState // empty: unchanged
	Waiting *Waiting  // nil: unchanged
	Event   CaseEvent // CaseID and At are filled in
}

// WaitFor is a helper for CaseChange.Waiting.
func WaitFor(w Waiting) *Waiting { return &w }

// ChangeCase applies a change to a case locked in this transaction and writes
// its event. ErrState if the state may not follow the present one.
func (t *Tx) ChangeCase(ctx context.Context, c *Case, ch CaseChange, now time.Time) error {
	state, waiting := cmp.Or(ch.State, c.State), c.Waiting
	if ch.Waiting != nil {
		waiting = *ch.Waiting
	}
	ends := c.State.Live() && !state.Live()
	if err := t.setCase(ctx, c, state, waiting, now); err != nil {
		return err
	}
	if ends {
		if _, err := t.endControl(ctx, c.ID, ControlCase, ch.Event.Actor, nil, now); err != nil {
			return err
		}
	}
	ch.Event.CaseID, ch.Event.At = c.ID, now
	return t.AddEvent(ctx, ch.Event)
}

// setCase is the one statement that moves a case: to a state, and to the thing
// that it waits for. A case that ends waits for nothing. The event that tells of
// it is the caller's to write.
func (t *Tx) setCase(ctx context.Context, c *Case, state CaseState, waiting Waiting, now time.Time) error {
	if !MayMove(c.State, state) {
		return fmt.Errorf("case %s from %s to %s: %w", c.Number, c.State, state, ErrState)
	}
	closed := c.ClosedAt
	switch {
	case state.Live():
		closed = nil
	case c.State.Live():
		closed, waiting = &now, WaitingNone
	}
	since := c.WaitingSince
	switch {
	case waiting == WaitingNone:
		since = nil
	case waiting != c.Waiting:
		since = &now
	}
	err := t.q.GetContext(ctx, c, `update cases set state = $2, waiting = $3, waiting_since = $4, closed_at = $5,
		version = version + 1, updated_at = $6 where id = $1 returning `+caseColumns,
		c.ID, state, waiting, since, closed, now)
	return fail("change case", err)
}

// CloseCase ends a case; its held and queued messages are canceled.
func (t *Tx) CloseCase(ctx context.Context, c *Case, by string, why reason.List, now time.Time) error {
	return t.endCase(ctx, c, caseEnd{CaseClosed, EventClosed, reason.CaseClosed, false}, by, why, now)
}

// CloseMistaken ends a case that accused somebody wrongly: a correction is proposed to
// all who were told.
func (t *Tx) CloseMistaken(ctx context.Context, c *Case, by string, why reason.List, now time.Time) error {
	return t.endCase(ctx, c, caseEnd{CaseClosed, EventClosed, reason.CaseClosed, true}, by, why, now)
}

// IgnoreCase ends a case that should not have been opened; its held and queued
// messages are canceled, and a correction is proposed to all who were told.
func (t *Tx) IgnoreCase(ctx context.Context, c *Case, by string, why reason.List, now time.Time) error {
	return t.endCase(ctx, c, caseEnd{CaseIgnored, EventIgnored, reason.CaseIgnored, true}, by, why, now)
}

// caseEnd is how a case ends.
type caseEnd struct {
	state    CaseState
	event    EventKind
	canceled reason.Code // why its waiting messages are canceled
	mistake  bool        // who was told was told wrongly
}

// endCase ends a case. One that proposes corrections waits until they are decided
// about.
func (t *Tx) endCase(ctx context.Context, c *Case, end caseEnd, by string, why reason.List, now time.Time) error {
	if err := t.CancelMessages(ctx, c.ID, by, reason.Of(end.canceled), now); err != nil {
		return err
	}
	if err := t.ChangeCase(ctx, c, CaseChange{State: end.state, Waiting: WaitFor(WaitingNone), Event: CaseEvent{Kind: end.event, Actor: by, Why: why}}, now); err != nil {
		return err
	}
	if !end.mistake {
		return nil
	}
	return t.proposeCorrections(ctx, c, now)
}

// ReopenCase makes an ended case live again; ErrConflict if the owner has
// another live case of the kind now.
func (t *Tx) ReopenCase(ctx context.Context, c *Case, by string, why reason.List, now time.Time) error {
	if c.State.Live() {
		return fmt.Errorf("reopen case %s: %w", c.Number, ErrState)
	}
	if err := t.cancelCorrections(ctx, c.ID, by, now); err != nil {
		return err
	}
	return t.ChangeCase(ctx, c, CaseChange{State: CaseOpen,
		Event: CaseEvent{Kind: EventReopened, Actor: by, Why: why}}, now)
}

// NoteCase adds a coordinator's note.
func (t *Tx) NoteCase(ctx context.Context, c *Case, by, text string, now time.Time) error {
	return t.ChangeCase(ctx, c, CaseChange{Event: CaseEvent{Kind: EventNote, Actor: by, Text: Clean(text, 60_000)}}, now)
}

// SetCaseContact makes contact the one the case writes to.
func (t *Tx) SetCaseContact(ctx context.Context, c *Case, contact Contact, by string, why reason.List, now time.Time) error {
	if _, err := t.q.ExecContext(ctx, `update cases set contact_id = $2, language = $3 where id = $1`,
		c.ID, contact.ID, contact.Language); err != nil {
		return fail("set contact", err)
	}
	return t.ChangeCase(ctx, c, CaseChange{Event: CaseEvent{Kind: EventContact, Actor: by, Why: why,
		Data: JSON[EventData]{EventData{Contact: contact.Email}}}}, now)
}

// SetTellRecovered says whether the owner of a live case is told when its
// sources are quiet, whatever the configuration says.
func (t *Tx) SetTellRecovered(ctx context.Context, c *Case, tell bool, by string, now time.Time) error {
	if !c.State.Live() {
		return fmt.Errorf("ask for news in case %s, which is %s: %w", c.Number, c.State, ErrState)
	}
	kind := EventTell
	if !tell {
		kind = EventTellNot
	}
	if _, err := t.q.ExecContext(ctx, `update cases set tell_recovered = $2 where id = $1`, c.ID, tell); err != nil {
		return fail("set whether the owner is told", err)
	}
	return t.ChangeCase(ctx, c, CaseChange{Event: CaseEvent{Kind: kind, Actor: by}}, now)
}

// CaseSources returns the sources of a case in order of address, at most limit
// after the given one (the zero Addr: from the start).
func (q *Queries) CaseSources(ctx context.Context, caseID int64, after Addr, limit int) ([]CaseSource, error) {
	var s []CaseSource
	err := q.q.SelectContext(ctx, &s, `select case_id, source, verdict_id, joined_at from case_source
		where case_id = $1 and ($2::inet is null or source > $2::inet) order by source limit $3`, caseID, after, limit)
	return s, fail("list sources of case", err)
}

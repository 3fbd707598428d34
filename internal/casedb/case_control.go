package casedb

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"teiten/internal/reason"
)

// ControlDraw is the draw of a case: whether its first letter goes out at once,
// or waits as one of the control group. It is never made twice for a case.
type ControlDraw struct {
	CaseID  int64       `db:"case_id"`
	Number  string      `db:"number"` // of the case; what the number is drawn for
	DrawnAt time.Time   `db:"drawn_at"`
	Seed    string      `db:"seed"`
	Drawn   float64     `db:"drawn"`
	Share   float64     `db:"share"` // a control is whose number is below it
	Arm     Arm         `db:"arm"`
	Until   *time.Time  `db:"until"`    // of a control
	EndedAt *time.Time  `db:"ended_at"` // of a control
	EndKind ControlEnd  `db:"end_kind"`
	EndedBy string      `db:"ended_by"`
	EndWhy  reason.List `db:"end_why"`
	TLP     TLP         `db:"tlp"` // of the case; empty: as configured
}

// ControlEnd is why a case is no control any more.
type ControlEnd string

// The ends, as in the CHECK constraint of table control_draw. All but the first
// censor the case in the comparison.
const (
	ControlOver         ControlEnd = "over"         // its time is over
	ControlHand         ControlEnd = "hand"         // a coordinator ended it
	ControlContaminated ControlEnd = "contaminated" // the owner got another mail of ours
	ControlSevere       ControlEnd = "severe"       // it is not of low severity any more
	ControlCase         ControlEnd = "case"         // the case ended
)

// ControlEnds lists every end.
var ControlEnds = []ControlEnd{ControlOver, ControlHand, ControlContaminated, ControlSevere, ControlCase}

// Holds reports whether the case is a control at the time.
func (d *ControlDraw) Holds(now time.Time) bool {
	return d != nil && d.Arm == ArmControl && d.EndedAt == nil && now.Before(*d.Until)
}

// ControlSeed returns the seed of the draws that was made once.
func (q *Queries) ControlSeed(ctx context.Context, now time.Time) (string, error) {
	const name = "control-seed"
	if _, err := q.q.ExecContext(ctx, `insert into setting (name, value, changed_at, changed_by, reason) values ($1, $2, $3, $4, 'made once')
		on conflict (name) do nothing`, name, JSON[string]{strings.ToLower(rand.Text())}, now, ActorSystem); err != nil {
		return "", fail("keep the seed of the draws", err)
	}
	var seed string
	_, err := q.Setting(ctx, name, &seed)
	return seed, err
}

const drawColumns = `d.case_id, c.number, d.drawn_at, d.seed, d.drawn, d.share, d.arm, d.until, d.ended_at, d.end_kind, d.ended_by, d.end_why, c.tlp`

// ControlDraw returns the draw of a case; ErrNotFound: there was none.
func (q *Queries) ControlDraw(ctx context.Context, caseID int64) (ControlDraw, error) {
	var d ControlDraw
	err := q.q.GetContext(ctx, &d, `select `+drawColumns+` from control_draw d join cases c on c.id = d.case_id where d.case_id = $1`, caseID)
	return d, fail("get draw", err)
}

// ControlDraws returns draws in order of their cases, at most limit with ids of
// cases above after.
func (q *Queries) ControlDraws(ctx context.Context, after int64, limit int) ([]ControlDraw, error) {
	var d []ControlDraw
	err := q.q.SelectContext(ctx, &d, `select `+drawColumns+` from control_draw d join cases c on c.id = d.case_id
		where d.case_id > $1 order by d.case_id limit $2`, after, limit)
	return d, fail("list draws", err)
}

// HeldControls returns the ids of at most limit cases above after whose end as
// a control nobody has noted.
func (q *Queries) HeldControls(ctx context.Context, after int64, limit int) ([]int64, error) {
	var ids []int64
	err := q.q.SelectContext(ctx, &ids, `select case_id from control_draw where arm = 'control' and ended_at is null and case_id > $1
		order by case_id limit $2`, after, limit)
	return ids, fail("list controls", err)
}

// CountControls returns how many cases are controls, counting to CountLimit+1.
func (q *Queries) CountControls(ctx context.Context) (int, error) {
	var n int
	err := q.q.GetContext(ctx, &n, `select count(*) from (select 1 from control_draw where arm = 'control' and ended_at is null limit $1) few`, CountLimit+1)
	return n, fail("count controls", err)
}

// ControlFacts is what says whether a case may be drawn for the control group.
type ControlFacts struct {
	OwnerMailed bool           `db:"owner_mailed"` // about another live case, or will be soon
	Sources     int            `db:"sources"`      // of the letter
	Rules       pq.StringArray `db:"rules"`        // that they were judged by
	Sure        int            `db:"sure"`         // judged with much confidence, at many sensors
	ICS         bool           `db:"ics"`          // asks for ports of industrial control systems
	Critical    bool           `db:"critical"`     // in one of the critical networks
}

// ControlFacts returns what says whether a case may be drawn. Sure sources are
// those of at least this confidence, seen by at least so many sensors.
func (q *Queries) ControlFacts(ctx context.Context, c Case, s LetterScope, confidence float64, sensors int, critical []netip.Prefix) (ControlFacts, error) {
	var f ControlFacts
	err := q.q.GetContext(ctx, &f, `select cast(count(*) as integer) as sources,
			coalesce(array_agg(distinct v.rule order by v.rule), '{}') as rules,
			cast(count(*) filter (where v.confidence >= $4 and coalesce(cast(v.evidence->>'sensors' as integer), 0) >= $5) as integer) as sure,
			coalesce(bool_or(coalesce(v.evidence->'notes' @> '["ics"]', false)), false) as ics,
			coalesce(bool_or(cs.source <<= any($6::inet[])), false) as critical,
			exists (select 1 from cases o join message m on m.case_id = o.id where o.owner_id = $7 and o.id <> $1
				and o.state not in ('closed','ignored') and m.purpose = 'notification'
				and (m.attempts > 0 or m.state in ('held','queued'))) as owner_mailed`+letterSources,
		s.args(confidence, sensors, prefixTexts(critical), c.OwnerID)...)
	return f, fail("look whether a case may be a control", err)
}

// AddDraw keeps a draw, begins to follow the sources of the message's letter in
// their arm, and tells of it in the case.
func (t *Tx) AddDraw(ctx context.Context, d ControlDraw, m Message) error {
	if _, err := t.q.ExecContext(ctx, `insert into control_draw (case_id, drawn_at, seed, drawn, share, arm, until) values ($1, $2, $3, $4, $5, $6, $7)`,
		d.CaseID, d.DrawnAt, d.Seed, d.Drawn, d.Share, d.Arm, d.Until); err != nil {
		return fail("keep a draw", err)
	}
	_, err := t.q.ExecContext(ctx, `insert into followup (case_id, source, message_id, arm, drawn, started_at, kind, malware, country,
			asn, language, provenance, sensors, last_at, known_to, checked_at)
		select c.id, cs.source, m.id, $5, true, $3, c.kind, v.malware, coalesce(n.country, ''), n.asn, m.language, coalesce(k.provenance, ''),
			array(select distinct o.sensor_id from observation o where o.source = cs.source
				and o.window_start >= $3::timestamptz - interval '31 days' and o.window_start <= $3),
			s.last_at, $3, $3`+letterFrom+` join message m on m.id = $4 join source s on s.address = cs.source
		left join network n on n.id = s.network_id left join contact k on k.id = m.contact_id`+letterWhere,
		ScopeOf(m, d.DrawnAt).args(m.ID, d.Arm)...)
	if err != nil {
		return fail("follow the sources of a draw", err)
	}
	data := EventData{Reason: string(d.Arm)}
	if d.Until != nil {
		data.Count = int(d.Until.Sub(d.DrawnAt) / (24 * time.Hour))
	}
	return t.AddEvent(ctx, CaseEvent{CaseID: d.CaseID, At: d.DrawnAt, Kind: EventDrawn, Actor: ActorSystem, MessageID: &m.ID, Data: JSON[EventData]{data}})
}

// EndControl ends a locked case's time as a control: its letter is decided
// about as any other. ErrState if it is none.
func (t *Tx) EndControl(ctx context.Context, c *Case, kind ControlEnd, by string, why reason.List, now time.Time) error {
	ended, err := t.endControl(ctx, c.ID, kind, by, why, now)
	if err != nil {
		return err
	}
	if !ended {
		return fmt.Errorf("end the control case %s: %w", c.Number, ErrState)
	}
	if _, err := t.q.ExecContext(ctx, `update message set next_attempt_at = $2, delay_why = '[]', version = version + 1
		where case_id = $1 and purpose = 'notification' and state = 'queued' and attempts = 0 and next_attempt_at > $2`, c.ID, now); err != nil {
		return fail("release the letter of a control", err)
	}
	return t.ChangeCase(ctx, c, CaseChange{Event: CaseEvent{Kind: EventControlEnded, Actor: by, Why: why,
		Data: JSON[EventData]{EventData{Reason: string(kind)}}}}, now)
}

// endControl notes the end of a control; false: it was none any more. One whose
// time was over before ended then.
func (t *Tx) endControl(ctx context.Context, caseID int64, kind ControlEnd, by string, why reason.List, now time.Time) (bool, error) {
	res, err := t.q.ExecContext(ctx, `update control_draw set ended_at = least($2, until), ended_by = $4, end_why = $5,
			end_kind = case when until <= $2 then 'over' else $3 end
		where case_id = $1 and arm = 'control' and ended_at is null`, caseID, now, kind, by, cleaned(why))
	if err != nil {
		return false, fail("end a control", err)
	}
	n, err := res.RowsAffected()
	return n > 0, fail("end a control", err)
}

// contaminate ends the controls of the owner who is about to get message m. A
// control's own letter is none that contaminates.
func (t *Tx) contaminate(ctx context.Context, m Message, now time.Time) error {
	if m.CaseID == nil {
		return nil
	}
	var ids []int64
	err := t.q.SelectContext(ctx, &ids, `select d.case_id from control_draw d join cases c on c.id = d.case_id
		where d.arm = 'control' and d.ended_at is null and d.until > $2
		and c.owner_id = (select owner_id from cases where id = $1) and (c.id <> $1 or $3 <> 'notification') order by d.case_id`,
		*m.CaseID, now, m.Purpose)
	if err != nil {
		return fail("look for controls of the owner", err)
	}
	for _, id := range ids {
		c, err := t.LockCase(ctx, id)
		if err != nil {
			return err
		}
		if err := t.EndControl(ctx, &c, ControlContaminated, ActorSystem, reason.Of(reason.ControlMail, strconv.FormatInt(m.ID, 10)), now); err != nil {
			return err
		}
	}
	return nil
}

// heldAsControl is the condition that the case of a message is a control. The
// time and a closing parenthesis follow it.
const heldAsControl = `exists (select 1 from control_draw d where d.case_id = message.case_id and d.arm = 'control'
	and d.ended_at is null and d.until > `

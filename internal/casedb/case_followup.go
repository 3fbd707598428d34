package casedb

import (
	"context"
	"time"

	"github.com/lib/pq"
)

// FollowupState is the state of a source since its owner was told.
type FollowupState string

// The states, as in the CHECK constraint of table followup.
const (
	FollowupActive   FollowupState = "active"   // seen, or not unseen for long enough
	FollowupQuiet    FollowupState = "quiet"    // the sensors watched long enough and saw nothing
	FollowupReturned FollowupState = "returned" // quiet, then seen again
	FollowupEnded    FollowupState = "ended"    // followed for as long as anybody is
)

// FollowupStates lists every state.
var FollowupStates = []FollowupState{FollowupActive, FollowupQuiet, FollowupReturned, FollowupEnded}

// Arm is the group of a source: its owner was told, or not yet.
type Arm string

// The arms, as in the CHECK constraint of table followup.
const (
	ArmNotified Arm = "notified"
	ArmControl  Arm = "control"
)

// Followup is one source that is followed.
type Followup struct {
	CaseID     int64         `db:"case_id"`
	Source     Addr          `db:"source"`
	StartedAt  time.Time     `db:"started_at"`
	Sensors    pq.Int64Array `db:"sensors"` // those that had seen it
	State      FollowupState `db:"state"`
	LastAt     time.Time     `db:"last_at"`  // last packet
	KnownTo    time.Time     `db:"known_to"` // until when it is known whether it was active
	QuietAt    *time.Time    `db:"quiet_at"` // last packet before it went quiet
	ReturnedAt *time.Time    `db:"returned_at"`
	SeenAt     time.Time     `db:"seen_at"` // last packet so far
}

// StartFollowups begins to follow the sources that notifications sent since
// then name, each from its first mail in a case on, and returns how many. A
// source of a control group ends as one by being told.
func (t *Tx) StartFollowups(ctx context.Context, since, now time.Time) (int64, error) {
	res, err := t.q.ExecContext(ctx, `insert into followup as f (case_id, source, message_id, arm, started_at, told_at, kind, malware, country,
			asn, language, provenance, letter, sensors, last_at, known_to, checked_at)
		select distinct on (m.case_id, ms.source) m.case_id, ms.source, m.id, 'notified', m.sent_at, m.sent_at, c.kind, coalesce(v.malware, ''),
			coalesce(n.country, ''), n.asn, m.language, coalesce(k.provenance, ''), m.template,
			array(select distinct o.sensor_id from observation o where o.source = ms.source
				and o.window_start >= m.sent_at - interval '31 days' and o.window_start <= m.sent_at),
			s.last_at, m.sent_at, $2
		from message m join message_source ms on ms.message_id = m.id join cases c on c.id = m.case_id
		join source s on s.address = ms.source left join network n on n.id = s.network_id left join contact k on k.id = m.contact_id
		left join verdict v on v.source = ms.source and v.superseded_at is null
		where m.purpose = 'notification' and m.sent_at >= $1
		and not exists (select 1 from followup d where d.case_id = m.case_id and d.source = ms.source and d.told_at is not null)
		order by m.case_id, ms.source, m.sent_at
		on conflict (case_id, source) do update set told_at = excluded.told_at, message_id = excluded.message_id,
			letter = excluded.letter, provenance = excluded.provenance, language = excluded.language where f.told_at is null`, since, now)
	if err != nil {
		return 0, fail("start followups", err)
	}
	n, _ := res.RowsAffected()
	return n, nil
}

// followupColumns are of followup f and its source s.
const followupColumns = `f.case_id, f.source, f.started_at, f.sensors, f.state, f.last_at, f.known_to, f.quiet_at, f.returned_at,
	s.last_at as seen_at`

// DueFollowups returns at most limit sources that are followed and were not
// looked at since before, those looked at longest ago first.
func (q *Queries) DueFollowups(ctx context.Context, before time.Time, limit int) ([]Followup, error) {
	var f []Followup
	err := q.q.SelectContext(ctx, &f, `select `+followupColumns+`
		from followup f join source s on s.address = f.source
		where f.state <> 'ended' and f.checked_at < $1 order by f.checked_at limit $2`, before, limit)
	return f, fail("find followups", err)
}

// SensorWindow is a window in which a sensor worked: it saw something.
type SensorWindow struct {
	SensorID int64     `db:"sensor_id"`
	Start    time.Time `db:"window_start"`
	Seconds  int       `db:"window_seconds"`
}

// LiveWindows returns the windows since then in which sensors worked, in order
// of time.
func (q *Queries) LiveWindows(ctx context.Context, since time.Time) ([]SensorWindow, error) {
	var w []SensorWindow
	err := q.q.SelectContext(ctx, &w, `select distinct sensor_id, window_start, window_seconds from batch
		where window_start >= $1 order by window_start, sensor_id`, since)
	return w, fail("list live windows", err)
}

// SaveFollowups writes the new states of followed sources.
func (t *Tx) SaveFollowups(ctx context.Context, list []Followup, now time.Time) error {
	type row struct {
		CaseID     int64         `json:"case_id"`
		Source     string        `json:"source"`
		State      FollowupState `json:"state"`
		LastAt     time.Time     `json:"last_at"`
		KnownTo    time.Time     `json:"known_to"`
		QuietAt    *time.Time    `json:"quiet_at"`
		ReturnedAt *time.Time    `json:"returned_at"`
	}
	rows := make([]row, len(list))
	for i, f := range list {
		rows[i] = row{f.CaseID, f.Source.Unmap().String(), f.State, f.LastAt, f.KnownTo, f.QuietAt, f.ReturnedAt}
	}
	text, err := JSON[[]row]{rows}.Value()
	if err != nil {
		return err
	}
	_, err = t.q.ExecContext(ctx, `update followup f set state = j.state, last_at = j.last_at, known_to = j.known_to,
			quiet_at = j.quiet_at, returned_at = j.returned_at, checked_at = $2
		from json_to_recordset($1::json) as j (case_id bigint, source inet, state text, last_at timestamptz, known_to timestamptz,
			quiet_at timestamptz, returned_at timestamptz)
		where f.case_id = j.case_id and f.source = j.source`, text, now)
	return fail("save followups", err)
}

// QuietCases returns at most limit live cases whose owner was told, that do not
// wait, and whose sources all went quiet.
func (q *Queries) QuietCases(ctx context.Context, limit int) ([]int64, error) {
	var ids []int64
	err := q.q.SelectContext(ctx, &ids, `select c.id from cases c where c.state in ('notified','answered') and c.waiting = ''
		and exists (select 1 from followup f where f.case_id = c.id)
		and not exists (select 1 from case_source cs where cs.case_id = c.id and not exists (
			select 1 from followup f where f.case_id = c.id and f.source = cs.source and f.state = 'quiet'))
		and not exists (select 1 from message m where m.case_id = c.id and m.state in ('held','queued'))
		order by c.id limit $1`, limit)
	return ids, fail("find quiet cases", err)
}

// CloseQuietCase ends a case if all its sources went quiet; false if it is
// not so any more.
func (t *Tx) CloseQuietCase(ctx context.Context, id int64, days int, now time.Time) (bool, error) {
	c, err := t.LockCase(ctx, id)
	if err != nil {
		return false, err
	}
	var still int
	if err := t.q.GetContext(ctx, &still, `select count(*) from case_source cs left join followup f
		on f.case_id = cs.case_id and f.source = cs.source where cs.case_id = $1 and coalesce(f.state, '') <> 'quiet'`, id); err != nil {
		return false, fail("count sources that are not quiet", err)
	}
	if still > 0 || !c.State.Live() || c.Waiting != WaitingNone {
		return false, nil
	}
	if err := t.AddEvent(ctx, CaseEvent{CaseID: id, At: now, Kind: EventQuiet, Actor: ActorSystem, Data: JSON[EventData]{EventData{Count: days}}}); err != nil {
		return false, err
	}
	return true, t.CloseCase(ctx, &c, ActorSystem, nil, now)
}

// ReopenQuietCase reopens the case of the owner and kind that ended at or after
// since because its sources were quiet, if one of the sources was in it: it has
// come back. Nothing happens if there is none, or a live case.
func (t *Tx) ReopenQuietCase(ctx context.Context, ownerID int64, kind Kind, sources []CaseSource, since time.Time, actor string, now time.Time) (bool, error) {
	addrs := make(pq.StringArray, len(sources))
	for i, s := range sources {
		addrs[i] = s.Source.String()
	}
	var id int64
	err := t.q.GetContext(ctx, &id, `select c.id from cases c where c.owner_id = $1 and c.kind = $2 and c.state = 'closed' and c.closed_at >= $3
		and exists (select 1 from case_event e where e.case_id = c.id and e.kind = 'quiet' and e.at = c.closed_at)
		and exists (select 1 from case_source cs where cs.case_id = c.id and cs.source = any($4::inet[]))
		and not exists (select 1 from cases l where l.owner_id = $1 and l.kind = $2 and l.state not in ('closed','ignored'))
		order by c.closed_at desc limit 1`, ownerID, kind, since, addrs)
	if err = fail("find a case to reopen", err); err != nil {
		if isNotFound(err) {
			return false, nil
		}
		return false, err
	}
	c, err := t.LockCase(ctx, id)
	if err != nil || c.State.Live() {
		return false, err
	}
	if err := t.ReopenCase(ctx, &c, actor, nil, now); err != nil {
		return false, err
	}
	return true, t.ChangeCase(ctx, &c, CaseChange{Waiting: WaitFor(WaitingAttention),
		Event: CaseEvent{Kind: EventReturned, Actor: actor, Data: JSON[EventData]{EventData{Count: len(sources)}}}}, now)
}

// EffectGroup is a criterion for comparing followed sources.
type EffectGroup string

// The groupings.
const (
	EffectAll        EffectGroup = "all"
	EffectArm        EffectGroup = "arm" // told at once, or held back as a control group
	EffectKind       EffectGroup = "kind"
	EffectMalware    EffectGroup = "malware"
	EffectCountry    EffectGroup = "country"
	EffectASN        EffectGroup = "asn"
	EffectLanguage   EffectGroup = "language"
	EffectProvenance EffectGroup = "provenance"
	EffectLetter     EffectGroup = "letter" // version of the letter
)

// effectColumns are the groupings with their SQL.
var effectColumns = map[EffectGroup]string{EffectAll: `''`, EffectArm: `arm`, EffectKind: `kind`, EffectMalware: `malware`,
	EffectCountry: `country`, EffectASN: `coalesce('AS' || asn, '')`, EffectLanguage: `language`, EffectProvenance: `provenance`,
	EffectLetter: `letter`}

// EffectGroups lists every grouping.
var EffectGroups = []EffectGroup{EffectAll, EffectArm, EffectKind, EffectMalware, EffectCountry, EffectASN, EffectLanguage,
	EffectProvenance, EffectLetter}

// EffectFilter says which followed sources count.
type EffectFilter struct {
	By       EffectGroup
	Kind     Kind      // empty: any
	From, To time.Time // started between; zero: open
}

// EffectTime is how long one followed source stayed active.
type EffectTime struct {
	Group    string  `db:"grp"`
	Days     float64 `db:"days"`
	Event    bool    `db:"event"` // it went quiet then; false: no longer known, or told (a control)
	Returned bool    `db:"returned"`
}

// effectLimit bounds what one comparison looks at; the latest are taken.
const effectLimit = 300_000

// EffectTimes returns how long followed sources stayed active since their owner
// was told. Time ends when the source goes quiet, and where it is no longer
// known whether it is active (sensors that did not work see no source). Sources of
// which nothing is known yet are left out, and so are controls. By arm it is
// armTimes.
func (q *Queries) EffectTimes(ctx context.Context, f EffectFilter) ([]EffectTime, error) {
	if f.By == EffectArm {
		return q.armTimes(ctx, f)
	}
	column, ok := effectColumns[f.By]
	if !ok {
		column = effectColumns[EffectAll]
	}
	w := f.where()
	w.add(`arm = 'notified' and (known_to > told_at or quiet_at is not null)`)
	var list []EffectTime
	err := q.q.SelectContext(ctx, &list, `select `+column+` as grp,
			extract(epoch from greatest(coalesce(quiet_at, known_to) - told_at, interval '0'))::float8 / 86400 as days,
			quiet_at is not null as event, returned_at is not null as returned
		from followup`+w.sql()+` order by started_at desc limit `+w.arg(effectLimit), w.args...)
	return list, fail("list followed sources", err)
}

// armTimes returns how long cases stayed active since their draw, as they were
// drawn, whether and when they were told (intention to treat). What was drawn
// are cases, so each counts once: it is quiet when the last source that it had
// then is, and active as long as one is known to be. Time ends for a control
// when it ends as one, or is told.
func (q *Queries) armTimes(ctx context.Context, f EffectFilter) ([]EffectTime, error) {
	w := f.where()
	w.add(`drawn`)
	const told = `case when f.arm = 'control' then least(f.told_at, d.ended_at, 'infinity') else 'infinity' end`
	var list []EffectTime
	err := q.q.SelectContext(ctx, &list, `select arm as grp, max(days) as days, bool_and(event) as event, bool_or(returned) as returned
		from (select f.case_id, f.arm, f.started_at, f.known_to > f.started_at or f.quiet_at is not null as known,
				extract(epoch from greatest(least(coalesce(f.quiet_at, f.known_to), `+told+`) - f.started_at, interval '0'))::float8 / 86400 as days,
				f.quiet_at is not null and f.quiet_at <= `+told+` as event, f.returned_at is not null as returned
			from (select * from followup`+w.sql()+`) f join control_draw d on d.case_id = f.case_id) x
		group by case_id, arm, started_at having bool_or(known) order by started_at desc limit `+w.arg(effectLimit), w.args...)
	return list, fail("list drawn cases", err)
}

// where are the conditions of the filter.
func (f EffectFilter) where() where {
	w := where{}
	if f.Kind != "" {
		w.add(`kind = ?`, f.Kind)
	}
	if !f.From.IsZero() {
		w.add(`started_at >= ?`, f.From)
	}
	if !f.To.IsZero() {
		w.add(`started_at < ?`, f.To)
	}
	return w
}

// FollowupCounts says how many followed sources are in each state.
func (q *Queries) FollowupCounts(ctx context.Context, f EffectFilter) (map[FollowupState]int, error) {
	w := f.where()
	var rows []struct {
		State FollowupState `db:"state"`
		N     int           `db:"n"`
	}
	err := q.q.SelectContext(ctx, &rows, `select state, cast(count(*) as integer) as n from followup`+w.sql()+` group by state`, w.args...)
	counts := map[FollowupState]int{}
	for _, r := range rows {
		counts[r.State] = r.N
	}
	return counts, fail("count followed sources", err)
}

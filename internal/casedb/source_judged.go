package casedb

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/lib/pq"

	"teiten/internal/reason"
)

// Judgement is a source's verdict with the country of its address.
type Judgement struct {
	Verdict Verdict
	Country string // two letters, empty if unknown
}

// judged is a table of one transaction: what the judge found, in order of
// address. COPY into it and statements over all of it cost a fraction of the
// same in JSON.
const (
	createJudged = `create temporary table if not exists judged (source inet, country text, kind text, tool text, malware text,
		acknowledged text, attention text, tell boolean, confidence double precision, rule text, ruleset text, ports text[], evidence jsonb,
		first_at timestamptz, last_at timestamptz) on commit drop`
	judgedColumns = `source, country, kind, tool, malware, acknowledged, attention, tell, confidence, rule, ruleset, ports, evidence, first_at, last_at`
)

// sameJudgement says that verdict v and judgement j do not differ in what
// makes a new verdict.
const sameJudgement = `(v.kind, v.tool, v.malware, v.acknowledged, v.attention, v.tell, v.rule, v.ruleset, v.confidence)
	= (j.kind, j.tool, j.malware, j.acknowledged, j.attention, j.tell, j.rule, j.ruleset, j.confidence)`

// SaveVerdicts writes the judge's verdicts about sources, which must be in order
// of address and each there once. A source's verdict is superseded where the
// new one differs in kind, tool, malware, acknowledgement, attention, whether its
// owner may be told, rule, rule set or confidence; otherwise only the time up to which it held moves.
// Live cases whose sources turn out to be acknowledged are dealt with.
//
// version is the allowlist's, as ScannersVersion gave it before the sources
// were judged; ErrStale if it has changed since, and nothing is written. It
// returns the number of new verdicts.
func (t *Tx) SaveVerdicts(ctx context.Context, list []Judgement, version int64, now time.Time) (changed int, err error) {
	// A change of the allowlist takes the lock alone: either it waits until we
	// have committed and then sees our sources, or we see its new version.
	if _, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock_shared($1, 0)`, lockScanners); err != nil {
		return 0, fail("lock allowlist", err)
	}
	current, err := t.ScannersVersion(ctx)
	if err != nil {
		return 0, err
	}
	if current != version {
		return 0, fmt.Errorf("save verdicts: allowlist: %w", ErrStale)
	}
	if len(list) == 0 {
		return 0, nil
	}
	if err := t.copyJudged(ctx, list); err != nil {
		return 0, err
	}
	// The rows of source come first and in order of address: two judges that
	// share sources wait here, and nowhere later.
	var known int
	if err = t.q.GetContext(ctx, &known, `with saved as (insert into source as s (address, first_at, last_at, country, judged_at)
		select source, first_at, last_at, country, $1 from judged order by source
		on conflict (address) do update set first_at = least(s.first_at, excluded.first_at),
			last_at = greatest(s.last_at, excluded.last_at), country = excluded.country, judged_at = excluded.judged_at
		returning s.xmax <> 0 as known) select count(*) filter (where known) from saved`, now); err != nil {
		return 0, fail("save sources", err)
	}
	unjudged := ""
	if known > 0 { // else none has a verdict
		if _, err = t.q.ExecContext(ctx, `update verdict v set superseded_at = $1 from judged j
			where v.source = j.source and v.superseded_at is null and not `+sameJudgement, now); err != nil {
			return 0, fail("supersede verdicts", err)
		}
		if _, err = t.q.ExecContext(ctx, `update verdict v set last_at = j.last_at from judged j
			where v.source = j.source and v.superseded_at is null and j.last_at > v.last_at`); err != nil {
			return 0, fail("extend verdicts", err)
		}
		unjudged = `where not exists (select 1 from verdict v where v.source = j.source and v.superseded_at is null)`
	}
	var fresh struct {
		N            int            `db:"n"`
		Acknowledged pq.StringArray `db:"acknowledged"`
	}
	if err = t.q.GetContext(ctx, &fresh, `with fresh as (
			insert into verdict (source, kind, tool, malware, acknowledged, attention, tell, confidence, rule, ruleset, ports, evidence,
				first_at, last_at, created_at)
			select source, kind, tool, malware, acknowledged, attention, tell, confidence, rule, ruleset, ports, evidence, first_at, last_at, $1
			from judged j `+unjudged+` returning source, acknowledged)
		select count(*) as n, coalesce(array_agg(host(source)) filter (where acknowledged <> ''), '{}') as acknowledged from fresh`, now); err != nil {
		return 0, fail("insert verdicts", err)
	}
	return fresh.N, t.acknowledgeCases(ctx, fresh.Acknowledged, now)
}

// copyJudged fills the table judged.
func (t *Tx) copyJudged(ctx context.Context, list []Judgement) (err error) {
	// The statements over all rows sort them, and compiling their plans gains
	// nothing.
	for _, q := range []string{createJudged, `truncate judged`, `set local work_mem = '64MB'`, `set local jit = off`} {
		if _, err := t.q.ExecContext(ctx, q); err != nil {
			return fail("prepare judgements", err)
		}
	}
	in, err := t.tx.PrepareContext(ctx, `copy judged (`+judgedColumns+`) from stdin`)
	if err != nil {
		return fail("copy judgements", err)
	}
	defer func() {
		if e := in.Close(); err == nil && e != nil {
			err = fail("copy judgements", e)
		}
	}()
	for i := range list {
		v := &list[i].Verdict
		evidence, err := v.Evidence.Value()
		if err != nil {
			return err
		}
		ports := v.Ports
		if ports == nil {
			ports = pq.StringArray{}
		}
		if _, err := in.ExecContext(ctx, v.Source, list[i].Country, string(v.Kind), v.Tool, v.Malware, CleanLine(v.Acknowledged, 200),
			v.Attention, v.Tell, v.Confidence, v.Rule, v.Ruleset, ports, evidence, v.First.UTC(), v.Last.UTC()); err != nil {
			return fail("copy judgements", err)
		}
	}
	if _, err := in.ExecContext(ctx); err != nil {
		return fail("copy judgements", err)
	}
	_, err = t.q.ExecContext(ctx, `analyze judged (source)`)
	return fail("analyse judgements", err)
}

// acknowledgeCases writes an event into the live cases of sources that turned
// out to be acknowledged scanners. A case that holds no other source is
// ignored, its waiting messages canceled, unless its owner was told already or
// a source shows a contradiction: then a coordinator must look.
func (t *Tx) acknowledgeCases(ctx context.Context, sources pq.StringArray, now time.Time) error {
	if len(sources) == 0 {
		return nil
	}
	var found []struct {
		CaseID       int64  `db:"case_id"`
		Source       Addr   `db:"source"`
		Acknowledged string `db:"acknowledged"`
	}
	err := t.q.SelectContext(ctx, &found, `select cs.case_id, cs.source, v.acknowledged from case_source cs
		join cases c on c.id = cs.case_id join verdict v on v.source = cs.source and v.superseded_at is null
		where cs.source = any($1::inet[]) and c.state not in ('closed','ignored') order by cs.case_id, cs.source`, sources)
	if err != nil {
		return fail("find cases of acknowledged sources", err)
	}
	for i := 0; i < len(found); {
		c, err := t.LockCase(ctx, found[i].CaseID)
		if err != nil {
			return err
		}
		organisation := found[i].Acknowledged
		for ; i < len(found) && found[i].CaseID == c.ID; i++ {
			if err := t.AddEvent(ctx, CaseEvent{CaseID: c.ID, At: now, Kind: EventAcknowledged, Actor: ActorSystem,
				Why: reason.Of(reason.AcknowledgedSource, found[i].Source.String(), found[i].Acknowledged)}); err != nil {
				return err
			}
		}
		if !c.State.Live() {
			continue // ended while we waited for it
		}
		if err := t.settleAcknowledged(ctx, &c, organisation, now); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) settleAcknowledged(ctx context.Context, c *Case, organisation string, now time.Time) error {
	var others, contradictions int
	if err := t.q.QueryRowxContext(ctx, `select count(*) filter (where coalesce(v.acknowledged, '') = ''),
			count(*) filter (where v.attention <> '')
		from case_source cs left join verdict v on v.source = cs.source and v.superseded_at is null
		where cs.case_id = $1`, c.ID).Scan(&others, &contradictions); err != nil {
		return fail("count sources of case", err)
	}
	switch {
	case others > 0:
		return t.touchCase(ctx, c, now)
	case contradictions == 0 && (c.State == CaseNew || c.State == CaseOpen):
		return t.IgnoreCase(ctx, c, ActorSystem, reason.Of(reason.Acknowledged, organisation), now)
	}
	return t.ChangeCase(ctx, c, CaseChange{Waiting: WaitFor(WaitingAttention),
		Event: CaseEvent{Kind: EventAcknowledged, Actor: ActorSystem, Why: reason.Of(reason.Acknowledged, organisation)}}, now)
}

// markSourcesDue makes the sources inside the prefixes due to be judged again.
func (t *Tx) markSourcesDue(ctx context.Context, prefixes []string) error {
	// A range, for the primary key; inet orders by address before length.
	_, err := t.q.ExecContext(ctx, `update source s set judged_at = null
		from (select distinct p from unnest($1::cidr[]) as p) d
		where s.address >= network(d.p)::inet
			and s.address <= set_masklen(broadcast(d.p)::inet, case family(d.p) when 4 then 32 else 128 end)
			and s.judged_at is not null`, pq.StringArray(prefixes))
	return fail("mark sources due", err)
}

// SourcesDue returns at most limit sources that are to be judged again because
// the allowlist has changed for them, in order of address. The index
// source_due finds them.
func (q *Queries) SourcesDue(ctx context.Context, limit int) ([]netip.Addr, error) {
	var rows []Addr
	if err := q.q.SelectContext(ctx, &rows, `select address from source where judged_at is null order by address limit $1`,
		limit); err != nil {
		return nil, fail("find sources due", err)
	}
	list := make([]netip.Addr, len(rows))
	for i, a := range rows {
		list[i] = a.Addr
	}
	return list, nil
}

// OldestLast returns the time of the last packet of that source whose is
// oldest; zero without sources.
func (q *Queries) OldestLast(ctx context.Context, list []netip.Addr) (time.Time, error) {
	var t *time.Time
	err := q.q.GetContext(ctx, &t, `select min(last_at) from source where address = any($1::inet[])`, addrTexts(list))
	if err != nil || t == nil {
		return time.Time{}, fail("oldest last packet", err)
	}
	return t.UTC(), nil
}

// SettleSources records that the sources were looked at, though there was
// nothing left of them to judge.
func (q *Queries) SettleSources(ctx context.Context, list []netip.Addr, now time.Time) error {
	_, err := q.q.ExecContext(ctx, `update source set judged_at = $2 where address = any($1::inet[]) and judged_at is null`,
		addrTexts(list), now)
	return fail("settle sources", err)
}

func addrTexts(list []netip.Addr) pq.StringArray {
	texts := make(pq.StringArray, len(list))
	for i, a := range list {
		texts[i] = a.Unmap().WithZone("").String()
	}
	return texts
}

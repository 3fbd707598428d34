package casedb

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"
)

// settingFloodsVersion counts the floods of forged sources that were found.
const settingFloodsVersion = "floods-version"

// maxFloods is the number of floods that a judge knows of at once.
const maxFloods = 20_000

// Floods returns the floods that were not over at the time, with kind, key and
// hours only, the oldest first and at most 20,000, and the version to give to
// HoldFloods. The index aggregate_floods finds them.
func (q *Queries) Floods(ctx context.Context, since time.Time) (list []Aggregate, version int64, err error) {
	if _, err = q.Setting(ctx, settingFloodsVersion, &version); err != nil {
		return nil, 0, err
	}
	err = q.q.SelectContext(ctx, &list, `select kind, key, hours from aggregate
		where kind in ('spoofed_flood','reflected_flood') and last_at >= $1 order by last_at limit $2`, since, maxFloods)
	return list, version, fail("list floods", err)
}

// HoldFloods makes sure, until the transaction ends, that no other judge saves
// floods that this judge did not know of. It comes before SaveVerdicts. found says that
// the transaction itself has new ones to save. ErrStale if there are others
// since version: what was judged must be judged again.
func (t *Tx) HoldFloods(ctx context.Context, version int64, found bool) error {
	lock := `select pg_advisory_xact_lock_shared($1, 0)`
	if found {
		lock = `select pg_advisory_xact_lock($1, 0)`
	}
	if _, err := t.q.ExecContext(ctx, lock, lockFloods); err != nil {
		return fail("lock floods", err)
	}
	var current int64
	if _, err := t.Setting(ctx, settingFloodsVersion, &current); err != nil {
		return err
	}
	if current != version {
		return fmt.Errorf("hold floods: %w", ErrStale)
	}
	return nil
}

// HasFlood reports whether one of the aggregates is a flood of forged sources,
// which HoldFloods must be told.
func HasFlood(list []Aggregate) bool {
	for i := range list {
		if list[i].Kind == AggregateFlood {
			return true
		}
	}
	return false
}

// aggregateRow is an Aggregate as it is sent to PostgreSQL.
type aggregateRow struct {
	ID          int64         `json:"id"`
	Kind        AggregateKind `json:"kind"`
	Key         string        `json:"key"`
	Destination *string       `json:"destination"`
	Victim      *string       `json:"victim"`
	Network     *string       `json:"network"`
	Rule        string        `json:"rule"`
	Ports       []string      `json:"ports"`
	Sources     int64         `json:"sources"`
	Packets     int64         `json:"packets"`
	Peak        float64       `json:"peak"`
	First       time.Time     `json:"first_at"`
	Last        time.Time     `json:"last_at"`
	Confidence  float64       `json:"confidence"`
	Evidence    *Evidence     `json:"evidence"`
	Hours       []FloodHour   `json:"hours"`
	Ruleset     string        `json:"ruleset"`
}

func aggregateToRow(a *Aggregate) aggregateRow {
	text := func(valid bool, s fmt.Stringer) *string {
		if !valid {
			return nil
		}
		v := s.String()
		return &v
	}
	return aggregateRow{a.ID, a.Kind, a.Key, text(a.Destination.IsValid(), a.Destination), text(a.Victim.IsValid(), a.Victim),
		text(a.Network.IsValid(), a.Network), a.Rule, append([]string{}, a.Ports...), a.Sources, a.Packets, a.Peak, a.First.UTC(), a.Last.UTC(),
		a.Confidence, &a.Evidence.V, append([]FloodHour{}, a.Hours.V...), a.Ruleset}
}

// incomingAggregates are the rows of a parameter $1 in JSON.
const incomingAggregates = `json_to_recordset($1::json) as j (id bigint, kind text, key text, destination inet, victim inet,
	network cidr, rule text, ports text[], sources bigint, packets bigint, peak double precision, first_at timestamptz, last_at timestamptz,
	confidence double precision, evidence jsonb, hours jsonb, ruleset text)`

// SaveAggregates writes the events that a judgement has found, after
// HoldFloods and SaveVerdicts: an event that is stored already is extended.
// Sources of floods of forged packets that were judged before the flood was
// known are made due to be judged again.
func (t *Tx) SaveAggregates(ctx context.Context, found []Aggregate, now time.Time) error {
	if len(found) == 0 {
		return nil
	}
	// Two that find the same event write it one after the other.
	if _, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock($1, 0)`, lockAggregates); err != nil {
		return fail("lock aggregates", err)
	}
	kinds, keys := make(pq.StringArray, len(found)), make(pq.StringArray, len(found))
	first, last := found[0].First, found[0].Last
	for i := range found {
		kinds[i], keys[i] = string(found[i].Kind), found[i].Key
		first, last = earlier(first, found[i].First), later(last, found[i].Last)
	}
	var stored []Aggregate
	err := t.q.SelectContext(ctx, &stored, `select `+aggregateColumns+` from aggregate
		where (kind, key) in (select * from unnest($1::text[], $2::text[])) and last_at >= $3 and first_at <= $4 order by first_at, id`,
		kinds, keys, first.Add(-maxGap), last.Add(maxGap))
	if err != nil {
		return fail("find aggregates", err)
	}
	m := mergeAggregates(stored, found)
	rows := make([]aggregateRow, len(m.write))
	for i, a := range m.write {
		rows[i] = aggregateToRow(a)
	}
	text, err := JSON[[]aggregateRow]{rows}.Value()
	if err != nil {
		return err
	}
	if _, err := t.q.ExecContext(ctx, `update aggregate a set destination = coalesce(a.destination, j.destination), ports = j.ports,
			sources = j.sources, packets = j.packets, peak = j.peak, first_at = j.first_at, last_at = j.last_at, confidence = j.confidence,
			evidence = j.evidence, hours = j.hours, ruleset = j.ruleset, updated_at = $2
		from `+incomingAggregates+` where a.id = j.id`, text, now); err != nil {
		return fail("extend aggregates", err)
	}
	if _, err := t.q.ExecContext(ctx, `insert into aggregate (kind, key, destination, victim, network, rule, ports, sources, packets, peak,
			first_at, last_at, confidence, evidence, hours, ruleset, created_at, updated_at)
		select kind, key, destination, victim, network, rule, ports, sources, packets, peak, first_at, last_at, confidence, evidence, hours,
			ruleset, $2, $2 from `+incomingAggregates+` where id = 0`, text, now); err != nil {
		return fail("insert aggregates", err)
	}
	if len(m.drop) > 0 {
		if _, err := t.q.ExecContext(ctx, `delete from aggregate where id = any($1)`, pq.Int64Array(m.drop)); err != nil {
			return fail("join aggregates", err)
		}
	}
	return t.markMembersDue(ctx, m.floods, now)
}

// markMembersDue makes the sources that sent what the floods are made of, and
// were judged something else, due to be judged again, now that the floods are
// known. It reads the observations of the floods' windows once, for all of them.
func (t *Tx) markMembersDue(ctx context.Context, floods []Aggregate, now time.Time) error {
	if len(floods) == 0 {
		return nil
	}
	var protos, ports, scopes pq.Int64Array
	var classes, destinations, from, until pq.StringArray
	for i := range floods {
		f := &floods[i]
		target, err := ParseFloodKey(f.Key)
		if err != nil {
			return err
		}
		for _, h := range f.Hours.V {
			protos, ports = append(protos, int64(target.Proto)), append(ports, int64(target.Port))
			classes, scopes = append(classes, target.Class.String()), append(scopes, int64(target.Scope))
			destination := ""
			if f.Destination.IsValid() {
				if destination = f.Destination.String(); target.Scope == FloodOfNetwork {
					destination += "/24"
				}
			}
			destinations = append(destinations, destination)
			// The hours before and after belong to the flood too.
			from = append(from, h.At.UTC().Add(-time.Hour).Format(time.RFC3339))
			until = append(until, h.At.UTC().Add(2*time.Hour).Format(time.RFC3339))
		}
	}
	// The windows lead to the partitions.
	var windows pq.StringArray
	if err := t.q.SelectContext(ctx, &windows, `select distinct b.window_start::text from batch b
		join unnest($1::timestamptz[], $2::timestamptz[]) as h (since, until) on b.window_start < h.until
			and b.window_start > h.since - interval '1 day' and b.window_start + b.window_seconds * interval '1 second' > h.since`,
		from, until); err != nil {
		return fail("windows of floods", err)
	}
	if _, err := t.q.ExecContext(ctx, `update source s set judged_at = null from (
			select distinct o.source from observation o
			join unnest($2::smallint[], $3::integer[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::integer[])
				as h (proto, port, class, destination, since, until, scope) on o.proto = h.proto and o.class = h.class
				and (o.port = h.port or h.scope = 2) and o.destination <<= coalesce(nullif(h.destination, '')::inet, o.destination) and o.first_at >= h.since and o.first_at < h.until
			join verdict v on v.source = o.source and v.superseded_at is null and v.kind <> 'spoofed'
			where o.window_start = any($1::timestamptz[])) d
		where s.address = d.source and s.judged_at is not null`, windows, protos, ports, classes, destinations, from, until, scopes); err != nil {
		return fail("mark sources of floods due", err)
	}
	_, err := t.q.ExecContext(ctx, `insert into setting as s (name, value, changed_at) values ($1, '1', $2)
		on conflict (name) do update set value = to_jsonb(s.value::text::bigint + 1), changed_at = excluded.changed_at`,
		settingFloodsVersion, now)
	return fail("count floods", err)
}

package casedb

import (
	"context"
	"net/netip"
	"time"

	"github.com/lib/pq"
)

// AggregateFilter says which aggregates a list shows; the zero filter all.
type AggregateFilter struct {
	Kind   AggregateKind
	Victim netip.Addr
}

// AggregateCursor is a place in a list of aggregates: behind the one with the
// id that was last seen at Last. The zero cursor is the start.
type AggregateCursor struct {
	Last time.Time
	ID   int64
}

// ListAggregates returns at most limit aggregates of the filter behind the
// cursor, the last seen first, and whether there are more. The order comes from
// aggregate_last, aggregate_kind_last or aggregate_victim.
func (q *Queries) ListAggregates(ctx context.Context, f AggregateFilter, after AggregateCursor, limit int) ([]Aggregate, bool, error) {
	w := where{}
	if f.Kind != "" {
		w.add(`a.kind = ?`, f.Kind)
	}
	if f.Victim.IsValid() {
		w.add(`a.victim = ?`, Addr{f.Victim})
	}
	if after.ID != 0 {
		w.add(`(a.last_at, a.id) < (?, ?)`, after.Last, after.ID)
	}
	var list []Aggregate
	err := q.q.SelectContext(ctx, &list, `select `+of("a", aggregateListed)+` from aggregate a`+w.sql()+
		` order by a.last_at desc, a.id desc limit `+w.arg(limit+1), w.args...)
	if err != nil {
		return nil, false, fail("list aggregates", err)
	}
	if len(list) > limit {
		return list[:limit], true, nil
	}
	return list, false, nil
}

// Aggregate returns the aggregate with the id.
func (q *Queries) Aggregate(ctx context.Context, id int64) (Aggregate, error) {
	var a Aggregate
	err := q.q.GetContext(ctx, &a, `select `+of("a", aggregateListed)+` from aggregate a where a.id = $1`, id)
	return a, fail("get aggregate", err)
}

// CampaignSources returns at most limit sources of a campaign behind the address, in
// order of address, and whether there are more: those whose verdict in force has
// its rule and port, in its network and its time. SourceAggregates is the way back.
func (q *Queries) CampaignSources(ctx context.Context, a *Aggregate, after Addr, limit int) ([]SourceRow, bool, error) {
	w := where{}
	w.add(`v.superseded_at is null`)
	w.add(`v.rule = ?`, a.Rule)
	w.add(`v.ports && ?`, a.Ports)
	w.add(`v.first_at <= ? and v.last_at >= ?`, a.Last, a.First)
	if a.Network.IsValid() {
		w.add(`v.source <<= ?`, a.Network)
	}
	if after.IsValid() {
		w.add(`v.source > ?`, after)
	}
	var rows []SourceRow
	err := q.q.SelectContext(ctx, &rows, `with page as materialized (select `+of("v", verdictColumns)+`
		from verdict v`+w.sql()+` order by v.source limit `+w.arg(limit+1)+`)
		select `+of("p", verdictColumns)+`, s.country, coalesce(o.name, '') as owner_name
		from page p join source s on s.address = p.source
		left join network n on n.id = s.network_id left join owner o on o.id = n.owner_id
		order by p.source`, w.args...)
	if err != nil {
		return nil, false, fail("list sources of campaign", err)
	}
	if len(rows) > limit {
		return rows[:limit], true, nil
	}
	return rows, false, nil
}

// sourceAggregates is how many events a source page shows.
const sourceAggregates = 10

// SourceAggregates returns the newest events that the source is the victim or
// a part of, as far as its verdict in force says (nil: none): the floods whose
// target it sent to, and the campaign of its rule.
func (q *Queries) SourceAggregates(ctx context.Context, source netip.Addr, v *Verdict) ([]Aggregate, error) {
	var list []Aggregate
	err := q.q.SelectContext(ctx, &list, `select `+of("a", aggregateListed)+` from aggregate a where a.victim = $1
		order by a.last_at desc, a.id desc limit $2`, Addr{source}, sourceAggregates)
	if err != nil || v == nil {
		return list, fail("attacks on source", err)
	}
	var more []Aggregate
	if v.Kind == KindSpoofed || v.Kind == KindBackscatter {
		err = q.q.SelectContext(ctx, &more, `select `+of("a", aggregateListed)+` from aggregate a where a.id in (
				select f.id from observation o join aggregate f on (f.destination = o.destination
						or f.key like '%@net' and f.destination = host(network(set_masklen(o.destination, 24)))::inet)
					and o.first_at between f.first_at - interval '1 hour' and f.last_at + interval '1 hour'
				where o.source = $1 and (f.ports && $3 or f.key like '%@any') and f.kind = case when $2 then 'spoofed_flood' else 'reflected_flood' end)
			order by a.last_at desc, a.id desc limit $4`, Addr{source}, v.Kind == KindSpoofed, v.Ports, sourceAggregates)
	} else {
		var keys pq.StringArray
		for _, port := range v.Ports {
			keys = append(keys, CampaignKey(v.Rule, port, netip.Prefix{}), CampaignKey(v.Rule, port, CampaignNetwork(source.Unmap())))
		}
		err = q.q.SelectContext(ctx, &more, `select `+of("a", aggregateListed)+` from aggregate a where a.kind = 'campaign' and a.key = any($1)
				and a.first_at <= $3 and a.last_at >= $2
			order by a.last_at desc, a.id desc limit $4`, keys, v.First, v.Last, sourceAggregates)
	}
	return append(list, more...), fail("floods and campaigns of source", err)
}

package casedb

import (
	"context"
	"net/netip"
	"time"

	"github.com/lib/pq"
)

// SourcePage is everything that the page of a source shows besides its observations.
type SourcePage struct {
	Source   Source
	Network  *Network // nil: not looked up
	Owner    *Owner   // nil: not looked up
	Verdicts []Verdict
	Cases    []CaseRow
	Scanners []Scanner // allowlist entries around the address
	Networks []Network // what the address belonged to when, newest first
}

// The bounds of a source page.
const (
	pageVerdicts = 50
	pageCases    = 20
	pageScanners = 20
	pageHistory  = 20
)

// SourcePage returns the data of the page of the address; verdicts and cases
// newest first.
func (q *Queries) SourcePage(ctx context.Context, address netip.Addr) (SourcePage, error) {
	var p SourcePage
	a := Addr{address}
	err := q.q.GetContext(ctx, &p.Source, `select address, first_at, last_at, country, network_id, judged_at
		from source where address = $1`, a)
	if err != nil {
		return p, fail("get source", err)
	}
	if p.Source.NetworkID != nil {
		p.Network, p.Owner = new(Network), new(Owner)
		err = q.q.GetContext(ctx, p.Network, `select `+networkSummary+` from network n where n.id = $1`, *p.Source.NetworkID)
		if err != nil {
			return p, fail("get network of source", err)
		}
		err = q.q.GetContext(ctx, p.Owner, `select `+ownerColumns+` from owner where id = $1`,
			p.Network.OwnerID)
		if err != nil {
			return p, fail("get owner of source", err)
		}
	}
	err = q.q.SelectContext(ctx, &p.Verdicts, `select `+verdictColumns+`
		from verdict where source = $1 order by created_at desc, id desc limit $2`, a, pageVerdicts)
	if err != nil {
		return p, fail("list verdicts of source", err)
	}
	err = q.q.SelectContext(ctx, &p.Cases, `select `+of("c", caseColumns)+`, o.name as owner_name,
			o.country as owner_country, '' as contact_email, 0 as sources, s.source as first_source
		from case_source s join cases c on c.id = s.case_id join owner o on o.id = c.owner_id
		where s.source = $1 order by c.id desc limit $2`, a, pageCases)
	if err != nil {
		return p, fail("list cases of source", err)
	}
	err = q.q.SelectContext(ctx, &p.Scanners, `select `+scannerColumns+` from scanner where prefix >>= $1 order by masklen(prefix) desc, id limit $2`, a, pageScanners)
	if err != nil {
		return p, fail("list scanners around source", err)
	}
	p.Networks, err = q.NetworksAt(ctx, address, pageHistory)
	return p, err
}

// SourceFilter says which judged sources a list shows; the zero filter all of
// them.
type SourceFilter struct {
	Kind      Kind
	Tool      string
	Port      string       // "445/TCP"
	Prefix    netip.Prefix // invalid: any address
	Attention bool         // only those with a contradiction that a coordinator must look at
}

// SourceCursor is a place in a list of sources: behind the one with the
// address, whose verdict has the id and last packet. The zero cursor is the
// start.
type SourceCursor struct {
	Last   time.Time
	ID     int64
	Source Addr // for the sources of a prefix
}

// SourceRow is a source with the verdict in force.
type SourceRow struct {
	Verdict
	Country   string `db:"country"`
	OwnerName string `db:"owner_name"` // empty: not looked up
}

// ListSources returns at most limit sources of the filter behind the cursor
// with the verdicts in force, and whether there are more: those of a prefix in
// order of address, others the last seen first.
//
// Plans: verdict_last, verdict_kind_last, verdict_tool_last and
// verdict_attention give the order, verdict_current that within a prefix;
// verdict_ports finds rare ports.
func (q *Queries) ListSources(ctx context.Context, f SourceFilter, after SourceCursor, limit int) ([]SourceRow, bool, error) {
	w := where{}
	w.add(`v.superseded_at is null`)
	if f.Kind != "" {
		w.add(`v.kind = ?`, f.Kind)
	}
	if f.Tool != "" {
		w.add(`v.tool = ? and v.tool <> ''`, f.Tool)
	}
	if f.Port != "" {
		w.add(`v.ports @> ?`, pq.StringArray{Clean(f.Port, 32)})
	}
	if f.Attention {
		w.add(`v.attention <> ''`)
	}
	inner, outer := `v.last_at desc, v.id desc`, `p.last_at desc, p.id desc`
	switch {
	case f.Prefix.IsValid():
		inner, outer = `v.source`, `p.source`
		w.add(`v.source <<= ?`, Prefix{f.Prefix})
		if after.Source.IsValid() {
			w.add(`v.source > ?`, after.Source)
		}
	case after.ID != 0:
		w.add(`(v.last_at, v.id) < (?, ?)`, after.Last, after.ID)
	}
	var rows []SourceRow
	err := q.q.SelectContext(ctx, &rows, `with page as materialized (select `+of("v", verdictColumns)+`
		from verdict v`+w.sql()+` order by `+inner+` limit `+w.arg(limit+1)+`)
		select `+of("p", verdictColumns)+`, s.country, coalesce(o.name, '') as owner_name
		from page p join source s on s.address = p.source
		left join network n on n.id = s.network_id left join owner o on o.id = n.owner_id
		order by `+outer, w.args...)
	if err != nil {
		return nil, false, fail("list sources", err)
	}
	if len(rows) > limit {
		return rows[:limit], true, nil
	}
	return rows, false, nil
}

// CountAttention returns the number of sources with a contradiction that a
// coordinator must look at, at most CountLimit+1.
func (q *Queries) CountAttention(ctx context.Context) (n int, err error) {
	err = q.q.GetContext(ctx, &n, `select count(*) from (select 1 from verdict where superseded_at is null and attention <> '' limit $1) few`,
		CountLimit+1)
	return n, fail("count sources that need attention", err)
}

// PacketHour is how many packets came in the hour that starts at At.
type PacketHour struct {
	At      time.Time `db:"at"`
	Packets int64     `db:"packets"`
}

// PacketHours returns the packets per hour of the sources together, oldest
// first, hours without packets left out.
func (q *Queries) PacketHours(ctx context.Context, sources []netip.Addr, from, to time.Time) ([]PacketHour, error) {
	addresses := make(pq.StringArray, len(sources))
	for i, s := range sources {
		addresses[i] = s.Unmap().WithZone("").String()
	}
	var hours []PacketHour
	err := q.q.SelectContext(ctx, &hours, `select date_bin('1 hour', window_start, '2000-01-01 00:00:00Z') as at,
			sum(packets)::bigint as packets
		from observation where source = any($1::inet[]) and window_start >= $2 and window_start < $3
		group by 1 order by 1`, addresses, from, to)
	return hours, fail("count packets by hour", err)
}

// LastPacket returns when the last packet of any of the sources came; zero
// without sources.
func (q *Queries) LastPacket(ctx context.Context, sources []netip.Addr) (time.Time, error) {
	addresses := make(pq.StringArray, len(sources))
	for i, s := range sources {
		addresses[i] = s.Unmap().WithZone("").String()
	}
	var last *time.Time
	err := q.q.GetContext(ctx, &last, `select max(last_at) from source where address = any($1::inet[])`, addresses)
	if err != nil || last == nil {
		return time.Time{}, fail("find last packet", err)
	}
	return *last, nil
}

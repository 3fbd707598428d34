package casedb

import (
	"context"
	"database/sql"
	"time"
)

// LetterCase is what a letter says about a case.
type LetterCase struct {
	Number   string `db:"number"`
	Kind     Kind   `db:"kind"`
	Malware  string `db:"malware"`
	Language string `db:"language"`
	Owner    string `db:"owner"`
	Country  string `db:"country"`
	Sources  int    `db:"sources"` // how many the case has
}

// LetterCase returns what a letter says about a case.
func (q *Queries) LetterCase(ctx context.Context, caseID int64) (LetterCase, error) {
	var l LetterCase
	err := q.q.GetContext(ctx, &l, `select c.number, c.kind, c.malware, c.language, o.name as owner, o.country,
		(select count(*) from case_source cs where cs.case_id = c.id) as sources
		from cases c join owner o on o.id = c.owner_id where c.id = $1`, caseID)
	return l, fail("get the letter's case", err)
}

// LetterSource is a source of a case with the verdict that a letter rests on.
type LetterSource struct {
	Source   Addr           `db:"source"`
	Rule     string         `db:"rule"`
	Malware  string         `db:"malware"`
	Evidence JSON[Evidence] `db:"evidence"`
	First    time.Time      `db:"first_at"`
	Last     time.Time      `db:"last_at"`
}

// LetterSources returns the first limit sources of a case in order of address,
// each with its present verdict if that is still of the case's kind, else with
// the verdict that brought it into the case.
func (q *Queries) LetterSources(ctx context.Context, caseID int64, limit int) ([]LetterSource, error) {
	var s []LetterSource
	err := q.q.SelectContext(ctx, &s, `select cs.source, v.rule, v.malware, v.evidence, v.first_at, v.last_at
		from case_source cs join cases c on c.id = cs.case_id
		join lateral (select v.rule, v.malware, v.evidence, v.first_at, v.last_at from verdict v
			where v.id = cs.verdict_id or (v.source = cs.source and v.superseded_at is null and v.kind = c.kind)
			order by v.superseded_at is null and v.kind = c.kind desc, v.id desc limit 1) v on true
		where cs.case_id = $1 order by cs.source limit $2`, caseID, limit)
	return s, fail("list the letter's sources", err)
}

// LetterRow is one row of the evidence for an owner. It says nothing about
// sensors: no destination, and counts of all sensors together.
type LetterRow struct {
	Source     Addr          `db:"source"`
	Proto      int           `db:"proto"`
	Port       int           `db:"port"`
	Packets    int64         `db:"packets"`
	First      time.Time     `db:"first_at"`
	Last       time.Time     `db:"last_at"`
	SourcePort sql.NullInt32 `db:"source_port"` // only if all packets had the same
	Country    string        `db:"country"`     // of the source; in windows only
	Total      int           `db:"total"`       // rows there are, whatever the limit
}

// letterProbes restricts evidence to what sources sent on their own account:
// for other classes the service port is theirs.
const letterProbes = `o.class in ('syn','fin','null','xmas','tcp-other','udp','icmp-echo')`

// LetterTable returns the case's evidence between two times, one row per
// source, protocol and destination port, at most limit.
func (q *Queries) LetterTable(ctx context.Context, caseID int64, from, to time.Time, limit int) ([]LetterRow, error) {
	var r []LetterRow
	err := q.q.SelectContext(ctx, &r, `select o.source, o.proto, o.port, cast(sum(o.packets) as bigint) as packets,
		min(o.first_at) as first_at, max(o.last_at) as last_at, cast(null as integer) as source_port, '' as country,
		cast(count(*) over () as integer) as total
		from case_source cs join observation o on o.source = cs.source
		where cs.case_id = $1 and o.window_start >= $2 and o.window_start <= $3 and `+letterProbes+`
		group by o.source, o.proto, o.port order by o.source, sum(o.packets) desc, o.proto, o.port limit $4`, caseID, from, to, limit)
	return r, fail("tabulate the letter's evidence", err)
}

// LetterWindows returns the case's evidence between two times, one row per
// observation window, source, protocol and destination port, at most limit.
func (q *Queries) LetterWindows(ctx context.Context, caseID int64, from, to time.Time, limit int) ([]LetterRow, error) {
	var r []LetterRow
	err := q.q.SelectContext(ctx, &r, `select o.source, o.proto, o.port, cast(sum(o.packets) as bigint) as packets,
		min(o.first_at) as first_at, max(o.last_at) as last_at,
		case when max(o.peer_ports) = 1 and min(o.samples->0->>'sport') = max(o.samples->0->>'sport')
			then min(cast(o.samples->0->>'sport' as integer)) end as source_port,
		min(s.country) as country, cast(count(*) over () as integer) as total
		from case_source cs join observation o on o.source = cs.source join source s on s.address = cs.source
		where cs.case_id = $1 and o.window_start >= $2 and o.window_start <= $3 and `+letterProbes+`
		group by o.window_start, o.source, o.proto, o.port
		order by o.source, min(o.first_at), o.proto, o.port limit $4`, caseID, from, to, limit)
	return r, fail("list the letter's evidence", err)
}

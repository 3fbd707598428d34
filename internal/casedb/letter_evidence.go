package casedb

import (
	"context"
	"database/sql"
	"net/netip"
	"strings"
	"time"

	"github.com/lib/pq"
)

// LetterCase is the data about a case in a letter.
type LetterCase struct {
	Number   string `db:"number"`
	Kind     Kind   `db:"kind"`
	Language string `db:"language"`
	Owner    string `db:"owner"`
	Country  string `db:"country"`
	TLP      TLP    `db:"tlp"` // empty: as configured
}

// LetterCase returns the data about a case in a letter.
func (q *Queries) LetterCase(ctx context.Context, caseID int64) (LetterCase, error) {
	var l LetterCase
	err := q.q.GetContext(ctx, &l, `select c.number, c.kind, c.language, c.tlp, o.name as owner, o.country
		from cases c join owner o on o.id = c.owner_id where c.id = $1`, caseID)
	return l, fail("get the letter's case", err)
}

// LetterScope says which sources a letter may name: those of the case that are
// judged to be of its kind at present, whose owner may be told (attribution.MayTell),
// that no allowlist entry in force covers, and whose network has not passed
// to another owner.
type LetterScope struct {
	CaseID int64
	// MessageID restricts them to those that the message covers: for one whose
	// words are settled. 0: all of the case.
	MessageID int64
	Now       time.Time // the allowlist entries in force then count
}

// ScopeOf returns the scope of the letter of a message: the sources that it may name.
func ScopeOf(m Message, now time.Time) LetterScope {
	s := LetterScope{CaseID: *m.CaseID, Now: now}
	if m.settledWords() {
		s.MessageID = m.ID
	}
	return s
}

func (s LetterScope) args(more ...any) []any {
	return append([]any{s.CaseID, s.MessageID, s.Now}, more...)
}

// accused is the condition that verdict v is the present one of its source and
// may be told to the owner.
const accused = `v.superseded_at is null and v.tell`

// letterFrom and letterWhere select the sources of a LetterScope.
const (
	letterFrom = ` from case_source cs join cases c on c.id = cs.case_id
	join verdict v on v.source = cs.source and v.kind = c.kind and ` + accused
	letterWhere = ` where cs.case_id = $1 and ($2 = 0 or exists (select 1 from message_source ms where ms.message_id = $2 and ms.source = cs.source))
	and not exists (select 1 from source mine join network n on n.id = mine.network_id
		where mine.address = cs.source and n.superseded_at is null and n.owner_id <> c.owner_id)
	and not exists (select 1 from scanner a where a.prefix >>= cs.source
		and (a.valid_from is null or a.valid_from <= $3) and (a.valid_to is null or a.valid_to > $3))`
	letterSources = letterFrom + letterWhere
)

// LetterGroup is the sources of a letter that one rule found one malware on.
type LetterGroup struct {
	Malware string    `db:"malware"`
	Rule    string    `db:"rule"`
	Sources int       `db:"sources"`
	First   time.Time `db:"first_at"`
	Last    time.Time `db:"last_at"`
}

// LetterGroups counts the sources of a letter by malware and rule. None: the
// letter has nothing to say.
func (q *Queries) LetterGroups(ctx context.Context, s LetterScope) ([]LetterGroup, error) {
	var g []LetterGroup
	err := q.q.SelectContext(ctx, &g, `select v.malware, v.rule, cast(count(*) as integer) as sources, min(v.first_at) as first_at,
		max(v.last_at) as last_at`+letterSources+` group by v.malware, v.rule order by v.malware, v.rule`, s.args()...)
	return g, fail("group the letter's sources", err)
}

// LetterRow is one row of the evidence for an owner. It says nothing about
// sensors: no destination, and counts of all sensors together.
type LetterRow struct {
	Source     Addr          `db:"source"`
	Malware    string        `db:"malware"`
	Rule       string        `db:"rule"`
	Proto      int           `db:"proto"`
	Port       int           `db:"port"`
	Packets    int64         `db:"packets"`
	First      time.Time     `db:"first_at"`
	Last       time.Time     `db:"last_at"`
	SourcePort sql.NullInt32 `db:"source_port"` // only if all packets had the same
	Country    string        `db:"country"`     // of the source; in windows only
	Total      int           `db:"total"`       // rows there are, whatever the limit
}

// letterEvidence selects these sources with the observations between $4 and $5 that the
// verdict is about: of a victim what it answered, from its port told.port, of all
// others what the source sent on its own account to the ports that the verdict
// names, told.port. An observation of UDP has the port at our side; the victim's
// is that of its samples, if all packets had it.
const letterEvidence = letterFrom + ` join observation o on o.source = cs.source and o.window_start >= $4 and o.window_start <= $5
	and case v.kind when 'backscatter' then o.class in ('synack','rst','udp-answer','icmp-reply','icmp-unreachable','icmp-quench','icmp-redirect','icmp-exceeded','icmp-parameter','icmp-too-big')
		or o.class = 'icmp-other' and (o.proto = 1 and o.port / 256 in (14, 16, 18) or o.proto = 58 and o.port / 256 = 140)
		or o.class = 'udp' and o.peer_ports = 1 and sample_port(o.samples, o.packed) || '/UDP' = any(v.ports)
	else o.class in ('syn','udp','fin','null','xmas','tcp-other','icmp-echo') and (v.malware = '' or o.class in ('syn','udp'))
		and (v.ports = '{}' or case o.proto when 6 then o.port || '/TCP' when 17 then o.port || '/UDP' when 1 then 'ICMP'
		when 58 then 'ICMPv6' else 'IP/' || o.proto end = any(v.ports)) end
	cross join lateral (select case when v.kind = 'backscatter' and o.class = 'udp' then sample_port(o.samples, o.packed) else o.port end as port) told
	join source s on s.address = cs.source` + letterWhere

// LetterAttack is an attack on a source of a letter: what its answers to forged
// packets tell of it. All numbers are of what reached us.
type LetterAttack struct {
	Victim   Addr           `db:"victim"`
	Ports    pq.StringArray `db:"ports"`
	Packets  int64          `db:"packets"`
	Peak     float64        `db:"peak"` // packets a minute
	First    time.Time      `db:"first_at"`
	Last     time.Time      `db:"last_at"`
	Evidence JSON[Evidence] `db:"evidence"`
}

// LetterAttacks returns the attacks on a letter's sources that ended at or
// after from, the latest first, at most limit.
func (q *Queries) LetterAttacks(ctx context.Context, s LetterScope, from time.Time, limit int) ([]LetterAttack, error) {
	var a []LetterAttack
	err := q.q.SelectContext(ctx, &a, `select g.victim, g.ports, g.packets, g.peak, g.first_at, g.last_at, g.evidence
		from aggregate g where g.kind = 'dos_victim' and g.last_at >= $4
		and g.victim in (select cs.source`+letterSources+`) order by g.last_at desc, g.id desc limit $5`, s.args(from, limit)...)
	return a, fail("list the attacks on a letter's sources", err)
}

// LetterPort is the packets of a letter's sources with one malware to one port.
type LetterPort struct {
	Malware string `db:"malware"`
	Proto   int    `db:"proto"`
	Port    int    `db:"port"`
	Packets int64  `db:"packets"`
}

// LetterPorts returns the ports of a letter's evidence between two times.
func (q *Queries) LetterPorts(ctx context.Context, s LetterScope, from, to time.Time) ([]LetterPort, error) {
	var p []LetterPort
	err := q.q.SelectContext(ctx, &p, `select v.malware, o.proto, told.port, cast(sum(o.packets) as bigint) as packets`+
		letterEvidence+` group by v.malware, o.proto, told.port`, s.args(from, to)...)
	return p, fail("list the letter's ports", err)
}

// LetterPackets returns how many packets of each of the sources a letter tells of
// between two times. A source that a letter may not name is not among them.
func (q *Queries) LetterPackets(ctx context.Context, s LetterScope, sources []Addr, from, to time.Time) (map[netip.Addr]int64, error) {
	addresses := make(pq.StringArray, len(sources))
	for i, a := range sources {
		addresses[i] = a.String()
	}
	var rows []struct {
		Source  Addr  `db:"source"`
		Packets int64 `db:"packets"`
	}
	err := q.q.SelectContext(ctx, &rows, `select cs.source, cast(sum(o.packets) as bigint) as packets`+letterEvidence+`
		and cs.source = any($6::inet[]) group by cs.source`, s.args(from, to, addresses)...)
	packets := make(map[netip.Addr]int64, len(rows))
	for _, r := range rows {
		packets[r.Source.Addr] = r.Packets
	}
	return packets, fail("count the letter's packets", err)
}

// LetterSeen reports whether there is any of a letter's evidence between two
// times: observations are not kept for ever.
func (q *Queries) LetterSeen(ctx context.Context, s LetterScope, from, to time.Time) (bool, error) {
	var seen bool
	err := q.q.GetContext(ctx, &seen, `select exists (select 1`+letterEvidence+`)`, s.args(from, to)...)
	return seen, fail("look for the letter's evidence", err)
}

// LetterTable returns a letter's evidence about one malware between two times,
// one row per source, protocol and destination port, at most limit.
func (q *Queries) LetterTable(ctx context.Context, s LetterScope, malware string, from, to time.Time, limit int) ([]LetterRow, error) {
	var r []LetterRow
	err := q.q.SelectContext(ctx, &r, `select cs.source, v.malware, v.rule, o.proto, told.port, cast(sum(o.packets) as bigint) as packets,
		min(o.first_at) as first_at, max(o.last_at) as last_at, cast(null as integer) as source_port, '' as country,
		cast(count(*) over () as integer) as total`+letterEvidence+` and v.malware = $6
		group by cs.source, v.malware, v.rule, o.proto, told.port
		order by cs.source, sum(o.packets) desc, o.proto, told.port limit $7`, s.args(from, to, malware, limit)...)
	return r, fail("tabulate the letter's evidence", err)
}

// LetterWindows returns a letter's evidence between two times, one row per
// observation window, source, protocol and destination port, at most limit.
func (q *Queries) LetterWindows(ctx context.Context, s LetterScope, from, to time.Time, limit int) ([]LetterRow, error) {
	var r []LetterRow
	err := q.q.SelectContext(ctx, &r, `select cs.source, v.malware, v.rule, o.proto, told.port, cast(sum(o.packets) as bigint) as packets,
		min(o.first_at) as first_at, max(o.last_at) as last_at,
		case when max(o.peer_ports) = 1 and min(sample_port(o.samples, o.packed)) = max(sample_port(o.samples, o.packed))
			then min(sample_port(o.samples, o.packed)) end as source_port,
		min(s.country) as country, cast(count(*) over () as integer) as total`+letterEvidence+`
		group by o.window_start, cs.source, v.malware, v.rule, o.proto, told.port
		order by cs.source, min(o.first_at), o.proto, told.port limit $6`, s.args(from, to, limit)...)
	return r, fail("list the letter's evidence", err)
}

// LetterNetworks returns the networks of sensors in which a letter's packets
// arrived between two times, /24 and of IPv6 /48, at most limit. Only a contact
// that asks for it may learn them, and never an address.
func (q *Queries) LetterNetworks(ctx context.Context, s LetterScope, from, to time.Time, limit int) ([]string, error) {
	var n []string
	err := q.q.SelectContext(ctx, &n, `select cast(network(set_masklen(dst.a, case family(dst.a) when 4 then 24 else 48 end)) as text)`+
		strings.Replace(letterEvidence, letterWhere, ` cross join lateral (select coalesce(o.destination, cast(o.samples->0->>'dst' as inet)) as a) dst`+letterWhere, 1)+
		` and dst.a is not null group by 1 order by sum(o.packets) desc, 1 limit $6`, s.args(from, to, limit)...)
	return n, fail("list the networks where a letter's packets arrived", err)
}

// LostSources returns sources that a message covers and that a letter may not
// name any more, in order of address, at most limit.
func (q *Queries) LostSources(ctx context.Context, s LetterScope, limit int) ([]string, error) {
	var a []string
	err := q.q.SelectContext(ctx, &a, `select host(source) from (select source from message_source where message_id = $2
		except select cs.source`+letterSources+`) lost order by source limit $4`, s.args(limit)...)
	return a, fail("look for sources that a message lost", err)
}

// settledWords reports whether the message's words are settled, so that
// sources that join its case later are not in it.
func (m Message) settledWords() bool { return m.Edited || m.Attempts > 0 || m.choosesSources() }

// choosesSources reports whether the message tells about sources that were
// chosen when it was written.
func (m Message) choosesSources() bool {
	return m.Reason == ReasonStillActive || IsEscalation(m.Reason)
}

// coverSources records that a message covers the sources that its letter may
// name now, and no others.
func (t *Tx) coverSources(ctx context.Context, messageID, caseID int64, now time.Time) error {
	s := LetterScope{CaseID: caseID, Now: now}
	if _, err := t.q.ExecContext(ctx, `delete from message_source where message_id = $1`, messageID); err != nil {
		return fail("forget a message's sources", err)
	}
	_, err := t.q.ExecContext(ctx, `insert into message_source (message_id, source)
		select $4, cs.source`+letterSources, s.args(messageID)...)
	if err != nil {
		return fail("note a message's sources", err)
	}
	return t.noteRules(ctx, messageID, s)
}

// noteRules records by which rules the sources that a letter may name were
// judged.
func (t *Tx) noteRules(ctx context.Context, messageID int64, s LetterScope) error {
	_, err := t.q.ExecContext(ctx, `update message set rules = coalesce((select array_agg(distinct v.rule order by v.rule)`+
		letterSources+`), '{}') || case when reason = any($5) then array['`+RuleEscalation+`'] else '{}' end where id = $4`, s.args(messageID, pq.StringArray(EscalationReasons))...)
	return fail("note a message's rules", err)
}

// coverAll records for messages that end before their words were settled that
// their end was about every source of the case: none needs a message until
// a coordinator writes one.
func (t *Tx) coverAll(ctx context.Context, caseID int64, messages ...int64) error {
	_, err := t.q.ExecContext(ctx, `insert into message_source (message_id, source)
		select m.id, cs.source from message m join case_source cs on cs.case_id = m.case_id
		where m.case_id = $1 and m.id = any($2) and m.purpose = 'notification' and m.attempts = 0 and not m.edited
		on conflict do nothing`, caseID, pq.Array(messages))
	return fail("note a message's sources", err)
}

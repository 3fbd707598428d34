package casedb

import (
	"context"
	"net/netip"

	"github.com/lib/pq"
)

// PrefixNetwork is a network around or inside a prefix, with its owner.
type PrefixNetwork struct {
	Place        int    `db:"place"` // of the prefix, from 1
	First        Addr   `db:"first_address"`
	Last         Addr   `db:"last_address"`
	Handle       string `db:"handle"`
	OwnerName    string `db:"owner_name"`
	OwnerCountry string `db:"owner_country"`
}

// PrefixCase is a live case with sources inside a prefix.
type PrefixCase struct {
	Place  int       `db:"place"` // of the prefix, from 1
	Number string    `db:"number"`
	Kind   Kind      `db:"kind"`
	State  CaseState `db:"state"`
}

// PrefixPage is the known data about a prefix that a researcher claims.
type PrefixPage struct {
	Prefix   string
	Networks []PrefixNetwork // the most specific first, at most 6
	Infected int             // sources inside judged infected, at most CountLimit+1
	Cases    []PrefixCase    // live ones with sources inside, newest first, at most 10
	Scanners []Scanner       // allowlist entries the registration made of it
}

// Suspicious reports whether accepting the prefix would hide sources that are
// known not to be scanners.
func (p PrefixPage) Suspicious() bool { return p.Infected > 0 || len(p.Cases) > 0 }

// RegistrationPrefixes returns the known data about each prefix of a
// registration, in its order. It uses network_prefix_gist, verdict_current and
// case_source_source.
func (q *Queries) RegistrationPrefixes(ctx context.Context, r Registration) ([]PrefixPage, error) {
	pages := make([]PrefixPage, len(r.Prefixes))
	prefixes, first, last := make(pq.StringArray, len(pages)), make(pq.StringArray, len(pages)), make(pq.StringArray, len(pages))
	for i, text := range r.Prefixes {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fail("read prefix of registration", err)
		}
		pages[i].Prefix = text
		prefixes[i], first[i], last[i] = text, p.Masked().Addr().String(), lastAddress(p).String()
	}
	var networks []PrefixNetwork
	err := q.q.SelectContext(ctx, &networks, `select r.place, n.first_address, n.last_address, n.handle, o.name as owner_name,
			o.country as owner_country
		from unnest($1::cidr[]) with ordinality as r(prefix, place)
		cross join lateral (select n.id, n.owner_id, n.first_address, n.last_address, n.handle, max(masklen(p.prefix)) as bits
			from network_prefix p join network n on n.id = p.network_id
			where p.prefix && r.prefix and n.superseded_at is null group by n.id order by bits desc, n.id desc limit 6) n
		join owner o on o.id = n.owner_id order by r.place, n.bits desc, n.id desc`, prefixes)
	if err != nil {
		return nil, fail("list networks of prefixes", err)
	}
	for _, n := range networks {
		pages[n.Place-1].Networks = append(pages[n.Place-1].Networks, n)
	}
	var infected []int
	err = q.q.SelectContext(ctx, &infected, `select n.n from unnest($1::inet[], $2::inet[]) with ordinality as r(first, last, place)
		cross join lateral (select count(*) as n from (select 1 from verdict v where v.superseded_at is null and v.kind = 'infected'
			and v.source between r.first and r.last limit $3) few) n order by r.place`, first, last, CountLimit+1)
	if err != nil {
		return nil, fail("count infected sources of prefixes", err)
	}
	for i, n := range infected {
		pages[i].Infected = n
	}
	var cases []PrefixCase
	err = q.q.SelectContext(ctx, &cases, `select r.place, c.number, c.kind, c.state
		from unnest($1::inet[], $2::inet[]) with ordinality as r(first, last, place)
		cross join lateral (select distinct c.id, c.number, c.kind, c.state from case_source s join cases c on c.id = s.case_id
			where s.source between r.first and r.last and c.state not in ('closed','ignored') order by c.id desc limit 10) c
		order by r.place, c.id desc`, first, last)
	if err != nil {
		return nil, fail("list cases of prefixes", err)
	}
	for _, c := range cases {
		pages[c.Place-1].Cases = append(pages[c.Place-1].Cases, c)
	}
	var scanners []Scanner
	err = q.q.SelectContext(ctx, &scanners, `select `+scannerColumns+` from scanner
		where registration_id = $1 and prefix = any($2::cidr[]) order by id`, r.ID, prefixes)
	if err != nil {
		return nil, fail("list scanners of registration", err)
	}
	for _, s := range scanners {
		for i := range pages {
			if pages[i].Prefix == s.Prefix.String() {
				pages[i].Scanners = append(pages[i].Scanners, s)
			}
		}
	}
	return pages, nil
}

// lastAddress returns the last address of a prefix.
func lastAddress(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

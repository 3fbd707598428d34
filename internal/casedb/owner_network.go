package casedb

import (
	"context"
	"net/netip"
	"time"

	"github.com/lib/pq"
)

// networkSummary are the columns of a network without the raw answers.
const networkSummary = `n.id, n.owner_id, n.first_address, n.last_address, n.handle, n.name, n.country, n.registry, n.asn,
	n.as_name, n.owner_name, n.choice, n.fetched_at, n.expires_at, n.superseded_at`

const networkColumns = networkSummary + `, n.raw, n.whois`

// Network returns the network with the id.
func (q *Queries) Network(ctx context.Context, id int64) (Network, error) {
	var n Network
	err := q.q.GetContext(ctx, &n, `select `+networkColumns+` from network n where n.id = $1`, id)
	return n, fail("get network", err)
}

// networkOrder puts the directory's networks before registries', and the most
// specific first.
const networkOrder = ` order by (n.directory_id is not null) desc, masklen(p.prefix) desc, n.id desc`

// NetworkFor returns the network around the address whose answer is current and
// has not expired, the directory's or else the most specific; ErrNotFound means that a registry must be
// asked. It uses the index network_prefix_gist.
func (q *Queries) NetworkFor(ctx context.Context, a netip.Addr, now time.Time) (Network, error) {
	var n Network
	err := q.q.GetContext(ctx, &n, `select `+networkColumns+` from network_prefix p join network n on n.id = p.network_id
		where p.prefix >>= $1::inet and n.superseded_at is null and n.expires_at > $2`+
		networkOrder+` limit 1`, Addr{a}, now)
	return n, fail("find network", err)
}

// AddNetwork stores a registry's answer with the few prefixes that cover its
// range. It supersedes the current answer for the same range, and expired ones
// that overlap it, and returns their ids; sources that had one of them, or
// none, now belong to the new one.
func (t *Tx) AddNetwork(ctx context.Context, n Network, prefixes []netip.Prefix, now time.Time) (Network, []int64, error) {
	// Two workers with the same answer take turns.
	if _, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock(hashtextextended($1, 0))`,
		"network "+n.First.String()+" "+n.Last.String()); err != nil {
		return n, nil, fail("lock network", err)
	}
	var old []int64
	err := t.q.SelectContext(ctx, &old, `update network set superseded_at = $3
		where superseded_at is null and directory_id is null and ((first_address = $1 and last_address = $2) or (expires_at <= $3 and id in (
			select p.network_id from network_prefix p where p.prefix && any($4::inet[])))) returning id`,
		n.First, n.Last, now, prefixTexts(prefixes))
	if err != nil {
		return n, nil, fail("supersede network", err)
	}
	err = t.q.GetContext(ctx, &n, `insert into network as n (owner_id, first_address, last_address, handle, name, country,
		registry, asn, as_name, owner_name, raw, whois, choice, fetched_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		returning `+networkColumns, n.OwnerID, n.First, n.Last, n.Handle, n.Name, n.Country, n.Registry, n.ASN, n.ASName,
		n.OwnerName, n.Raw, n.Whois, n.Choice, n.FetchedAt, n.ExpiresAt)
	if err != nil {
		return n, nil, fail("add network", err)
	}
	if _, err := t.q.ExecContext(ctx, `insert into network_prefix (network_id, prefix)
		select $1, p from unnest($2::cidr[]) as p on conflict do nothing`, n.ID, prefixTexts(prefixes)); err != nil {
		return n, nil, fail("add network prefixes", err)
	}
	return n, old, t.settleRange(ctx, n, old, now)
}

// settleRange gives everything inside a new network that waits for an owner
// what it waits for: the sources without a network or with a superseded one,
// and the lookups that are due, so that no worker asks a registry about a range
// that it has answered for. Addresses inside a smaller network that is known and
// current, or to the directory, belong to that.
func (t *Tx) settleRange(ctx context.Context, n Network, old []int64, now time.Time) error {
	const smaller = `exists (select 1 from network_prefix p join network s on s.id = p.network_id
		where p.prefix >>= x.address and s.id <> $1 and s.superseded_at is null and s.expires_at > $4
		and (s.directory_id is not null or s.first_address >= $2 and s.last_address <= $3))`
	if _, err := t.q.ExecContext(ctx, `update source x set network_id = $1 where x.address between $2 and $3
		and (x.network_id is null or x.network_id = any($5::bigint[])) and not `+smaller,
		n.ID, n.First, n.Last, now, pq.Array(old)); err != nil {
		return fail("give sources their network", err)
	}
	_, err := t.q.ExecContext(ctx, `update owner_lookup x set state = 'done', network_id = $1, last_error = ''
		where x.address between $2 and $3 and x.state = 'due' and not `+smaller, n.ID, n.First, n.Last, now)
	return fail("settle lookups of network", err)
}

// NetworksAt returns the networks that an address was in, by the answers that
// are kept: the newest first, at most limit. Each held from FetchedAt until
// SupersededAt; where several held at one time, the one with the most specific
// range was the address's. It uses network_prefix_gist.
func (q *Queries) NetworksAt(ctx context.Context, a netip.Addr, limit int) ([]Network, error) {
	var n []Network
	err := q.q.SelectContext(ctx, &n, `select `+networkSummary+` from network_prefix p join network n on n.id = p.network_id
		where p.prefix >>= $1::inet order by n.fetched_at desc, masklen(p.prefix) desc, n.id desc limit $2`, Addr{a}, limit)
	return n, fail("list networks of address", err)
}

// prefixTexts is the prefixes as a parameter for a cidr[] or inet[].
func prefixTexts(prefixes []netip.Prefix) any {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.Masked().String()
	}
	return pq.Array(texts)
}

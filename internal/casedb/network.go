package casedb

import (
	"context"
	"net/netip"
	"time"

	"github.com/lib/pq"
)

const networkColumns = `n.id, n.owner_id, n.first_address, n.last_address, n.handle, n.name, n.country, n.registry, n.asn,
	n.raw, n.fetched_at, n.expires_at, n.superseded_at`

// Network returns the network with the id.
func (q *Queries) Network(ctx context.Context, id int64) (Network, error) {
	var n Network
	err := q.q.GetContext(ctx, &n, `select `+networkColumns+` from network n where n.id = $1`, id)
	return n, fail("get network", err)
}

// NetworkFor returns the most specific network around the address whose answer
// is current and has not expired; ErrNotFound means that a registry must be
// asked. It uses the index network_prefix_gist.
func (q *Queries) NetworkFor(ctx context.Context, a netip.Addr, now time.Time) (Network, error) {
	var n Network
	err := q.q.GetContext(ctx, &n, `select `+networkColumns+` from network_prefix p join network n on n.id = p.network_id
		where p.prefix >>= $1::inet and n.superseded_at is null and n.expires_at > $2
		order by masklen(p.prefix) desc, n.id desc limit 1`, Addr{a}, now)
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
		where superseded_at is null and ((first_address = $1 and last_address = $2) or (expires_at <= $3 and id in (
			select p.network_id from network_prefix p where p.prefix && any($4::inet[])))) returning id`,
		n.First, n.Last, now, prefixTexts(prefixes))
	if err != nil {
		return n, nil, fail("supersede network", err)
	}
	err = t.q.GetContext(ctx, &n, `insert into network as n (owner_id, first_address, last_address, handle, name, country,
		registry, asn, raw, fetched_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		returning `+networkColumns, n.OwnerID, n.First, n.Last, n.Handle, n.Name, n.Country, n.Registry, n.ASN, n.Raw,
		n.FetchedAt, n.ExpiresAt)
	if err != nil {
		return n, nil, fail("add network", err)
	}
	if _, err := t.q.ExecContext(ctx, `insert into network_prefix (network_id, prefix)
		select $1, p from unnest($2::cidr[]) as p on conflict do nothing`, n.ID, prefixTexts(prefixes)); err != nil {
		return n, nil, fail("add network prefixes", err)
	}
	if _, err := t.q.ExecContext(ctx, `update source set network_id = $1 where address between $2 and $3
		and (network_id is null or network_id = any($4::bigint[]))`, n.ID, n.First, n.Last, pq.Array(old)); err != nil {
		return n, nil, fail("give sources their network", err)
	}
	return n, old, nil
}

// prefixTexts is the prefixes as a parameter for a cidr[] or inet[].
func prefixTexts(prefixes []netip.Prefix) any {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.Masked().String()
	}
	return pq.Array(texts)
}

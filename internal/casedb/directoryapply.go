package casedb

import (
	"context"
	"time"

	"github.com/lib/pq"
)

// entryInForce says that directory entry d holds at the time $1.
const entryInForce = `d.ended_at is null and (d.valid_from is null or d.valid_from <= $1) and (d.valid_until is null or d.valid_until > $1)`

// inForceOrRegistry says that contact c is not of an entry that has ended by $2.
const inForceOrRegistry = `(c.directory_id is null or exists (select 1 from directory_entry d where d.id = c.directory_id
	and d.ended_at is null and (d.valid_from is null or d.valid_from <= $2) and (d.valid_until is null or d.valid_until > $2)))`

// The ranks of contacts that the directory made: the more specific, the lower.
// One for a country comes after everybody else.
const (
	rankPrefix       = -30
	rankOrganisation = -20
	rankAS           = -10
	rankCountry      = 1000
)

// ApplyDirectory makes of the directory what its entries say at the time: a
// prefix becomes a network with an owner of its own, who gets the cases of the
// sources in it, whatever registry's network they were in; other entries become
// contacts of the owners they name. What entries made that no longer hold goes,
// and their sources' owners are looked up anew. Messages that wait for such a
// contact are held when their time comes, and go nowhere else by themselves.
//
// With an owner's id only the contacts of that owner are made.
func (t *Tx) ApplyDirectory(ctx context.Context, ownerID int64, now time.Time) error {
	if ownerID == 0 {
		if err := t.lockDirectory(ctx); err != nil {
			return err
		}
		if err := t.retireDirectory(ctx, now); err != nil {
			return err
		}
		if err := t.applyPrefixes(ctx, now); err != nil {
			return err
		}
	}
	_, err := t.q.ExecContext(ctx, `insert into contact (owner_id, email, name, provenance, gate, why, language, rank, created_at, directory_id)
		select m.owner_id, d.email, d.name, 'override', 'approve', `+directoryWhy+`, d.language, m.rank, $1, d.id
		from (
			select o.id as owner_id, d.id, $3::integer as rank from owner o join directory_entry d
				on d.scope = 'organisation' and d.target = any(array[lower(o.key), lower(o.name)])
				where ($2::bigint = 0 or o.id = $2)
			union
			select o.id, d.id, $4::integer from directory_entry d join network n on d.scope = 'as' and n.asn = d.target::bigint
				and n.superseded_at is null join owner o on o.id = n.owner_id
				where ($2::bigint = 0 or o.id = $2) and not exists (select 1 from network x where x.owner_id = o.id
					and x.superseded_at is null and x.asn is distinct from n.asn)
			union
			select o.id, d.id, $5::integer from owner o join directory_entry d on d.scope = 'country' and d.target = o.country
				where ($2::bigint = 0 or o.id = $2)
		) m join directory_entry d on d.id = m.id
		where `+entryInForce+` and not exists (select 1 from contact c where c.owner_id = m.owner_id and c.directory_id = d.id and c.retired_at is null)
			and not exists (select 1 from network x where x.owner_id = m.owner_id and x.directory_id is not null)`,
		now, ownerID, rankOrganisation, rankAS, rankCountry)
	return fail("add contacts of the directory", err)
}

// directoryWhy names the entry in a contact's row.
const directoryWhy = `'entry ' || d.id || ' of the directory, for ' || d.scope || ' ' || d.target || ', by ' || d.created_by`

// retireDirectory takes away what entries made that do not hold.
func (t *Tx) retireDirectory(ctx context.Context, now time.Time) error {
	if _, err := t.q.ExecContext(ctx, `update contact c set retired_at = $1 from directory_entry d
		where d.id = c.directory_id and c.retired_at is null and not (`+entryInForce+`)`, now); err != nil {
		return fail("retire contacts of the directory", err)
	}
	// An AS may have ceased to be all that an owner's networks are in.
	if _, err := t.q.ExecContext(ctx, `update contact c set retired_at = $1 from directory_entry d
		where d.id = c.directory_id and c.retired_at is null and d.scope = 'as' and exists (select 1 from network x
			where x.owner_id = c.owner_id and x.superseded_at is null and x.asn is distinct from d.target::bigint)`, now); err != nil {
		return fail("retire contacts of the directory", err)
	}
	var gone []int64
	if err := t.q.SelectContext(ctx, &gone, `update network n set superseded_at = $1 from directory_entry d
		where d.id = n.directory_id and n.superseded_at is null and not (`+entryInForce+`) returning n.id`, now); err != nil {
		return fail("end networks of the directory", err)
	}
	if len(gone) == 0 {
		return nil
	}
	_, err := t.q.ExecContext(ctx, `update source set network_id = null where network_id = any($1)`, pq.Int64Array(gone))
	return fail("release sources of the directory", err)
}

// applyPrefixes makes the networks of entries for prefixes that have none.
func (t *Tx) applyPrefixes(ctx context.Context, now time.Time) error {
	const due = `d.scope = 'prefix' and ` + entryInForce + ` and not exists (select 1 from network n where n.directory_id = d.id and n.superseded_at is null)`
	// Where a prefix is decides whether it is looked at at all: as the entry
	// says, else as its sources do.
	const country = `coalesce(nullif(d.country, ''), (select s.country from source s where s.address between host(network(d.prefix))::inet
		and host(broadcast(d.prefix))::inet and s.country <> '' limit 1), '')`
	for _, q := range []string{
		`insert into owner as o (key, name, country, language, created_at)
			select 'directory:' || d.target, coalesce(nullif(d.name, ''), d.target), ` + country + `, d.language, $1 from directory_entry d where ` + due + `
			on conflict (key) do update set name = excluded.name, language = excluded.language,
				country = coalesce(nullif(excluded.country, ''), o.country)`,
		`insert into network (owner_id, first_address, last_address, name, country, registry, owner_name, raw, fetched_at, expires_at, directory_id)
			select o.id, host(network(d.prefix))::inet, host(broadcast(d.prefix))::inet, o.name, o.country, 'directory', o.name, '', $1,
				coalesce(d.valid_until, '9999-01-01T00:00:00Z'), d.id
			from directory_entry d join owner o on o.key = 'directory:' || d.target where ` + due,
	} {
		if _, err := t.q.ExecContext(ctx, q, now); err != nil {
			return fail("add networks of the directory", err)
		}
	}
	var fresh []int64
	if err := t.q.SelectContext(ctx, &fresh, `insert into network_prefix (network_id, prefix)
		select n.id, d.prefix from network n join directory_entry d on d.id = n.directory_id
		where n.superseded_at is null and not exists (select 1 from network_prefix p where p.network_id = n.id) returning network_id`); err != nil {
		return fail("add prefixes of the directory", err)
	}
	if len(fresh) == 0 {
		return nil
	}
	if _, err := t.q.ExecContext(ctx, `insert into contact (owner_id, network_id, email, name, provenance, gate, why, language, rank, created_at, directory_id)
		select n.owner_id, n.id, d.email, d.name, 'override', 'approve', `+directoryWhy+`, d.language, $3, $1, d.id
		from network n join directory_entry d on d.id = n.directory_id where n.id = any($2)`, now, pq.Int64Array(fresh), rankPrefix); err != nil {
		return fail("add contacts of the directory", err)
	}
	// The longest prefix of the directory wins over all networks of registries.
	for _, q := range []string{
		`update source x set network_id = k.id from (` + inDirectory("source") + `) k where x.address = k.address and x.network_id is distinct from k.id`,
		`update owner_lookup x set state = 'done', network_id = k.id, last_error = '' from (` + inDirectory("owner_lookup") + `) k where x.address = k.address`,
	} {
		if _, err := t.q.ExecContext(ctx, q, pq.Int64Array(fresh)); err != nil {
			return fail("give sources to the directory", err)
		}
	}
	return nil
}

// inDirectory finds the addresses of a table inside the networks $1, each with
// the most specific network of the directory.
func inDirectory(table string) string {
	return `select distinct on (s.address) s.address, m.id from network f join ` + table + ` s on s.address between f.first_address and f.last_address
		join network_prefix p on p.prefix >>= s.address join network m on m.id = p.network_id and m.directory_id is not null and m.superseded_at is null
		where f.id = any($1) order by s.address, masklen(p.prefix) desc, m.id desc`
}

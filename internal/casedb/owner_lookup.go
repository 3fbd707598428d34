package casedb

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/lib/pq"
)

// OwnerLookup is one address whose owner is to be found; the row is also the
// job that asks the registries.
type OwnerLookup struct {
	Address       Addr        `db:"address"`
	State         LookupState `db:"state"`
	Attempts      int         `db:"attempts"`
	NextAttemptAt time.Time   `db:"next_attempt_at"`
	LastError     string      `db:"last_error"`
	NetworkID     *int64      `db:"network_id"`
	CreatedAt     time.Time   `db:"created_at"`
}

// LookupState is the state of an owner lookup.
type LookupState string

// The states, as in the CHECK constraint of table owner_lookup. A failed row
// is a cached negative answer: no worker asks again before its NextAttemptAt.
const (
	LookupDue    LookupState = "due"
	LookupDone   LookupState = "done"
	LookupFailed LookupState = "failed"
)

const lookupColumns = `l.address, l.state, l.attempts, l.next_attempt_at, l.last_error, l.network_id, l.created_at`

// RequestLookups asks for the owners of addresses. One inside a network that
// is known and current belongs to that at once. One that is due stays as it is,
// one that failed stays failed until its time, and one that was done is due
// again: its answer has expired. It uses network_prefix_gist.
func (d *DB) RequestLookups(ctx context.Context, addrs []netip.Addr, now time.Time) error {
	return d.InTx(ctx, func(tx *Tx) error {
		if err := tx.keepDirectory(ctx); err != nil {
			return err
		}
		return tx.requestLookups(ctx, addrs, now)
	})
}

func (t *Tx) requestLookups(ctx context.Context, addrs []netip.Addr, now time.Time) error {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.Unmap().WithZone("").String()
	}
	_, err := t.q.ExecContext(ctx, `with asked as materialized (
			select a.address, k.id as network_id from (select distinct a as address from unnest($1::inet[]) as a) a
			left join lateral (select n.id from network_prefix p join network n on n.id = p.network_id
				where p.prefix >>= a.address and n.superseded_at is null and n.expires_at > $2`+networkOrder+` limit 1) k on true
		), known as (
			update source s set network_id = asked.network_id from asked
			where s.address = asked.address and s.network_id is distinct from asked.network_id and asked.network_id is not null
		)
		insert into owner_lookup as l (address, state, network_id, next_attempt_at, created_at)
		select address, case when network_id is null then 'due' else 'done' end, network_id, $2::timestamptz, $2::timestamptz
		from asked order by address
		on conflict (address) do update set state = excluded.state, network_id = coalesce(excluded.network_id, l.network_id),
			attempts = 0, next_attempt_at = excluded.next_attempt_at
		where l.state = 'done' or (l.state = 'failed' and l.next_attempt_at <= excluded.next_attempt_at)`,
		pq.Array(texts), now)
	return fail("request lookups", err)
}

// OwnerLookup returns the row of the address.
func (q *Queries) OwnerLookup(ctx context.Context, a netip.Addr) (OwnerLookup, error) {
	var l OwnerLookup
	err := q.q.GetContext(ctx, &l, `select `+lookupColumns+` from owner_lookup l where l.address = $1`, Addr{a})
	return l, fail("get lookup", err)
}

// ClaimLookups takes at most limit due rows. Until lease has passed no other
// worker gets them; a worker that dies needs no rescue.
func (q *Queries) ClaimLookups(ctx context.Context, limit int, lease time.Duration, now time.Time) ([]OwnerLookup, error) {
	var l []OwnerLookup
	err := q.q.SelectContext(ctx, &l, `update owner_lookup l set attempts = l.attempts + 1, next_attempt_at = $3
		from (select address from owner_lookup where state = 'due' and next_attempt_at <= $2
			order by next_attempt_at, address limit $1 for update skip locked) d
		where l.address = d.address returning `+lookupColumns, limit, now, now.Add(lease))
	return l, fail("claim lookups", err)
}

// HoldLookup keeps a claimed row from others until the transaction ends.
// ErrStale if the claim was lost, or the row was settled by an answer for its
// range.
func (t *Tx) HoldLookup(ctx context.Context, l OwnerLookup) error {
	if err := t.keepDirectory(ctx); err != nil {
		return err
	}
	return t.settleLookup(ctx, l, `select 1 from owner_lookup where address = $1 and attempts = $2 and state = 'due' for update`)
}

// FinishLookup records that the address belongs to the network. ErrStale if
// the claim was lost to another worker.
func (t *Tx) FinishLookup(ctx context.Context, l OwnerLookup, networkID int64) error {
	if err := t.keepDirectory(ctx); err != nil {
		return err
	}
	if err := t.settleLookup(ctx, l, `update owner_lookup set state = 'done', network_id = $3, last_error = ''
		where address = $1 and attempts = $2 and state = 'due'`, networkID); err != nil {
		return err
	}
	_, err := t.q.ExecContext(ctx, `update source set network_id = $2 where address = $1
		and network_id is distinct from $2`, l.Address, networkID)
	return fail("give source its network", err)
}

// RetryLookup records a failure that another try may mend, and when that is.
func (q *Queries) RetryLookup(ctx context.Context, l OwnerLookup, reason string, at time.Time) error {
	return q.settleLookup(ctx, l, `update owner_lookup set next_attempt_at = $3, last_error = $4
		where address = $1 and attempts = $2 and state = 'due'`, at, CleanLine(reason, 500))
}

// DeferLookup puts a row off that was not asked about at all; that does not
// count as an attempt.
func (q *Queries) DeferLookup(ctx context.Context, l OwnerLookup, reason string, at time.Time) error {
	return q.settleLookup(ctx, l, `update owner_lookup set next_attempt_at = $3, last_error = $4, attempts = attempts - 1
		where address = $1 and attempts = $2 and state = 'due'`, at, CleanLine(reason, 500))
}

// FailLookup records a negative answer, which holds until the given time.
func (q *Queries) FailLookup(ctx context.Context, l OwnerLookup, reason string, until time.Time) error {
	return q.settleLookup(ctx, l, `update owner_lookup set state = 'failed', network_id = null, next_attempt_at = $3,
		last_error = $4 where address = $1 and attempts = $2 and state = 'due'`, until, CleanLine(reason, 500))
}

// settleLookup changes a claimed row unless the claim was lost.
func (q *Queries) settleLookup(ctx context.Context, l OwnerLookup, query string, args ...any) error {
	res, err := q.q.ExecContext(ctx, query, append([]any{l.Address, l.Attempts}, args...)...)
	if err != nil {
		return fail("settle lookup", err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return fmt.Errorf("lookup of %s: %w", l.Address, ErrStale)
	}
	return nil
}

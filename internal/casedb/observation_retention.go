package casedb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// partitionPrefix begins the names of the day partitions of observation; the
// day follows as 20060102.
const partitionPrefix = "observation_"

func partitionName(day time.Time) string { return partitionPrefix + day.Format("20060102") }

// dayOf returns the start of t's day in UTC.
func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// HasDay reports whether there is a place for the observations of a window's day.
func (q *Queries) HasDay(ctx context.Context, window time.Time) (bool, error) {
	return q.hasPartition(ctx, partitionName(dayOf(window)))
}

// ensurePartition makes the partition for the window's day unless it is there.
func (d *DB) ensurePartition(ctx context.Context, window time.Time) error {
	if !timeInRange(window) {
		return fmt.Errorf("window %s is out of range", window)
	}
	day := dayOf(window)
	name := partitionName(day)
	there, err := d.hasPartition(ctx, name)
	if err != nil || there {
		return err
	}
	return d.InTx(ctx, func(t *Tx) error {
		if _, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock($1, $2)`, lockPartition, int32(day.Unix()/86400)); err != nil {
			return fail("lock partition", err)
		}
		if there, err := t.hasPartition(ctx, name); err != nil || there {
			return err
		}
		// Made apart and then attached, because ATTACH lets others write to
		// the parent meanwhile (it takes SHARE UPDATE EXCLUSIVE) where
		// CREATE ... PARTITION OF would shut them out. It makes the index too.
		if _, err := t.q.ExecContext(ctx, `create table `+name+` (like observation including all excluding indexes)`); err != nil {
			return fail("create partition", err)
		}
		_, err := t.q.ExecContext(ctx, fmt.Sprintf(`alter table observation attach partition %s for values from ('%s') to ('%s')`,
			name, day.Format(time.RFC3339), day.AddDate(0, 0, 1).Format(time.RFC3339)))
		return fail("attach partition", err)
	})
}

// hasPartition asks the catalogue with a snapshot: to_regclass can answer from
// a cache that does not know yet what another has committed while we waited
// for an advisory lock.
func (q *Queries) hasPartition(ctx context.Context, name string) (bool, error) {
	var there bool
	err := q.q.GetContext(ctx, &there, `select exists (select 1 from pg_inherits i join pg_class c on c.oid = i.inhrelid
		where i.inhparent = 'observation'::regclass and c.relname = $1)`, name)
	return there, fail("look for partition", err)
}

// ObservationDays returns the days, UTC, that have a partition, oldest first.
func (q *Queries) ObservationDays(ctx context.Context) ([]time.Time, error) {
	var names []string
	err := q.q.SelectContext(ctx, &names, `select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
		where i.inhparent = 'observation'::regclass order by c.relname`)
	if err != nil {
		return nil, fail("list partitions", err)
	}
	days := make([]time.Time, 0, len(names))
	for _, n := range names {
		day, err := time.Parse("20060102", strings.TrimPrefix(n, partitionPrefix))
		if err != nil {
			return nil, fmt.Errorf("partition %s is not named after a day", n)
		}
		days = append(days, day)
	}
	return days, nil
}

// DropObservationsBefore drops the observations of all days before the day of
// the given time, UTC, and returns how many days went. The ledger of batches
// stays, so that what was dropped is not taken for new when it is sent again.
// A partition that is busy for more than a few seconds ends it with an error;
// the next run goes on. Observations that do not count go with the others.
func (d *DB) DropObservationsBefore(ctx context.Context, day time.Time) (dropped int, err error) {
	days, err := d.ObservationDays(ctx)
	if err != nil {
		return 0, err
	}
	for _, old := range days {
		if !old.Before(dayOf(day)) {
			break
		}
		err := d.InTx(ctx, func(t *Tx) error {
			// Dropping waits for all who use the parent, and everybody who
			// comes later waits behind it: rather give up than hold up.
			if _, err := t.q.ExecContext(ctx, `set local lock_timeout = '5s'`); err != nil {
				return fail("set lock timeout", err)
			}
			_, err := t.q.ExecContext(ctx, `drop table if exists `+partitionName(old))
			return fail("drop partition", err)
		})
		if pq.As(err, pqerror.LockNotAvailable) != nil {
			return dropped, fmt.Errorf("observations of %s are busy: %w", old.Format(time.DateOnly), errors.Join(ErrState, err))
		}
		if err != nil {
			return dropped, err
		}
		dropped++
	}
	_, err = d.q.ExecContext(ctx, `delete from observation_aside where window_start < $1`, dayOf(day))
	return dropped, fail("drop observations that do not count", err)
}

package casedb

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"
)

// execer runs a statement in a transaction, of sqlx or not.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// dropRows deletes the observations of batches of which another one has all
// packets.
func dropRows(ctx context.Context, tx execer, batches pq.Int64Array) error {
	for _, q := range []string{
		// The windows lead to the partitions.
		`delete from observation o using batch b where b.id = any($1) and o.window_start = b.window_start and o.batch_id = b.id`,
		`delete from observation_aside where batch_id = any($1)`,
	} {
		if _, err := tx.ExecContext(ctx, q, batches); err != nil {
			return fmt.Errorf("drop covered observations: %w", err)
		}
	}
	return nil
}

// coverBatch records that all packets of a batch are in another one. A judge
// that has claimed it loses its claim: the other batch is judged instead, and
// the verdicts of its sources, which are all of these and more, rest on it.
func coverBatch(ctx context.Context, tx execer, id, by int64, now time.Time) error {
	_, err := tx.ExecContext(ctx, `update batch set standing = 'covered', covered_by = $2, attempts = attempts + 1,
		judged_at = coalesce(judged_at, $3), last_error = '' where id = $1`, id, by, now)
	if err != nil {
		return fmt.Errorf("cover batch: %w", err)
	}
	return nil
}

// OverlapRow is a batch that has, or may have, packets in common with another.
type OverlapRow struct {
	BatchID       int64         `db:"batch_id"`
	Sensor        string        `db:"sensor"`
	Window        time.Time     `db:"window_start"`
	WindowSeconds int           `db:"window_seconds"`
	First         *time.Time    `db:"first_at"`
	Last          *time.Time    `db:"last_at"`
	Packets       int64         `db:"packets"`
	Standing      BatchStanding `db:"standing"`
	File          string        `db:"file"` // empty: a stream
	Relation      Relation      `db:"relation"`
	OtherID       int64         `db:"other_id"`
	OtherFile     string        `db:"other_file"`
	OtherFirst    *time.Time    `db:"other_first"`
	OtherLast     *time.Time    `db:"other_last"`
	OtherPackets  int64         `db:"other_packets"`
	Others        int           `db:"others"`  // batches that it overlaps with, this one included
	Waiting       int           `db:"waiting"` // windows of the same file that wait for a decision
	FoundAt       time.Time     `db:"found_at"`
	DecidedAt     *time.Time    `db:"decided_at"`
	DecidedBy     string        `db:"decided_by"`
}

// BatchOverlaps returns at most limit batches that overlap with others without
// having all of their packets, each with one of these, the newest first: those
// that wait for a decision, or those that were decided, with an id below before
// (0: from the newest).
func (q *Queries) BatchOverlaps(ctx context.Context, waiting bool, before int64, limit int) ([]OverlapRow, error) {
	var list []OverlapRow
	standing := `b.standing <> 'aside'`
	if waiting {
		standing = `b.standing = 'aside'`
	}
	err := q.q.SelectContext(ctx, &list, `select distinct on (v.batch_id) v.batch_id, s.name as sensor, b.window_start, b.window_seconds,
			b.first_at, b.last_at, b.packets, b.standing, coalesce(i.name, '') as file, v.relation, v.other_id, coalesce(j.name, '') as other_file,
			o.first_at as other_first, o.last_at as other_last, o.packets as other_packets, v.found_at, v.decided_at, v.decided_by,
			count(*) over (partition by v.batch_id) as others,
			(select count(*) from batch w where w.import_id = b.import_id and w.standing = 'aside') as waiting
		from batch_overlap v join batch b on b.id = v.batch_id join sensor s on s.id = b.sensor_id join batch o on o.id = v.other_id
		left join import i on i.id = b.import_id left join import j on j.id = o.import_id
		where v.relation <> 'holds' and `+standing+` and ($1::bigint = 0 or v.batch_id < $1)
		order by v.batch_id desc, v.relation, v.other_id limit $2`, before, limit)
	return list, fail("list overlaps", err)
}

// OverlapsWaiting returns how many batches wait for a decision. The index
// batch_aside holds them.
func (q *Queries) OverlapsWaiting(ctx context.Context) (n int, err error) {
	err = q.q.GetContext(ctx, &n, `select count(*) from batch where standing = 'aside'`)
	return n, fail("count overlaps", err)
}

// DecideOverlaps is DecideOverlap for a batch and all others of the same file
// that wait for a decision, in order of time.
func (d *DB) DecideOverlaps(ctx context.Context, batch int64, keep bool, by string, now time.Time) error {
	var ids pq.Int64Array
	if err := d.q.GetContext(ctx, &ids, `select coalesce(array_agg(w.id order by w.window_start, w.id), '{}') from batch b
		join batch w on w.import_id = b.import_id and w.sensor_id = b.sensor_id and w.standing = 'aside' and w.id <> b.id where b.id = $1`, batch); err != nil {
		return fail("find overlaps of file", err)
	}
	for _, id := range append(pq.Int64Array{batch}, ids...) {
		if err := d.DecideOverlap(ctx, id, keep, by, now); err != nil {
			return err
		}
	}
	return nil
}

// DecideOverlap says whether a batch that overlaps with others counts.
// ErrState if it is no such batch, or counts, or does not count, already. The
// sources of a batch that no longer counts are judged again.
func (d *DB) DecideOverlap(ctx context.Context, batch int64, keep bool, by string, now time.Time) error {
	var b struct {
		SensorID int64         `db:"sensor_id"`
		Window   time.Time     `db:"window_start"`
		Standing BatchStanding `db:"standing"`
		Named    bool          `db:"named"`
	}
	const find = `select sensor_id, window_start, standing,
		exists (select 1 from batch_overlap where batch_id = b.id and relation <> 'holds') as named from batch b where id = $1`
	if err := d.q.GetContext(ctx, &b, find, batch); err != nil {
		return fail("find batch", err)
	}
	if keep {
		// Retention may have dropped the day.
		if err := d.ensurePartition(ctx, b.Window); err != nil {
			return err
		}
	}
	return d.InTx(ctx, func(t *Tx) error {
		if _, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock($1, $2)`, lockBatch, int32(b.SensorID)); err != nil {
			return fail("lock sensor", err)
		}
		if err := t.q.GetContext(ctx, &b, find, batch); err != nil {
			return fail("find batch", err)
		}
		if !b.Named || b.Standing == BatchCovered || keep && b.Standing == BatchCounted || !keep && b.Standing == BatchLeftOut {
			return fmt.Errorf("decide overlap of batch %d: %w", batch, ErrState)
		}
		if _, err := t.q.ExecContext(ctx, `update batch_overlap set decided_at = $2, decided_by = $3 where batch_id = $1`, batch, now, by); err != nil {
			return fail("decide overlap", err)
		}
		if keep {
			return t.countBatch(ctx, batch, now)
		}
		return t.leaveOutBatch(ctx, batch, now)
	})
}

// countBatch puts a batch that was aside into the count; what it holds is not
// counted any more.
func (t *Tx) countBatch(ctx context.Context, batch int64, now time.Time) error {
	for _, q := range []string{
		`insert into observation (` + observationColumns + `) select ` + observationColumns + ` from observation_aside where batch_id = $1`,
		`delete from observation_aside where batch_id = $1`,
	} {
		if _, err := t.q.ExecContext(ctx, q, batch); err != nil {
			return fail("count batch", err)
		}
	}
	if _, err := t.q.ExecContext(ctx, `update batch set standing = 'counted', judged_at = null, next_attempt_at = $2 where id = $1`, batch, now); err != nil {
		return fail("count batch", err)
	}
	var held pq.Int64Array
	if err := t.q.GetContext(ctx, &held, `select coalesce(array_agg(v.other_id), '{}') from batch_overlap v join batch o on o.id = v.other_id
		where v.batch_id = $1 and v.relation = 'holds' and o.standing in ('counted','aside')`, batch); err != nil {
		return fail("find covered batches", err)
	}
	if err := dropRows(ctx, t.tx, held); err != nil {
		return err
	}
	for _, id := range held {
		if err := coverBatch(ctx, t.tx, id, batch, now); err != nil {
			return err
		}
	}
	return nil
}

// leaveOutBatch takes a batch out of the count.
func (t *Tx) leaveOutBatch(ctx context.Context, batch int64, now time.Time) error {
	for _, q := range []string{
		`update source s set judged_at = null from (select distinct o.source from observation o join batch b on b.id = $1
			and o.window_start = b.window_start and o.batch_id = b.id) d where s.address = d.source and s.judged_at is not null`,
		`insert into observation_aside (` + observationColumns + `) select ` + observationColumns + ` from observation o
			where o.batch_id = $1 and o.window_start = (select window_start from batch where id = $1)`,
		`delete from observation where batch_id = $1 and window_start = (select window_start from batch where id = $1)`,
	} {
		if _, err := t.q.ExecContext(ctx, q, batch); err != nil {
			return fail("leave out batch", err)
		}
	}
	_, err := t.q.ExecContext(ctx, `update batch set standing = 'left-out', attempts = attempts + 1, judged_at = coalesce(judged_at, $2)
		where id = $1`, batch, now)
	return fail("leave out batch", err)
}

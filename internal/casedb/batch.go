package casedb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"time"

	"teiten/internal/observation"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// lockBatch is the first key of the advisory lock on a sensor's window.
const lockBatch int32 = 0x7e17e911

// rowSource gives the text of a batch's rows, as rowText makes it, in chunks of
// whole rows with the final newline, and returns the sum of their packets. It
// can be run more than once and gives the same each time; chunks are valid
// until yield returns.
type rowSource func(yield func(chunk []byte) error) (packets uint64, err error)

// batchHead is the ledger's data about a batch, without its rows.
type batchHead struct {
	sensor string
	window time.Time
	length time.Duration
	copies uint64
}

// PutBatch writes a batch: its row in the ledger and its observations in one
// transaction, so it is there wholly or not at all. The digest of the content
// names it: a batch that is there already is left alone and written is false.
// The sensor must exist (EnsureSensor), else ErrNotFound. Where IsUnavailable
// says so of the error, the same call can be made again.
//
// It uses bounded memory: rows are formatted as they are sent, and once more
// before that if the sensor has sent something for the window already. The
// times of observations are kept to the microsecond.
func (d *DB) PutBatch(ctx context.Context, b *observation.Batch, importID *int64, now time.Time) (written bool, err error) {
	return d.putRows(ctx, batchHead{b.Sensor, b.Window, b.Length, b.Copies}, formatRows(b), importID, now)
}

// formatRows formats the rows of b again on each run.
func formatRows(b *observation.Batch) rowSource {
	buf := make([]byte, 0, copyChunk+8<<10)
	return func(yield func([]byte) error) (packets uint64, err error) {
		text, err := newRowText(b.Window)
		if err != nil {
			return 0, err
		}
		buf = buf[:0]
		b.Observations(func(o *observation.Observation) bool {
			packets += o.Packets
			if buf, err = text.appendRow(buf, o); err != nil {
				return false
			}
			if len(buf) >= copyChunk {
				err = yield(buf)
				buf = buf[:0]
			}
			return err == nil
		})
		if err == nil && len(buf) > 0 {
			err = yield(buf)
		}
		return packets, err
	}
}

// BatchText is a batch ready to be sent: it outlives the Batch it was made
// from, which package capture takes back, and its memory is used again by the
// next Format. The zero BatchText is empty.
type BatchText struct {
	head    batchHead
	packets uint64
	chunks  [][]byte
	used    int
}

// Format makes t the text of b. It reports false, leaving t empty, if the text
// would need more than about limit bytes; such a batch goes through PutBatch.
func (t *BatchText) Format(b *observation.Batch, limit int) (fits bool, err error) {
	t.head, t.packets, t.used = batchHead{b.Sensor, b.Window, b.Length, b.Copies}, 0, 0
	text, err := newRowText(b.Window)
	if err != nil {
		return false, err
	}
	fits = true
	var chunk []byte
	size := 0
	b.Observations(func(o *observation.Observation) bool {
		if chunk == nil {
			if size += copyChunk; size > limit {
				fits = false
				return false
			}
			chunk = t.next()
		}
		if chunk, err = text.appendRow(chunk, o); err != nil {
			return false
		}
		t.packets += o.Packets
		if len(chunk) >= copyChunk {
			t.chunks[t.used-1], chunk = chunk, nil
		}
		return true
	})
	if err != nil || !fits {
		t.used = 0
		return false, err
	}
	if chunk != nil {
		t.chunks[t.used-1] = chunk
	}
	return true, nil
}

// next returns an empty chunk, used before if possible.
func (t *BatchText) next() []byte {
	if t.used == len(t.chunks) {
		t.chunks = append(t.chunks, make([]byte, 0, copyChunk+4<<10))
	}
	t.used++
	return t.chunks[t.used-1][:0]
}

func (t *BatchText) rows(yield func([]byte) error) (uint64, error) {
	for _, c := range t.chunks[:t.used] {
		if err := yield(c); err != nil {
			return 0, err
		}
	}
	return t.packets, nil
}

// PutBatchText is PutBatch for a batch that was formatted before.
func (d *DB) PutBatchText(ctx context.Context, t *BatchText, importID *int64, now time.Time) (written bool, err error) {
	return d.putRows(ctx, t.head, t.rows, importID, now)
}

// putRows is the one way in for observations.
func (d *DB) putRows(ctx context.Context, h batchHead, rows rowSource, importID *int64, now time.Time) (written bool, err error) {
	if h.length < time.Second || h.length%time.Second != 0 {
		return false, fmt.Errorf("put batch: window length %s is not a number of whole seconds", h.length)
	}
	for try := 0; ; try++ {
		if err := d.ensurePartition(ctx, h.window); err != nil {
			return false, err
		}
		written, err = d.tryPutRows(ctx, h, rows, importID, now)
		// Retention may have dropped the partition in between.
		if pq.As(err, pqerror.CheckViolation) == nil || try == 3 {
			break
		}
	}
	if err != nil {
		return false, fail("put batch", err)
	}
	return written, nil
}

func (d *DB) tryPutRows(ctx context.Context, h batchHead, rows rowSource, importID *int64, now time.Time) (written bool, err error) {
	conn, err := d.db.DB.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() {
		if e := conn.Close(); err == nil && e != nil && !errors.Is(e, sql.ErrConnDone) {
			err = e
		}
	}()
	// The transaction must not be rolled back behind the COPY's back when ctx
	// ends; rowCopier.copy looks at ctx itself.
	free := context.WithoutCancel(ctx)
	tx, err := conn.BeginTx(free, nil)
	if err != nil {
		return false, err
	}
	defer func() {
		if !written {
			_ = tx.Rollback() // err, or the digest being known, is what matters
		}
	}()
	var sensorID int64
	if err := tx.QueryRowContext(ctx, `select id from sensor where name = $1`, h.sensor).Scan(&sensorID); err != nil {
		return false, fmt.Errorf("sensor %s: %w", CleanLine(h.sensor, 80), err)
	}
	// One writer per sensor and window at a time: the second of two imports of
	// one file finds what the first has written instead of writing it again
	// and failing on the ledger's unique index.
	if _, err := tx.ExecContext(ctx, `select pg_advisory_xact_lock($1, $2)`, lockBatch, lockKey(sensorID, h.window)); err != nil {
		return false, err
	}
	var (
		id     int64
		others bool
	)
	if err := tx.QueryRowContext(ctx, `select nextval(pg_get_serial_sequence('batch', 'id')),
		exists (select 1 from batch where sensor_id = $1 and window_start = $2)`,
		sensorID, h.window.UTC()).Scan(&id, &others); err != nil {
		return false, err
	}
	if others {
		known, err := knownBatch(ctx, tx, sensorID, h.window, rows)
		if err != nil || known {
			return false, err
		}
	}
	c := rowCopier{prefix: fmt.Appendf(nil, "%d\t%d\t", id, sensorID), digest: sha256.New()}
	// Raw must not see the error: at driver.ErrBadConn it closes the connection
	// at once, and waits for the transaction to let go of it, for ever.
	var failed error
	err = conn.Raw(func(driverConn any) error {
		failed = c.copy(ctx, driverConn, rows)
		return nil
	})
	if err = errors.Join(err, failed); err != nil || c.rows == 0 {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `insert into batch (id, sensor_id, import_id, window_start, window_seconds, digest,
			packets, observations, copies, count_rule, created_at, next_attempt_at)
		overriding system value values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)`,
		id, sensorID, importID, h.window.UTC(), int(h.length/time.Second), c.digest.Sum(nil), bigint(c.packets), c.rows,
		bigint(h.copies), observation.CountRule, now)
	if err != nil {
		return false, err
	}
	if err := tx.Commit(); err != nil {
		return false, err
	}
	return true, nil
}

// lockKey folds a sensor and window into the second key of an advisory lock.
// Two that fold into the same wait for each other, which does no harm.
func lockKey(sensorID int64, window time.Time) int32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%d %d", sensorID, window.Unix())
	return int32(h.Sum32())
}

// knownBatch reports whether the ledger has the batch.
func knownBatch(ctx context.Context, tx *sql.Tx, sensorID int64, window time.Time, rows rowSource) (known bool, err error) {
	digest := sha256.New()
	if _, err := rows(func(chunk []byte) error {
		digest.Write(chunk)
		return ctx.Err()
	}); err != nil {
		return false, err
	}
	err = tx.QueryRowContext(ctx, `select exists (select 1 from batch
		where sensor_id = $1 and window_start = $2 and digest = $3)`, sensorID, window.UTC(), digest.Sum(nil)).Scan(&known)
	return known, err
}

// rowCopier sends rows by COPY, taking their digest as they pass.
type rowCopier struct {
	prefix  []byte // the ids that stand before each row
	digest  hash.Hash
	rows    int
	packets uint64
	buf     []byte
}

// copyData is the driver statement's way to take ready text.
type copyData interface {
	CopyData(ctx context.Context, text string) (driver.Result, error)
}

// copyStatement names the columns in the order of rowText.
const copyStatement = `copy observation (` + observationColumns + `) from stdin`

func (c *rowCopier) copy(ctx context.Context, driverConn any, rows rowSource) (err error) {
	preparer, ok := driverConn.(driver.ConnPrepareContext)
	if !ok {
		return fmt.Errorf("the driver's %T cannot prepare", driverConn)
	}
	// A context that can be cancelled costs a goroutine per call and would
	// break the connection in mid-COPY, so the driver gets one that cannot.
	free := context.WithoutCancel(ctx)
	stmt, err := preparer.PrepareContext(free, copyStatement)
	if err != nil {
		return err
	}
	// Close ends the COPY and waits for the server's word; what was sent of a
	// broken batch goes with the transaction.
	defer func() {
		if e := stmt.Close(); err == nil {
			err = e
		}
	}()
	in, ok := stmt.(copyData)
	if !ok {
		return fmt.Errorf("the driver's %T takes no ready text", stmt)
	}
	c.packets, err = rows(func(chunk []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.digest.Write(chunk)
		c.buf = c.buf[:0]
		for len(chunk) > 0 {
			end := bytes.IndexByte(chunk, '\n') + 1
			c.buf = append(c.buf, c.prefix...)
			c.buf = append(c.buf, chunk[:end]...)
			chunk = chunk[end:]
			c.rows++
		}
		// The driver adds the last newline.
		_, err := in.CopyData(free, string(c.buf[:len(c.buf)-1]))
		return err
	})
	return err
}

// BatchRef is a batch claimed for judgement.
type BatchRef struct {
	ID            int64     `db:"id"`
	SensorID      int64     `db:"sensor_id"`
	Sensor        string    `db:"sensor"`
	Window        time.Time `db:"window_start"`
	WindowSeconds int       `db:"window_seconds"`
	Packets       int64     `db:"packets"`
	Observations  int       `db:"observations"`
	Attempts      int       `db:"attempts"` // this claim included
}

// Length returns the length of the batch's window.
func (b *BatchRef) Length() time.Duration { return time.Duration(b.WindowSeconds) * time.Second }

// ClaimBatches takes at most limit batches that are not judged, those of the
// oldest windows first. Until now+lease no other process can take them; if the
// process dies, they can be taken after that time.
//
// The partial index batch_unjudged finds them.
func (q *Queries) ClaimBatches(ctx context.Context, limit int, now time.Time, lease time.Duration) ([]BatchRef, error) {
	var refs []BatchRef
	err := q.q.SelectContext(ctx, &refs, `with due as (
			select id from batch where judged_at is null and next_attempt_at <= $1
			order by window_start, id limit $2 for update skip locked),
		claimed as (
			update batch b set attempts = b.attempts + 1, next_attempt_at = $3 from due where b.id = due.id
			returning `+of("b", batchRefColumns)+`)
		select `+of("c", batchRefColumns)+`, s.name as sensor
		from claimed c join sensor s on s.id = c.sensor_id order by c.window_start, c.id`, now, limit, now.Add(lease))
	for i := range refs {
		refs[i].Window = refs[i].Window.UTC()
	}
	return refs, fail("claim batches", err)
}

// FinishBatches records that the claimed batches are judged. ErrStale if one
// of them has been claimed by another process since: the transaction must then be
// rolled back with all results of the batches.
func (q *Queries) FinishBatches(ctx context.Context, refs []BatchRef, now time.Time) error {
	ids, attempts := make(pq.Int64Array, len(refs)), make(pq.Int64Array, len(refs))
	for i, r := range refs {
		ids[i], attempts[i] = r.ID, int64(r.Attempts)
	}
	res, err := q.q.ExecContext(ctx, `update batch b set judged_at = $3, last_error = ''
		from unnest($1::bigint[], $2::bigint[]) as c (id, attempts)
		where b.id = c.id and b.attempts = c.attempts and b.judged_at is null`, ids, attempts, now)
	if err != nil {
		return fail("finish batches", err)
	}
	if n, _ := res.RowsAffected(); n != int64(len(refs)) {
		return fmt.Errorf("finish batches: %w", ErrStale)
	}
	return nil
}

// FailBatch records why a claimed batch could not be judged, and when to try
// again. ErrStale if another process has claimed it since.
func (q *Queries) FailBatch(ctx context.Context, r BatchRef, reason string, next time.Time) error {
	res, err := q.q.ExecContext(ctx, `update batch set last_error = $3, next_attempt_at = $4
		where id = $1 and attempts = $2 and judged_at is null`, r.ID, r.Attempts, CleanLine(reason, 1000), next)
	if err != nil {
		return fail("fail batch", err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return fmt.Errorf("fail batch %d: %w", r.ID, ErrStale)
	}
	return nil
}

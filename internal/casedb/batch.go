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
	"time"

	"teiten/internal/observation"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// lockBatch is the first key of the advisory lock on a sensor's batches.
const lockBatch int32 = 0x7e17e911

// rowSource gives the text of a batch's rows, as rowText makes it, in chunks of
// whole rows with the final newline, and returns their sums. It can be run
// more than once and gives the same each time; chunks are valid until yield
// returns.
type rowSource func(yield func(chunk []byte) error) (rowSums, error)

// rowSums are the figures of a batch for the ledger. The times are cut to the
// microsecond, as those of the rows are.
type rowSums struct {
	packets     uint64
	first, last time.Time
}

func (s *rowSums) add(o *observation.Observation) {
	if s.packets == 0 {
		s.first, s.last = o.First, o.Last
	}
	s.packets += o.Packets
	s.first, s.last = earlier(s.first, o.First), later(s.last, o.Last)
}

// cut returns the sums with times as the database keeps them.
func (s rowSums) cut() rowSums {
	s.first, s.last = s.first.UTC().Truncate(time.Microsecond), s.last.UTC().Truncate(time.Microsecond)
	return s
}

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
// So it is if another batch of the sensor has all of its packets. A batch that
// has all packets of a stored one takes its place. What becomes of any other
// batch of the same time is for the run to say; run may be nil, then both count.
// The sensor must exist (EnsureSensor), else ErrNotFound. Where IsUnavailable
// says so of the error, the same call can be made again.
//
// It uses bounded memory: rows are formatted as they are sent, and once more
// before that if the sensor has sent something for the window already. The
// times of observations are kept to the microsecond.
func (d *DB) PutBatch(ctx context.Context, b *observation.Batch, run *Arrivals, now time.Time) (written bool, err error) {
	return d.putRows(ctx, batchHead{b.Sensor, b.Window, b.Length, b.Copies}, formatRows(b), run, now)
}

// formatRows formats the rows of b again on each run.
func formatRows(b *observation.Batch) rowSource {
	buf := make([]byte, 0, copyChunk+8<<10)
	return func(yield func([]byte) error) (sums rowSums, err error) {
		text, err := newRowText(b.Window)
		if err != nil {
			return sums, err
		}
		buf = buf[:0]
		b.Observations(func(o *observation.Observation) bool {
			sums.add(o)
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
		return sums, err
	}
}

// BatchText is a batch ready to be sent: it outlives the Batch it was made
// from, which package capture takes back, and its memory is used again by the
// next Format. The zero BatchText is empty.
type BatchText struct {
	head   batchHead
	sums   rowSums
	chunks [][]byte
	used   int
}

// Format makes t the text of b. It reports false, leaving t empty, if the text
// would need more than about limit bytes; such a batch goes through PutBatch.
func (t *BatchText) Format(b *observation.Batch, limit int) (fits bool, err error) {
	t.head, t.sums, t.used = batchHead{b.Sensor, b.Window, b.Length, b.Copies}, rowSums{}, 0
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
		t.sums.add(o)
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

func (t *BatchText) rows(yield func([]byte) error) (rowSums, error) {
	for _, c := range t.chunks[:t.used] {
		if err := yield(c); err != nil {
			return rowSums{}, err
		}
	}
	return t.sums, nil
}

// PutBatchText is PutBatch for a batch that was formatted before.
func (d *DB) PutBatchText(ctx context.Context, t *BatchText, run *Arrivals, now time.Time) (written bool, err error) {
	return d.putRows(ctx, t.head, t.rows, run, now)
}

// putRows is the one way in for observations.
func (d *DB) putRows(ctx context.Context, h batchHead, rows rowSource, run *Arrivals, now time.Time) (written bool, err error) {
	if h.length < time.Second || h.length%time.Second != 0 {
		return false, fmt.Errorf("put batch: window length %s is not a number of whole seconds", h.length)
	}
	if run == nil {
		run = &Arrivals{Overlap: OverlapKeep}
	}
	var o arrival
	for try := 0; ; try++ {
		if err := d.ensurePartition(ctx, h.window); err != nil {
			return false, err
		}
		o, err = d.tryPutRows(ctx, h, rows, run, now)
		// Retention may have dropped the partition in between.
		if pq.As(err, pqerror.CheckViolation) == nil || try == 3 {
			break
		}
	}
	if err != nil {
		return false, fail("put batch", err)
	}
	run.note(o)
	return o.written, nil
}

// tryPutRows is one try of putRows: one transaction.
func (d *DB) tryPutRows(ctx context.Context, h batchHead, rows rowSource, run *Arrivals, now time.Time) (o arrival, err error) {
	conn, err := d.db.DB.Conn(ctx)
	if err != nil {
		return o, err
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
		return o, err
	}
	p := batchPut{conn: conn, tx: tx, head: h, rows: rows, run: run, now: now}
	if o, err = p.put(ctx); err != nil || !p.changed {
		_ = tx.Rollback() // err, or the batch being known, is what matters
		return o, err
	}
	if err := tx.Commit(); err != nil {
		return arrival{}, err
	}
	return o, nil
}

// batchPut is the transaction that stores one batch.
type batchPut struct {
	conn    *sql.Conn
	tx      *sql.Tx
	head    batchHead
	rows    rowSource
	run     *Arrivals
	now     time.Time
	changed bool // there is something to commit

	id, sensorID int64
	copier       rowCopier
}

func (p *batchPut) put(ctx context.Context) (o arrival, err error) {
	h := &p.head
	if err := p.tx.QueryRowContext(ctx, `select id from sensor where name = $1`, h.sensor).Scan(&p.sensorID); err != nil {
		return o, fmt.Errorf("sensor %s: %w", CleanLine(h.sensor, 80), err)
	}
	// One writer per sensor at a time: the second of two imports of one file
	// finds what the first has written instead of writing it again and failing
	// on the ledger's unique index, and of two batches of one time one sees the
	// other, whatever the length of their windows.
	if _, err := p.tx.ExecContext(ctx, `select pg_advisory_xact_lock($1, $2)`, lockBatch, int32(p.sensorID)); err != nil {
		return o, err
	}
	var near bool // is there anything that could be the same?
	if err := p.tx.QueryRowContext(ctx, `select nextval(pg_get_serial_sequence('batch', 'id')),
		exists (select 1 from batch where sensor_id = $1 and window_start > $2 and window_start < $3)`,
		p.sensorID, h.window.UTC().Add(-longestWindow), h.window.UTC().Add(h.length)).Scan(&p.id, &near); err != nil {
		return o, err
	}
	if near {
		if o, err = p.known(ctx); err != nil || o.id != 0 {
			return o, err
		}
		if _, err := p.tx.ExecContext(ctx, `savepoint before_rows`); err != nil {
			return o, err
		}
	}
	if err := p.copy(ctx, "observation"); err != nil || p.copier.rows == 0 {
		return o, err
	}
	if near {
		if o, err = p.place(ctx); err != nil {
			return o, err
		}
	} else {
		o = arrival{id: p.id, written: true, standing: BatchCounted}
	}
	o.from, o.to, o.packets = h.window.UTC(), h.window.UTC().Add(h.length), p.copier.sums.packets
	p.changed = true
	return o, p.record(ctx, &o)
}

// longestWindow is the length of the longest window there can be (package
// capture).
const longestWindow = 24 * time.Hour

// copy sends the rows into the table.
func (p *batchPut) copy(ctx context.Context, table string) error {
	p.copier = rowCopier{table: table, packer: packer{window: p.head.window}, prefix: fmt.Appendf(nil, "%d\t%d\t", p.id, p.sensorID), digest: sha256.New()}
	// Raw must not see the error: at driver.ErrBadConn it closes the connection
	// at once, and waits for the transaction to let go of it, for ever.
	var failed error
	err := p.conn.Raw(func(driverConn any) error {
		failed = p.copier.copy(ctx, driverConn, p.rows)
		return nil
	})
	return errors.Join(err, failed)
}

// record writes the batch's row in the ledger.
func (p *batchPut) record(ctx context.Context, o *arrival) error {
	sums := p.copier.sums.cut()
	var judged *time.Time
	if o.standing != BatchCounted {
		judged = &p.now // there is nothing to judge
	}
	var covering *int64
	if o.coveredBy != 0 {
		covering = &o.coveredBy
	}
	_, err := p.tx.ExecContext(ctx, `insert into batch (id, sensor_id, import_id, window_start, window_seconds, digest, packets, observations,
			copies, count_rule, created_at, next_attempt_at, first_at, last_at, country_data, standing, covered_by, judged_at)
		overriding system value values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $13, $14, $15, $16, $17)`,
		p.id, p.sensorID, p.run.ImportID, p.head.window.UTC(), int(p.head.length/time.Second), p.copier.digest.Sum(nil), bigint(sums.packets),
		p.copier.rows, bigint(p.head.copies), observation.CountRule, p.now, sums.first, sums.last, p.run.CountryData, string(o.standing), covering, judged)
	if err != nil {
		return err
	}
	return p.recordOverlaps(ctx, o)
}

// known looks for the batch in the ledger; the arrival's id is 0 if it is not there.
func (p *batchPut) known(ctx context.Context) (o arrival, err error) {
	digest := sha256.New()
	sums, err := p.rows(func(chunk []byte) error {
		digestRows(digest, chunk)
		return ctx.Err()
	})
	if err != nil {
		return o, err
	}
	err = p.tx.QueryRowContext(ctx, `select id, standing from batch where sensor_id = $1 and window_start = $2 and digest = $3`,
		p.sensorID, p.head.window.UTC(), digest.Sum(nil)).Scan(&o.id, &o.standing)
	if errors.Is(err, sql.ErrNoRows) {
		return arrival{}, nil
	}
	if err != nil {
		return o, err
	}
	o.from, o.to, o.packets = p.head.window.UTC(), p.head.window.UTC().Add(p.head.length), sums.packets
	o.overlaps, err = p.namedOverlaps(ctx, o.id)
	return o, err
}

// rowCopier sends rows by COPY, taking their digest as they pass.
type rowCopier struct {
	table  string
	prefix []byte // the ids that stand before each row
	digest hash.Hash
	packer packer
	rows   int
	sums   rowSums
	buf    []byte
}

// copyData is the driver statement's way to take ready text.
type copyData interface {
	CopyData(ctx context.Context, text string) (driver.Result, error)
}

// digestRows adds rows to a batch's digest, but not the country with which each
// begins: that is no part of the capture, and another one when data are newer.
func digestRows(digest hash.Hash, rows []byte) {
	for len(rows) > 0 {
		end := bytes.IndexByte(rows, '\n') + 1
		digest.Write(rows[countryLength:end])
		rows = rows[end:]
	}
}

func (c *rowCopier) copy(ctx context.Context, driverConn any, rows rowSource) (err error) {
	preparer, ok := driverConn.(driver.ConnPrepareContext)
	if !ok {
		return fmt.Errorf("the driver's %T cannot prepare", driverConn)
	}
	// A context that can be cancelled costs a goroutine per call and would
	// break the connection in mid-COPY, so the driver gets one that cannot.
	free := context.WithoutCancel(ctx)
	stmt, err := preparer.PrepareContext(free, `copy `+c.table+` (`+observationColumns+`) from stdin`) // in the order of rowText and packer
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
	c.sums, err = rows(func(chunk []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		digestRows(c.digest, chunk)
		c.buf = c.buf[:0]
		for len(chunk) > 0 {
			end := bytes.IndexByte(chunk, '\n') + 1
			c.buf = append(c.buf, c.prefix...)
			c.buf = c.packer.appendRow(c.buf, chunk[:end])
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

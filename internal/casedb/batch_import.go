package casedb

import (
	"context"
	"fmt"
	"time"
)

// Import is one capture file given to `teiten import`.
type Import struct {
	ID            int64                   `db:"id"`
	SensorID      int64                   `db:"sensor_id"`
	Digest        []byte                  `db:"digest"` // names the content, 32 bytes
	Name          string                  `db:"name"`
	SizeBytes     int64                   `db:"size_bytes"`
	WindowSeconds int                     `db:"window_seconds"`
	KeyLimit      int                     `db:"key_limit"`
	Packets       int64                   `db:"packets"`
	Skipped       JSON[map[string]uint64] `db:"skipped"`
	Truncated     bool                    `db:"truncated"`
	StartedAt     time.Time               `db:"started_at"`
	CompletedAt   *time.Time              `db:"completed_at"`
}

// Window returns the length of the windows the file is tallied in.
func (i *Import) Window() time.Duration { return time.Duration(i.WindowSeconds) * time.Second }

const importColumns = `id, sensor_id, digest, name, size_bytes, window_seconds, key_limit, packets, skipped, truncated,
	started_at, completed_at`

// NewImport is the data that BeginImport records.
type NewImport struct {
	Sensor    string
	Digest    []byte // names the content, 32 bytes
	Name      string
	SizeBytes int64
	Window    time.Duration
	KeyLimit  int
}

// BeginImport records that a file is about to be read. It reports done when
// the file was completed before: then it must not be read again. An import
// that was broken off is resumed: its recorded window and key limit are
// returned and must be used instead of those asked for, so that its batches
// come out the same and those already there are recognised.
func (d *DB) BeginImport(ctx context.Context, n NewImport, now time.Time) (i Import, done bool, err error) {
	s, err := d.EnsureSensor(ctx, n.Sensor, now)
	if err != nil {
		return i, false, fmt.Errorf("begin import: %w", err)
	}
	if n.Window < time.Second || n.Window%time.Second != 0 {
		return i, false, fmt.Errorf("begin import: window %s is not a number of whole seconds", n.Window)
	}
	if _, err := d.q.ExecContext(ctx, `insert into import
		(sensor_id, digest, name, size_bytes, window_seconds, key_limit, started_at)
		values ($1, $2, $3, $4, $5, $6, $7) on conflict (sensor_id, digest) do nothing`,
		s.ID, n.Digest, CleanLine(n.Name, 1000), n.SizeBytes, int(n.Window/time.Second), n.KeyLimit, now); err != nil {
		return i, false, fail("begin import", err)
	}
	err = d.q.GetContext(ctx, &i, `select `+importColumns+` from import where sensor_id = $1 and digest = $2`, s.ID, n.Digest)
	return i, i.CompletedAt != nil, fail("begin import", err)
}

// FinishImport records that all batches of the file are there, with the
// number of packets read, those skipped by reason, and whether the file was
// cut short. Finishing twice changes nothing.
func (q *Queries) FinishImport(ctx context.Context, id int64, packets uint64, skipped map[string]uint64, truncated bool, now time.Time) error {
	if skipped == nil {
		skipped = map[string]uint64{}
	}
	_, err := q.q.ExecContext(ctx, `update import set packets = $2, skipped = $3, truncated = $4, completed_at = $5
		where id = $1 and completed_at is null`, id, bigint(packets), JSON[map[string]uint64]{skipped}, truncated, now)
	return fail("finish import", err)
}

// DropImport forgets an import that came to nothing: no batch of it is there.
// One that has batches or is complete stays.
func (q *Queries) DropImport(ctx context.Context, id int64) error {
	_, err := q.q.ExecContext(ctx, `delete from import i where id = $1 and completed_at is null
		and not exists (select 1 from batch b where b.sensor_id = i.sensor_id and b.import_id = i.id)`, id)
	return fail("drop import", err)
}

// ListedImport is an import with what the ledger says of its windows.
type ListedImport struct {
	Import
	Sensor   string     `db:"sensor"`
	Windows  int        `db:"windows"`
	Aside    int        `db:"aside"`     // windows that wait for a decision
	NotKept  int        `db:"not_kept"`  // windows that are counted with another capture, or left out
	LiveFrom *time.Time `db:"live_from"` // when the sensor was live by this file
	LiveTo   *time.Time `db:"live_to"`
}

// ListImports is Imports with the sensor's name and the standing of the windows.
// The index batch_import finds these.
func (q *Queries) ListImports(ctx context.Context, before int64, limit int) ([]ListedImport, error) {
	var list []ListedImport
	err := q.q.SelectContext(ctx, &list, `select `+of("i", importColumns)+`, s.name as sensor, b.windows, b.aside, b.not_kept, l.live_from, l.live_to
		from (select * from import where $1::bigint = 0 or id < $1 order by id desc limit $2) i join sensor s on s.id = i.sensor_id
		left join sensor_live l on l.import_id = i.id,
		lateral (select count(*) as windows, count(*) filter (where standing = 'aside') as aside,
			count(*) filter (where standing in ('covered','left-out')) as not_kept from batch where import_id = i.id) b
		order by i.id desc`, before, limit)
	return list, fail("list imports", err)
}

// Imports returns the newest imports, newest first, at most limit with ids
// below before (0: from the newest).
func (q *Queries) Imports(ctx context.Context, before int64, limit int) ([]Import, error) {
	var i []Import
	err := q.q.SelectContext(ctx, &i, `select `+importColumns+` from import
		where $1::bigint = 0 or id < $1 order by id desc limit $2`, before, limit)
	return i, fail("list imports", err)
}

// NoteLive records that a sensor was live in a stretch of time: that of an
// import, which has one, or of a stream.
func (q *Queries) NoteLive(ctx context.Context, sensor string, importID *int64, from, to time.Time) error {
	conflict := `on conflict (import_id) where import_id is not null do update set live_from = least(l.live_from, excluded.live_from),
		live_to = greatest(l.live_to, excluded.live_to)`
	_, err := q.q.ExecContext(ctx, `insert into sensor_live as l (sensor_id, import_id, live_from, live_to)
		select id, $2::bigint, $3::timestamptz, $4::timestamptz from sensor s where name = $1
			and ($2::bigint is not null or not exists (select 1 from sensor_live o where o.sensor_id = s.id and o.live_from = $3 and o.live_to = $4))
		`+conflict, sensor, importID, from.UTC(), to.UTC())
	return fail("note live time of sensor", err)
}

// SensorLive is how long a sensor was live in a time.
type SensorLive struct {
	Sensor  string `db:"sensor"`
	Seconds int64  `db:"seconds"`
}

// LiveSeconds returns for each sensor how many seconds it was live between two
// times; stretches that overlap count once.
func (q *Queries) LiveSeconds(ctx context.Context, from, to time.Time) ([]SensorLive, error) {
	var list []SensorLive
	err := q.q.SelectContext(ctx, &list, `select s.name as sensor, coalesce((select sum(extract(epoch from upper(r) - lower(r)))
			from unnest((select range_agg(tstzrange(greatest(l.live_from, $1), least(l.live_to, $2))) from sensor_live l
				where l.sensor_id = s.id and l.live_from < $2 and l.live_to > $1)) as r), 0)::bigint as seconds
		from sensor s order by s.name`, from.UTC(), to.UTC())
	return list, fail("live seconds", err)
}

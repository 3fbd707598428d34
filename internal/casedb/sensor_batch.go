package casedb

import (
	"context"
	"encoding/json"
	"time"
)

// SensorBatch is a batch as a sensor offered it.
type SensorBatch struct {
	Sensor  int64
	Name    string
	Digest  []byte // SHA-256 of the file
	Window  time.Time
	Seconds int
	Packets, Copies,
	Dropped uint64
	Program string
	Facts   json.RawMessage
}

// SensorBatchDigest returns the digest under which a sensor's batch of the name is
// stored, or ErrNotFound.
func (q *Queries) SensorBatchDigest(ctx context.Context, sensor int64, name string) ([]byte, error) {
	var digest []byte
	err := q.q.GetContext(ctx, &digest, `select digest from sensor_batch where sensor_id = $1 and name = $2`, sensor, name)
	return digest, fail("get batch of sensor", err)
}

// NoteSensorBatch notes a batch whose observations are stored, and the time in which
// the sensor listened.
func (d *DB) NoteSensorBatch(ctx context.Context, b SensorBatch, from, to, now time.Time) error {
	return d.InTx(ctx, func(tx *Tx) error {
		res, err := tx.q.ExecContext(ctx, `insert into sensor_batch (sensor_id, name, digest, window_start, window_seconds, packets, copies, dropped, program, facts, received_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (sensor_id, name) do nothing`,
			b.Sensor, b.Name, b.Digest, b.Window.UTC(), b.Seconds, bigint(b.Packets), bigint(b.Copies), bigint(b.Dropped), CleanLine(b.Program, 200), []byte(b.Facts), now)
		if err != nil {
			return fail("note batch of sensor", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 || !to.After(from) {
			return fail("note batch of sensor", err)
		}
		return tx.noteListened(ctx, b.Sensor, from, to)
	})
}

// noteListened adds to the time in which a sensor was live: windows that follow each
// other are one stretch.
func (t *Tx) noteListened(ctx context.Context, sensor int64, from, to time.Time) error {
	res, err := t.q.ExecContext(ctx, `update sensor_live set live_to = $3 where id = (select id from sensor_live
		where sensor_id = $1 and import_id is null and live_to = $2 and live_to < $3 order by id desc limit 1)`, sensor, from.UTC(), to.UTC())
	if err != nil {
		return fail("note live time of sensor", err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return fail("note live time of sensor", err)
	}
	_, err = t.q.ExecContext(ctx, `insert into sensor_live (sensor_id, live_from, live_to) select $1, $2, $3
		where not exists (select 1 from sensor_live where sensor_id = $1 and live_from <= $2 and live_to >= $3)`, sensor, from.UTC(), to.UTC())
	return fail("note live time of sensor", err)
}

// NoteBeat keeps a sensor's heartbeat; skew is its clock minus ours.
func (q *Queries) NoteBeat(ctx context.Context, sensor int64, beat json.RawMessage, version string, skew time.Duration, now time.Time) error {
	_, err := q.q.ExecContext(ctx, `insert into sensor_beat (sensor_id, received_at, skew_ms, version, beat) values ($1, $2, $3, $4, $5)
		on conflict (sensor_id) do update set received_at = excluded.received_at, skew_ms = excluded.skew_ms, version = excluded.version, beat = excluded.beat`,
		sensor, now, skew.Milliseconds(), CleanLine(version, 200), []byte(beat))
	return fail("note heartbeat of sensor", err)
}

// SensorHealth is how a sensor is.
type SensorHealth struct {
	Sensor
	LastBatch     *time.Time `db:"last_batch"` // end of its latest window
	Packets24h    int64      `db:"packets_24h"`
	Dropped24h    int64      `db:"dropped_24h"`
	PacketsHour   int64      `db:"packets_hour"`
	DroppedHour   int64      `db:"dropped_hour"`
	SpoolBatches  int64      `db:"spool_batches"`
	SkewMS        int64      `db:"skew_ms"`
	Version       string     `db:"version"`
	LastHeartbeat *time.Time `db:"last_heartbeat"`
}

// SensorsHealth returns all sensors with how they are, in the order of their names.
func (q *Queries) SensorsHealth(ctx context.Context, now time.Time) ([]SensorHealth, error) {
	var list []SensorHealth
	err := q.q.SelectContext(ctx, &list, `select s.id, s.name, s.networks, s.note, s.created_at, s.sensor_group, s.country, s.place, s.holder, s.auto_networks, s.window_seconds,
			s.payload_bytes, s.key_limit, s.config_version, s.retired_at, l.last_batch, coalesce(d.packets, 0) as packets_24h, coalesce(d.dropped, 0) as dropped_24h,
			coalesce(d.packets_hour, 0) as packets_hour, coalesce(d.dropped_hour, 0) as dropped_hour,
			coalesce((b.beat->'spool'->>'batches')::bigint, 0) as spool_batches, coalesce(b.skew_ms, 0) as skew_ms, coalesce(b.version, '') as version, b.received_at as last_heartbeat
		from sensor s left join sensor_beat b on b.sensor_id = s.id
		left join lateral (select max(e) as last_batch from (
			(select window_start + window_seconds * interval '1 second' as e from sensor_batch where sensor_id = s.id order by window_start desc limit 1)
			union all (select window_start + window_seconds * interval '1 second' from batch where sensor_id = s.id order by window_start desc limit 1)) x) l on true
		left join lateral (select sum(packets) as packets, sum(dropped) as dropped, sum(packets) filter (where window_start > $1::timestamptz - interval '1 hour') as packets_hour,
			sum(dropped) filter (where window_start > $1::timestamptz - interval '1 hour') as dropped_hour
			from sensor_batch where sensor_id = s.id and window_start > $1::timestamptz - interval '24 hours' and window_start <= $1) d on true
		order by s.name`, now.UTC())
	return list, fail("list sensors", err)
}

// SensorState is what a sensor is in one word.
type SensorState string

// The states of a sensor.
const (
	SensorStateLive     SensorState = "live"
	SensorStateDegraded SensorState = "degraded" // it drops packets, or its clock is wrong
	SensorStateSilent   SensorState = "silent"   // nothing came for its window and five minutes
	SensorStateRetired  SensorState = "retired"
)

// Bounds between live and degraded, as reports have them: more than one packet in a
// thousand dropped, or a clock more than five seconds wrong.
const (
	degradedDrops = 1000
	degradedSkew  = 5 * time.Second
	silentAfter   = 5 * time.Minute
)

// State says how the sensor is at a time. A sensor whose captures are imported is
// live for as long as one whose batches arrive.
func (h *SensorHealth) State(now time.Time) SensorState {
	if h.RetiredAt != nil {
		return SensorStateRetired
	}
	heard := func(t *time.Time, within time.Duration) bool { return t != nil && now.Sub(*t) <= within }
	if !heard(h.LastHeartbeat, silentAfter) && !heard(h.LastBatch, time.Duration(h.WindowSeconds)*time.Second+silentAfter) {
		return SensorStateSilent
	}
	if h.DroppedHour*degradedDrops > h.PacketsHour+h.DroppedHour || time.Duration(h.SkewMS)*time.Millisecond > degradedSkew || time.Duration(h.SkewMS)*time.Millisecond < -degradedSkew {
		return SensorStateDegraded
	}
	return SensorStateLive
}

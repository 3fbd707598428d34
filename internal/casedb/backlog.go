package casedb

import (
	"context"
	"time"
)

// DueRows is how much work of one kind waits.
type DueRows struct {
	Queue   string     `db:"queue"`
	Due     int        `db:"due"`
	Waiting int        `db:"waiting"` // with what was put off: an answer that failed, a registry's rate
	Oldest  *time.Time `db:"oldest"`  // when the longest waiting row became due
}

// AttributionBacklog returns how many batches wait to be judged and how many
// addresses for their owner. Each count comes from a partial index of due rows.
func (q *Queries) AttributionBacklog(ctx context.Context, now time.Time) ([]DueRows, error) {
	var b []DueRows
	err := q.q.SelectContext(ctx, &b, `
		select 'batch' as queue, count(*) filter (where next_attempt_at <= $1) as due, count(*) as waiting,
			min(next_attempt_at) filter (where next_attempt_at <= $1) as oldest from batch where judged_at is null
		union all select 'lookup', count(*) filter (where next_attempt_at <= $1), count(*),
			min(next_attempt_at) filter (where next_attempt_at <= $1) from owner_lookup where state = 'due'`, now)
	return b, fail("count due rows", err)
}

// SensorNewest is the newest window that came from a sensor.
type SensorNewest struct {
	Sensor string     `db:"sensor"`
	Window *time.Time `db:"window_start"`
}

// SensorsNewest returns the newest window of each sensor; nil for a sensor that
// has never sent anything. It reads one index entry per sensor.
func (q *Queries) SensorsNewest(ctx context.Context) ([]SensorNewest, error) {
	var s []SensorNewest
	err := q.q.SelectContext(ctx, &s, `select s.name as sensor, (select max(b.window_start) from batch b
		where b.sensor_id = s.id) as window_start from sensor s order by s.name`)
	return s, fail("newest windows", err)
}

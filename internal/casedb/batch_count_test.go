package casedb_test

import (
	"context"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
	"teiten/internal/pgtest"
)

// TestBatchKeepsHowItWasCounted: a batch has the rule of its counts and its
// copies, whichever way it is written; a batch that was written without is of the
// old rule.
func TestBatchKeepsHowItWasCounted(t *testing.T) {
	t.Parallel()
	db, err := casedb.Open(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	sensor, err := db.EnsureSensor(t.Context(), "north", now)
	if err != nil {
		t.Fatal(err)
	}
	window := now.Add(-2 * time.Hour)
	b := manyOf("north", window, 1, 3)
	b.Copies = 7
	if written, err := db.PutBatch(t.Context(), b, nil, now); err != nil || !written {
		t.Fatal(written, err)
	}
	b = manyOf("north", window.Add(time.Hour), 2, 3)
	b.Copies = 8
	var text casedb.BatchText
	if fits, err := text.Format(b, 1<<20); err != nil || !fits {
		t.Fatal(fits, err)
	}
	if written, err := db.PutBatchText(t.Context(), &text, nil, now); err != nil || !written {
		t.Fatal(written, err)
	}
	if _, err := db.SQL().ExecContext(t.Context(), `insert into batch (sensor_id, window_start, window_seconds, digest, packets, observations, created_at, next_attempt_at)
		select id, $1, 3600, decode(repeat('00', 32), 'hex'), 1, 1, $1, $1 from sensor`, now); err != nil {
		t.Fatal(err)
	}
	type counted struct{ rule, copies int64 }
	var got []counted
	for id := range int64(3) {
		var c counted
		if err := db.SQL().QueryRowContext(context.Background(), `select count_rule, copies from batch order by window_start offset $1 limit 1`, id).
			Scan(&c.rule, &c.copies); err != nil {
			t.Fatal(err)
		}
		got = append(got, c)
	}
	if got[0] != (counted{observation.CountRule, 7}) || got[1] != (counted{observation.CountRule, 8}) || got[2] != (counted{1, 0}) {
		t.Errorf("%v (sensor %v)", got, sensor)
	}
}

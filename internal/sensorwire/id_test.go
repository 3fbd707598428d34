package sensorwire_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/internal/sensorwire"
)

func TestBatchID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		id := sensorwire.BatchID{
			Window:  time.Unix(rapid.Int64Range(0, 9_000_000_000).Draw(r, "window"), 0).UTC(),
			Seconds: rapid.IntRange(1, 86400).Draw(r, "seconds"), Seq: rapid.IntRange(0, 1<<20).Draw(r, "seq"),
		}
		got, err := sensorwire.ParseBatchID(id.String())
		if err != nil || got != id {
			r.Errorf("%s: got %+v, %v", id, got, err)
		}
	})
	for _, bad := range []string{"", "-", "20260520T150000Z", "20260520T150000Z-600", "20260520T150000Z-600-0-0", "20260520T150000Z-0-0", "20260520T150000Z-+600-0",
		"20260520T150000Z-0600-0", "20260520T150000Z-600--1", "20260520T150000Z-86401-0", "20260520T150000Z-600-1048577", "2026-05-20T15:00:00Z-600-0",
		"19690520T150000Z-600-0", "20260520T150000+0900-600-0", "20260520T150000Z-600-0/../x", "20260520T250000Z-600-0"} {
		if id, err := sensorwire.ParseBatchID(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, id)
		}
	}
}

func FuzzParseBatchID(f *testing.F) {
	f.Add("20260520T150000Z-600-0")
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := sensorwire.ParseBatchID(text); err == nil && id.String() != text {
			t.Errorf("%q is read as %s", text, id)
		}
	})
}

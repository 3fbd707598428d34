package synth_test

import (
	"bytes"
	"testing"
	"time"

	"teiten/internal/synth"
)

func TestSampleIsAFunctionOfStartAndSeed(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	var a, b, c bytes.Buffer
	for _, run := range []struct {
		w    *bytes.Buffer
		seed uint64
	}{{&a, 1}, {&b, 1}, {&c, 2}} {
		if err := synth.WriteSample(run.w, start, run.seed); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same start and seed gave two captures")
	}
	if bytes.Equal(a.Bytes(), c.Bytes()) {
		t.Error("two seeds gave one capture")
	}
	if a.Len() < 100_000 {
		t.Errorf("sample has %d bytes", a.Len())
	}
}

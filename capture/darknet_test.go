package capture_test

import (
	"bytes"
	"testing"
	"time"

	"teiten/capture"
	"teiten/internal/observation"
	"teiten/internal/synth"
)

func TestDarknetIsCountedAsItWasMade(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2} {
		var file bytes.Buffer
		truth, err := synth.Darknet{Packets: 200_000, Seed: seed, Start: start}.Write(&file)
		if err != nil {
			t.Fatal(err)
		}
		got := tallyReader(t, &file, "darknet", capture.Options{})
		r := got.result
		if r.Packets != truth.Packets || r.Sources != uint64(truth.Sources) || !r.First.Equal(truth.First) || !r.Last.Equal(truth.Last) || len(r.Skipped) != 0 {
			t.Errorf("seed %d: got %+v, want %+v", seed, r, truth)
		}
		var ipBytes, zmap, masscan, mirai uint64
		keys := make(map[time.Time]int)
		for i := range got.obs {
			o := &got.obs[i]
			ipBytes += o.Bytes
			keys[o.Window]++
			if o.Class == observation.ClassSYN {
				zmap += o.Mark(observation.MarkZMap)
				masscan += o.Mark(observation.MarkMasscan)
				mirai += o.Mark(observation.MarkMirai)
			}
		}
		total, peak := 0, 0
		for _, n := range keys {
			total += n
			peak = max(peak, n)
		}
		if ipBytes != truth.IPBytes || total != truth.Keys || peak != truth.PeakKeys || zmap != truth.ZMap || masscan != truth.Masscan || mirai != truth.Mirai {
			t.Errorf("seed %d: bytes %d, keys %d, peak %d, zmap %d, masscan %d, mirai %d; want %+v", seed, ipBytes, total, peak, zmap, masscan, mirai, truth)
		}
		for c, n := range truth.Classes {
			class, ok := observation.ParseClass(c)
			if !ok || got.classes[class] != n {
				t.Errorf("seed %d: %s %d, want %d", seed, c, got.classes[class], n)
			}
		}
	}
}

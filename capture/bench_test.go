package capture_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"teiten/capture"
	"teiten/internal/observation"
	"teiten/internal/synth"
)

// BenchmarkStats reads made-up darknet captures of two sizes and compares each
// run with tcpdump copying the same file to nowhere, the read floor of a C
// program: ratio/tcpdump is wall time by wall time.
func BenchmarkStats(b *testing.B) {
	for _, packets := range []int{200_000, 2_000_000} {
		b.Run(fmt.Sprint(packets), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "darknet.pcap")
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			truth, err := synth.Darknet{Packets: packets, Seed: 1, Start: start}.Write(f)
			if err != nil {
				b.Fatal(err)
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
			tcpdump, lookErr := exec.LookPath("tcpdump")
			var ours, theirs time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				begin := time.Now()
				r, err := capture.NewReader(capture.Options{}, func(*observation.Batch) error { return nil })
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.ReadFile(context.Background(), path); err != nil {
					b.Fatal(err)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
				ours += time.Since(begin)
				if got := r.Summary().Observations; got != uint64(truth.Keys) {
					b.Fatalf("%d observations, want %d", got, truth.Keys)
				}
				if lookErr == nil {
					b.StopTimer()
					begin = time.Now()
					if out, err := exec.Command(tcpdump, "-r", path, "-w", "/dev/null").CombinedOutput(); err != nil {
						b.Fatalf("tcpdump: %v: %s", err, out)
					}
					theirs += time.Since(begin)
					b.StartTimer()
				}
			}
			b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N)/float64(packets), "ns/packet")
			if lookErr != nil {
				b.Log("no tcpdump: without ratio")
				return
			}
			b.ReportMetric(ours.Seconds()/theirs.Seconds(), "ratio/tcpdump")
		})
	}
}

// BenchmarkObservations adds the sorting and yielding of all observations.
func BenchmarkObservations(b *testing.B) {
	path := filepath.Join(b.TempDir(), "darknet.pcap")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := (synth.Darknet{Packets: 500_000, Seed: 1, Start: start}).Write(f); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	keys := 0
	for b.Loop() {
		in, err := capture.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := capture.Read(context.Background(), in, path, capture.Options{}, func(batch *observation.Batch) error {
			for range batch.Observations {
				keys++
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		in.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(keys), "ns/observation")
}

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"teiten/internal/synth"
)

// BenchmarkCaptures runs the commands whose speed captures decide, over a
// made-up one. `make pgo` makes the compiler's profile from it.
func BenchmarkCaptures(b *testing.B) {
	path := filepath.Join(b.TempDir(), "darknet.pcap")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	_, err = synth.Darknet{Packets: 2_000_000, Seed: 1, Start: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)}.Write(f)
	if err := errors.Join(err, f.Close()); err != nil {
		b.Fatal(err)
	}
	for _, args := range [][]string{{"stats", "--summary"}, {"stats"}, {"attribute"}} {
		name := args[len(args)-1]
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p := &program{Stdout: io.Discard, Stderr: os.Stderr}
				if code := p.run(b.Context(), append(args, path)); code != exitOK {
					b.Fatalf("%v: exit code %d", args, code)
				}
			}
		})
	}
}

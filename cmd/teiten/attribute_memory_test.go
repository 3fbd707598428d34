package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"teiten/attribution"
	"teiten/capture"
	"teiten/internal/corpus"
	"teiten/internal/observation"
	"teiten/internal/synth"
)

// bothWays judges a capture without and with a bound on memory that holds nothing,
// and returns the lines, and whether temporary files were made.
func bothWays(t *testing.T, file string, opt attribution.Options) (free, bounded []byte, spilled bool) {
	t.Helper()
	all := [2]*attribution.Profiles{attribution.NewProfiles(opt)}
	opt.Memory = 1
	all[1] = attribution.NewProfiles(opt)
	defer all[1].Close()
	r, err := capture.NewReader(capture.Options{Sensor: "corpus"}, func(b *observation.Batch) error {
		all[0].AddBatch(b)
		all[1].AddBatch(b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadFile(t.Context(), file); err != nil {
		t.Logf("%s: %v", filepath.Base(file), err) // some are made to be refused
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	var out [2]bytes.Buffer
	for i, profiles := range all {
		w := attribution.NewWriter(&out[i])
		for v := range profiles.Verdicts {
			if err := w.WriteVerdict(&v); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range profiles.Aggregates() {
			if err := w.WriteAggregate(&a); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil || profiles.Err() != nil {
			t.Fatal(err, profiles.Err())
		}
	}
	return out[0].Bytes(), out[1].Bytes(), all[1].Spilled()
}

// TestMemoryBoundOnTheCorpus: the lines are the same with and without a bound, on
// captures with floods, attacks and campaigns.
func TestMemoryBoundOnTheCorpus(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"pcaps", "field/captures"} {
		corpus.Each(t, folder, func(t *testing.T, c corpus.Corpus) {
			files, err := filepath.Glob(filepath.Join(c.Dir, "*.pcap*"))
			if err != nil {
				t.Fatal(err)
			}
			spilled := 0
			for _, file := range files {
				for _, opt := range []attribution.Options{{}, {FloodSources: 50, ReflectorSources: 20, CampaignSources: 2}} {
					free, bounded, did := bothWays(t, file, opt)
					if !bytes.Equal(free, bounded) {
						t.Errorf("%s: the lines differ", filepath.Base(file))
					}
					if did {
						spilled++
					}
				}
			}
			if !c.MadeUp && spilled < 5 {
				t.Errorf("of %d captures %d needed temporary files", len(files), spilled)
			}
		})
	}
}

// TestAttributeMemory: the command with a bound prints the same lines, and says
// on standard error what happened.
func TestAttributeMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	once, dark := filepath.Join(dir, "once.pcap"), filepath.Join(dir, "dark.pcap")
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for name, write := range map[string]func(*os.File) error{
		once: func(f *os.File) error {
			return synth.Once{Sources: 20_000, Seed: 7, Start: start, Length: 6 * time.Hour}.Write(f)
		},
		dark: func(f *os.File) error {
			_, err := synth.Darknet{Packets: 60_000, Seed: 7, Start: start, Span: 6 * time.Hour}.Write(f)
			return err
		},
	} {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := write(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, string) {
		cmd := teiten(append([]string{"attribute"}, args...)...)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatal(err, errs.String())
		}
		return out.String(), errs.String()
	}
	want, silent := run(once, dark)
	for _, size := range []string{"1B", "64KiB", "1MiB"} {
		got, notice := run("--memory", size, once, dark)
		if got != want {
			t.Errorf("--memory %s: the lines differ", size)
		}
		if strings.Count(notice, "\n") != 1 || !strings.Contains(notice, "--memory") || !strings.Contains(notice, size) {
			t.Errorf("--memory %s: standard error %q", size, notice)
		}
	}
	if silent != "" {
		t.Errorf("standard error %q", silent)
	}
	if strings.Count(want, "\n") < 20_000 {
		t.Error("few lines")
	}
	if err := teiten("attribute", "--memory", "2 GB", once).Run(); err == nil {
		t.Error("--memory 2 GB: no error")
	}
}

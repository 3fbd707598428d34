package capture_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"teiten/capture"
	"teiten/internal/corpus"
	"teiten/internal/observation"
	"teiten/internal/synth"
)

// The batches of a capture are the same, byte for byte and in order, whether
// one processor does all the work or goroutines share it. The test is not
// parallel, since it changes the number of processors.
func TestProcessorsChangeNothing(t *testing.T) {
	var first, second bytes.Buffer
	for i, file := range []*bytes.Buffer{&first, &second} {
		// Few sources, so that some have more destinations than sets hold.
		if _, err := (synth.Darknet{Packets: 150_000, Sources: 300, Seed: uint64(i), Span: 3 * time.Hour,
			Start: start.Add(time.Duration(i) * 2 * time.Hour)}).Write(file); err != nil {
			t.Fatal(err)
		}
	}
	// One file and its window go on into the next.
	made := func(r *capture.Reader) error {
		for _, file := range []*bytes.Buffer{&first, &second} {
			if _, err := r.Read(context.Background(), bytes.NewReader(file.Bytes()), "made up"); err != nil {
				return err
			}
		}
		return nil
	}
	compare(t, "made up", capture.Options{}, made)
	compare(t, "made up, in parts", capture.Options{KeyLimit: 500}, made)
	compare(t, "made up, short windows", capture.Options{Window: 10 * time.Second, Lateness: time.Second}, made)

	corpus.Each(t, "pcaps", func(t *testing.T, c corpus.Corpus) {
		for _, f := range corpusFiles(t, c.Dir) {
			compare(t, f.name, capture.Options{}, func(r *capture.Reader) error {
				// A file that cannot be read is so both times.
				_, _ = r.ReadFile(context.Background(), filepath.Join(c.Dir, f.name))
				return nil
			})
		}
	})
}

// compare reads with one processor and with four.
func compare(t *testing.T, name string, opt capture.Options, read func(*capture.Reader) error) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one, estimates := digest(t, opt, read)
	runtime.GOMAXPROCS(4)
	four, _ := digest(t, opt, read)
	if one != four {
		t.Errorf("%s: other batches with four processors than with one", name)
	}
	if name == "made up" && estimates == 0 {
		t.Errorf("%s: no observation has more destinations than sets hold", name)
	}
}

// digest condenses everything that the sink gets, and counts the observations
// whose destinations are an estimate.
func digest(t *testing.T, opt capture.Options, read func(*capture.Reader) error) (sum string, estimates int) {
	t.Helper()
	h := sha256.New()
	enc := json.NewEncoder(h)
	r, err := capture.NewReader(opt, func(b *observation.Batch) error {
		if err := enc.Encode([]any{b.Window, b.Seq, b.Packets, b.Keys, b.Partial}); err != nil {
			return err
		}
		for o := range b.Observations {
			if err := enc.Encode(o); err != nil {
				return err
			}
			if !o.DestinationsExact {
				estimates++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := read(r); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := enc.Encode(r.Summary()); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil)), estimates
}

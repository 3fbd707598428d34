package casedb_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"teiten/internal/casedb"
)

func TestClaimBatchesTakesEachOnce(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	for h := range 20 {
		put(t, db, manyOf("s1", noon.Add(time.Duration(-h)*time.Hour), uint64(h), 3))
	}
	var (
		mu   sync.Mutex
		seen = map[int64]int{}
		wg   sync.WaitGroup
	)
	for range 6 {
		wg.Go(func() {
			for {
				refs, err := db.ClaimBatches(t.Context(), 3, noon, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				if len(refs) == 0 {
					return
				}
				mu.Lock()
				for _, r := range refs {
					seen[r.ID]++
					if r.Sensor != "s1" || r.Observations != 3 || r.Length() != time.Hour || r.Attempts != 1 {
						t.Errorf("got %+v", r)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 20 {
		t.Errorf("%d of 20 batches were claimed", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("batch %d was claimed %d times", id, n)
		}
	}
}

func TestClaimsEnd(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	for h := range 4 {
		put(t, db, manyOf("s1", noon.Add(time.Duration(h)*time.Hour), uint64(h), 3))
	}
	claim := func(limit int, at time.Time) []casedb.BatchRef {
		t.Helper()
		refs, err := db.ClaimBatches(t.Context(), limit, at, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return refs
	}
	first := claim(2, noon)
	if len(first) != 2 || !first[0].Window.Equal(noon) || !first[1].Window.Equal(noon.Add(time.Hour)) {
		t.Fatalf("the oldest windows do not come first: %+v", first)
	}
	later := noon.Add(2 * time.Minute)
	second := claim(2, later)
	if len(second) != 2 || second[0].ID != first[0].ID || second[0].Attempts != 2 {
		t.Fatalf("what a dead process had claimed was not claimed again: %+v", second)
	}
	if err := db.FinishBatches(t.Context(), first, later); !errors.Is(err, casedb.ErrStale) {
		t.Errorf("finish after losing the claim: got %v, want ErrStale", err)
	}
	if err := db.FailBatch(t.Context(), first[1], "late", later); !errors.Is(err, casedb.ErrStale) {
		t.Errorf("fail after losing the claim: got %v, want ErrStale", err)
	}
	if err := db.FinishBatches(t.Context(), second[:1], later); err != nil {
		t.Error(err)
	}
	if err := db.FailBatch(t.Context(), second[1], "no\nluck", later.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if rest := claim(10, later); len(rest) != 2 {
		t.Errorf("%d batches are due, want the 2 untouched ones", len(rest))
	}
	if rest := claim(10, later.Add(2*time.Hour)); len(rest) != 3 {
		t.Errorf("%d batches are due, want 3", len(rest))
	}
}

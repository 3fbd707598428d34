package quota_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/internal/quota"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// TestBucketsAreAsTheirModel plays random uses of a few keys against a model that
// adds up what each was given.
func TestBucketsAreAsTheirModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		size := float64(rapid.IntRange(1, 5).Draw(r, "size"))
		b := quota.New(size, time.Duration(size)*time.Second, 10)
		now, tokens := noon, map[string]float64{"a": size, "b": size, "c": size}
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			wait := float64(rapid.IntRange(0, 3).Draw(r, "wait"))
			now = now.Add(time.Duration(wait) * time.Second)
			for k := range tokens {
				tokens[k] = min(size, tokens[k]+wait)
			}
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "key")
			n := float64(rapid.IntRange(0, 3).Draw(r, "n"))
			switch rapid.IntRange(0, 3).Draw(r, "what") {
			case 0, 1:
				want := tokens[key] >= n
				if has := b.Has(key, n, now); has != want {
					r.Fatalf("has %v tokens of %s: %v, want %v", n, key, has, want)
				}
				if got := b.Take(key, n, now); got != want {
					r.Fatalf("take %v of %s: %v, want %v", n, key, got, want)
				}
				if want {
					tokens[key] -= n
				}
			case 2:
				b.Give(key, n, now)
				tokens[key] = min(size, tokens[key]+n)
			case 3:
				b.Forgive(key)
				tokens[key] = size
			}
		}
	})
}

// TestNewKeysRefillNoOther: the table stays bounded, and a bucket that is empty
// outlives any number of keys that were used once.
func TestNewKeysRefillNoOther(t *testing.T) {
	t.Parallel()
	b := quota.New(20, 20*time.Second, 100)
	for range 20 {
		b.Take("victim", 1, noon)
	}
	for i := range 10_000 {
		b.Take(fmt.Sprint(i), 1, noon)
	}
	if n := b.Len(); n != 100 {
		t.Errorf("%d keys are remembered, want 100", n)
	}
	if b.Take("victim", 1, noon) {
		t.Error("new keys filled another key's bucket")
	}
	if !b.Take("victim", 1, noon.Add(time.Second)) {
		t.Error("time did not fill the bucket")
	}
}

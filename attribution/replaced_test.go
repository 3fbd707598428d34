package attribution_test

import (
	"testing"
	"time"

	"teiten/attribution"
	"teiten/internal/observation"
)

// TestVerdictsFollowAReplacedBatch: when a part of a capture was judged and the
// whole one comes, a verdict rests on the whole one alone.
func TestVerdictsFollowAReplacedBatch(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	j := &attribution.Judge{DB: db, Now: func() time.Time { return monday.Add(30 * day) }}
	zmap := func(packets uint64, length time.Duration) seen {
		return seen{port: 443, packets: packets, dests: uint32(packets), length: length, marks: marks(observation.MarkZMap, int(packets))}
	}
	const at = 7 * time.Millisecond // within a second, as captures have it
	put(t, db, "north", at, map[string]seen{"203.0.113.10": zmap(3, 10*time.Minute)})
	judgeAll(t, j)
	if v := current(t, db, "203.0.113.10"); v.Evidence.V.Packets != 3 {
		t.Fatalf("of the part: %+v", v)
	}
	put(t, db, "north", at, map[string]seen{"203.0.113.10": zmap(500, 40*time.Minute), "203.0.113.11": zmap(200, 20*time.Minute)})
	judgeAll(t, j)
	v := current(t, db, "203.0.113.10")
	if v.Evidence.V.Packets != 500 || v.Evidence.V.Hits != 500 {
		t.Errorf("%d hits of %d packets, the capture has 500", v.Evidence.V.Hits, v.Evidence.V.Packets)
	}
}

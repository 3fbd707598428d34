package attribution_test

import (
	"net/netip"
	"testing"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/observation"
	"teiten/internal/pgtest"
)

func openDB(t *testing.T) *casedb.DB {
	t.Helper()
	db, err := casedb.Open(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// put writes a batch of what the sensor saw.
func put(t *testing.T, db *casedb.DB, sensor string, after time.Duration, sources map[string]seen) {
	t.Helper()
	if _, err := db.EnsureSensor(t.Context(), sensor, monday); err != nil {
		t.Fatal(err)
	}
	var list []*observation.Observation
	for source, s := range sources {
		s.after = after
		list = append(list, s.observation(source))
	}
	var packets uint64
	for _, o := range list {
		packets += o.Packets
	}
	b := &observation.Batch{Sensor: sensor, Window: monday.Add(after).Truncate(time.Hour), Length: time.Hour, Packets: packets, Keys: len(list),
		Observations: func(yield func(*observation.Observation) bool) {
			for _, o := range list {
				if !yield(o) {
					return
				}
			}
		}}
	if written, err := db.PutBatch(t.Context(), b, nil, monday.Add(after)); err != nil || !written {
		t.Fatalf("put batch: %v, %v", written, err)
	}
}

// judgeAll runs the judge until it finds nothing more.
func judgeAll(t *testing.T, j *attribution.Judge) {
	t.Helper()
	for range 20 {
		n, err := j.Do(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	t.Fatal("the judge finds no end")
}

func current(t *testing.T, db *casedb.DB, source string) casedb.Verdict {
	t.Helper()
	page, err := db.SourcePage(t.Context(), netip.MustParseAddr(source))
	if err != nil {
		t.Fatal(err)
	}
	if page.Source.JudgedAt == nil {
		t.Errorf("%s is not judged", source)
	}
	for _, v := range page.Verdicts {
		if v.SupersededAt == nil {
			return v
		}
	}
	t.Fatalf("%s has no verdict", source)
	return casedb.Verdict{}
}

func TestJudgeFollowsBatchesAndTheAllowlist(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	now := monday.Add(30 * day)
	j := &attribution.Judge{DB: db, Now: func() time.Time { return now }}
	worm := seen{packets: 2, marks: marks(observation.MarkWorm445, 2), sample: observation.Sample{Window: 8192, TTL: 113}}
	zmap := seen{port: 443, packets: 5, dests: 5, marks: marks(observation.MarkZMap, 5)}
	put(t, db, "north", 0, map[string]seen{"192.0.2.10": worm, "203.0.113.10": zmap})
	judgeAll(t, j)
	if v := current(t, db, "192.0.2.10"); v.Kind != casedb.KindUnknown {
		t.Errorf("one address, one day: got %+v", v)
	}
	if v := current(t, db, "203.0.113.10"); v.Tool != "zmap" || v.Acknowledged != "" {
		t.Errorf("got %+v", v)
	}

	// Another sensor sees the worm a day later: now it has reach.
	worm.dest = "198.51.100.77"
	put(t, db, "south", day, map[string]seen{"192.0.2.10": worm})
	judgeAll(t, j)
	v := current(t, db, "192.0.2.10")
	if v.Kind != casedb.KindInfected || v.Evidence.V.Sensors != 2 || v.Evidence.V.Days != 2 || !v.First.Equal(monday) {
		t.Errorf("two sensors, two days: got %+v", v)
	}

	// The scanner is put on the allowlist, and taken off again.
	var entry casedb.Scanner
	err := db.InTx(t.Context(), func(tx *casedb.Tx) (err error) {
		entry, err = tx.AddScanner(t.Context(), casedb.Scanner{Prefix: casedb.Prefix{Prefix: netip.MustParsePrefix("203.0.113.0/26")},
			Organisation: "Example Research", List: casedb.ListManual}, "tester", now)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	judgeAll(t, j)
	if v := current(t, db, "203.0.113.10"); v.Acknowledged != "Example Research" || v.Tool != "zmap" || v.Evidence.V.List != casedb.ListManual {
		t.Errorf("on the allowlist: got %+v", v)
	}
	if err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
		_, err := tx.EndScanner(t.Context(), entry.ID, "tester", monday.Add(-time.Hour))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	judgeAll(t, j)
	if v := current(t, db, "203.0.113.10"); v.Acknowledged != "" {
		t.Errorf("off the allowlist before the packets: got %+v", v)
	}

	// A source without observations is settled too, and keeps its verdict.
	if _, err := db.DropObservationsBefore(t.Context(), monday.Add(10*day)); err != nil {
		t.Fatal(err)
	}
	if err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
		_, err := tx.AddScanner(t.Context(), casedb.Scanner{Prefix: casedb.Prefix{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
			Organisation: "Example Research", List: casedb.ListManual}, "tester", now)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	judgeAll(t, j)
	if v := current(t, db, "192.0.2.10"); v.Kind != casedb.KindInfected {
		t.Errorf("got %+v", v)
	}
}

func TestJudgeOfTwoSharesTheBatches(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	for h := range 40 {
		put(t, db, "north", time.Duration(h)*time.Hour, map[string]seen{"192.0.2.1": {port: 23, packets: 2, dests: 2, marks: marks(observation.MarkMirai, 2)},
			"192.0.2.2": {port: uint16(100 + h)}})
	}
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			j := &attribution.Judge{DB: db}
			for {
				n, err := j.Do(t.Context())
				if err != nil || n == 0 {
					errs <- err
					return
				}
			}
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if v := current(t, db, "192.0.2.1"); v.Malware != casedb.MalwareMirai {
		t.Errorf("got %+v", v)
	}
	if v := current(t, db, "192.0.2.2"); v.Rule != attribution.RuleTSUBAME {
		t.Errorf("got %+v", v)
	}
}

// rejudge judges all that is stored again.
func rejudge(t *testing.T, j *attribution.Judge) *attribution.Rejudgement {
	t.Helper()
	r, err := j.Rejudge(t.Context(), time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

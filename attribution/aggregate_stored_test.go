package attribution_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// forged are n sources with a packet each to 80/TCP of 198.51.100.9.
func forged(from, n int) map[string]seen {
	m := make(map[string]seen, n)
	for i := from; i < from+n; i++ {
		m[fmt.Sprintf("203.0.%d.%d", i/250, 1+i%250)] = seen{port: 80, dest: "198.51.100.9"}
	}
	return m
}

func aggregates(t *testing.T, db *casedb.DB, kind casedb.AggregateKind) []casedb.Aggregate {
	t.Helper()
	list, _, err := db.ListAggregates(t.Context(), casedb.AggregateFilter{Kind: kind}, casedb.AggregateCursor{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// kinds counts the verdicts in force on forged sources.
func kinds(t *testing.T, db *casedb.DB) string {
	t.Helper()
	var s string
	if err := db.SQL().QueryRow(`select coalesce(string_agg(format('%s %s', kind, n), ', ' order by kind), '') from (
		select kind, count(*) n from verdict where superseded_at is null and source << '203.0.0.0/16' group by kind) k`).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFloodReachesSourcesOfOtherShares(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	now := monday.Add(day)
	j := &attribution.Judge{DB: db, Now: func() time.Time { return now }, Options: attribution.Options{FloodSources: 1000}}
	early := forged(0, 100)
	// One that shows a worm's mark is no forged source, whenever it comes.
	early["192.0.2.10"] = seen{packets: 3, dest: "198.51.100.9", dests: 2, marks: marks(observation.MarkWorm445, 3), sample: observation.Sample{Window: 8192, TTL: 113}}
	put(t, db, "north", 0, early)
	judgeAll(t, j)
	if got := kinds(t, db); got != "unknown 100" || len(aggregates(t, db, "")) != 0 {
		t.Fatalf("before the flood: got %s", got)
	}
	put(t, db, "north", time.Hour, forged(100, 1200))
	judgeAll(t, j)
	if got := kinds(t, db); got != "spoofed 1300" {
		t.Errorf("with the flood: got %s", got)
	}
	v := current(t, db, "203.0.0.1")
	if v.Rule != attribution.RuleFlood || len(v.Evidence.V.Notes) == 0 || v.Evidence.V.Notes[len(v.Evidence.V.Notes)-1] != attribution.NoteRejudged {
		t.Errorf("judged before: got %+v", v)
	}
	if v := current(t, db, "192.0.2.10"); v.Malware != casedb.MalwareMS17010 {
		t.Errorf("the worm: got %+v", v)
	}
	// A few more of the hour, in a batch that comes by itself, and of the next.
	put(t, db, "south", time.Hour, forged(1300, 30))
	put(t, db, "south", 2*time.Hour, forged(1330, 20))
	put(t, db, "south", 5*time.Hour, forged(1350, 10))
	judgeAll(t, j)
	if got := kinds(t, db); got != "spoofed 1350, unknown 10" {
		t.Errorf("after the flood: got %s", got)
	}
	list := aggregates(t, db, casedb.AggregateFlood)
	if len(list) != 1 || list[0].Sources != 1200 || list[0].Packets != 1200 || list[0].Ports[0] != "80/TCP" || list[0].Ruleset != attribution.RuleSet {
		t.Fatalf("got %+v", list)
	}
	of, err := db.SourceAggregates(t.Context(), v.Source.Addr, &v)
	if err != nil || len(of) != 1 || of[0].ID != list[0].ID {
		t.Errorf("of a member: got %+v, %v", of, err)
	}

	// The same batches once more change nothing.
	if _, err := db.SQL().Exec(`update batch set judged_at = null, next_attempt_at = created_at`); err != nil {
		t.Fatal(err)
	}
	judgeAll(t, j)
	again := aggregates(t, db, "")
	if got := kinds(t, db); got != "spoofed 1350, unknown 10" || len(again) != 1 || again[0].ID != list[0].ID || again[0].Sources < 1200 || again[0].Sources > 1230 {
		t.Errorf("judged twice: got %s, %+v", got, again)
	}
}

// TestCarpetReachesSourcesOfOtherShares: the same for a flood of a whole network,
// and of the ports of one address.
func TestCarpetReachesSourcesOfOtherShares(t *testing.T) {
	t.Parallel()
	for _, target := range []func(i int, s *seen){
		func(i int, s *seen) { s.dest = fmt.Sprintf("198.51.100.%d", i%256) },
		func(i int, s *seen) { s.port = 1 + uint16(i*41) },
	} {
		db := openDB(t)
		now := monday.Add(day)
		j := &attribution.Judge{DB: db, Now: func() time.Time { return now }, Options: attribution.Options{FloodSources: 1000}}
		spread := func(from, n int) map[string]seen {
			m := forged(from, n)
			i := from
			for _, source := range slices.Sorted(maps.Keys(m)) {
				s := m[source]
				s.sample = observation.Sample{TTL: 50, Window: 64240, Options: make([]byte, 20)}
				target(i, &s)
				m[source] = s
				i++
			}
			return m
		}
		put(t, db, "north", 0, spread(0, 100))
		judgeAll(t, j)
		put(t, db, "north", time.Hour, spread(100, 1200))
		judgeAll(t, j)
		list := aggregates(t, db, casedb.AggregateFlood)
		if got := kinds(t, db); got != "spoofed 1300" || len(list) != 1 || list[0].Sources != 1200 {
			t.Errorf("got %s, %+v", got, list)
		}
		v := current(t, db, "203.0.0.1")
		if of, err := db.SourceAggregates(t.Context(), v.Source.Addr, &v); err != nil || len(of) != 1 || of[0].ID != list[0].ID {
			t.Errorf("of a member: got %+v, %v", of, err)
		}
	}
}

// TestRejudgementFindsFloods: what older versions did not keep, or did not
// find, is found by judging again, and reaches other shares.
func TestRejudgementFindsFloods(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	now := monday.Add(day)
	judge := func(limit int) *attribution.Judge {
		return &attribution.Judge{DB: db, Now: func() time.Time { return now }, Options: attribution.Options{FloodSources: limit}}
	}
	put(t, db, "north", 0, forged(0, 100))
	judgeAll(t, judge(5000))
	put(t, db, "north", time.Hour, forged(100, 1200))
	judgeAll(t, judge(5000))
	if got := kinds(t, db); got != "unknown 1300" {
		t.Fatalf("got %s", got)
	}
	j := judge(1000)
	r := rejudge(t, j)
	if r.Aggregates != 1 || len(r.Differences) < 1200 || len(aggregates(t, db, "")) != 0 {
		t.Fatalf("got %d aggregates, %d differences", r.Aggregates, len(r.Differences))
	}
	if err := j.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	judgeAll(t, j)
	if got := kinds(t, db); got != "spoofed 1300" || len(aggregates(t, db, casedb.AggregateFlood)) != 1 {
		t.Errorf("got %s", got)
	}
	if r := rejudge(t, j); len(r.Differences) != 0 {
		t.Errorf("once more: got %d differences", len(r.Differences))
	}
}

// TestJudgesOfOneFlood: two judges that find parts of a flood at the same time
// leave no source out.
func TestJudgesOfOneFlood(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	for h := range 30 {
		n := 20
		if h%4 == 1 {
			n = 300
		}
		put(t, db, "north", time.Duration(h)*time.Hour, forged(h*300, n))
	}
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			j := &attribution.Judge{DB: db, Options: attribution.Options{FloodSources: 250}}
			for n := 1; n > 0; {
				var err error
				if n, err = j.Do(t.Context()); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	judgeAll(t, &attribution.Judge{DB: db, Options: attribution.Options{FloodSources: 250}})
	// Every hour but one in four is next to an hour of the flood; that one is not.
	if got := kinds(t, db); got != "spoofed 2700, unknown 140" {
		t.Errorf("got %s", got)
	}
}

func TestAttacksOnAVictimAreToldApart(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	now := monday.Add(day)
	j := &attribution.Judge{DB: db, Now: func() time.Time { return now }}
	backscatter := func(port uint16, packets uint64) map[string]seen {
		return map[string]seen{"192.0.2.1": {class: observation.ClassSYNACK, port: port, packets: packets, dests: 200, length: 50 * time.Minute,
			sample: observation.Sample{SourcePort: port, DestPort: 40000, Window: 512}}}
	}
	fixed := func(s map[string]seen) map[string]seen { // with one sequence number in all of its packets
		v := s["192.0.2.1"]
		v.marks = marks(observation.MarkSameAck, int(v.packets)-1)
		return map[string]seen{"192.0.2.1": v}
	}
	for hour, sources := range map[int]map[string]seen{0: backscatter(443, 3000), 1: backscatter(80, 9000), 6: fixed(backscatter(53, 2000)), 12: backscatter(443, 10)} {
		put(t, db, "north", time.Duration(hour)*time.Hour, sources)
	}
	for range 2 {
		if _, err := db.SQL().Exec(`update batch set judged_at = null, next_attempt_at = created_at`); err != nil {
			t.Fatal(err)
		}
		judgeAll(t, j)
		list := aggregates(t, db, casedb.AggregateVictim)
		if len(list) != 2 {
			t.Fatalf("got %d attacks, want two: %+v", len(list), list)
		}
		second, first := list[0], list[1]
		if first.Packets != 12000 || first.Peak != 180 || first.Ports[0] != "80/TCP" || len(first.Ports) != 2 || !first.First.Equal(monday) ||
			!first.Last.Equal(monday.Add(110*time.Minute)) || first.Victim.String() != "192.0.2.1" {
			t.Errorf("the first: got %+v", first)
		}
		if second.Packets != 2000 || second.Peak != 40 || !second.First.Equal(monday.Add(6*time.Hour)) {
			t.Errorf("the second: got %+v", second)
		}
		if f := second.Evidence.V.Fixed; f == nil || *f != (casedb.Fixed{Sequence: 1999, SequenceOf: 2000, WindowOf: 2000}) ||
			!slices.Contains(second.Evidence.V.Notes, attribution.NoteFixedSequence) || first.Evidence.V.Fixed.Sequence != 0 ||
			slices.Contains(first.Evidence.V.Notes, attribution.NoteFixedSequence) {
			t.Errorf("fixed: got %+v of the first, %+v of the second", first.Evidence.V, second.Evidence.V)
		}
	}
	v := current(t, db, "192.0.2.1")
	if of, err := db.SourceAggregates(t.Context(), v.Source.Addr, &v); err != nil || len(of) != 2 {
		t.Errorf("of the victim: got %+v, %v", of, err)
	}
}

func TestCampaignsAndReflectedFloodsAreKept(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	now := monday.Add(day)
	j := &attribution.Judge{DB: db, Now: func() time.Time { return now }, Options: attribution.Options{ReflectorSources: 100}}
	sources := map[string]seen{}
	for i := range 20 {
		sources[fmt.Sprintf("192.0.2.%d", i+1)] = seen{port: 23, packets: 3, dests: 3, marks: marks(observation.MarkMirai, 3)}
	}
	reflectors := map[string]seen{}
	for i := range 150 {
		reflectors[fmt.Sprintf("203.0.113.%d", i+1)] = seen{proto: 17, class: observation.ClassUDP, port: 40000, packets: 5, dest: "198.51.100.9",
			sample: observation.Sample{SourcePort: 161}}
	}
	maps.Copy(sources, reflectors)
	put(t, db, "north", 0, sources)
	judgeAll(t, j)
	put(t, db, "north", 3*time.Hour, sources)
	judgeAll(t, j)
	list := aggregates(t, db, "")
	if len(list) != 2 {
		t.Fatalf("got %+v", list)
	}
	for _, a := range list {
		switch a.Kind {
		case casedb.AggregateCampaign:
			if a.Sources != 20 || a.Packets != 120 || a.Rule != attribution.RuleMirai || a.Ports[0] != "23/TCP" {
				t.Errorf("got %+v", a)
			}
		case casedb.AggregateReflected:
			if a.Sources != 150 || a.Packets != 1500 || a.Ports[0] != "161/UDP" {
				t.Errorf("got %+v", a)
			}
		default:
			t.Errorf("got %+v", a)
		}
	}
	for source, kind := range map[string]casedb.AggregateKind{"192.0.2.1": casedb.AggregateCampaign, "203.0.113.1": casedb.AggregateReflected} {
		v := current(t, db, source)
		of, err := db.SourceAggregates(t.Context(), netip.MustParseAddr(source), &v)
		if err != nil || len(of) != 1 || of[0].Kind != kind {
			t.Errorf("%s: got %+v, %v", source, of, err)
		}
	}
}

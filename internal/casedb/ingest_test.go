package casedb_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

func TestSensors(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	networks := []casedb.Prefix{{Prefix: netip.MustParsePrefix("192.0.2.7/24")}, {Prefix: netip.MustParsePrefix("2001:db8::/64")}}
	added, err := db.AddSensor(t.Context(), casedb.Sensor{Name: "north", Note: "on the roof"}, networks, noon)
	if err != nil || len(added.Networks) != 2 || added.Networks[0] != "192.0.2.0/24" || added.Note != "on the roof" {
		t.Fatalf("got %+v, %v", added, err)
	}
	if _, err := db.AddSensor(t.Context(), casedb.Sensor{Name: "north"}, nil, noon); !errors.Is(err, casedb.ErrConflict) {
		t.Errorf("a second sensor of the name: got %v, want ErrConflict", err)
	}
	if same, err := db.EnsureSensor(t.Context(), "north", noon); err != nil || same.ID != added.ID {
		t.Errorf("got %+v, %v", same, err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if s, err := db.EnsureSensor(t.Context(), "east", noon); err != nil || s.Name != "east" {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
	wg.Wait()
	for _, bad := range []string{"", "North", "-a", "a b", "a\n", string(make([]byte, 64)), "観測"} {
		if _, err := db.EnsureSensor(t.Context(), bad, noon); err == nil {
			t.Errorf("sensor %q was made", bad)
		}
		if casedb.ValidSensorName(bad) {
			t.Errorf("%q is a valid name", bad)
		}
	}
	if err := db.ChangeSensor(t.Context(), casedb.Sensor{Name: "east", WindowSeconds: 600, PayloadBytes: 64}, networks[:1], noon); err != nil {
		t.Error(err)
	}
	if err := db.ChangeSensor(t.Context(), casedb.Sensor{Name: "west"}, networks, noon); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("networks of no sensor: got %v, want ErrNotFound", err)
	}
	all, err := db.Sensors(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "east" || len(all[0].Networks) != 1 {
		t.Errorf("got %+v, %v", all, err)
	}
}

func TestImportIsResumedAsItBegan(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	n := casedb.NewImport{Sensor: "s1", Digest: bytes.Repeat([]byte{7}, 32), Name: "a.pcap", SizeBytes: 100, Window: time.Hour, KeyLimit: 1000}
	first, done, err := db.BeginImport(t.Context(), n, noon)
	if err != nil || done {
		t.Fatalf("done %v, %v", done, err)
	}
	again := n
	again.Window, again.KeyLimit = time.Minute, 5
	second, done, err := db.BeginImport(t.Context(), again, noon.Add(time.Hour))
	if err != nil || done || second.ID != first.ID || second.Window() != time.Hour || second.KeyLimit != 1000 {
		t.Fatalf("got %+v, done %v, %v", second, done, err)
	}
	if err := db.FinishImport(t.Context(), first.ID, 12, map[string]uint64{"arp": 2}, true, noon); err != nil {
		t.Fatal(err)
	}
	if err := db.FinishImport(t.Context(), first.ID, 99, nil, false, noon); err != nil {
		t.Fatal(err)
	}
	last, done, err := db.BeginImport(t.Context(), again, noon)
	if err != nil || !done || last.Packets != 12 || last.Skipped.V["arp"] != 2 || !last.Truncated {
		t.Errorf("got %+v, done %v, %v", last, done, err)
	}
	again.Sensor = "s2"
	if _, done, err := db.BeginImport(t.Context(), again, noon); err != nil || done {
		t.Errorf("the file of another sensor: done %v, %v", done, err)
	}
	list, err := db.Imports(t.Context(), 0, 10)
	if err != nil || len(list) != 2 || list[1].ID != first.ID {
		t.Errorf("got %+v, %v", list, err)
	}
	if list, err = db.Imports(t.Context(), list[0].ID, 10); err != nil || len(list) != 1 {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestTasksAreClaimedByOne(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	ctx := t.Context()
	for range 2 {
		if err := db.EnsureTask(ctx, "sweep", noon); err != nil {
			t.Fatal(err)
		}
	}
	if _, claimed, err := db.ClaimTask(ctx, "sweep", noon.Add(-time.Second), time.Minute); err != nil || claimed {
		t.Errorf("claimed before it is due: %v, %v", claimed, err)
	}
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		claims []casedb.Task
	)
	for range 8 {
		wg.Go(func() {
			task, claimed, err := db.ClaimTask(ctx, "sweep", noon, time.Minute)
			if err != nil {
				t.Error(err)
			}
			if claimed {
				mu.Lock()
				claims = append(claims, task)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(claims) != 1 {
		t.Fatalf("claimed %d times", len(claims))
	}
	later := noon.Add(2 * time.Minute)
	next, claimed, err := db.ClaimTask(ctx, "sweep", later, time.Minute)
	if err != nil || !claimed || next.Attempts != 2 {
		t.Fatalf("what a dead process had claimed: %+v, %v, %v", next, claimed, err)
	}
	if err := db.FinishTask(ctx, claims[0], later, later); !errors.Is(err, casedb.ErrStale) {
		t.Errorf("finish after losing the claim: got %v, want ErrStale", err)
	}
	if err := db.FailTask(ctx, next, "out of\nluck", later); err != nil {
		t.Error(err)
	}
	third, _, err := db.ClaimTask(ctx, "sweep", later, time.Minute)
	if err != nil || third.LastError != "out of luck" {
		t.Errorf("got %+v, %v", third, err)
	}
	if err := db.FinishTask(ctx, third, later.Add(time.Hour), later); err != nil {
		t.Error(err)
	}
	all, err := db.Tasks(ctx)
	if err != nil || len(all) != 1 || all[0].Attempts != 0 || all[0].LastRunAt == nil || all[0].LastError != "" {
		t.Errorf("got %+v, %v", all, err)
	}
}

func TestRetentionDropsDays(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	for d := range 4 {
		put(t, db, manyOf("s1", noon.AddDate(0, 0, -d), uint64(d), 10))
	}
	dropped, err := db.DropObservationsBefore(t.Context(), noon.AddDate(0, 0, -1))
	if err != nil || dropped != 2 {
		t.Fatalf("dropped %d days, %v", dropped, err)
	}
	if got := count(t, db, `select count(*) from observation`); got != 20 {
		t.Errorf("%d observations are left, want 20", got)
	}
	if put(t, db, manyOf("s1", noon.AddDate(0, 0, -3), 3, 10)) {
		t.Error("what was dropped is taken for new")
	}
	if !put(t, db, manyOf("s1", noon.AddDate(0, 0, -3), 33, 10)) {
		t.Error("a late batch of a dropped day was not written")
	}
}

// observed makes an observation of a source.
func observed(source string, window time.Time, port uint16, packets uint64) observation.Observation {
	return observation.Observation{Source: netip.MustParseAddr(source), Window: window, Proto: 6, Port: port, Class: observation.ClassSYN,
		Packets: packets, Bytes: 40 * packets, Destinations: 1, DestinationsExact: true, First: window.Add(time.Minute), Last: window.Add(2 * time.Minute),
		Samples: []observation.Sample{{When: window.Add(time.Minute), Source: netip.MustParseAddr(source), Destination: netip.MustParseAddr("203.0.113.9"), DestPort: port}}}
}

func TestObservationsOfSources(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	ctx := t.Context()
	sensor(t, db, "s1")
	sensor(t, db, "s2")
	old, yesterday := noon.AddDate(0, 0, -9), noon.AddDate(0, 0, -1)
	put(t, db, batchOf("s1", old, observed("192.0.2.1", old, 22, 1)))
	put(t, db, batchOf("s2", yesterday, observed("192.0.2.1", yesterday, 23, 2), observed("192.0.2.9", yesterday, 23, 4)))
	put(t, db, batchOf("s1", noon, observed("192.0.2.1", noon, 445, 8), observed("192.0.2.1", noon, 446, 16), observed("2001:db8::1", noon, 80, 32)))
	put(t, db, batchOf("s1", noon.Add(time.Hour), observed("192.0.2.2", noon.Add(time.Hour), 80, 64)))
	refs, err := db.ClaimBatches(ctx, 10, noon, time.Minute)
	if err != nil || len(refs) != 4 {
		t.Fatalf("got %d batches, %v", len(refs), err)
	}
	var got []string
	err = db.ObservationsOfSources(ctx, []int64{refs[2].ID, refs[3].ID}, noon.AddDate(0, 0, -7), func(sensor string, o *observation.Observation) error {
		got = append(got, fmt.Sprint(o.Source, " ", sensor, " ", o.Port, " ", o.Packets))
		if len(o.Samples) != 1 || o.Samples[0].DestPort != o.Port || o.Samples[0].Source != o.Source || len(o.Marks) != 0 {
			t.Errorf("got %+v", o)
		}
		return nil
	})
	want := []string{"192.0.2.1 s2 23 2", "192.0.2.1 s1 445 8", "192.0.2.1 s1 446 16", "2001:db8::1 s1 80 32", "192.0.2.2 s1 80 64"}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v (%v)", got, want, err)
	}
	stop := errors.New("enough")
	if err := db.ObservationsOfSources(ctx, []int64{refs[2].ID}, old, func(string, *observation.Observation) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want yield's error", err)
	}
	if err := db.ObservationsOfSources(ctx, nil, old, func(string, *observation.Observation) error { return stop }); err != nil {
		t.Errorf("no batches: %v", err)
	}
}

func TestEndingTheStreamEarlyIsQuick(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	for h := range 4 {
		put(t, db, manyOf("s1", noon.Add(time.Duration(h)*time.Hour), uint64(h), 8000))
	}
	stop := errors.New("enough")
	for range 5 { // a connection that is left in mid-query would be noticed
		n := 0
		err := db.ObservationsOfSources(t.Context(), []int64{1, 2, 3, 4}, noon, func(string, *observation.Observation) error {
			if n++; n == 3 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) {
			t.Fatalf("got %v, want yield's error", err)
		}
	}
	if got := count(t, db, `select count(*) from observation`); got != 32000 {
		t.Errorf("got %d observations, want 32000", got)
	}
}

func TestSourceObservationsPages(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	total := 0
	for h := range 30 {
		var many []observation.Observation
		w := noon.Add(time.Duration(-h) * time.Hour)
		for p := range 1 + h%3 {
			many = append(many, observed("192.0.2.1", w, uint16(p), 1))
			total++
		}
		put(t, db, batchOf("s1", w, append(many, observed("192.0.2.2", w, 1, 1))...))
	}
	seen := map[casedb.ObservationKey]bool{}
	var before *casedb.ObservationKey
	for {
		page, err := db.SourceObservations(t.Context(), casedb.Addr{Addr: netip.MustParseAddr("192.0.2.1")}, before, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, o := range page {
			key := o.Key()
			if seen[key] || (before != nil && key.Window.After(before.Window)) || o.Sensor != "s1" || len(o.Samples) != 1 {
				t.Fatalf("out of order or twice: %+v", o)
			}
			seen[key], before = true, &key
		}
	}
	if len(seen) != total {
		t.Errorf("%d of %d observations were on the pages", len(seen), total)
	}
}

func TestSourceHours(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	sensor(t, db, "s2")
	source := casedb.Addr{Addr: netip.MustParseAddr("192.0.2.1")}
	put(t, db, batchOf("s1", noon, observed("192.0.2.1", noon, 445, 5)))
	put(t, db, batchOf("s2", noon, observed("192.0.2.1", noon, 445, 7), observed("192.0.2.3", noon, 445, 100)))
	var ports []observation.Observation
	later := noon.Add(time.Hour)
	for p := range 100 {
		ports = append(ports, observed("192.0.2.1", later, uint16(1000+p), 1))
	}
	put(t, db, batchOf("s1", later, ports...))
	hours, err := db.SourceHours(t.Context(), source, noon, later.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if h := hours[0]; !h.Hour.Equal(noon) || h.Port != 445 || h.Packets != 12 || h.Class != observation.ClassSYN || h.Proto != 6 || !h.First.Equal(noon.Add(time.Minute)) {
		t.Errorf("got %+v", h)
	}
	var sum int64
	others := 0
	for _, h := range hours[1:] {
		sum += h.Packets
		if h.Port == casedb.OtherPorts {
			others++
		}
	}
	if sum != 100 || others != 1 || len(hours) > 26 {
		t.Errorf("%d packets in %d rows, %d of them for other ports", sum, len(hours), others)
	}
	if hours, err = db.SourceHours(t.Context(), source, later, later.Add(time.Hour)); err != nil || hours[0].Hour != later {
		t.Errorf("got %+v, %v", hours, err)
	}
}

// A later version may have put in what this one does not know.
func TestTextsThatAreNotKnown(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	o := observed("192.0.2.1", noon, 445, 5)
	o.Marks = []observation.MarkCount{{Mark: observation.MarkWorm445, Packets: 4}}
	put(t, db, batchOf("s1", noon, o))
	exec(t, db, `update observation set class = 'quic', marks = '{"zmap_5": 5, "worm445": 3}'`)
	source := casedb.Addr{Addr: netip.MustParseAddr("192.0.2.1")}
	list, err := db.SourceObservations(t.Context(), source, nil, 10)
	if err != nil || len(list) != 1 || list[0].Class != observation.ClassOther || len(list[0].Marks) != 1 || list[0].Mark(observation.MarkWorm445) != 3 {
		t.Errorf("got %+v, %v", list, err)
	}
	hours, err := db.SourceHours(t.Context(), source, noon, noon.Add(time.Hour))
	if err != nil || len(hours) != 1 || hours[0].Class != observation.ClassOther {
		t.Errorf("got %+v, %v", hours, err)
	}
	if f, err := casedb.ParseFloodKey("0000000100000007/6/80/quic"); err != nil || f.Class != observation.ClassOther || f.Port != 80 {
		t.Errorf("got %+v, %v", f, err)
	}
}

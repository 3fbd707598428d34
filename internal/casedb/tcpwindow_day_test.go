package casedb_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// windowHost is a source on a day.
type windowHost struct{ day, i int }

// windowCountry is the country of source i in the table of countries; ?: the source
// is not judged; network: only the registry knows it, which says JP.
func windowCountry(i int) string { return []string{"JP", "KR", "", "?", "network"}[i%5] }

func windowSource(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }

// windowObservation is a random one of source i.
func windowObservation(rng *rand.Rand, i int, at time.Time) observation.Observation {
	o := observation.Observation{Window: at, Source: windowSource(i), Proto: 6, Port: 445, Class: observation.ClassSYN, Packets: uint64(1 + rng.IntN(4)),
		Destinations: 1, DestinationsExact: true, First: at, Last: at}
	switch rng.IntN(8) {
	case 0:
		o.Marks = []observation.MarkCount{{Mark: observation.MarkWorm445, Packets: 1}, {Mark: observation.MarkWindow8192, Packets: 1}}
	case 1:
		o.Marks = []observation.MarkCount{{Mark: observation.MarkWindow8192, Packets: 1}}
	}
	for range rng.IntN(5) {
		o.Fingerprints = append(o.Fingerprints, observation.Fingerprint{TTL: 50, Packets: uint64(1 + rng.IntN(2)),
			Window: []uint16{8192, 1024, 29200, 512, 64240, 65535}[rng.IntN(6)]})
	}
	return o
}

// windowAsk is a question and the sources that it counts.
type windowAsk struct {
	ask     casedb.TCPWindowQuestion
	counted func(i int) bool
	checked bool // whether a source of unknown country is told
}

func windowAsks() map[string]windowAsk {
	return map[string]windowAsk{
		"JP":      {casedb.TCPWindowQuestion{Countries: []string{"JP"}}, func(i int) bool { return i%5 == 0 || i%5 == 4 }, true},
		"JP, KR":  {casedb.TCPWindowQuestion{Countries: []string{"JP", "KR"}}, func(i int) bool { return i%5 < 2 || i%5 == 4 }, true},
		"a net":   {casedb.TCPWindowQuestion{Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}, func(i int) bool { return i < 16 }, true},
		"both":    {casedb.TCPWindowQuestion{Countries: []string{"JP"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}, func(i int) bool { return i < 16 || i%5 == 0 || i%5 == 4 }, true},
		"all":     {casedb.TCPWindowQuestion{}, func(int) bool { return true }, false},
		"nowhere": {casedb.TCPWindowQuestion{Countries: []string{"ZZ"}}, func(int) bool { return false }, true},
	}
}

// wantedDay counts the sources of a day by hand. The second has no sensors.
func wantedDay(hosts map[windowHost]casedb.TCPWindowGroup, n int, tt windowAsk) casedb.TCPWindowDay {
	want := casedb.TCPWindowDay{Sensors: 2}
	if n == 1 {
		want.Sensors = 0
	}
	for k, g := range hosts {
		switch {
		case k.day != n:
		case tt.counted(k.i):
			want.Sources[g]++
		case tt.checked && (windowCountry(k.i) == "?" || windowCountry(k.i) == ""):
			want.Unjudged++
		}
	}
	return want
}

// windowSources writes the sources as they were judged, and their network.
func windowSources(t *testing.T, db *casedb.DB, start time.Time) {
	t.Helper()
	var registered int64
	if err := db.SQL().QueryRow(`with o as (insert into owner (key, name, language, created_at) values ('TEST/NET', 'Example Net', 'ja', $1) returning id)
		insert into network (owner_id, first_address, last_address, handle, name, country, registry, raw, fetched_at, expires_at)
		select id, '192.0.2.0', '192.0.2.255', 'EX-NET', 'EX-NET', 'JP', 'apnic', '', $1, $1 from o returning id`, start).Scan(&registered); err != nil {
		t.Fatal(err)
	}
	for i := range 80 {
		c, network := windowCountry(i), any(nil)
		if c == "network" {
			c, network = "ZZ", registered
		}
		if c != "?" {
			if _, err := db.SQL().Exec(`insert into source (address, first_at, last_at, country, network_id) values ($1, $2, $2, $3, $4)`,
				windowSource(i).String(), start, c, network); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestWindowDaysCountEachSourceOnce compares the query with sets made in
// memory, over days, sensors, windows, countries and all kinds of fingerprints.
func TestWindowDaysCountEachSourceOnce(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	rng := rand.New(rand.NewPCG(7, 8192))
	tokyo := time.FixedZone("Asia/Tokyo", 9*60*60)
	start := time.Date(2026, 1, 10, 0, 0, 0, 0, tokyo)
	sensor(t, db, "north")
	sensor(t, db, "south")
	windowSources(t, db, start)
	groups := map[uint16]map[windowHost]casedb.TCPWindowGroup{8192: {}, 1024: {}}
	for hour := range 3 * 24 {
		if hour/24 == 1 {
			continue // a day without any sensor
		}
		for _, sensor := range []string{"north", "south"} {
			var list []observation.Observation
			for i := range 80 {
				if rng.IntN(12) > 0 {
					continue
				}
				at := start.Add(time.Duration(hour) * time.Hour).UTC()
				o := windowObservation(rng, i, at)
				switch rng.IntN(10) { // what is not asked for
				case 0:
					o.Port = 444
				case 1:
					o.Class = observation.ClassACK
				case 2:
					o.Proto = 17
				default:
					for window, m := range groups {
						k := windowHost{hour / 24, i}
						if g := casedb.TCPWindowGroupOf(&o, window); m[k] <= g {
							m[k] = g
						}
					}
				}
				list = append(list, o)
			}
			put(t, db, batchOf(sensor, start.Add(time.Duration(hour)*time.Hour).UTC(), list...))
		}
	}
	for window, hosts := range groups {
		for name, tt := range windowAsks() {
			tt.ask.Port, tt.ask.Window, tt.ask.Location = 445, window, tokyo
			days, err := db.TCPWindowDays(t.Context(), tt.ask, start.Add(time.Hour), start.AddDate(0, 0, 2), nil)
			if err != nil || len(days) != 3 {
				t.Fatalf("%d, %s: got %d days, %v", window, name, len(days), err)
			}
			for n := range days {
				want := wantedDay(hosts, n, tt)
				want.Day = start.AddDate(0, 0, n)
				if got := days[n]; !got.Day.Equal(want.Day) || got.Sensors != want.Sensors || got.Sources != want.Sources || got.Unjudged != want.Unjudged {
					t.Errorf("%d, %s, day %d:\n got %+v\nwant %+v", window, name, n, got, want)
				}
				if g := days[n].Sources; name == "all" && n != 1 && (g[0] == 0 || g[1] == 0 || g[2] == 0 || window == 8192 && g[3] == 0) {
					t.Errorf("%d: a group is empty: %v", window, g)
				}
			}
		}
	}
	// What retention has dropped is not zero sources.
	if _, err := db.DropObservationsBefore(t.Context(), start.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	days, err := db.TCPWindowDays(t.Context(), casedb.TCPWindowQuestion{Port: 445, Window: 8192, Location: tokyo}, start, start, nil)
	if err != nil || len(days) != 1 || days[0].Sensors != 0 || days[0].Total() != 0 {
		t.Errorf("a dropped day: got %+v, %v", days, err)
	}
	if last, err := db.LastObservationWindow(t.Context()); err != nil || !last.Equal(start.Add(71*time.Hour)) {
		t.Errorf("the last window: got %v, %v", last, err)
	}
}

// TestWindowMemoryForgetsWhatChanges: a complete day is counted once, until
// another batch of it comes; one that is not judged yet is counted each time.
func TestWindowMemoryForgetsWhatChanges(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "north")
	var memory casedb.TCPWindowMemory
	ask := casedb.TCPWindowQuestion{Port: 445, Window: 8192, Location: time.UTC}
	add := func(hour, host int) {
		at := noon.Add(time.Duration(hour) * time.Hour)
		put(t, db, batchOf("north", at, observation.Observation{Window: at, Source: netip.AddrFrom4([4]byte{192, 0, 2, byte(host)}), Proto: 6, Port: 445,
			Class: observation.ClassSYN, Packets: 1, Destinations: 1, First: at, Last: at, Marks: []observation.MarkCount{{Mark: observation.MarkWindow8192, Packets: 1}}}))
	}
	total := func() int64 {
		days, err := db.TCPWindowDays(t.Context(), ask, noon, noon, &memory)
		if err != nil || len(days) != 1 || !days[0].Day.Equal(noon.Truncate(24*time.Hour)) {
			t.Fatalf("got %+v, %v", days, err)
		}
		return days[0].Total()
	}
	change := func(query string) { // behind the memory's back
		if _, err := db.SQL().Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 1)
	add(1, 2)
	if n := total(); n != 2 {
		t.Errorf("got %d sources, want 2", n)
	}
	change(`delete from observation where source = '192.0.2.2'`)
	if n := total(); n != 1 {
		t.Errorf("not judged yet: got %d sources, want 1", n)
	}
	change(`update batch set judged_at = created_at`)
	total()
	change(`delete from observation`)
	if n := total(); n != 1 {
		t.Errorf("complete: got %d sources, want 1 from memory", n)
	}
	add(2, 3)
	if n := total(); n != 1 {
		t.Errorf("another batch: got %d sources, want the new one", n)
	}
}

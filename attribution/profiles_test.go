package attribution_test

import (
	"bytes"
	"encoding/json"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/observation"
)

func verdicts(s *attribution.Profiles) map[string]casedb.Verdict {
	all := map[string]casedb.Verdict{}
	s.Verdicts(func(v casedb.Verdict) bool {
		all[v.Source.String()] = v
		return true
	})
	return all
}

// source gives the i-th of many made-up sources.
func source(i int) string {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}).String()
}

func TestForgedSourcesOfAFloodAreNoScanners(t *testing.T) {
	t.Parallel()
	all := attribution.NewProfiles(attribution.Options{FloodSources: 1000})
	for i := range 3000 {
		// A flood with one sequence number looks like hidden Mirai, on its port too.
		s := seen{port: 23, dest: "198.51.100.9", after: time.Duration(i) * time.Second, marks: marks(observation.MarkMiraiK, 1)}
		all.Add("north", s.observation(source(i)))
	}
	all.Add("north", seen{port: 23, dest: "198.51.100.9", packets: 2, marks: marks(observation.MarkMirai, 2)}.observation("192.0.2.1"))
	got := map[casedb.Kind]int{}
	for _, v := range verdicts(all) {
		got[v.Kind]++
	}
	if diff := cmp.Diff(map[casedb.Kind]int{casedb.KindSpoofed: 3000, casedb.KindInfected: 1}, got); diff != "" {
		t.Error(diff)
	}
	aggs := all.Aggregates()
	if len(aggs) != 1 || aggs[0].Kind != attribution.AggregateFlood || aggs[0].Sources != 3000 || aggs[0].Destination.String() != "198.51.100.9" {
		t.Errorf("got %+v", aggs)
	}
}

func TestReflectorsAreAnAggregate(t *testing.T) {
	t.Parallel()
	all := attribution.NewProfiles(attribution.Options{ReflectorSources: 100})
	for i := range 200 {
		s := seen{proto: 17, port: 33000, class: observation.ClassUDP, dest: "198.51.100.9", packets: 5, sample: observation.Sample{SourcePort: 161, DestPort: 33000}}
		all.Add("north", s.observation(source(i)))
	}
	aggs := all.Aggregates()
	if len(aggs) != 1 || aggs[0].Kind != attribution.AggregateReflected || aggs[0].Sources != 200 || aggs[0].Ports[0] != "161/UDP" {
		t.Errorf("got %+v", aggs)
	}
	for s, v := range verdicts(all) {
		if v.Kind != casedb.KindBackscatter || len(v.Evidence.V.Notes) == 0 {
			t.Fatalf("%s: got %+v", s, v)
		}
	}
}

func TestVictimOfAnAttackIsAnAggregate(t *testing.T) {
	t.Parallel()
	all := attribution.NewProfiles(attribution.Options{})
	all.Add("north", seen{class: observation.ClassSYNACK, port: 80, packets: 400, dests: 100, length: 5 * time.Minute, peers: 100}.observation("192.0.2.1"))
	all.Add("north", seen{class: observation.ClassSYNACK, port: 80, packets: 20, dests: 10, length: 5 * time.Minute}.observation("192.0.2.2"))
	aggs := all.Aggregates()
	if len(aggs) != 1 || aggs[0].Kind != attribution.AggregateVictim || aggs[0].Victim.String() != "192.0.2.1" {
		t.Errorf("got %+v", aggs)
	}
}

func TestCompanyStandsForReachOnlyWhereOneAddressIsWatched(t *testing.T) {
	t.Parallel()
	worm := func(dest string) seen {
		return seen{packets: 2, dest: dest, marks: marks(observation.MarkWorm445, 2), sample: observation.Sample{Window: 8192, TTL: 113}}
	}
	all := attribution.NewProfiles(attribution.Options{})
	for i := range 4 {
		all.Add("north", worm("198.51.100.1").observation(source(i)))
	}
	for s, v := range verdicts(all) {
		if v.Kind != casedb.KindInfected || !v.Evidence.V.Weak || attribution.MayTell(&v) {
			t.Errorf("%s: got %+v, want a weak verdict", s, v)
		}
	}
	all.Add("north", worm("198.51.100.2").observation("192.0.2.1"))
	for s, v := range verdicts(all) {
		if v.Kind != casedb.KindUnknown {
			t.Errorf("%s: got %+v, want unknown", s, v)
		}
	}
}

func TestSensorsOwnAddressesAreNotJudged(t *testing.T) {
	t.Parallel()
	all := attribution.NewProfiles(attribution.Options{SensorNets: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
	all.Add("north", seen{}.observation("198.51.100.1"))
	all.Add("north", seen{}.observation("192.0.2.1"))
	if got := verdicts(all); len(got) != 1 || all.Len() != 1 {
		t.Errorf("got %v", got)
	}
}

func TestVerdictsComeInOrderAndStop(t *testing.T) {
	t.Parallel()
	all := attribution.NewProfiles(attribution.Options{})
	for i := range 5000 {
		all.Add("north", seen{port: uint16(i)}.observation(source(i*7919%5000)))
	}
	last, n := netip.Addr{}, 0
	all.Verdicts(func(v casedb.Verdict) bool {
		if n > 0 && !last.Less(v.Source.Addr) {
			t.Fatalf("%s after %s", v.Source, last)
		}
		last = v.Source.Addr
		n++
		return n < 2000
	})
	if n != 2000 {
		t.Errorf("got %d verdicts, want 2000", n)
	}
}

func TestWriterWritesWhatMarshalWould(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		str := rapid.StringMatching(`[ -~é研\t]{0,12}`)
		v := casedb.Verdict{Source: casedb.Addr{Addr: netip.MustParseAddr("2001:db8::1")}, Kind: casedb.KindScanner,
			Tool: str.Draw(t, "tool"), Acknowledged: str.Draw(t, "acknowledged"), Rule: "r", Ruleset: "s", Confidence: 0.85,
			Ports: rapid.SliceOfN(str, 0, 3).Draw(t, "ports"),
			First: time.UnixMicro(rapid.Int64Range(-1e15, 4e15).Draw(t, "first")).UTC(),
			Last:  time.UnixMicro(rapid.Int64Range(-1e15, 4e15).Draw(t, "last")).UTC()}
		v.Evidence.V = casedb.Evidence{Packets: rapid.Uint64().Draw(t, "packets"), Hits: 1, Of: 2, Chance: 0.25, Weak: rapid.Bool().Draw(t, "weak"),
			Destinations: 3, Sensors: 1, Days: 2, Definition: str.Draw(t, "definition"), List: str.Draw(t, "list"),
			Notes: rapid.SliceOfN(str, 1, 2).Draw(t, "notes")}
		var out bytes.Buffer
		w := attribution.NewWriter(&out)
		if err := w.WriteVerdict(&v); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Source, Kind, Tool, Acknowledged string
			Evidence                         casedb.Evidence
			Ports                            []string
			First, Last                      time.Time
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%v: %s", err, out.Bytes())
		}
		if diff := cmp.Diff(v.Evidence.V, got.Evidence); diff != "" {
			t.Error(diff)
		}
		if got.Tool != v.Tool || got.Acknowledged != v.Acknowledged || !got.First.Equal(v.First) || !got.Last.Equal(v.Last) ||
			strings.Join(got.Ports, "|") != strings.Join(v.Ports, "|") {
			t.Errorf("got %+v of %s", got, out.Bytes())
		}
	})
}

func TestChance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hits, packets uint64
		p, want       float64
	}{
		{0, 10, 0.5, 1}, {1, 1, 0x1p-16, 0x1p-16}, {2, 2, 0x1p-16, 0x1p-32}, {1, 2, 0.5, 0.75}, {5, 10, 0.5, 0.623046875},
		{3, 86788, 0x1p-16, 0.148514}, {11, 10, 0.5, 0}, {1, 10, 1, 1}, {10000, 10000, 0x1p-16, 1e-300},
	} {
		got := attribution.Chance(test.hits, test.packets, test.p)
		if math.Abs(got-test.want) > 1e-3*test.want {
			t.Errorf("%d of %d at %g: got %g, want %g", test.hits, test.packets, test.p, got, test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 60).Draw(t, "n")
		p := rapid.Float64Range(1e-6, 0.99).Draw(t, "p")
		sum := 0.0
		for k := n; k > 0; k-- { // exact for small n
			c := 1.0
			for i := range k {
				c = c * float64(n-i) / float64(i+1)
			}
			sum += c * math.Pow(p, float64(k)) * math.Pow(1-p, float64(n-k))
			if got := attribution.Chance(k, n, p); math.Abs(got-min(sum, 1)) > 1e-9*max(sum, 1e-3) {
				t.Fatalf("%d of %d at %g: got %g, want %g", k, n, p, got, sum)
			}
		}
	})
}

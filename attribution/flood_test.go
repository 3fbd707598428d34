package attribution_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/attribution"
	"teiten/internal/observation"
)

// crowd is many sources that send a packet or two to one address of ours.
type crowd struct {
	from, every time.Duration
	sources     int
	make        func(n int) seen
}

func (c crowd) profiles() *attribution.Profiles {
	list := attribution.NewProfiles(attribution.Options{FloodSources: 200, ReflectorSources: 100})
	for n := range c.sources {
		s := c.make(n)
		s.after = c.from + time.Duration(n)*c.every
		list.Add("north", s.observation(fmt.Sprintf("198.18.%d.%d", n/250, 1+n%250)))
	}
	return list
}

// kindsOf counts the verdicts and aggregates.
func kindsOf(list *attribution.Profiles) (verdicts, aggregates map[string]int) {
	verdicts, aggregates = map[string]int{}, map[string]int{}
	for v := range list.Verdicts {
		verdicts[string(v.Kind)]++
	}
	for _, a := range list.Aggregates() {
		aggregates[a.Kind.String()]++
	}
	return verdicts, aggregates
}

// forgedLook are headers of forged packets.
func forgedLook(t *rapid.T) func(n int) observation.Sample {
	ttl := rapid.Uint8Range(40, 60).Draw(t, "ttl")
	switch rapid.SampledFrom([]string{"bare", "one way", "random"}).Draw(t, "sign") {
	case "bare":
		return func(n int) observation.Sample { return observation.Sample{TTL: 40 + uint8(n%20), Window: 64240} }
	case "one way":
		return func(n int) observation.Sample {
			return observation.Sample{TTL: ttl + uint8(n%2), Window: 64240, Options: make([]byte, 20)}
		}
	}
	return func(n int) observation.Sample {
		return observation.Sample{TTL: 1 + uint8(n*7), Window: 64240, Options: make([]byte, 20)}
	}
}

// clientLook are headers of clients at many distances.
func clientLook(n int) observation.Sample {
	base := uint8(64)
	if n%3 == 0 {
		base = 128
	}
	return observation.Sample{TTL: base - 5 - uint8(n*7%20), Window: 64240, DF: true, Options: make([]byte, 12+8*(n%2))}
}

// TestFloodsNeedASignOfForging: a flood is one whenever its hour begins, and the
// clients of a server that had the address are none, however many there are.
func TestFloodsNeedASignOfForging(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sources := rapid.IntRange(400, 1200).Draw(t, "sources")
		c := crowd{from: time.Duration(rapid.IntRange(0, 3*3600).Draw(t, "from")) * time.Second, sources: sources,
			every: time.Duration(rapid.IntRange(1, 50*60*1000).Draw(t, "milliseconds")) * time.Millisecond / time.Duration(sources)}
		port := rapid.Uint16Range(1, 65535).Filter(func(p uint16) bool { return p != 445 }).Draw(t, "port")
		forged := rapid.Bool().Draw(t, "forged")
		look := clientLook
		if forged {
			look = forgedLook(t)
		}
		c.make = func(n int) seen { return seen{port: port, packets: 1 + uint64(n%3/2), sample: look(n)} }
		verdicts, aggregates := kindsOf(c.profiles())
		if forged && (verdicts["spoofed"] != sources || aggregates["spoofed_flood"] != 1) || !forged && (verdicts["unknown"] != sources || len(aggregates) > 0) {
			t.Fatalf("forged %v: %v %v", forged, verdicts, aggregates)
		}
	})
}

// TestCarpetsAndPortsAreOneFlood: forged sources that spread over a /24, or over the
// ports of an address, are one flood; scanners and clients that spread so are none.
func TestCarpetsAndPortsAreOneFlood(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := crowd{sources: rapid.IntRange(400, 1000).Draw(t, "sources"), every: time.Second}
		carpet := rapid.Bool().Draw(t, "carpet")
		kind := rapid.SampledFrom([]string{"one way", "random", "clients", "scanners"}).Draw(t, "headers")
		c.make = func(n int) seen {
			s := seen{port: 8000, sample: clientLook(n)}
			switch kind {
			case "one way":
				s.sample = observation.Sample{TTL: 51 + uint8(n%2), Window: 64240, Options: make([]byte, 20)}
			case "random":
				s.sample.TTL = 1 + uint8(n*7)
			case "scanners":
				s.sample.Options = nil
			}
			if carpet {
				s.dest = fmt.Sprintf("198.51.100.%d", n*7%256)
			} else {
				s.port = 1 + uint16(n*61)
			}
			return s
		}
		verdicts, aggregates := kindsOf(c.profiles())
		forged := kind == "one way" || kind == "random"
		if forged && (verdicts["spoofed"] != c.sources || aggregates["spoofed_flood"] != 1) || !forged && (verdicts["spoofed"] > 0 || aggregates["spoofed_flood"] > 0) {
			t.Fatalf("carpet %v, %s: %v %v", carpet, kind, verdicts, aggregates)
		}
	})
}

// TestReflectionAtAnyPort: many sources with one source port answer, whatever the
// port and that of ours; with ports of their own they do not.
func TestReflectionAtAnyPort(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		service := rapid.Uint16Range(1, 65535).Draw(t, "service")
		attacked := rapid.Uint16Range(1, 65535).Filter(func(p uint16) bool { return p != service }).Draw(t, "attacked")
		random := rapid.Bool().Draw(t, "random ports")
		own := rapid.Bool().Draw(t, "ports of their own")
		c := crowd{sources: rapid.IntRange(120, 600).Draw(t, "sources"), every: time.Second}
		c.make = func(n int) seen {
			s := seen{proto: 17, port: attacked, class: observation.ClassUDP, packets: 1 + uint64(n%3), sample: observation.Sample{SourcePort: service, TTL: 40 + uint8(n%20)}}
			if random {
				s.port = 1024 + uint16(n*101)
				if s.port == service {
					s.port++
				}
			}
			if own {
				s.sample.SourcePort = 20000 + uint16(n*11)
			}
			return s
		}
		verdicts, aggregates := kindsOf(c.profiles())
		switch {
		case verdicts["scanner"]+verdicts["infected"] > 0, !own && (verdicts["backscatter"] != c.sources || aggregates["reflected_flood"] != 1 || aggregates["spoofed_flood"] > 0),
			own && aggregates["reflected_flood"] > 0:
			t.Fatalf("own %v: %v %v", own, verdicts, aggregates)
		}
	})
}

// TestChanceInAFlood: in a large flood, as many sources as chance gives look like
// a tool's; they are forged like the others. More are what they look like.
func TestChanceInAFlood(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ marked, want int }{{1, 0}, {40, 40}} {
		c := crowd{sources: 3000, every: 100 * time.Millisecond}
		c.make = func(n int) seen {
			s := seen{port: 80, sample: observation.Sample{TTL: 240, Window: 1024}}
			if n < tt.marked {
				s.marks = marks(observation.MarkMasscan, 1)
			}
			return s
		}
		verdicts, _ := kindsOf(c.profiles())
		if verdicts["scanner"] != tt.want || verdicts["spoofed"] != c.sources-tt.want {
			t.Errorf("%d marked: %v", tt.marked, verdicts)
		}
	}
}

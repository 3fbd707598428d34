package attribution_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// TestServersAreNoScanners makes what servers and victims send, of which class
// ever: it is backscatter or unknown.
func TestServersAreNoScanners(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.SampledFrom([]uint16{443, 500, 88, 4500, 80, 25, 53, 22, 9987, 19132, 51820, 25565, 50004, 8080}).Draw(t, "from")
		n := rapid.IntRange(5, 200).Draw(t, "clients")
		kind := rapid.SampledFrom([]string{"challenge ACK", "PSH-ACK", "FIN-ACK", "UDP", "SYN/ACK and challenge ACK"}).Draw(t, "kind")
		var list []seen
		for i := range n {
			port := rapid.Uint16Range(1024, 65535).Draw(t, "client")
			s := seen{port: port, class: observation.ClassACK, dest: fmt.Sprintf("198.51.100.%d", 1+i%250), after: time.Duration(i) * time.Second,
				packets: uint64(rapid.IntRange(1, 3).Draw(t, "packets")),
				sample:  observation.Sample{SourcePort: from, DestPort: port, Flags: 0x10, DF: true, TTL: 52, Window: 501}}
			switch kind {
			case "PSH-ACK":
				s.sample.Flags, s.sample.Payload = 0x18, []byte("anything")
			case "FIN-ACK":
				s.class, s.sample.Flags = observation.ClassFIN, 0x11
			case "UDP":
				s.proto, s.class, s.sample.Flags, s.sample.Payload = 17, observation.ClassUDP, 0, []byte("sealed")
			case "SYN/ACK and challenge ACK":
				list = append(list, synack(from, port, s.dest))
				s.packets = 1
			}
			list = append(list, s)
		}
		v := attribution.JudgeProfile(profile("203.0.113.7", list...), nil)
		if v.Kind != casedb.KindBackscatter && v.Kind != casedb.KindUnknown {
			t.Fatalf("%s from %d to %d ports: %s by %s", kind, from, n, v.Kind, v.Rule)
		}
	})
}

// TestAnswersOverSCTP: an ABORT or INIT ACK answers, an INIT asks.
func TestAnswersOverSCTP(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		chunk := rapid.SampledFrom([]byte{1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 14}).Draw(t, "chunk")
		asks := chunk == 1 || chunk == 4 || chunk == 10
		n := uint32(rapid.IntRange(100, 5000).Draw(t, "addresses"))
		s := seen{proto: 132, class: observation.ClassOther, packets: uint64(n), dests: n, length: time.Hour,
			sample: observation.Sample{Payload: append(make([]byte, 12), chunk, 0, 0, 4)}}
		v := attribution.JudgeProfile(profile("203.0.113.7", s), nil)
		if want := map[bool]casedb.Kind{true: casedb.KindScanner, false: casedb.KindBackscatter}[asks]; v.Kind != want {
			t.Fatalf("chunk %d: %s by %s, want %s", chunk, v.Kind, v.Rule, want)
		}
	})
}

// TestSYNProxiesAreVictims: a SYN/ACK scan has the header that ZMap writes; the
// answers to SYNs from one forged port have that of a stack or proxy.
func TestSYNProxiesAreVictims(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := observation.Sample{DF: rapid.Bool().Draw(t, "df"), Window: rapid.SampledFrom([]uint16{0, 1024, 8192, 14600, 29200, 64240, 65535}).Draw(t, "window"),
			Options: make([]byte, rapid.SampledFrom([]int{0, 4, 8, 12, 20}).Draw(t, "options"))}
		zmap := !h.DF && h.Window == 65535 && len(h.Options) <= 4
		v := attribution.JudgeProfile(profile("203.0.113.7", synacks(h)...), nil)
		if want := map[bool]casedb.Kind{true: casedb.KindScanner, false: casedb.KindBackscatter}[zmap]; v.Kind != want {
			t.Fatalf("%+v: %s by %s, want %s", h, v.Kind, v.Rule, want)
		}
	})
}

// TestPeersOfSeveralPortsAreNoScan: a peer-to-peer client sends most from one port,
// and some from others, which count as peers' ports with the rest.
func TestPeersOfSeveralPortsAreNoScan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := portsOf(5, 6881, seen{}) // and a few over TCP
		for i := range rapid.IntRange(30, 100).Draw(t, "peers") {
			port := uint16(40000+200*i) + rapid.Uint16Range(0, 199).Draw(t, "port")
			s := seen{proto: 17, class: observation.ClassUDP, port: port, dest: fmt.Sprintf("198.51.100.%d", i+1), sample: observation.Sample{SourcePort: 6881, DestPort: port}}
			if i < 6 {
				s.sample.SourcePort = uint16(30000 + i)
			}
			list = append(list, s)
		}
		if v := attribution.JudgeProfile(profile("203.0.113.7", list...), nil); v.Kind != casedb.KindUnknown {
			t.Fatalf("%s by %s", v.Kind, v.Rule)
		}
	})
}

// TestScansFromOnePort: scanners send from one port too. What tells them is that
// they ask for ports that serve something, or for one port after the other, and
// TCP that begins.
func TestScansFromOnePort(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Uint16Range(32768, 65535).Draw(t, "from")
		n := rapid.IntRange(10, 200).Draw(t, "ports")
		first := rapid.Uint16Range(1, 60000).Draw(t, "first")
		s := seen{sample: observation.Sample{SourcePort: from, Flags: 2, TTL: 50}}
		switch rapid.SampledFrom([]string{"SYN", "ACK", "UDP", "FIN"}).Draw(t, "kind") {
		case "ACK":
			s.class, s.sample.Flags = observation.ClassACK, 0x10
		case "FIN":
			s.class, s.sample.Flags = observation.ClassFIN, 1
			first = rapid.Uint16().Draw(t, "anywhere") // FIN without ACK ends no connection
		case "UDP":
			s.proto, s.class, s.sample.Flags = 17, observation.ClassUDP, 0
			first = rapid.Uint16Range(1, 800).Draw(t, "low")
		}
		v := attribution.JudgeProfile(profile("203.0.113.7", portsOf(n, first, s)...), nil)
		if v.Kind != casedb.KindScanner {
			t.Fatalf("%d ports from %d on: %s by %s", n, first, v.Kind, v.Rule)
		}
	})
}

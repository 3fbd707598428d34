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

// TestTalkIsNotComparedWithPackets: a scan stays one when the host also talks at
// length, and a client that talks to many hosts is none for the ports it found
// closed.
func TestTalkIsNotComparedWithPackets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ports := rapid.IntRange(12, 200).Draw(t, "ports")
		scan := rapid.Bool().Draw(t, "scan")
		hosts := 1 + rapid.IntRange(0, 3).Draw(t, "hosts")
		if !scan {
			hosts = ports
		}
		var list []seen
		for n := range ports {
			list = append(list, seen{port: uint16(1 + n*3), dest: "198.51.100.7", after: time.Duration(n) * time.Second,
				sample: observation.Sample{TTL: 60, Window: 64240, Options: make([]byte, 20)}})
		}
		for n := range hosts {
			dest := fmt.Sprintf("198.51.100.%d", 10+n)
			port := uint16(20000 + n)
			list = append(list, seen{port: port, dest: dest, sample: observation.Sample{TTL: 60, Options: make([]byte, 20)}},
				seen{port: port, dest: dest, class: observation.ClassACK, packets: uint64(4 + 4*ports/hosts)})
		}
		v := attribution.JudgeProfile(profile("192.0.2.10", list...), nil)
		if (v.Kind == casedb.KindScanner) != scan {
			t.Fatalf("scan %v: %s by %s", scan, v.Kind, v.Rule)
		}
	})
}

// TestPingsAndTracesAreNoScan: many pings of a host, with zeros as Angry IP
// Scanner's, and traceroutes.
func TestPingsAndTracesAreNoScan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dests := rapid.IntRange(1, 40).Draw(t, "dests")
		n := rapid.IntRange(3, 60).Draw(t, "packets")
		scan := dests >= 5
		var list []seen
		if rapid.Bool().Draw(t, "trace") {
			scan = false
			for hop := range n {
				list = append(list, seen{proto: 17, port: uint16(33434 + hop), class: observation.ClassUDP, after: time.Duration(hop) * time.Second,
					sample: observation.Sample{TTL: 1 + uint8(hop/3), SourcePort: 40000 + uint16(hop)}})
			}
		} else {
			list = []seen{{proto: 1, class: observation.ClassICMPEcho, packets: uint64(n * dests), dests: uint32(dests), marks: marks(observation.MarkAngryIP, n*dests)}}
		}
		v := attribution.JudgeProfile(profile("192.0.2.10", list...), nil)
		if (v.Kind == casedb.KindScanner) != scan {
			t.Fatalf("%d destinations: %s by %s", dests, v.Kind, v.Rule)
		}
	})
}

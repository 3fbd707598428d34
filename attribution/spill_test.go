package attribution_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/attribution"
	"teiten/internal/observation"
)

// crowded makes observations of many sources, all fields that profiles read at
// random, from few values so that floods, campaigns and victims are among them.
func crowded(seed uint64, sources, count int) []observation.Observation {
	rng := rand.New(rand.NewPCG(seed, 12))
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	address := func(n int) netip.Addr {
		a := [16]byte{0x20, 1, 0xd, 0xb8, 15: byte(n)}
		a[14] = byte(n >> 8)
		switch n % 5 {
		case 0:
			return netip.AddrFrom16(a)
		case 1: // no IPv4 address, though one is mapped in it
			return netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: byte(n >> 8), 15: byte(n)})
		}
		return netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})
	}
	protos := []uint8{6, 6, 6, 17, 17, 1, 58, 132, 47}
	payloads := []string{"", "GET / HTTP/1.1\r\n", "SSH-2.0-Go\r\n", "HTTP/1.1 200 OK\r\n", "\x17\x00\x03\x2a"}
	list := make([]observation.Observation, count)
	for i := range list {
		o := &list[i]
		n := rng.IntN(sources)
		if rng.IntN(3) == 0 {
			n = rng.IntN(3) // these have more ports than a profile holds
		}
		o.Window = start.Add(time.Duration(rng.IntN(40*24)) * time.Hour)
		o.First = o.Window.Add(time.Duration(rng.IntN(3600)) * time.Second)
		o.Last = o.First.Add(time.Duration(rng.IntN(3600)) * time.Second)
		o.Source, o.Destination = address(n), netip.AddrFrom4([4]byte{198, 51, 100, byte(rng.IntN(4))})
		o.Proto, o.Class = protos[rng.IntN(len(protos))], observation.Class(1+rng.IntN(20))
		o.Port, o.PeerPorts = uint16(rng.IntN(1<<rng.IntN(16))), uint16(rng.IntN(3))
		o.Packets = 1 + rng.Uint64N(1<<rng.IntN(12))
		o.Destinations = 1 + rng.Uint32N(1<<rng.IntN(8))
		for m := range observation.Marks {
			if rng.IntN(6) == 0 {
				o.Marks = append(o.Marks, observation.MarkCount{Mark: m, Packets: 1 + rng.Uint64N(o.Packets)})
			}
		}
		if rng.IntN(2) == 0 {
			o.Fingerprints = []observation.Fingerprint{{TTL: uint8(rng.Uint32()), Window: uint16(rng.Uint32()), Options: "020405b4"[:8*rng.IntN(2)]}}
		}
		for range rng.IntN(3) {
			s := observation.Sample{Destination: o.Destination, SourcePort: uint16(rng.IntN(4)) + 51, DestPort: o.Port, TTL: uint8(rng.Uint32()),
				DF: rng.IntN(2) == 0, Flags: uint8(rng.Uint32()), Window: uint16(rng.Uint32()), Options: make([]byte, rng.IntN(40)),
				Payload: []byte(payloads[rng.IntN(len(payloads))])}
			if rng.IntN(2) == 0 {
				s.Quoted = &observation.Quote{Source: netip.AddrFrom4([4]byte{198, 51, 100, byte(rng.IntN(4))}), Proto: protos[rng.IntN(len(protos))]}
			}
			o.Samples = append(o.Samples, s)
		}
	}
	return list
}

// lines are what `teiten attribute` prints.
func lines(t interface{ Fatal(...any) }, s *attribution.Profiles) []byte {
	var out bytes.Buffer
	w := attribution.NewWriter(&out)
	for v := range s.Verdicts {
		if err := w.WriteVerdict(&v); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range s.Aggregates() {
		if err := w.WriteAggregate(&a); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestABoundOnMemoryChangesNoLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		list := crowded(seed, rapid.IntRange(60, 1500).Draw(t, "sources"), rapid.IntRange(100, 6000).Draw(t, "observations"))
		opt := attribution.Options{CampaignSources: 3, FloodSources: 8, ReflectorSources: 8}
		free := attribution.NewProfiles(opt)
		opt.Memory = rapid.Int64Range(1, 200_000).Draw(t, "memory")
		bounded := attribution.NewProfiles(opt)
		defer bounded.Close()
		for i := range list {
			sensor := []string{"north", "south", "west"}[i%3]
			free.Add(sensor, &list[i])
			bounded.Add(sensor, &list[i])
		}
		spilled := bounded.Spilled()
		if want, got := lines(t, free), lines(t, bounded); !bytes.Equal(want, got) {
			a, b := bytes.Split(want, []byte("\n")), bytes.Split(got, []byte("\n"))
			for i := range min(len(a), len(b)) {
				if !bytes.Equal(a[i], b[i]) {
					t.Fatalf("line %d of %d and %d differs:\n%s\n%s", i, len(a), len(b), a[i], b[i])
				}
			}
			t.Fatalf("%d and %d lines", len(a), len(b))
		}
		if free.Len() != bounded.Len() {
			t.Fatalf("%d and %d sources", free.Len(), bounded.Len())
		}
		if opt.Memory < 10_000 && free.Len() > 100 && !spilled {
			t.Fatalf("%d sources in %d bytes", free.Len(), opt.Memory)
		}
	})
}

// TestSourcesInOrderAreDividedToo: sources that come in the order of their
// addresses all go to the last share, again and again.
func TestSourcesInOrderAreDividedToo(t *testing.T) {
	t.Parallel()
	bounded := attribution.NewProfiles(attribution.Options{Memory: 1})
	defer bounded.Close()
	const sources = 3000
	for i := range sources {
		bounded.Add("north", seen{port: 23}.observation(source(i)))
	}
	got := bytes.Count(lines(t, bounded), []byte(`{"source":"2001:db8:1::`))
	if got != sources || bounded.Len() != sources {
		t.Errorf("%d verdicts, %d sources", got, bounded.Len())
	}
}

func TestProfilesLeaveNoFileBehind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	bounded := attribution.NewProfiles(attribution.Options{Memory: 1})
	for i := range 200 {
		bounded.Add("north", seen{port: 23}.observation(source(i)))
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 || !bounded.Spilled() {
		t.Errorf("%v, %v, spilled %v", entries, err, bounded.Spilled())
	}
	if err := bounded.Close(); err != nil {
		t.Error(err)
	}
}

func TestAMissingTemporaryFolderIsReported(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()+"/missing")
	bounded := attribution.NewProfiles(attribution.Options{Memory: 1})
	for i := range 200 {
		bounded.Add("north", seen{port: 23}.observation(source(i)))
	}
	if bounded.Err() == nil {
		t.Error("no error")
	}
}

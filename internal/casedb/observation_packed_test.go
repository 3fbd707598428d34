package casedb

import (
	"encoding/hex"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/internal/observation"
)

// drawAddr draws an address of a documentation network, or none.
func drawAddr(t *rapid.T, name string) netip.Addr {
	last := rapid.Byte().Draw(t, name)
	return rapid.SampledFrom([]netip.Addr{{}, netip.AddrFrom4([4]byte{192, 0, 2, last}),
		netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 15: last})}).Draw(t, name+" family")
}

func drawBytes(t *rapid.T, limit int, name string) []byte {
	b := rapid.SliceOfN(rapid.Byte(), 0, limit).Draw(t, name)
	if len(b) == 0 {
		return nil
	}
	return b
}

func drawSample(t *rapid.T, window time.Time) observation.Sample {
	s := observation.Sample{When: window.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "after"))),
		Destination: drawAddr(t, "dst"), SourcePort: rapid.Uint16().Draw(t, "sport"), DestPort: rapid.Uint16().Draw(t, "dport"),
		TTL: rapid.Byte().Draw(t, "ttl"), ID: rapid.Uint16().Draw(t, "id"), DF: rapid.Bool().Draw(t, "df"),
		Options: drawBytes(t, maxSampleOptions, "options"), Payload: drawBytes(t, maxSamplePayload, "payload")}
	if rapid.Bool().Draw(t, "tcp") {
		s.Flags, s.Seq, s.Ack, s.Window = rapid.Byte().Draw(t, "flags"), rapid.Uint32().Draw(t, "seq"), rapid.Uint32().Draw(t, "ack"), rapid.Uint16().Draw(t, "win")
	}
	if rapid.Bool().Draw(t, "quoted") {
		s.Quoted = &observation.Quote{Source: drawAddr(t, "qsrc"), Destination: drawAddr(t, "qdst"), Proto: rapid.Byte().Draw(t, "qproto"),
			SourcePort: rapid.Uint16().Draw(t, "qsport"), DestPort: rapid.Uint16().Draw(t, "qdport")}
	}
	return s
}

// TestPackedIsTheSame packs what package capture may give, and reads it back.
func TestPackedIsTheSame(t *testing.T) {
	window := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		var want, got observation.Observation
		for range rapid.IntRange(0, maxRowFingerprints).Draw(t, "fingerprints") {
			want.Fingerprints = append(want.Fingerprints, observation.Fingerprint{TTL: rapid.Byte().Draw(t, "ttl"), Window: rapid.Uint16().Draw(t, "win"),
				Options: hex.EncodeToString(drawBytes(t, maxSampleOptions, "opt")), Packets: rapid.Uint64Max(packedMaxPackets).Draw(t, "n")})
		}
		for range rapid.IntRange(0, maxRowSamples).Draw(t, "samples") {
			want.Samples = append(want.Samples, drawSample(t, window))
		}
		packed, ok := appendPacked(nil, window, want.Fingerprints, want.Samples)
		if !ok {
			t.Fatal("not packed")
		}
		if _, err := decodePacked(packed, window, &got, nil); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		if n := len(packed); n > 0 {
			if _, err := decodePacked(packed[:n-1], window, &got, nil); err == nil {
				t.Fatal("a column that is cut off was read")
			}
		}
	})
}

// TestWhatCannotBePacked stays JSON.
func TestWhatCannotBePacked(t *testing.T) {
	window := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	for name, prints := range map[string][]observation.Fingerprint{
		"options in words":      {{Options: "mss"}},
		"options in capitals":   {{Options: "0A"}},
		"too many packets":      {{Packets: packedMaxPackets + 1}},
		"too many fingerprints": make([]observation.Fingerprint, maxRowFingerprints+1),
	} {
		if b, ok := appendPacked([]byte("x"), window, prints, nil); ok || string(b) != "x" {
			t.Errorf("%s: packed as %x", name, b)
		}
	}
	if b, ok := appendPacked([]byte("x"), window, nil, []observation.Sample{{When: time.Unix(0, 0)}}); ok || string(b) != "x" {
		t.Errorf("a sample of another year: packed as %x", b)
	}
}

// FuzzDecodePacked reads whatever a column may hold.
func FuzzDecodePacked(f *testing.F) {
	window := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	b, _ := appendPacked(nil, window, []observation.Fingerprint{{TTL: 64, Window: 8192, Options: "0204", Packets: 1}},
		[]observation.Sample{{When: window, Seq: 1, Payload: []byte("GET /"), Quoted: &observation.Quote{}}})
	f.Add(b)
	f.Add([]byte{packedVersion, 0, 0, 255, 255})
	f.Fuzz(func(t *testing.T, packed []byte) {
		var o observation.Observation
		arena, err := decodePacked(packed, window, &o, nil)
		if err == nil && len(arena) > len(packed) {
			t.Errorf("%d bytes of %d", len(arena), len(packed))
		}
		if len(o.Samples) > 255 || len(o.Fingerprints) > 255 {
			t.Error("more than a column can name")
		}
	})
}

package casedb

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"teiten/internal/observation"
)

// These tests are inside the package: the two ways of reading a column are not
// told apart from outside, which is the point.

// FuzzDecodeSamples compares the quick way with encoding/json.
func FuzzDecodeSamples(f *testing.F) {
	when := time.Date(2026, 1, 15, 12, 0, 0, 123456789, time.UTC)
	dst := netip.MustParseAddr("192.0.2.1")
	full := observation.Sample{When: when, Destination: dst, SourcePort: 1, DestPort: 2, TTL: 3, ID: 4, DF: true, Flags: 5, Seq: 6, Ack: 7, Window: 8,
		Options: []byte{1, 2, 3}, Payload: []byte("GET /"), Quoted: &observation.Quote{Source: dst, Destination: netip.MustParseAddr("2001:db8::1"), Proto: 6}}
	for _, s := range [][]observation.Sample{{full}, {full, {When: when}, full}, {{Destination: dst, Payload: []byte{0}}}} {
		f.Add(string(appendSamples(nil, s)))
	}
	f.Add(`[]`)
	f.Add(`null`)
	f.Add(`[{"when":"2026-01-15T12:00:00+09:00","dst":"192.0.2.1"}]`)
	f.Add(`[{"when":"2026-01-15T12:00:00Z","dst":"","sport":01,"dport":0,"ttl":0,"id":0}]`)
	f.Fuzz(func(t *testing.T, text string) {
		var want []observation.Sample
		wantErr := json.Unmarshal([]byte(text), &want)
		got, _, err := observation.DecodeSamples([]byte(text), nil, nil)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: got %v, want %v", text, err, wantErr)
		}
		if err == nil && len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q:\ngot  %+v\nwant %+v", text, got, want)
		}
	})
}

// FuzzDecodeFingerprints compares the quick way with encoding/json.
func FuzzDecodeFingerprints(f *testing.F) {
	f.Add(string(appendFingerprints(nil, []observation.Fingerprint{{TTL: 64, Window: 1024, Options: "020405b4", Packets: 12}, {}})))
	f.Add(`[{"ttl":256,"win":0,"opt":"","n":0}]`)
	f.Add(`[{"ttl":0,"win":0,"opt":"\u0041","n":18446744073709551615}]`)
	f.Add(`[{"ttl":0,"win":0,"opt":"","n":18446744073709551616}]`)
	f.Fuzz(func(t *testing.T, text string) {
		var want []observation.Fingerprint
		wantErr := json.Unmarshal([]byte(text), &want)
		got, err := observation.DecodeFingerprints([]byte(text), nil)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: got %v, want %v", text, err, wantErr)
		}
		if err == nil && len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q:\ngot  %+v\nwant %+v", text, got, want)
		}
	})
}

// FuzzDecodeMarks compares the quick way with encoding/json.
func FuzzDecodeMarks(f *testing.F) {
	f.Add(`{"zmap": 12, "masscan": 3}`)
	f.Add(`{"zmap":12}`)
	f.Add(`{"": 1, "other": 2}`)
	f.Add(`{}`)
	f.Add(`}`)
	f.Fuzz(func(t *testing.T, text string) {
		counts := map[string]uint64{}
		wantErr := json.Unmarshal([]byte(text), &counts)
		got, err := observation.DecodeMarks([]byte(text), nil)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: got %v, want %v", text, err, wantErr)
		}
		seen := 0
		for _, m := range got {
			if n, ok := counts[m.Mark.String()]; ok && n == m.Packets {
				seen++
			}
		}
		known := 0
		for m := range observation.Marks {
			if _, ok := counts[m.String()]; ok {
				known++
			}
		}
		// A key twice in one object, which jsonb never gives, counts twice here.
		if err == nil && (seen < known || len(got) < known) {
			t.Fatalf("%q: got %+v, want %v", text, got, counts)
		}
	})
}

// Not parallel: it counts allocations.
func TestWhatIsWrittenIsReadTheQuickWay(t *testing.T) {
	s := []observation.Sample{{When: time.Unix(1, 2).UTC(), Destination: netip.MustParseAddr("192.0.2.1"), Payload: []byte{1}, Quoted: &observation.Quote{}}, {}}
	text := appendSamples(nil, s)
	arena := make([]byte, 0, 100)
	if _, grown, err := observation.DecodeSamples(text, nil, arena); err != nil || len(grown) != 1 {
		t.Errorf("%s went to encoding/json (%v)", text, err)
	}
	marks, written := make([]observation.MarkCount, 0, 4), []byte(`{"zmap": 12, "masscan": 3}`)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := observation.DecodeMarks(written, marks); err != nil {
			t.Error(err)
		}
	})
	if allocs > 0 {
		t.Errorf("marks took %v allocations, as encoding/json would", allocs)
	}
}

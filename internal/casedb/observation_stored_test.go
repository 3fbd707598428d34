package casedb_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// TestStoredPackedAndAsBefore compares the row that is written with one that the
// version before has left: the program and the functions of the schema read
// the same from both.
func TestStoredPackedAndAsBefore(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	source := netip.MustParseAddr("192.0.2.1")
	o := observation.Observation{Window: noon, Source: source, Proto: 6, Port: 445, Class: observation.ClassSYN, Packets: 1 << 40, Bytes: 40, Destinations: 1,
		DestinationsExact: true, Destination: netip.MustParseAddr("198.51.100.1"), PeerPorts: 1, First: noon, Last: noon,
		Fingerprints: []observation.Fingerprint{{TTL: 255, Window: 65535, Options: "020405b4", Packets: 1<<40 - 7}, {TTL: 1, Window: 258, Packets: 7}},
		Samples: []observation.Sample{{When: noon.Add(time.Nanosecond), Source: source, SourcePort: 65534, DestPort: 445, Seq: 1 << 31,
			Payload: []byte("GET /"), Destination: netip.MustParseAddr("198.51.100.1")}, {When: noon.Add(time.Minute), Source: source, SourcePort: 9}}}
	put(t, db, batchOf("s1", noon, o))
	if n := count(t, db, `select count(*) from observation where packed is not null and samples is null and fingerprints is null`); n != 1 {
		t.Fatalf("%d rows are packed", n)
	}
	type reading struct {
		Observations []casedb.StoredObservation
		Port, Sum    int64
		Windows      string
	}
	read := func() (r reading) {
		var err error
		if r.Observations, err = db.SourceObservations(t.Context(), casedb.Addr{Addr: source}, nil, 10); err != nil {
			t.Fatal(err)
		}
		r.Port = count(t, db, `select sample_port(samples, packed) from observation`)
		r.Sum = count(t, db, `select sum(f.n)::bigint from observation o, fingerprint_windows(o.fingerprints, o.packed) f`)
		if err := db.SQL().QueryRowContext(t.Context(), `select string_agg(f.win::text, ' ')
			from observation o, fingerprint_windows(o.fingerprints, o.packed) f`).Scan(&r.Windows); err != nil {
			t.Fatal(err)
		}
		return r
	}
	packed := read()
	if packed.Port != 65534 || packed.Sum != 1<<40 || packed.Windows != "65535 258" {
		t.Errorf("read %d, %d, %s", packed.Port, packed.Sum, packed.Windows)
	}
	prints, err := json.Marshal(o.Fingerprints)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := json.Marshal(o.Samples)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.SQL().ExecContext(t.Context(), `update observation set packed = null, fingerprints = $1, samples = $2`, string(prints), string(samples)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(read(), packed, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("as JSON and packed:\n%s", diff)
	}
}

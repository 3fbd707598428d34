package batchfile_test

import (
	"bytes"
	"context"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"teiten/internal/batchfile"
	"teiten/internal/observation"
)

var window = time.Date(2026, 5, 20, 15, 0, 0, 0, time.UTC)

// drawBatch makes up a batch of a sensor's window.
func drawBatch(r *rapid.T) *observation.Batch {
	count := rapid.IntRange(0, 40).Draw(r, "rows")
	var list []observation.Observation
	for range count {
		list = append(list, drawObservation(r))
	}
	slices.SortFunc(list, compare)
	list = slices.CompactFunc(list, func(a, b observation.Observation) bool { return compare(a, b) == 0 })
	facts := &observation.Facts{From: window, To: window.Add(10 * time.Minute), Records: 5, Dropped: rapid.Uint64Range(0, 9).Draw(r, "dropped"),
		Skipped: map[string]uint64{"arp": 2}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Inputs: []string{"eth0"}}
	return batchOf(facts, list...)
}

func batchOf(facts *observation.Facts, list ...observation.Observation) *observation.Batch {
	b := &observation.Batch{Sensor: "tokyo-1", Window: window, Length: 10 * time.Minute, Keys: len(list), Copies: 3, Facts: facts}
	for i := range list {
		b.Packets += list[i].Packets
	}
	b.Observations = func(yield func(*observation.Observation) bool) {
		for i := range list {
			if !yield(list[i].Clone()) {
				return
			}
		}
	}
	return b
}

func compare(a, b observation.Observation) int {
	if c := a.Source.Compare(b.Source); c != 0 {
		return c
	}
	return slices.Compare([]int{int(a.Proto), int(a.Port), int(a.Class)}, []int{int(b.Proto), int(b.Port), int(b.Class)})
}

func drawAddr(r *rapid.T, name string) netip.Addr {
	if rapid.Bool().Draw(r, name+" is IPv6") {
		a := netip.MustParseAddr("2001:db8::").As16()
		copy(a[8:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(r, name))
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(r, name)})
}

func drawTime(r *rapid.T, name string) time.Time {
	return window.Add(time.Duration(rapid.Int64Range(0, int64(10*time.Minute)-1).Draw(r, name)))
}

func drawObservation(r *rapid.T) observation.Observation {
	packets := rapid.Uint64Range(1, 1<<20).Draw(r, "packets")
	o := observation.Observation{Window: window, Source: drawAddr(r, "source"), Proto: rapid.Byte().Draw(r, "proto"), Port: rapid.Uint16().Draw(r, "port"),
		Class: observation.Class(rapid.IntRange(1, int(observation.ClassUDPAnswer)).Draw(r, "class")), Packets: packets, Bytes: packets * 40,
		Destinations: uint32(rapid.Uint64Range(1, packets).Draw(r, "destinations")), DestinationsExact: rapid.Bool().Draw(r, "exact"), PeerPorts: rapid.Uint16Range(0, 6).Draw(r, "peers"),
		First: drawTime(r, "first")}
	if rapid.Bool().Draw(r, "destination") {
		o.Destination = drawAddr(r, "destination")
	}
	o.Last = o.First.Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(r, "duration")))
	for m := range observation.Marks {
		if rapid.IntRange(0, 9).Draw(r, "mark") == 0 {
			o.Marks = append(o.Marks, observation.MarkCount{Mark: m, Packets: rapid.Uint64Range(1, packets).Draw(r, "marked")})
		}
	}
	for range rapid.IntRange(0, 4).Draw(r, "prints") {
		o.Fingerprints = append(o.Fingerprints, observation.Fingerprint{TTL: rapid.Byte().Draw(r, "ttl"), Window: rapid.Uint16().Draw(r, "win"),
			Options: rapid.SampledFrom([]string{"", "020405b4", "020405b40103030801010402"}).Draw(r, "options"), Packets: rapid.Uint64Range(1, packets).Draw(r, "n")})
	}
	for range rapid.IntRange(0, 4).Draw(r, "samples") {
		s := observation.Sample{When: drawTime(r, "when"), Source: o.Source, Destination: drawAddr(r, "to"), SourcePort: rapid.Uint16().Draw(r, "sport"), DestPort: rapid.Uint16().Draw(r, "dport"),
			TTL: rapid.Byte().Draw(r, "ttl"), ID: rapid.Uint16().Draw(r, "id"), DF: rapid.Bool().Draw(r, "df"), Flags: rapid.Byte().Draw(r, "flags"), Seq: rapid.Uint32().Draw(r, "seq"),
			Ack: rapid.Uint32().Draw(r, "ack"), Window: rapid.Uint16().Draw(r, "win")}
		if b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(r, "opt"); len(b) > 0 {
			s.Options = b
		}
		if b := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(r, "payload"); len(b) > 0 {
			s.Payload = b
		}
		if rapid.Bool().Draw(r, "quoted") {
			s.Quoted = &observation.Quote{Source: drawAddr(r, "q"), Destination: drawAddr(r, "q"), Proto: 6, SourcePort: 1, DestPort: 2}
		}
		o.Samples = append(o.Samples, s)
	}
	return o
}

func write(t interface{ Fatal(args ...any) }, b *observation.Batch) []byte {
	var buf bytes.Buffer
	if err := batchfile.Write(&buf, b, "test"); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func read(raw []byte) (*batchfile.File, error) {
	return batchfile.Read(context.Background(), bytes.NewReader(raw), int64(len(raw)), batchfile.Limits{})
}

// TestRoundTrip: what is read is what was written, to the nanosecond, as often as
// it is read.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		b := drawBatch(r)
		f, err := read(write(r, b))
		if err != nil {
			r.Fatal(err)
		}
		for range 2 {
			var want, got []*observation.Observation
			b.Observations(func(o *observation.Observation) bool { want = append(want, o.Clone()); return true })
			f.Batch.Observations(func(o *observation.Observation) bool { got = append(got, o.Clone()); return true })
			if f.Err() != nil {
				r.Fatal(f.Err())
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				r.Fatal(diff)
			}
		}
		if f.Batch.Packets != b.Packets || f.Batch.Copies != b.Copies || f.Batch.Keys != b.Keys || f.Batch.Sensor != b.Sensor || !f.Batch.Window.Equal(b.Window) ||
			f.Batch.Length != b.Length || !reflect.DeepEqual(f.Batch.Facts, b.Facts) {
			r.Fatalf("got %+v, want %+v", f.Batch, b)
		}
	})
}

// TestEmptyWindow: a window without packets is a batch, too.
func TestEmptyWindow(t *testing.T) {
	t.Parallel()
	f, err := read(write(t, batchOf(&observation.Facts{From: window, To: window.Add(time.Minute)})))
	if err != nil || f.Batch.Keys != 0 || f.ID != "20260520T150000Z-600-0" {
		t.Fatalf("%+v, %v", f, err)
	}
}

package casedb_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"teiten/internal/casedb"
	"teiten/internal/observation"
	"teiten/internal/pgtest"
)

// batchOf makes a batch of the observations, as package capture would hand it
// over: one Observation, used again for each.
func batchOf(sensor string, window time.Time, observations ...observation.Observation) *observation.Batch {
	b := &observation.Batch{Sensor: sensor, Window: window, Length: time.Hour, Keys: len(observations)}
	for _, o := range observations {
		b.Packets += o.Packets
	}
	b.Observations = func(yield func(*observation.Observation) bool) {
		var o observation.Observation
		for _, kept := range observations {
			o = kept
			if !yield(&o) {
				return
			}
		}
	}
	return b
}

// manyOf makes a batch of n made-up observations that depend on seed only.
func manyOf(sensor string, window time.Time, seed uint64, n int) *observation.Batch {
	b := &observation.Batch{Sensor: sensor, Window: window, Length: time.Hour, Keys: n}
	each := func(yield func(*observation.Observation) bool) {
		r := rand.New(rand.NewPCG(seed, 1))
		var o observation.Observation
		for i := range n {
			first := window.Add(time.Duration(r.Int64N(int64(time.Hour)))).Truncate(time.Microsecond)
			o = observation.Observation{
				Window: window, Source: netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), Proto: 6,
				Port: uint16(r.IntN(1024)), Class: observation.ClassSYN, Packets: 1 + uint64(r.IntN(20)), Bytes: 40 * uint64(1+r.IntN(20)),
				Destinations: 1, DestinationsExact: true, Destination: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(256))}),
				PeerPorts: 1, First: first, Last: first,
				Fingerprints: append(o.Fingerprints[:0], observation.Fingerprint{TTL: uint8(r.IntN(256)), Window: 1024, Options: "020405b4", Packets: 1}),
				Samples:      append(o.Samples[:0], observation.Sample{When: first, Source: o.Source, Destination: o.Destination, DestPort: o.Port, Seq: r.Uint32()}),
			}
			if i%3 == 0 {
				o.Marks = append(o.Marks[:0], observation.MarkCount{Mark: observation.MarkZMap, Packets: o.Packets})
			}
			if !yield(&o) {
				return
			}
		}
	}
	each(func(o *observation.Observation) bool { b.Packets += o.Packets; return true })
	b.Observations = each
	return b
}

// count returns what one query counts.
func count(t *testing.T, db *casedb.DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.SQL().QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func sensor(t *testing.T, db *casedb.DB, name string) casedb.Sensor {
	t.Helper()
	s, err := db.EnsureSensor(t.Context(), name, noon)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, db *casedb.DB, b *observation.Batch) bool {
	t.Helper()
	written, err := db.PutBatch(t.Context(), b, nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	return written
}

func TestPutBatchWritesEachOnce(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	b := manyOf("s1", noon, 1, 1000)
	if !put(t, db, b) {
		t.Fatal("a new batch was not written")
	}
	if put(t, db, b) {
		t.Error("the same batch was written again")
	}
	var text casedb.BatchText
	if fits, err := text.Format(b, 10<<20); err != nil || !fits {
		t.Fatalf("format: %v, %v", fits, err)
	}
	if written, err := db.PutBatchText(t.Context(), &text, nil, noon); err != nil || written {
		t.Errorf("the same batch as text: written %v, %v", written, err)
	}
	if got := count(t, db, `select count(*) from observation`); got != 1000 {
		t.Errorf("got %d observations, want 1000", got)
	}
	if got := count(t, db, `select sum(packets) from observation`); got != int64(b.Packets) {
		t.Errorf("got %d packets, want %d", got, b.Packets)
	}
	if got := count(t, db, `select packets from batch where observations = 1000 and window_seconds = 3600`); got != int64(b.Packets) {
		t.Errorf("the ledger has %d packets, want %d", got, b.Packets)
	}
	if got := count(t, db, `select count(*) from observation o join batch b on b.id = o.batch_id and b.sensor_id = o.sensor_id
		and b.window_start = o.window_start`); got != 1000 {
		t.Errorf("%d of 1000 observations belong to their batch", got)
	}
	if !put(t, db, manyOf("s1", noon, 2, 10)) {
		t.Error("another batch of the same window was not written")
	}
	sensor(t, db, "s2")
	if !put(t, db, manyOf("s2", noon, 1, 1000)) {
		t.Error("the same content at another sensor was not written")
	}
}

func TestBatchTextIsUsedAgain(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	var text casedb.BatchText
	var rows, packets int64
	for i, n := range []int{5000, 3, 0, 700} {
		b := manyOf("s1", noon.Add(time.Duration(i)*time.Hour), uint64(i), n)
		if fits, err := text.Format(b, 10<<20); err != nil || !fits {
			t.Fatalf("format: %v, %v", fits, err)
		}
		written, err := db.PutBatchText(t.Context(), &text, nil, noon)
		if err != nil || written != (n > 0) {
			t.Fatalf("batch of %d: written %v, %v", n, written, err)
		}
		rows, packets = rows+int64(n), packets+int64(b.Packets)
	}
	if got := count(t, db, `select count(*) from observation`); got != rows {
		t.Errorf("got %d observations, want %d", got, rows)
	}
	if got := count(t, db, `select sum(packets) from batch`); got != packets {
		t.Errorf("got %d packets, want %d", got, packets)
	}
	if fits, err := text.Format(manyOf("s1", noon, 9, 5000), 128<<10); err != nil || fits {
		t.Errorf("a batch larger than the limit fits: %v, %v", fits, err)
	}
	if written, err := db.PutBatchText(t.Context(), &text, nil, noon); err != nil || written {
		t.Errorf("what is left of a batch that did not fit was written: %v, %v", written, err)
	}
}

func TestPutBatchOfOneContentAtOnce(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	var wg sync.WaitGroup
	results := make(chan bool, 40)
	for range 8 {
		wg.Go(func() {
			for h := range 5 {
				// Two days, so that partitions are made at once as well.
				written, err := db.PutBatch(t.Context(), manyOf("s1", noon.Add(time.Duration(h)*6*time.Hour), uint64(h), 300), nil, noon)
				if err != nil {
					t.Error(err)
				}
				results <- written
			}
		})
	}
	wg.Wait()
	close(results)
	written := 0
	for w := range results {
		if w {
			written++
		}
	}
	if got := count(t, db, `select count(*) from observation`); written != 5 || got != 1500 {
		t.Errorf("%d batches and %d observations written, want 5 and 1500", written, got)
	}
	days, err := db.ObservationDays(t.Context())
	if want := []time.Time{noon.Truncate(24 * time.Hour), noon.Truncate(24*time.Hour).AddDate(0, 0, 1)}; err != nil || !slices.Equal(days, want) {
		t.Errorf("got partitions %v, want %v (%v)", days, want, err)
	}
}

func TestPutBatchRefuses(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	good := observation.Observation{Source: netip.MustParseAddr("192.0.2.1"), Class: observation.ClassSYN, Packets: 1, First: noon, Last: noon}
	if _, err := db.PutBatch(t.Context(), batchOf("nobody", noon, good), nil, noon); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("unknown sensor: got %v, want ErrNotFound", err)
	}
	noSource, early, late := good, good, good
	noSource.Source = netip.Addr{}
	early.First = time.Unix(-1, 0)
	late.Last = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, o := range []observation.Observation{noSource, early, late} {
		if _, err := db.PutBatch(t.Context(), batchOf("s1", noon, good, o), nil, noon); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	odd := batchOf("s1", noon, good)
	odd.Length = 1500 * time.Millisecond
	if _, err := db.PutBatch(t.Context(), odd, nil, noon); err == nil {
		t.Error("a window of 1.5 s was taken")
	}
	if _, err := db.PutBatch(t.Context(), batchOf("s1", time.Time{}, good), nil, noon); err == nil {
		t.Error("a window in year 1 was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	broken := manyOf("s1", noon, 1, 20000)
	inner := broken.Observations
	broken.Observations = func(yield func(*observation.Observation) bool) {
		n := 0
		inner(func(o *observation.Observation) bool {
			if n++; n == 15000 {
				cancel()
			}
			return yield(o)
		})
	}
	if _, err := db.PutBatch(ctx, broken, nil, noon); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled in mid-COPY: got %v", err)
	}
	if got := count(t, db, `select (select count(*) from observation) + (select count(*) from batch)`); got != 0 {
		t.Errorf("%d rows of refused batches are there", got)
	}
	if !put(t, db, manyOf("s1", noon, 1, 20000)) {
		t.Error("the batch could not be written afterwards")
	}
}

// documentationAddress is a random address of 192.0.2.0/24 or 2001:db8::/120.
func documentationAddress() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		if rapid.Bool().Draw(t, "v6") {
			b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
			b[15] = rapid.Byte().Draw(t, "host")
			return netip.AddrFrom16(b)
		}
		return netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "host")})
	})
}

// hostileText draws text that means something to COPY, JSON or UTF-8.
func hostileText() *rapid.Generator[string] {
	piece := rapid.SampledFrom([]string{"a", "\\", "\\.", "\n", "\r", "\t", "\x00", "\x01", "\x1f", "\x7f", "\"", "'", "\\N", "{", "}", "\xff", "\xc3", "é", "観測", "\u2028", "\\u0000"})
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "pieces"), "") })
}

// kept is what text becomes in a text column.
func kept(s string) string {
	return strings.ReplaceAll(string([]rune(s)), "\x00", "\ufffd")
}

func TestHostileValuesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	addr := documentationAddress()
	ns := rapid.Int64Range(0, int64(time.Hour)-1)
	window := noon
	rapid.Check(t, func(t *rapid.T) {
		window = window.Add(time.Hour) // each round has a window of its own
		at := func(label string) time.Time { return window.Add(time.Duration(ns.Draw(t, label))) }
		o := observation.Observation{
			Window: window, Source: addr.Draw(t, "source"), Proto: rapid.Byte().Draw(t, "proto"), Port: rapid.Uint16().Draw(t, "port"),
			Class: observation.Class(rapid.Uint8Range(uint8(observation.ClassSYN), uint8(observation.ClassOther)).Draw(t, "class")), Packets: rapid.Uint64Range(0, math.MaxInt64).Draw(t, "packets"),
			Bytes: rapid.Uint64Range(0, math.MaxInt64).Draw(t, "bytes"), Destinations: rapid.Uint32Range(0, math.MaxInt32).Draw(t, "destinations"),
			DestinationsExact: rapid.Bool().Draw(t, "exact"), PeerPorts: rapid.Uint16().Draw(t, "peers"), First: at("first"), Last: at("last"),
		}
		if rapid.Bool().Draw(t, "has destination") {
			o.Destination = addr.Draw(t, "destination")
		}
		for _, m := range rapid.SliceOfDistinct(rapid.SampledFrom(slices.Collect(observation.Marks)), rapid.ID[observation.Mark]).Draw(t, "marks") {
			o.Marks = append(o.Marks, observation.MarkCount{Mark: m, Packets: rapid.Uint64Range(0, math.MaxInt64).Draw(t, "hits")})
		}
		slices.SortFunc(o.Marks, func(a, b observation.MarkCount) int {
			return int(a.Mark) - int(b.Mark)
		})
		for range rapid.IntRange(0, 3).Draw(t, "fingerprints") {
			o.Fingerprints = append(o.Fingerprints, observation.Fingerprint{TTL: rapid.Byte().Draw(t, "ttl"), Window: rapid.Uint16().Draw(t, "window"),
				Options: hostileText().Draw(t, "options"), Packets: rapid.Uint64Range(0, math.MaxInt64).Draw(t, "n")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "samples") {
			s := observation.Sample{When: at("when"), Source: o.Source, Destination: o.Destination, SourcePort: rapid.Uint16().Draw(t, "sport"),
				DestPort: rapid.Uint16().Draw(t, "dport"), TTL: rapid.Byte().Draw(t, "ttl"), ID: rapid.Uint16().Draw(t, "id"),
				DF: rapid.Bool().Draw(t, "df"), Flags: rapid.Byte().Draw(t, "flags"), Seq: rapid.Uint32().Draw(t, "seq"),
				Ack: rapid.Uint32().Draw(t, "ack"), Window: rapid.Uint16().Draw(t, "win"),
				Options: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "opt"), Payload: rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "payload")}
			if rapid.Bool().Draw(t, "quoted") {
				s.Quoted = &observation.Quote{Source: addr.Draw(t, "qsrc"), Destination: addr.Draw(t, "qdst"), Proto: rapid.Byte().Draw(t, "qproto"),
					SourcePort: rapid.Uint16().Draw(t, "qsport"), DestPort: rapid.Uint16().Draw(t, "qdport")}
			}
			if len(s.Options) == 0 {
				s.Options = nil
			}
			if len(s.Payload) == 0 {
				s.Payload = nil
			}
			o.Samples = append(o.Samples, s)
		}
		written, err := db.PutBatch(context.Background(), batchOf("s1", window, o), nil, noon)
		if err != nil || !written {
			t.Fatalf("put: %v, %v", written, err)
		}
		want := o
		want.First, want.Last = o.First.Truncate(time.Microsecond), o.Last.Truncate(time.Microsecond)
		want.Fingerprints = slices.Clone(o.Fingerprints)
		for i := range want.Fingerprints {
			want.Fingerprints[i].Options = kept(o.Fingerprints[i].Options)
		}
		got, err := db.SourceObservations(context.Background(), casedb.Addr{Addr: o.Source}, nil, 1)
		if err != nil || len(got) != 1 {
			t.Fatalf("got %d observations: %v", len(got), err)
		}
		if d := cmp.Diff(want, got[0].Observation, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
			cmp.Transformer("empty", func(s []observation.Sample) []observation.Sample { return append([]observation.Sample{}, s...) }),
			cmp.Transformer("emptyf", func(s []observation.Fingerprint) []observation.Fingerprint {
				return append([]observation.Fingerprint{}, s...)
			}),
			cmp.Transformer("emptym", func(s []observation.MarkCount) []observation.MarkCount {
				return append([]observation.MarkCount{}, s...)
			})); d != "" {
			t.Fatalf("came back changed (-want +got):\n%s", d)
		}
	})
}

func TestCountsThatNoColumnHoldsAreCapped(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	o := observation.Observation{Source: netip.MustParseAddr("::ffff:192.0.2.1"), Class: observation.ClassSYN, Packets: math.MaxUint64, Bytes: math.MaxUint64,
		Destinations: math.MaxUint32, First: noon, Last: noon, Marks: []observation.MarkCount{{Mark: observation.MarkZMap, Packets: math.MaxUint64}},
		Samples: []observation.Sample{{When: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), Options: make([]byte, 1000), Payload: make([]byte, 100000)}}}
	for range 10000 {
		o.Fingerprints = append(o.Fingerprints, observation.Fingerprint{Options: strings.Repeat("f", 10000)})
	}
	put(t, db, batchOf("s1", noon, o))
	got, err := db.SourceObservations(t.Context(), casedb.Addr{Addr: netip.MustParseAddr("192.0.2.1")}, nil, 10)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %d observations: %v", len(got), err)
	}
	if g := got[0]; g.Packets != math.MaxInt64 || g.Destinations != math.MaxInt32 || len(g.Samples[0].Payload) != 64 || len(g.Samples[0].Options) != 40 {
		t.Errorf("got %d packets, %d destinations, payload of %d, options of %d", g.Packets, g.Destinations, len(g.Samples[0].Payload), len(g.Samples[0].Options))
	}
	if n := count(t, db, `select max(coalesce(length(fingerprints::text), 0) + coalesce(length(packed), 0)) from observation`); n > 6000 {
		t.Errorf("fingerprints take %d bytes", n)
	}
}

func BenchmarkFormat(b *testing.B) {
	for _, n := range []int{10000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			batch := manyOf("s1", noon, 1, n)
			var text casedb.BatchText
			b.ReportAllocs()
			for b.Loop() {
				if _, err := text.Format(batch, 1<<30); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
		})
	}
}

func BenchmarkPutBatch(b *testing.B) {
	for _, n := range []int{10000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db, err := casedb.Open(pgtest.New(b))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			if _, err := db.EnsureSensor(b.Context(), "s1", noon); err != nil {
				b.Fatal(err)
			}
			window := noon
			for b.Loop() {
				window = window.Add(time.Hour)
				if _, err := db.PutBatch(b.Context(), manyOf("s1", window, 1, n), nil, noon); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// TestPutBatchOnDyingConnections: whatever becomes of the connection while rows
// are on their way, the call ends, and the batch can be put again.
func TestPutBatchOnDyingConnections(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	sensor(t, db, "s1")
	killer, err := db.SQL().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_, _ = killer.ExecContext(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and pid <> pg_backend_pid() and query ilike 'copy observation%' and state = 'active'`) // it may be gone
		}
	}()
	died := 0
	for i := range 15 {
		b := manyOf("s1", noon.Add(time.Duration(i)*time.Hour), uint64(i), 8000)
		ended := make(chan error, 1)
		go func() {
			_, err := db.PutBatch(t.Context(), b, nil, noon)
			ended <- err
		}()
		select {
		case err := <-ended:
			if err != nil {
				died++
			}
		case <-time.After(time.Minute):
			t.Fatal("the call does not end")
		}
	}
	close(stop)
	<-stopped
	if died == 0 {
		t.Skip("no connection died in time")
	}
	for i := range 15 {
		put(t, db, manyOf("s1", noon.Add(time.Duration(i)*time.Hour), uint64(i), 8000))
	}
	var batches int
	if err := db.SQL().QueryRowContext(t.Context(), `select count(*) from batch`).Scan(&batches); err != nil || batches != 15 {
		t.Errorf("%d batches, %v", batches, err)
	}
}

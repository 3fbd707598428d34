package ingest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/internal/casedb"
	"teiten/internal/pgtest"
)

// record is the length of a packet's record in a capture of writeCapture.
const record = 16 + 40

// slice writes the packets [from, to) of a capture as a file of its own.
func slice(t testing.TB, whole []byte, dir string, from, to int) string {
	t.Helper()
	name := filepath.Join(dir, fmt.Sprintf("part-%d-%d.pcap", from, to))
	b := append(bytes.Clone(whole[:24]), whole[24+record*from:24+record*to]...)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// zipped compresses a file.
func zipped(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".gz", b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name + ".gz"
}

// counted returns the packets that count of a sensor, by the observations and by
// the ledger, which must agree.
func counted(t interface{ Fatalf(string, ...any) }, db *casedb.DB, sensor string) int {
	var rows, ledger int
	err := db.SQL().QueryRow(`select coalesce((select sum(o.packets) from observation o join sensor s on s.id = o.sensor_id where s.name = $1), 0),
		coalesce((select sum(b.packets) from batch b join sensor s on s.id = b.sensor_id where s.name = $1 and b.standing = 'counted'), 0)`,
		sensor).Scan(&rows, &ledger)
	if err != nil || rows != ledger {
		t.Fatalf("%d packets in observations, %d in the ledger (%v)", rows, ledger, err)
	}
	return rows
}

// observed is the sum of hashes of a sensor's rows that count.
func observed(t *testing.T, db *casedb.DB, sensor string) (sum string) {
	t.Helper()
	err := db.SQL().QueryRowContext(t.Context(), `select concat_ws(' ', count(*), sum(packets), sum(hashtextextended(concat_ws(' ', window_start, source,
			proto, port, class, packets, bytes, destinations, destination, first_at, last_at, marks, fingerprints, samples), 0)))
		from observation o join sensor s on s.id = o.sensor_id where s.name = $1`, sensor).Scan(&sum)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// overlapTest imports files for sensors of one database.
type overlapTest struct {
	t     *testing.T
	db    *casedb.DB
	dir   string
	whole []byte
}

func newOverlapTest(t *testing.T, packets, hours int) *overlapTest {
	t.Helper()
	whole, err := os.ReadFile(writeCapture(t, packets, hours))
	if err != nil {
		t.Fatal(err)
	}
	return &overlapTest{t: t, db: openImportTest(t, pgtest.New(t)), dir: t.TempDir(), whole: whole}
}

func (o *overlapTest) part(from, to int) string { return slice(o.t, o.whole, o.dir, from, to) }

func (o *overlapTest) imports(sensor string, opt Options, files ...string) []FileResult {
	o.t.Helper()
	r, err := Files(o.t.Context(), o.db, files, sensor, opt, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, f := range r {
		if f.Err != nil {
			o.t.Fatal(f.Err)
		}
	}
	return r
}

// TestPartsThenTheWhole: the parts of a capture that came before it are replaced
// by it, and what comes after it is left out; its packets count once.
func TestPartsThenTheWhole(t *testing.T) {
	t.Parallel()
	const n = 4000
	o := newOverlapTest(t, n, 5)
	o.imports("peace", Options{}, o.part(0, n))
	want := observed(t, o.db, "peace")
	for name, parts := range map[string][][2]int{
		"cut":                 {{0, 1461}},
		"cut-twice":           {{0, 140}, {0, 2600}},
		"first-half":          {{0, n / 2}},
		"second-half":         {{n / 2, n}},
		"both-halves":         {{0, n / 2}, {n / 2, n}},
		"middle":              {{1020, 1240}},
		"thirds-of-an-hour":   {{0, 260}, {260, 520}, {520, 800}},
		"one-packet":          {{0, 1}},
		"all-but-one":         {{0, n - 1}},
		"a-part-of-another":   {{0, 1800}, {20, 600}},
		"later-part-before":   {{1620, 1800}, {0, 1620}},
		"two-cuts-of-a-third": {{820, 1000}, {820, 1200}},
	} {
		for order, files := range map[string]func(parts []string) []string{
			"-before": func(parts []string) []string { return append(parts, o.part(0, n)) },
			"-after": func(parts []string) []string {
				for i := range parts {
					parts[i] = zipped(t, parts[i])
				}
				return append([]string{o.part(0, n)}, parts...)
			},
		} {
			var list []string
			for _, p := range parts {
				list = append(list, o.part(p[0], p[1]))
			}
			sensor := name + order
			results := o.imports(sensor, Options{}, files(list)...)
			if got := observed(t, o.db, sensor); got != want {
				t.Errorf("%s: got %s, want %s", sensor, got, want)
			}
			if got := counted(t, o.db, sensor); got != n {
				t.Errorf("%s: %d packets count of %d", sensor, got, n)
			}
			for _, r := range results {
				if len(r.Arrivals.Overlaps) > 0 || r.Arrivals.Aside > 0 {
					t.Errorf("%s: %s is named as an overlap: %+v", sensor, r.File, r.Arrivals)
				}
			}
		}
	}
}

// TestRotatedFilesBothCount: files of one capture that follow each other in one
// window do not overlap.
func TestRotatedFilesBothCount(t *testing.T) {
	t.Parallel()
	o := newOverlapTest(t, 20000, 5)
	for i, r := range o.imports("s1", Options{}, o.part(0, 3000), o.part(3000, 9000), o.part(9000, 20000)) {
		if a := r.Arrivals; a.Aside+a.Covered+a.Replaced+len(a.Overlaps) > 0 {
			t.Errorf("file %d: %+v", i, a)
		}
	}
	if got := counted(t, o.db, "s1"); got != 20000 {
		t.Errorf("%d packets", got)
	}
}

// TestOverlapWaitsForAChoice: of two files that have some packets in common the
// later one's windows do not count twice before a person decides.
func TestOverlapWaitsForAChoice(t *testing.T) {
	t.Parallel()
	const n = 20000
	o := newOverlapTest(t, n, 5)
	first, second := o.part(0, 11000), o.part(9000, n) // 4000 packets an hour
	r := o.imports("s1", Options{}, first, second)[1]
	if r.Arrivals.Aside != 1 || r.Arrivals.AsidePackets != 3000 || len(r.Arrivals.Overlaps) != 1 {
		t.Fatalf("got %+v", r.Arrivals)
	}
	if x := r.Arrivals.Overlaps[0]; x.Relation != casedb.RelationShares || x.Standing != casedb.BatchAside || x.Packets != 3000 {
		t.Errorf("got %+v", x)
	}
	if got := counted(t, o.db, "s1"); got != 11000+8000 {
		t.Errorf("%d packets count before the choice", got)
	}
	waiting, err := o.db.BatchOverlaps(t.Context(), true, 0, 10)
	if err != nil || len(waiting) != 1 || waiting[0].Packets != 3000 || waiting[0].OtherPackets != 3000 {
		t.Fatalf("%+v, %v", waiting, err)
	}
	now := time.Now()
	for _, step := range []struct {
		keep bool
		want int
	}{{true, 11000 + 8000 + 3000}, {false, 19000}, {true, 22000}} {
		if err := o.db.DecideOverlap(t.Context(), waiting[0].BatchID, step.keep, "taro", now); err != nil {
			t.Fatal(err)
		}
		if got := counted(t, o.db, "s1"); got != step.want {
			t.Errorf("keep %v: %d packets count, want %d", step.keep, got, step.want)
		}
	}
	if err := o.db.DecideOverlap(t.Context(), waiting[0].BatchID, true, "taro", now); err == nil {
		t.Error("what counts was put into the count again")
	}
	decided, err := o.db.BatchOverlaps(t.Context(), false, 0, 10)
	if err != nil || len(decided) != 1 || decided[0].DecidedBy != "taro" {
		t.Errorf("%+v, %v", decided, err)
	}
	for choice, want := range map[casedb.OverlapChoice]int{casedb.OverlapKeep: 22000, casedb.OverlapLeave: 19000} {
		sensor := string(choice)
		o.imports(sensor, Options{Overlap: choice}, first, second)
		if got := counted(t, o.db, sensor); got != want {
			t.Errorf("%s: %d packets count, want %d", choice, got, want)
		}
	}
	// The whole settles it.
	o.imports("s2", Options{}, first, second, o.part(0, n))
	if got := counted(t, o.db, "s2"); got != n {
		t.Errorf("with the whole: %d packets count", got)
	}
	if waiting, err := o.db.BatchOverlaps(t.Context(), true, 0, 10); err != nil || len(waiting) != 0 {
		t.Errorf("still waiting: %+v, %v", waiting, err)
	}
}

// TestWindowsOfAnotherLengthAreTheSamePackets: the length of the windows does
// not make other packets of them.
func TestWindowsOfAnotherLengthAreTheSamePackets(t *testing.T) {
	t.Parallel()
	o := newOverlapTest(t, 20000, 5)
	for i, lengths := range [][2]time.Duration{{time.Hour, 10 * time.Minute}, {10 * time.Minute, time.Hour}, {time.Hour, 24 * time.Hour}} {
		sensor := fmt.Sprint("s", i)
		o.imports(sensor, Options{Window: lengths[0]}, o.part(0, 14000)) // until half past
		o.imports(sensor, Options{Window: lengths[1]}, o.part(0, 20000))
		if got := counted(t, o.db, sensor); got != 20000 {
			t.Errorf("windows of %v: %d packets count", lengths, got)
		}
	}
}

// TestAnotherInterfaceIsNoCopy: two captures of one time that have no packet in
// common both count, unless it cannot be told.
func TestAnotherInterfaceIsNoCopy(t *testing.T) {
	t.Parallel()
	o := newOverlapTest(t, 4000, 1)
	other := bytes.Clone(o.whole)
	for at := 24 + 16; at < len(other); at += record {
		other[at+12+2] = 7 // sources of another network
	}
	name := filepath.Join(o.dir, "other.pcap")
	if err := os.WriteFile(name, other, 0o600); err != nil {
		t.Fatal(err)
	}
	r := o.imports("s1", Options{}, o.part(0, 4000), name)[1]
	if got := counted(t, o.db, "s1"); got != 8000 || len(r.Arrivals.Overlaps) != 0 {
		t.Errorf("%d packets count, %+v", got, r.Arrivals)
	}
	// The same sources at other addresses, half a second later: nobody can say.
	for at := 24 + 16; at < len(other); at += record {
		copy(other[at+12:], o.whole[at+12:at+16])
		other[at+16+3] ^= 0x55
		other[at-16+4] ^= 0x55
	}
	if err := os.WriteFile(name, other, 0o600); err != nil {
		t.Fatal(err)
	}
	r = o.imports("s2", Options{}, o.part(0, 4000), name)[1]
	if got := counted(t, o.db, "s2"); got != 4000 || len(r.Arrivals.Overlaps) != 1 || r.Arrivals.Overlaps[0].Relation != casedb.RelationUnclear {
		t.Errorf("%d packets count, %+v", got, r.Arrivals)
	}
}

// TestCapturesWithoutFractionsOfSeconds: where times say little, a part is still
// known by its sources, ports and destinations, and files that follow each other
// within a second both count.
func TestCapturesWithoutFractionsOfSeconds(t *testing.T) {
	t.Parallel()
	const n = 4000
	o := newOverlapTest(t, n, 1)
	for at := 24; at < len(o.whole); at += record {
		clear(o.whole[at+4 : at+8])
	}
	for i, parts := range [][2]int{{0, 1501}, {1501, n}, {700, 2300}} {
		for k, order := range [][2]string{{o.part(parts[0], parts[1]), o.part(0, n)}, {o.part(0, n), o.part(parts[0], parts[1])}} {
			sensor := fmt.Sprintf("s%d-%d", i, k)
			o.imports(sensor, Options{}, order[0], order[1])
			if got := counted(t, o.db, sensor); got != n {
				t.Errorf("part %v, order %d: %d packets count", parts, k, got)
			}
		}
	}
	o.imports("rotated", Options{}, o.part(0, 1501), o.part(1501, 1502), o.part(1502, n))
	if got := counted(t, o.db, "rotated"); got != n {
		t.Errorf("rotated: %d packets count", got)
	}
}

// TestPacketsCountOnce: whatever parts of a capture come in whatever order, no
// packet counts twice, and when the whole has come each counts once.
func TestPacketsCountOnce(t *testing.T) {
	t.Parallel()
	const n = 200
	o := newOverlapTest(t, n, 2)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		sensor := fmt.Sprint("s", round)
		var seen [n]bool
		parts := rapid.IntRange(1, 4).Draw(rt, "parts")
		whole := rapid.IntRange(0, parts).Draw(rt, "whole comes at")
		upper := 0
		for k := range parts + 1 {
			from, to := 0, n
			if k != whole {
				from = rapid.IntRange(0, n-1).Draw(rt, "from")
				to = rapid.IntRange(from+1, n).Draw(rt, "to")
			}
			name := slice(t, o.whole, o.dir, from, to)
			if rapid.Bool().Draw(rt, "zipped") {
				name = zipped(t, name)
			}
			r, err := Files(t.Context(), o.db, []string{name}, sensor, Options{}, nil)
			if err != nil || r[0].Err != nil {
				rt.Fatalf("%+v, %v", r, err)
			}
			for i := from; i < to; i++ {
				if !seen[i] {
					seen[i] = true
					upper++
				}
			}
			if got := counted(rt, o.db, sensor); got > upper {
				rt.Fatalf("%d packets count of the %d that came", got, upper)
			}
		}
		if got := counted(rt, o.db, sensor); got != n {
			rt.Fatalf("%d packets count, the whole has %d", got, n)
		}
	})
}

package ingest

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"teiten/internal/pgtest"
)

// TestCountryIsKept: an observation keeps the country that the data gave its
// source when it came, and newer data do not make another batch of it.
func TestCountryIsKept(t *testing.T) {
	t.Parallel()
	db := openImportTest(t, pgtest.New(t))
	file := writeCapture(t, 2000, 2)
	says := func(code string) func(netip.Addr) string {
		return func(a netip.Addr) string {
			if a.As4()[2] == 100 {
				return code
			}
			return ""
		}
	}
	importOnce(t, db, Options{Country: says("JP"), CountryData: "data of May"}, file)
	r := importOnce(t, db, Options{Country: says("KR"), CountryData: "data of June"}, zipped(t, file))[0]
	if r.Written != 0 || r.Repeated != 2 {
		t.Errorf("newer data make other batches: %+v", r)
	}
	var wrong, all int
	if err := db.SQL().QueryRow(`select count(*) filter (where country <> case when source << '198.51.100.0/24' then 'JP' else 'ZZ' end
		or country is null), count(*) from observation`).Scan(&wrong, &all); err != nil || wrong > 0 || all == 0 {
		t.Errorf("%d of %d countries are wrong (%v)", wrong, all, err)
	}
	var data string
	if err := db.SQL().QueryRow(`select distinct country_data from batch`).Scan(&data); err != nil || data != "data of May" {
		t.Errorf("data %q, %v", data, err)
	}
}

// TestLiveTimeOfFiles: a sensor was live in all windows from the first packet's to
// the last one's, or for as long as the operator says.
func TestLiveTimeOfFiles(t *testing.T) {
	t.Parallel()
	o := newOverlapTest(t, 6000, 6) // from 12:00 to 18:00
	day := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	live := func(sensor string) int64 {
		t.Helper()
		list, err := o.db.LiveSeconds(t.Context(), day, day.Add(24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			if l.Sensor == sensor {
				return l.Seconds
			}
		}
		return -1
	}
	o.imports("s1", Options{}, o.part(500, 700))
	if got := live("s1"); got != 3600 {
		t.Errorf("one window: %d s", got)
	}
	o.imports("s1", Options{}, o.part(600, 2100)) // overlaps
	if got := live("s1"); got != 3*3600 {
		t.Errorf("three windows: %d s", got)
	}
	// A window without packets in between counts.
	gap := append(append([]byte{}, o.whole[:24+record*500]...), o.whole[24+record*5500:]...)
	name := filepath.Join(o.dir, "gap.pcap")
	if err := os.WriteFile(name, gap, 0o600); err != nil {
		t.Fatal(err)
	}
	o.imports("s2", Options{}, name)
	if got := live("s2"); got != 6*3600 {
		t.Errorf("with a gap: %d s", got)
	}
	covers := &Span{day.Add(10 * time.Hour), day.Add(20 * time.Hour)}
	if r := o.imports("s3", Options{Covers: covers}, name)[0]; r.Live == nil || *r.Live != *covers || live("s3") != 10*3600 {
		t.Errorf("covers: %+v, %d s", r.Live, live("s3"))
	}
	// Said later of a known file.
	o.imports("s2", Options{Covers: covers}, name)
	if got := live("s2"); got != 10*3600 {
		t.Errorf("covers of a known file: %d s", got)
	}
	if _, err := Files(t.Context(), o.db, nil, "s1", Options{Covers: &Span{day, day}}, nil); err == nil {
		t.Error("a time without length was taken")
	}
}

// TestDayWindowsAreCut: a window of a day ends at the midnight of reports.
func TestDayWindowsAreCut(t *testing.T) {
	t.Parallel()
	o := newOverlapTest(t, 600, 6) // midnight in Tokyo is at 15:00
	r := o.imports("s1", Options{Window: 24 * time.Hour, Location: time.FixedZone("", 9*3600)}, o.part(0, 600))[0]
	if r.Written != 2 {
		t.Errorf("%d batches", r.Written)
	}
	var start time.Time
	var seconds, packets int
	if err := o.db.SQL().QueryRow(`select window_start, window_seconds, packets from batch order by window_start desc limit 1`).
		Scan(&start, &seconds, &packets); err != nil || start.UTC().Hour() != 15 || seconds != 9*3600 || packets != 300 {
		t.Errorf("%s, %d s, %d packets, %v", start, seconds, packets, err)
	}
}

// TestNothingUnderstoodIsNoImport: a file of which no packet could be read is an
// error, each time it is given, and the others are imported.
func TestNothingUnderstoodIsNoImport(t *testing.T) {
	t.Parallel()
	o := newOverlapTest(t, 100, 1)
	odd := append([]byte{}, o.whole...)
	binary.LittleEndian.PutUint32(odd[20:], 147) // LINKTYPE_USER0
	name := filepath.Join(o.dir, "odd.pcap")
	if err := os.WriteFile(name, odd, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r := importOnce(t, o.db, Options{}, name, o.part(0, 100))
		if r[0].Err == nil || r[0].Known || r[1].Err != nil || r[1].Packets != 100 {
			t.Errorf("got %+v", r)
		}
	}
	imports, err := o.db.Imports(t.Context(), 0, 10)
	if err != nil || len(imports) != 1 {
		t.Errorf("got %+v, %v", imports, err)
	}
}

// TestReplacedWhileItIsJudged: a judge that works on a batch which is replaced
// loses its claim, and the batch that takes its place is to be judged.
func TestReplacedWhileItIsJudged(t *testing.T) {
	t.Parallel()
	o := newOverlapTest(t, 1000, 1)
	o.imports("s1", Options{}, o.part(0, 600))
	now := time.Now().Add(time.Minute)
	claimed, err := o.db.ClaimBatches(t.Context(), 10, now, time.Hour)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("%+v, %v", claimed, err)
	}
	o.imports("s1", Options{}, o.part(0, 1000))
	if err := o.db.FinishBatches(t.Context(), claimed, now); err == nil {
		t.Error("the judge kept its claim")
	}
	next, err := o.db.ClaimBatches(t.Context(), 10, now, time.Hour)
	if err != nil || len(next) != 1 || next[0].ID == claimed[0].ID || next[0].Packets != 1000 {
		t.Fatalf("%+v, %v", next, err)
	}
	if judged, err := o.db.JudgedBatches(t.Context(), time.Time{}, nil, 10); err != nil || len(judged) != 0 {
		t.Errorf("%+v, %v", judged, err)
	}
}

package capture_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"

	"teiten/capture"
	"teiten/internal/observation"
)

var start = time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)

const (
	sensor  = "192.0.2.1"
	scanner = "198.51.100.7"
)

// syn is a raw IPv4 SYN.
func syn(src, dst string, sport, dport uint16, seq uint32) []byte {
	return tcp(src, dst, sport, dport, seq, 0x02, 5840)
}

func tcp(src, dst string, sport, dport uint16, seq uint32, flags byte, win uint16) []byte {
	be := binary.BigEndian
	b := make([]byte, 40)
	b[0] = 0x45
	be.PutUint16(b[2:], 40)
	be.PutUint16(b[4:], 7)
	b[8], b[9] = 50, 6
	copy(b[12:], netip.MustParseAddr(src).AsSlice())
	copy(b[16:], netip.MustParseAddr(dst).AsSlice())
	be.PutUint16(b[20:], sport)
	be.PutUint16(b[22:], dport)
	be.PutUint32(b[24:], seq)
	b[32], b[33] = 0x50, flags
	be.PutUint16(b[34:], win)
	return b
}

type rec struct {
	at    time.Duration // since start
	frame []byte
}

// rawPcap is a pcap file of raw IP packets.
func rawPcap(records ...rec) []byte { return pcapOf(binary.LittleEndian, 101, false, records...) }

func pcapOf(order binary.AppendByteOrder, link uint32, nano bool, records ...rec) []byte {
	magic := uint32(0xa1b2c3d4)
	if nano {
		magic = 0xa1b23c4d
	}
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = order.AppendUint32(b, 262144)
	b = order.AppendUint32(b, link)
	for _, r := range records {
		at := start.Add(r.at)
		frac := uint32(at.Nanosecond())
		if !nano {
			frac /= 1000
		}
		b = order.AppendUint32(b, uint32(at.Unix()))
		b = order.AppendUint32(b, frac)
		b = order.AppendUint32(b, uint32(len(r.frame)))
		b = order.AppendUint32(b, uint32(len(r.frame)))
		b = append(b, r.frame...)
	}
	return b
}

func some(n int) []rec {
	var r []rec
	for i := range n {
		r = append(r, rec{time.Duration(i) * time.Second, syn(scanner, sensor, uint16(1000+i), 23, uint32(i))})
	}
	return r
}

func TestReadFormats(t *testing.T) {
	t.Parallel()
	want := tallyReader(t, bytes.NewReader(rawPcap(some(5)...)), "x", capture.Options{Sensor: "s"})
	if len(want.obs) != 1 || want.obs[0].Packets != 5 || want.obs[0].Bytes != 200 || want.obs[0].PeerPorts != 5 {
		t.Fatalf("got %+v", want.obs)
	}
	for name, file := range map[string][]byte{
		"big endian": pcapOf(binary.BigEndian, 101, false, some(5)...),
		"nano":       pcapOf(binary.LittleEndian, 101, true, some(5)...),
		"nano big":   pcapOf(binary.BigEndian, 228, true, some(5)...),
		"raw 12":     pcapOf(binary.LittleEndian, 12, false, some(5)...),
		"raw 14":     pcapOf(binary.LittleEndian, 14, false, some(5)...),
	} {
		got := tallyReader(t, bytes.NewReader(file), "x", capture.Options{Sensor: "s"})
		if d := cmp.Diff(want.obs, got.obs, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestReadKeepsNanoseconds(t *testing.T) {
	t.Parallel()
	file := pcapOf(binary.LittleEndian, 101, true, rec{123456789, syn(scanner, sensor, 1, 23, 1)})
	got := tallyReader(t, bytes.NewReader(file), "x", capture.Options{})
	if want := start.Add(123456789); !got.obs[0].First.Equal(want) {
		t.Errorf("first %s, want %s", got.obs[0].First, want)
	}
}

func TestReadBadInput(t *testing.T) {
	t.Parallel()
	good := rawPcap(some(3)...)
	huge := append(bytes.Clone(good), rawPcap(some(1)...)[24:]...)
	binary.LittleEndian.PutUint32(huge[len(good)+8:], 0xfffffff0)
	ng := []byte{0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 28, 0, 0, 0}
	iface := []byte{1, 0, 0, 0, 20, 0, 0, 0, 101, 0, 0, 0, 0, 0, 4, 0, 20, 0, 0, 0}
	for _, tt := range []struct {
		name    string
		file    []byte
		packets uint64
		skipped map[string]uint64
		err     string // of Read
		warning string
	}{
		{name: "empty", err: "x: byte 0: empty file"},
		{name: "three bytes", file: good[:3], err: "byte 0: neither pcap nor pcapng"},
		{name: "garbage", file: bytes.Repeat([]byte("garbage "), 1000), err: "byte 0: neither pcap nor pcapng: begins with 67 61 72 62"},
		{name: "header cut", file: good[:20], err: "cut after 20 of 24 bytes"},
		{name: "version", file: append([]byte{0xd4, 0xc3, 0xb2, 0xa1, 9}, good[5:]...), err: "version 9"},
		{name: "no packets", file: good[:24]},
		{name: "first record cut", file: good[:50], err: "x: byte 24: the last record is cut after 10 of 40 bytes"},
		{name: "record cut", file: good[:len(good)-7], packets: 2, warning: "x: byte 136: the last record is cut after 33 of 40 bytes"},
		{name: "record header cut", file: good[:len(good)-50], packets: 2, warning: "x: byte 136: the last record's header is cut after 6 of 16 bytes"},
		{name: "huge length", file: huge, packets: 3, warning: "x: byte 192: a record of 4294967280 bytes, more than 262144"},
		{name: "empty and largest packets", file: rawPcap(rec{0, nil}, rec{1, append(syn(scanner, sensor, 1, 2, 3), make([]byte, 65495)...)}, rec{2, make([]byte, 262144)}),
			packets: 3, skipped: map[string]uint64{"empty": 1, "ip-header": 1}},
		{name: "pcapng without packets", file: ng},
		{name: "pcapng cut in the section", file: ng[:20], err: "cut after 20 of 28 bytes"},
		{name: "pcapng cut in a block", file: append(bytes.Clone(ng), iface[:13]...), err: "byte 28: the last block is cut after 13 of 20 bytes"},
		{name: "pcapng cut in an unknown block", file: append(bytes.Clone(ng), 99, 0, 0, 0, 200, 0, 0, 0, 1, 2, 3, 4), err: "lacks its last 188 bytes"},
		{name: "pcapng lengths differ", file: append(append(bytes.Clone(ng), iface[:16]...), 24, 0, 0, 0), err: "two lengths differ (20 and 24)"},
		{name: "pcapng small block", file: append(bytes.Clone(ng), 1, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0), err: "a block of 8 bytes"},
		{name: "pcapng huge block", file: append(bytes.Clone(ng), 6, 0, 0, 0, 0xf0, 0xff, 0xff, 0xff, 0, 0, 0, 0), err: "with 4294967280 bytes"},
		{name: "pcapng packet without interface", file: append(bytes.Clone(ng), 6, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0), err: "interface 0 of 0"},
		{name: "pcapng packet larger than block", file: append(append(bytes.Clone(ng), iface...), 6, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0), err: "a packet of 99 bytes in a block with room for 0"},
		{name: "pcapng without order", file: []byte{0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4, 1, 0, 0, 0}, err: "without byte order"},
	} {
		res, err := capture.Read(context.Background(), bytes.NewReader(tt.file), "x", capture.Options{}, func(*observation.Batch) error { return nil })
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
		}
		if res.Packets != tt.packets || res.Warning != tt.warning {
			t.Errorf("%s: %d packets, warning %q; want %d, %q", tt.name, res.Packets, res.Warning, tt.packets, tt.warning)
		}
		if res.Truncated != (tt.warning != "" || tt.err != "") {
			t.Errorf("%s: truncated %v", tt.name, res.Truncated)
		}
		if !maps.Equal(res.Skipped, tt.skipped) {
			t.Errorf("%s: skipped %v, want %v", tt.name, res.Skipped, tt.skipped)
		}
	}
}

func TestReadFailingInput(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken disk")
	in := io.MultiReader(bytes.NewReader(rawPcap(some(3)...)), errReader{broken})
	res, err := capture.Read(context.Background(), in, "x", capture.Options{}, func(*observation.Batch) error { return nil })
	if err != nil || res.Packets != 3 || !res.Truncated || res.Warning != "x: byte 192: broken disk" {
		t.Errorf("got %+v, %v", res, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := capture.Read(ctx, bytes.NewReader(rawPcap(some(3)...)), "x", capture.Options{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	full := errors.New("sink is full")
	_, err = capture.Read(context.Background(), bytes.NewReader(rawPcap(some(3)...)), "x", capture.Options{}, func(*observation.Batch) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("failing sink: %v", err)
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestOpenDetectsCompression(t *testing.T) {
	t.Parallel()
	plain := rawPcap(some(3000)...)
	var gz bytes.Buffer
	zw := gzip.NewWriter(&gz)
	zw.Write(plain)
	zw.Close()
	enc, _ := zstd.NewWriter(nil)
	dir := t.TempDir()
	for name, data := range map[string][]byte{"plain.gz": plain, "gzip.pcap": gz.Bytes(), "zstd": enc.EncodeAll(plain, nil)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := tallyFile(t, path, capture.Options{}); got.packets != 3000 || got.result.Truncated {
			t.Errorf("%s: %d packets, %+v", name, got.packets, got.result)
		}
	}
	cut := filepath.Join(dir, "cut.gz")
	if err := os.WriteFile(cut, gz.Bytes()[:gz.Len()/2], 0o600); err != nil {
		t.Fatal(err)
	}
	got := tallyFile(t, cut, capture.Options{})
	if got.packets == 0 || got.packets >= 3000 || !got.result.Truncated || !strings.Contains(got.result.Warning, "unexpected EOF") {
		t.Errorf("cut gzip: %+v", got.result)
	}
	if _, err := capture.Open(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := capture.Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	// A reader that is closed early ends its goroutine.
	in, err := capture.Open(filepath.Join(dir, "gzip.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Errorf("early close: %v", err)
	}
}

// batches reads files with one Reader and returns each batch's description.
func batches(t *testing.T, opt capture.Options, files ...[]byte) ([]string, capture.Summary) {
	t.Helper()
	var out []string
	r, err := capture.NewReader(opt, func(b *observation.Batch) error {
		out = append(out, fmt.Sprintf("%s #%d keys %d packets %d partial %v", b.Window.Format("15:04"), b.Seq, b.Keys, b.Packets, b.Partial))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		if _, err := r.Read(context.Background(), bytes.NewReader(f), fmt.Sprint("file", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return out, r.Summary()
}

func at(d time.Duration) rec { return rec{d, syn(scanner, sensor, 1, 23, 1)} }

func TestWindowsCloseOnPacketTime(t *testing.T) {
	t.Parallel()
	const m = time.Minute
	for _, tt := range []struct {
		name    string
		records []rec
		want    []string
		late    uint64
	}{
		{"in order", []rec{at(0), at(59 * m), at(60 * m), at(3 * 60 * m)},
			[]string{"09:00 #0 keys 1 packets 2 partial false", "10:00 #0 keys 1 packets 1 partial false", "12:00 #0 keys 1 packets 1 partial false"}, 0},
		{"a little late", []rec{at(0), at(60 * m), at(59 * m), at(60*m + 1)},
			[]string{"09:00 #0 keys 1 packets 2 partial false", "10:00 #0 keys 1 packets 2 partial false"}, 0},
		{"too late", []rec{at(0), at(60 * m), at(62 * m), at(59 * m), at(63 * m)},
			[]string{"09:00 #0 keys 1 packets 1 partial false", "09:00 #1 keys 1 packets 1 partial false", "10:00 #0 keys 1 packets 3 partial false"}, 1},
		{"a day back", []rec{at(24 * 60 * m), at(0), at(time.Second)},
			[]string{"09:00 #0 keys 1 packets 2 partial false", "09:00 #0 keys 1 packets 1 partial false"}, 0},
	} {
		got, sum := batches(t, capture.Options{}, rawPcap(tt.records...))
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
		if sum.Late != tt.late || sum.Packets != uint64(len(tt.records)) || len(sum.Skipped) != 0 {
			t.Errorf("%s: %+v", tt.name, sum)
		}
	}
}

func TestTimeGoingBackAllTheTime(t *testing.T) {
	t.Parallel()
	// Three windows in turn, 30,000 packets: what cannot be placed is counted.
	var records []rec
	for i := range 30000 {
		records = append(records, at(time.Duration(i%3)*5*time.Hour))
	}
	_, sum := batches(t, capture.Options{}, rawPcap(records...))
	inBatches := sum.Packets - sum.Skipped["time-order"]
	if sum.Packets != 30000 || sum.Skipped["time-order"] == 0 || inBatches < 4096 || sum.Batches > 3*4100 {
		t.Errorf("%+v", sum)
	}
}

func TestKeyLimitClosesWindowsInParts(t *testing.T) {
	t.Parallel()
	var records []rec
	for i := range 100 {
		records = append(records, rec{time.Duration(i) * time.Second, syn(scanner, sensor, 1, uint16(i), 1)})
	}
	got, sum := batches(t, capture.Options{KeyLimit: 40}, rawPcap(records...))
	want := []string{
		"09:00 #0 keys 40 packets 40 partial true",
		"09:00 #1 keys 40 packets 40 partial true",
		"09:00 #2 keys 20 packets 20 partial false",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if sum.Observations != 100 || sum.PartialBatches != 2 || sum.Batches != 3 {
		t.Errorf("%+v", sum)
	}
	// With two windows open the larger one gives way.
	records = append(records[:39], rec{time.Hour, syn(scanner, sensor, 1, 1, 1)}, rec{time.Hour + 1, syn(scanner, sensor, 1, 2, 1)})
	got, _ = batches(t, capture.Options{KeyLimit: 40}, rawPcap(records...))
	want = []string{"09:00 #0 keys 39 packets 39 partial true", "10:00 #0 keys 2 packets 2 partial false"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestSummaryCountsPerFileAndInTotal(t *testing.T) {
	t.Parallel()
	a := rawPcap(at(0), at(1), rec{2, syn("198.51.100.8", sensor, 1, 23, 1)})
	b := rawPcap(at(3), rec{4, nil})
	_, sum := batches(t, capture.Options{}, a, b)
	if sum.Packets != 5 || sum.Observations != 2 || sum.Sources != 2 || !sum.SourcesExact || sum.Skipped["empty"] != 1 {
		t.Errorf("total %+v", sum.Counts)
	}
	for i, want := range [][3]uint64{{3, 2, 2}, {2, 1, 1}} {
		f := sum.Files[i]
		if got := [3]uint64{f.Packets, f.Observations, f.Sources}; got != want {
			t.Errorf("file %d: packets, observations, sources %v, want %v", i, got, want)
		}
	}
	if !sum.First.Equal(start) || !sum.Last.Equal(start) && sum.Last.Sub(start) > time.Microsecond {
		t.Errorf("from %s to %s", sum.First, sum.Last)
	}
}

func TestServicePorts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		flags byte
		class observation.Class
		port  uint16
	}{
		{0x02, observation.ClassSYN, 2000}, {0xc2, observation.ClassSYN, 2000}, {0x42, observation.ClassTCPOther, 2000},
		{0x12, observation.ClassSYNACK, 1000}, {0x52, observation.ClassSYNACK, 1000}, {0x04, observation.ClassRST, 1000}, {0x14, observation.ClassRST, 1000},
		{0x10, observation.ClassACK, 2000}, {0x18, observation.ClassACK, 2000}, {0x11, observation.ClassFIN, 2000}, {0x00, observation.ClassNull, 2000},
		{0x29, observation.ClassXmas, 2000}, {0x03, observation.ClassTCPOther, 2000},
	} {
		got := tallyReader(t, bytes.NewReader(rawPcap(rec{0, tcp(scanner, sensor, 1000, 2000, 1, tt.flags, 100)})), "x", capture.Options{})
		o := got.obs[0]
		if o.Class != tt.class || o.Port != tt.port {
			t.Errorf("flags %02x: %s port %d, want %s %d", tt.flags, o.Class, o.Port, tt.class, tt.port)
		}
		if s := o.Samples[0]; s.SourcePort != 1000 || s.DestPort != 2000 || s.Flags != tt.flags {
			t.Errorf("flags %02x: sample %+v", tt.flags, s)
		}
	}
}

func TestDestinationsExactThenEstimated(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4, 5, 16, 17, 48, 49, 384, 385, 1000, 5000, 60000} {
		var records []rec
		for round := range 2 {
			for i := range n {
				dst := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String()
				records = append(records, rec{time.Duration(round*n+i) * time.Microsecond, syn(scanner, dst, 1, 23, uint32(round))})
			}
		}
		o := tallyReader(t, bytes.NewReader(rawPcap(records...)), "x", capture.Options{}).obs[0]
		if o.DestinationsExact != (n <= 384) {
			t.Errorf("%d destinations: exact %v", n, o.DestinationsExact)
		}
		if off := float64(o.Destinations)/float64(n) - 1; o.DestinationsExact && off != 0 || off > 0.07 || off < -0.07 {
			t.Errorf("%d destinations counted as %d", n, o.Destinations)
		}
	}
}

func TestFingerprintsAndSamplesAreBounded(t *testing.T) {
	t.Parallel()
	var records []rec
	for i := range 1000 {
		win := uint16(100)
		if i%3 == 0 {
			win = uint16(i)
		}
		records = append(records, rec{time.Duration(i), tcp(scanner, sensor, 1, 23, uint32(i), 2, win)})
	}
	o := tallyReader(t, bytes.NewReader(rawPcap(records...)), "x", capture.Options{}).obs[0]
	if len(o.Fingerprints) != 4 || o.Fingerprints[0].Window != 100 || o.Fingerprints[0].Packets < 666 {
		t.Errorf("fingerprints %+v", o.Fingerprints)
	}
	var seqs []uint32
	for _, s := range o.Samples {
		seqs = append(seqs, s.Seq)
	}
	if d := cmp.Diff([]uint32{0, 7, 63, 511}, seqs); d != "" {
		t.Errorf("samples: %s", d)
	}
	o = tallyReader(t, bytes.NewReader(rawPcap(records...)), "x", capture.Options{SamplesPerKey: -1}).obs[0]
	if len(o.Samples) != 1 {
		t.Errorf("%d samples, want the first only", len(o.Samples))
	}
}

// The same capture gives the same observations, in order, whatever the number
// of processors and the seed of the index.
func TestObservationsAreDeterministic(t *testing.T) {
	t.Parallel()
	var records []rec
	for i := range 5000 {
		src := netip.AddrFrom4([4]byte{198, 51, 100, byte(i * 7)}).String()
		records = append(records, rec{time.Duration(i) * time.Second, syn(src, sensor, uint16(i), uint16(i%50), uint32(i))})
	}
	file := rawPcap(records...)
	want := tallyReader(t, bytes.NewReader(file), "x", capture.Options{})
	for i := 1; i < len(want.obs); i++ {
		a, b := &want.obs[i-1], &want.obs[i]
		if a.Window.Equal(b.Window) && (a.Source.Compare(b.Source) > 0 || a.Source == b.Source && a.Port >= b.Port) {
			t.Fatalf("%v %d before %v %d", a.Source, a.Port, b.Source, b.Port)
		}
	}
	got := tallyReader(t, bytes.NewReader(file), "x", capture.Options{})
	if d := cmp.Diff(want.obs, got.obs, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
}

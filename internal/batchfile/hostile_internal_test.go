package batchfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"teiten/capture/export"
	"teiten/internal/observation"
	"teiten/internal/sensorwire"
)

var start = time.Date(2026, 5, 20, 15, 0, 0, 0, time.UTC)

func goodRow(port int) row {
	at := start.UnixNano()
	return row{Row: export.Row{Window: at, Sensor: "tokyo-1", Source: "192.0.2.9", Proto: "tcp", Port: int32(port), Class: "syn", Packets: 3, Bytes: 120,
		Destinations: 2, First: at, Last: at + 1e9, DestinationsExact: true, Mirai: 2}, Destination: "198.51.100.7", PeerPorts: 2,
		Fingerprints: `[{"ttl":64,"win":1024,"opt":"020405b4","n":3}]`, Samples: `[{"when":"2026-05-20T15:00:01Z","dst":"198.51.100.7","sport":1,"dport":23,"ttl":64,"id":1}]`}
}

func goodAbout(rows int) About {
	return About{Protocol: sensorwire.Protocol, Sensor: "tokyo-1", ID: "20260520T150000Z-600-0", CountRule: observation.CountRule, Program: "test",
		Packets: uint64(3 * rows), Keys: rows, Facts: &Facts{From: start, To: start.Add(10 * time.Minute)}}
}

// fileOf writes rows and facts as they are.
func fileOf[T any](t testing.TB, about any, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	text, ok := about.(string)
	if !ok {
		b, err := json.Marshal(about)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	options = append([]parquet.WriterOption{parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}), parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain),
		parquet.KeyValueMetadata(metadataKey, text)}, options...)
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[T](&buf, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func try(raw []byte) error {
	_, err := Read(context.Background(), bytes.NewReader(raw), int64(len(raw)), Limits{Bytes: 8 << 20, Rows: 100_000, Page: 1 << 20})
	return err
}

func mustRefuse(t *testing.T, name string, raw []byte, reason Reason) {
	t.Helper()
	err := try(raw)
	var r *RefusedError
	if !errors.As(err, &r) || reason != "" && r.Reason != reason {
		t.Errorf("%s: got %v, want %s", name, err, reason)
	}
}

// TestHostileRows: each value that no observation has.
func TestHostileRows(t *testing.T) {
	t.Parallel()
	if err := try(fileOf(t, goodAbout(2), []row{goodRow(23), goodRow(80)})); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(r *row){
		"another sensor": func(r *row) { r.Sensor = "osaka-1" }, "another window": func(r *row) { r.Window++ },
		"no source": func(r *row) { r.Source = "" }, "words as source": func(r *row) { r.Source = "source" }, "NUL": func(r *row) { r.Source = "192.0.2.9\x00" },
		"source with zone": func(r *row) { r.Source = "fe80::1%eth0" }, "mapped source": func(r *row) { r.Source = "::ffff:192.0.2.9" }, "source in another form": func(r *row) { r.Source = "2001:DB8::1" },
		"destination": func(r *row) { r.Destination = "x" }, "protocol": func(r *row) { r.Proto = "256" }, "protocol in another form": func(r *row) { r.Proto = "06" },
		"class": func(r *row) { r.Class = "SYN" }, "no class": func(r *row) { r.Class = "" }, "port": func(r *row) { r.Port = 65536 }, "port below 0": func(r *row) { r.Port = -1 },
		"peers": func(r *row) { r.PeerPorts = 1 << 20 }, "no packets": func(r *row) { r.Packets = 0 }, "packets below 0": func(r *row) { r.Packets = -3 },
		"packets without end": func(r *row) { r.Packets = 1 << 62 }, "bytes": func(r *row) { r.Bytes = -1 }, "no destinations": func(r *row) { r.Destinations = 0 },
		"more destinations than packets": func(r *row) { r.Destinations = 4 }, "last before first": func(r *row) { r.Last = r.First - 1 },
		"a year before": func(r *row) { r.First -= 365 * 24 * int64(time.Hour) }, "a year behind": func(r *row) { r.Last += 365 * 24 * int64(time.Hour) },
		"mark on more than all": func(r *row) { r.Mirai = 4 }, "mark below 0": func(r *row) { r.ZMap = -1 },
		"fingerprints": func(r *row) { r.Fingerprints = `{"ttl":1}` }, "many fingerprints": func(r *row) { r.Fingerprints = "[" + strings.Repeat(`{"ttl":1,"n":1},`, 9) + `{"n":1}]` },
		"odd options": func(r *row) { r.Fingerprints = `[{"ttl":1,"opt":"0","n":1}]` }, "long fingerprints": func(r *row) { r.Fingerprints = strings.Repeat(" ", 5000) },
		"samples": func(r *row) { r.Samples = `[1]` }, "bad UTF-8": func(r *row) { r.Samples = "[{\"dst\":\"\xff\"}]" }, "nested": func(r *row) { r.Samples = strings.Repeat("[", 20000) },
		"a sample of another year": func(r *row) { r.Samples = `[{"when":"2020-05-20T15:00:01Z","dst":"198.51.100.7"}]` },
		"a long payload": func(r *row) {
			r.Samples = `[{"when":"2026-05-20T15:00:01Z","dst":"198.51.100.7","payload":"` + strings.Repeat("AAAA", 30) + `"}]`
		},
	} {
		r := goodRow(80)
		change(&r)
		about := goodAbout(2)
		about.Packets = uint64(max(0, 3+r.Packets))
		mustRefuse(t, name, fileOf(t, about, []row{goodRow(23), r}), "")
	}
	mustRefuse(t, "order", fileOf(t, goodAbout(2), []row{goodRow(80), goodRow(23)}), Order)
	mustRefuse(t, "twice", fileOf(t, goodAbout(2), []row{goodRow(80), goodRow(80)}), Order)
}

// TestHostileFacts: what the metadata may not say.
func TestHostileFacts(t *testing.T) {
	t.Parallel()
	rows := []row{goodRow(23)}
	for name, change := range map[string]func(a *About){
		"protocol": func(a *About) { a.Protocol = 99 }, "no protocol": func(a *About) { a.Protocol = 0 }, "count rule": func(a *About) { a.CountRule = 1 }, "no sensor": func(a *About) { a.Sensor = "" },
		"long sensor": func(a *About) { a.Sensor = strings.Repeat("x", 64) }, "id": func(a *About) { a.ID = "../../etc" }, "packets": func(a *About) { a.Packets++ },
		"keys": func(a *About) { a.Keys++ }, "copies": func(a *About) { a.Copies = 1 << 60 }, "long program": func(a *About) { a.Program = strings.Repeat("x", 1000) },
		"listened outside": func(a *About) { a.Facts.To = start.Add(time.Hour) }, "listened backwards": func(a *About) { a.Facts.From, a.Facts.To = a.Facts.To, a.Facts.From },
		"dropped": func(a *About) { a.Facts.Dropped = 1 << 63 }, "inputs": func(a *About) { a.Facts.Inputs = make([]string, 2000) },
		"skipped": func(a *About) { a.Facts.Skipped = map[string]uint64{strings.Repeat("x", 300): 1} },
	} {
		about := goodAbout(1)
		change(&about)
		mustRefuse(t, name, fileOf(t, about, rows), "")
	}
	for name, text := range map[string]string{"none": "", "no JSON": "{", "array": "[]", "null": "null", "long": `{"sensor":"` + strings.Repeat("x", 300<<10) + `"}`} {
		mustRefuse(t, name, fileOf(t, text, rows), Metadata)
	}
}

// TestHostileStructure: other columns, other compression, other encodings, more
// rows and larger pages than the limits allow.
func TestHostileStructure(t *testing.T) {
	t.Parallel()
	type narrow struct {
		Source string `parquet:"source"`
	}
	mustRefuse(t, "other columns", fileOf(t, goodAbout(1), []narrow{{"192.0.2.9"}}), Schema)
	mustRefuse(t, "export's columns", fileOf(t, goodAbout(1), []export.Row{goodRow(1).Row}), Schema)
	mustRefuse(t, "snappy", fileOf(t, goodAbout(1), []row{goodRow(1)}, parquet.Compression(&snappy.Codec{})), Damaged)
	mustRefuse(t, "delta", fileOf(t, goodAbout(1), []row{goodRow(1)}, parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.DeltaByteArray)), Damaged)
	big := goodRow(1)
	big.Samples = strings.Repeat(" ", 2<<20) // compresses to nothing
	mustRefuse(t, "large page", fileOf(t, goodAbout(1), []row{big}), "")
	big = goodRow(1)
	big.Sensor = strings.Repeat("x", 100<<10) // in a dictionary
	mustRefuse(t, "large dictionary", fileOf(t, goodAbout(1), []row{big}), "")
	many := make([]row, 100_001)
	mustRefuse(t, "many rows", fileOf(t, goodAbout(len(many)), many), TooLarge)
}

// TestCutAndFlipped: a file that is cut anywhere, or in which a byte is another one,
// is refused or still is a batch; nothing else happens.
func TestCutAndFlipped(t *testing.T) {
	t.Parallel()
	raw := fileOf(t, goodAbout(2), []row{goodRow(23), goodRow(80)})
	for n := 0; n < len(raw); n += 5 {
		mustRefuse(t, "cut", raw[:n], Damaged)
	}
	source := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		b := bytes.Clone(raw)
		for range 1 + source.IntN(4) {
			b[source.IntN(len(b))] ^= byte(1 << source.IntN(8))
		}
		var r *RefusedError
		if err := try(b); err != nil && !errors.As(err, &r) {
			t.Fatalf("%v", err)
		}
	}
}

// TestBombs: a few bytes claim much, and take no memory.
func TestBombs(t *testing.T) {
	t.Parallel()
	raw := fileOf(t, goodAbout(1), []row{goodRow(23)})
	footer := int(binary.LittleEndian.Uint32(raw[len(raw)-8:]))
	framed := func(thrift []byte) []byte {
		b := append(bytes.Clone(raw[:len(raw)-8-footer]), thrift...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(thrift)))
		return append(b, magic...)
	}
	huge := binary.AppendUvarint(nil, 1<<31-1)
	for name, thrift := range map[string][]byte{
		"empty":           {},
		"a long list":     append(append([]byte{0x15, 2, 0x19, 0xfc}, huge...), 0),      // version 1; schema: a list of structs
		"a long string":   append(append([]byte{0x18}, huge...), 'x'),                   // field 1 as a string
		"a long map":      append(append([]byte{0x1b}, huge...), 0x88, 0),               // string to string
		"deep":            bytes.Repeat([]byte{0x1c}, 1000),                             // structs in structs
		"lists in lists":  bytes.Repeat([]byte{0x19, 0xf9, 0xff, 0xff, 0xff, 0x7f}, 50), // each of many lists
		"unknown type":    {0x1f, 0},
		"varint too long": append([]byte{0x15}, bytes.Repeat([]byte{0xff}, 20)...),
		"field too long":  {0x05, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		mustRefuse(t, name, framed(thrift), "") // room for a list of 2 G structs would end the process
	}
	b := bytes.Clone(raw)
	binary.LittleEndian.PutUint32(b[len(b)-8:], 1<<32-1)
	mustRefuse(t, "footer longer than the file", b, Damaged)
	if err := func() error {
		_, err := Read(context.Background(), bytes.NewReader(raw), int64(len(raw)), Limits{Bytes: 10, Rows: 1, Page: 1 << 20})
		return err
	}(); err == nil {
		t.Error("a file over the limit was read")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Read(ctx, bytes.NewReader(raw), int64(len(raw)), Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(fileOf(f, goodAbout(2), []row{goodRow(23), goodRow(80)}))
	f.Add(fileOf(f, goodAbout(0), []row{}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r *RefusedError
		if err := try(raw); err != nil && !errors.As(err, &r) {
			t.Errorf("%v", err)
		}
	})
}

func FuzzWalkThrift(f *testing.F) {
	f.Add([]byte{0x15, 2, 0x19, 0x1c, 0x18, 1, 'x', 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := walkThrift(b); err == nil && (n < 1 || n > len(b)) {
			t.Errorf("%x: %d bytes", b, n)
		}
	})
}

// BenchmarkBatch writes and reads sources of one packet each.
func BenchmarkBatch(b *testing.B) {
	list := make([]observation.Observation, 100_000)
	for i := range list {
		list[i] = observation.Observation{Window: start, Source: addrOf(i), Proto: 6, Port: 23, Class: observation.ClassSYN, Packets: 1, Bytes: 40, Destinations: 1, DestinationsExact: true,
			PeerPorts: 1, First: start, Last: start, Destination: addrOf(7), Fingerprints: []observation.Fingerprint{{TTL: 64, Window: 1024, Packets: 1}},
			Samples: []observation.Sample{{When: start, Destination: addrOf(7), SourcePort: uint16(i), DestPort: 23, TTL: 64, ID: uint16(i), Flags: 2, Seq: uint32(i * 7919), Window: 1024}}}
	}
	batch := &observation.Batch{Sensor: "tokyo-1", Window: start, Length: 10 * time.Minute, Keys: len(list), Packets: uint64(len(list)), Observations: func(yield func(*observation.Observation) bool) {
		for i := range list {
			if !yield(&list[i]) {
				return
			}
		}
	}}
	var buf bytes.Buffer
	b.Run("write", func(b *testing.B) {
		for range b.N {
			buf.Reset()
			if err := Write(&buf, batch, "test"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(buf.Len())/float64(len(list)), "bytes/row")
		b.ReportMetric(float64(len(list))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("read", func(b *testing.B) {
		for range b.N {
			f, err := Read(context.Background(), bytes.NewReader(buf.Bytes()), int64(buf.Len()), Limits{})
			if err != nil {
				b.Fatal(err)
			}
			f.Batch.Observations(func(*observation.Observation) bool { return true })
		}
		b.ReportMetric(float64(len(list))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

// addrOf is the i-th address of a documentation network (RFC 3849).
func addrOf(i int) netip.Addr {
	a := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint32(a[12:], uint32(i))
	return netip.AddrFrom16(a)
}

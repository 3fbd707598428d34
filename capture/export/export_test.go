package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"teiten/capture/export"
	"teiten/internal/observation"
)

const scanner = "192.0.2.9"

var start = time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)

// writeRows writes a batch of two observations.
func writeRows(t *testing.T, format string) []byte {
	t.Helper()
	at := netip.MustParseAddr("203.0.113.1")
	list := []observation.Observation{
		{Window: start, Source: netip.MustParseAddr(scanner), Proto: 6, Port: 23, Class: observation.ClassSYN, Packets: 2, Bytes: 80,
			Destinations: 1, DestinationsExact: true, Destination: at, First: start, Last: start.Add(time.Microsecond),
			Marks: []observation.MarkCount{{Mark: observation.MarkMirai, Packets: 1}, {Mark: observation.MarkHping, Packets: 2}}},
		{Window: start, Source: netip.MustParseAddr("198.51.100.9"), Proto: 6, Port: 80, Class: observation.ClassSYNACK, Packets: 1, Bytes: 40,
			Destinations: 1, DestinationsExact: true, Destination: at, First: start, Last: start},
	}
	b := &observation.Batch{Sensor: `a,"b"`, Window: start, Length: time.Hour, Packets: 3, Keys: 2,
		Observations: func(yield func(*observation.Observation) bool) {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}}
	var out bytes.Buffer
	w, err := export.NewWriter(format, &out)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteBatch(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCSVRows(t *testing.T) {
	t.Parallel()
	rows, err := csv.NewReader(bytes.NewReader(writeRows(t, "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"2026-01-15T09:00:00Z", `a,"b"`, scanner, "tcp", "23", "syn", "2", "80", "1",
		"2026-01-15T09:00:00Z", "2026-01-15T09:00:00.000001Z", "true"}
	if d := cmp.Diff(want, rows[1][:len(want)]); d != "" {
		t.Error(d)
	}
	for i, m := range slices.Collect(observation.Marks) {
		if got := rows[0][len(want)+i]; got != m.String() {
			t.Errorf("column %q, want %q", got, m)
		}
		n := "0"
		switch m {
		case observation.MarkMirai:
			n = "1"
		case observation.MarkHping:
			n = "2"
		}
		if got := rows[1][len(want)+i]; got != n {
			t.Errorf("%s: %s, want %s", m, got, n)
		}
	}
	if len(rows) != 3 || rows[2][4] != "80" || rows[2][5] != "synack" {
		t.Errorf("rows %q", rows[1:])
	}
}

func TestFormatsAgree(t *testing.T) {
	t.Parallel()
	rows, err := csv.NewReader(bytes.NewReader(writeRows(t, "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.Split(bytes.TrimSpace(writeRows(t, "jsonl")), []byte("\n")) {
		var o map[string]any
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		if err := dec.Decode(&o); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if len(o) != len(rows[0]) {
			t.Errorf("%d keys, want %d", len(o), len(rows[0]))
		}
		for k, column := range rows[0] {
			got := ""
			switch v := o[column].(type) {
			case string:
				got = v
			case json.Number:
				got = v.String()
			case bool:
				got = strconv.FormatBool(v)
			}
			if got != rows[i+1][k] {
				t.Errorf("row %d, %s: %q, in CSV %q", i, column, got, rows[i+1][k])
			}
		}
	}
	file := writeRows(t, "parquet")
	pf, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	for _, path := range pf.Schema().Columns() {
		columns = append(columns, path[0])
	}
	if d := cmp.Diff(rows[0], columns); d != "" {
		t.Errorf("parquet columns: %s", d)
	}
	type row struct {
		Window int64  `parquet:"window"`
		Source string `parquet:"source"`
		Port   int32  `parquet:"port"`
		Mirai  int64  `parquet:"mirai"`
	}
	got, err := parquet.Read[row](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	want := []row{{start.UnixNano(), scanner, 23, 1}, {start.UnixNano(), "198.51.100.9", 80, 0}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("parquet rows: %s", d)
	}
}

func TestUnknownFormat(t *testing.T) {
	t.Parallel()
	if _, err := export.NewWriter("xml", nil); err == nil {
		t.Error("no error")
	}
}

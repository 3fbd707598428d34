package web_test

import (
	"encoding/xml"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/web"
)

var update = flag.Bool("update", false, "rewrite golden files")

func printer(t *testing.T, lang string) *locale.Printer {
	t.Helper()
	c, err := locale.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c.Printer(lang)
}

func sampleChart() web.Chart {
	c := web.Chart{Title: `Packets of <TT-2026-000001> & "others"`}
	for i := range 72 {
		if i%5 != 2 {
			c.Hours = append(c.Hours, casedb.PacketHour{At: start.Add(time.Duration(i) * time.Hour), Packets: int64(i * i % 370)})
		}
	}
	for i, kind := range []casedb.EventKind{casedb.EventOpened, casedb.EventSent, casedb.EventBounce, casedb.EventSent, casedb.EventReply, casedb.EventClosed} {
		c.Marks = append(c.Marks, casedb.PageMark{At: start.Add(time.Duration(40+i*i) * time.Hour), Kind: kind})
	}
	return c
}

func TestChartIsDrawnAsBefore(t *testing.T) {
	t.Parallel()
	for _, lang := range locale.Languages() {
		got := string(sampleChart().SVG(printer(t, lang)))
		name := "testdata/chart." + lang + ".svg"
		if *update {
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs; look at it and run with -update", name)
		}
		d := xml.NewDecoder(strings.NewReader(got))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s is not well-formed: %v", name, err)
			}
		}
		if strings.Contains(got, "style=") {
			t.Error("a style attribute, which the content policy forbids")
		}
	}
}

func TestChartBounds(t *testing.T) {
	t.Parallel()
	p := printer(t, "en")
	if got := (web.Chart{Title: "x"}).SVG(p); got != "" {
		t.Errorf("a chart of nothing: got %s", got)
	}
	// A year of hours: only the last days are drawn, and the table agrees.
	var year web.Chart
	for i := range 365 * 24 {
		year.Hours = append(year.Hours, casedb.PacketHour{At: start.Add(time.Duration(i) * time.Hour), Packets: 1})
	}
	year.Marks = []casedb.PageMark{{At: start.Add(-time.Hour), Kind: casedb.EventSent}, {At: start.AddDate(5, 0, 0), Kind: casedb.EventReply}}
	if got := strings.Count(string(year.SVG(p)), `class="bar"`); got != 14*24 {
		t.Errorf("bars: got %d, want %d", got, 14*24)
	}
	var sum int64
	for _, r := range year.Rows(p) {
		sum += r.Packets
	}
	if sum != 14*24 {
		t.Errorf("packets of the table: got %d, want %d", sum, 14*24)
	}
	if rows := sampleChart().Rows(printer(t, "ja")); rows[0].Day != "2026-03-10" || rows[0].Hours == 0 {
		t.Errorf("first row: got %+v", rows[0])
	}
}

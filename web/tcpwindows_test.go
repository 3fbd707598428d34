package web_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/web"
)

func sampleWindows() web.TCPWindowReport {
	tokyo := time.FixedZone("Asia/Tokyo", 9*60*60)
	r := web.TCPWindowReport{Ask: casedb.TCPWindowQuestion{Port: 445, Window: 8192, Countries: []string{"JP"}, Location: tokyo}}
	for i := range 28 {
		d := casedb.TCPWindowDay{Day: time.Date(2026, 1, 1+i, 0, 0, 0, 0, tokyo), Sensors: 3, Unjudged: int64(i / 20)}
		d.Sources = [casedb.TCPWindowGroups]int64{int64(900 + i*37%211), int64(i % 3 * 20), int64(120 + i*11%40), int64(400 + i*i)}
		if i == 9 || i == 10 {
			d = casedb.TCPWindowDay{Day: d.Day}
		}
		r.Days = append(r.Days, d)
	}
	return r
}

func TestWindowReportIsDrawnAsBefore(t *testing.T) {
	t.Parallel()
	for _, lang := range locale.Languages() {
		var page bytes.Buffer
		if err := web.WriteTCPWindowReport(&page, lang, sampleWindows()); err != nil {
			t.Fatal(err)
		}
		body := page.String()
		checkPage(t, "the report", lang, strings.Replace(body, "<style>", "<sheet>", 1))
		from, to := strings.Index(body, "<svg class=\"chart\""), strings.Index(body, "</svg>")
		got, name := body[from:to+len("</svg>")], "testdata/windows."+lang+".svg"
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
		if n := strings.Count(got, "×"); n != 2 {
			t.Errorf("%d days are marked as not observed, want 2", n)
		}
		if n := strings.Count(body, "<tr>"); n != 29 {
			t.Errorf("%d rows, want 28 and the head", n)
		}
	}
	other := sampleWindows()
	other.Ask.Window, other.Days = 1024, nil
	var page bytes.Buffer
	if err := web.WriteTCPWindowReport(&page, "en", other); err != nil || strings.Contains(page.String(), "worm-like header") || strings.Contains(page.String(), "<svg class=\"chart\"") {
		t.Errorf("no days, another window: %v\n%s", err, &page)
	}
}

func TestWindowsPage(t *testing.T) {
	t.Parallel()
	tokyo := time.FixedZone("Asia/Tokyo", 9*60*60)
	b := setup(t, func(c *web.Config) { c.Countries, c.Location = []string{"JP"}, tokyo })
	b.user("taro", casedb.RoleViewer, "ja")
	window := time.Date(2026, 1, 15, 3, 0, 0, 0, time.UTC)
	exec(t, b.db, `create table observation_20260115 partition of observation for values from ('2026-01-15Z') to ('2026-01-16Z')`)
	sensor, err := b.db.EnsureSensor(t.Context(), "north", window)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, b.db, `insert into batch (sensor_id, window_start, window_seconds, digest, packets, observations, created_at, next_attempt_at)
		values ($1, $2, 3600, sha256('x'), 4, 4, $2, $2)`, sensor.ID, window)
	for address, o := range map[string]struct{ country, marks string }{
		"192.0.2.1": {"JP", `{"worm445": 1, "window_8192": 1}`}, "192.0.2.2": {"JP", `{"window_8192": 1}`}, "192.0.2.3": {"JP", `{}`},
		"192.0.2.4": {"KR", `{"worm445": 1}`},
	} {
		exec(t, b.db, `insert into source (address, first_at, last_at, country) values ($1, $2, $2, $3)`, address, window, o.country)
		exec(t, b.db, `insert into observation (batch_id, sensor_id, window_start, source, proto, port, class, packets, bytes, destinations, destinations_exact,
				peer_ports, first_at, last_at, marks, fingerprints)
			values (1, $1, $2, $3, 6, 445, 'syn', 1, 40, 1, true, 1, $2, $2, $4, '[{"ttl": 50, "win": 512, "opt": "", "n": 1}]')`,
			sensor.ID, window, address, o.marks)
	}
	row := func(path, day string) string {
		_, after, ok := strings.Cut(b.page(path), ">"+day+"<")
		if !ok {
			t.Fatalf("%s has no row of %s", path, day)
		}
		var cells []string
		line, _, _ := strings.Cut(after, "</tr>")
		for _, cell := range strings.Split(line, "<td")[1:] {
			_, text, _ := strings.Cut(cell, ">")
			text, _, _ = strings.Cut(text, "<")
			cells = append(cells, text)
		}
		return strings.Join(cells, " ")
	}
	for path, want := range map[string]string{
		"/sources/windows?lang=en":                             "1 1 0 1 3 0 1",
		"/sources/windows?lang=ja&country=kr":                  "1 0 0 0 1 0 1",
		"/sources/windows?lang=en&window=512&to=2026-02-01":    "3 0 0 3 0 1",
		"/sources/windows?lang=en&port=80/tcp&country=&to=":    "0 0 0 0 0 0 1",
		"/sources/windows?lang=ja&port=445&to=2026-01-15#more": "1 1 0 1 3 0 1",
	} {
		if got := row(path, "2026-01-15"); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	if got := row("/sources/windows?lang=ja", "2026-01-14"); got != "観測なし" {
		t.Errorf("a day without sensors: got %s", got)
	}
	body := b.page("/sources/windows?lang=en&port=445/TCP&to=2026-01-10")
	for _, want := range []string{"to=2025-12-13", "to=2026-02-07", "port=445%2FTCP", `aria-current="true">TCP windows per day`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of a period has no %s", want)
		}
	}
	if strings.Contains(b.page("/sources/windows"), `rel="next"`) {
		t.Error("there is something later than the last day")
	}
	for _, bad := range []string{"port=53/udp", "port=x", "port=70000", "window=65536", "window=-1", "country=Japan", "to=2026-13-01", "to=0001-01-01", "to=9999-01-01"} {
		if status, body, _ := b.get("/sources/windows?" + bad); status != http.StatusUnprocessableEntity || !strings.Contains(body, `role="alert"`) {
			t.Errorf("%s: got %d", bad, status)
		}
	}
}

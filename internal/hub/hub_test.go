package hub_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"teiten/internal/batchfile"
	"teiten/internal/casedb"
	"teiten/internal/hub"
	"teiten/internal/ingest"
	"teiten/internal/observation"
	"teiten/internal/pgtest"
	"teiten/internal/sensorwire"
)

// hubTest is a hub on a database of its own, with a clock.
type hubTest struct {
	t      *testing.T
	db     *casedb.DB
	server *httptest.Server
	mu     sync.Mutex // guards now
	now    time.Time
}

var noon = time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)

func newHub(t *testing.T, change ...func(*hub.Config)) *hubTest {
	t.Helper()
	db, err := casedb.Open(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &hubTest{t: t, db: db, now: noon}
	cfg := hub.Config{DB: db, Zone: "Asia/Tokyo", Now: h.clock, Ingest: ingest.Options{Country: func(netip.Addr) string { return "JP" }, CountryData: "test"}}
	for _, f := range change {
		f(&cfg)
	}
	s, err := hub.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.server = httptest.NewServer(s)
	t.Cleanup(h.server.Close)
	return h
}

func (h *hubTest) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hubTest) wait(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// ask sends a request and returns status, problem or body, and the header.
func (h *hubTest) ask(method, path, token string, body io.Reader, header ...string) (int, string, http.Header) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

func (h *hubTest) wants(what string, status, want int, body, kind string) {
	h.t.Helper()
	if status != want || !strings.Contains(body, kind) {
		h.t.Errorf("%s: %d %s, want %d %s", what, status, body, want, kind)
	}
}

// add adds a sensor and returns a code for it.
func (h *hubTest) add(name string) string {
	h.t.Helper()
	s, err := h.db.AddSensor(h.t.Context(), casedb.Sensor{Name: name}, []casedb.Prefix{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}, h.clock())
	if err != nil {
		h.t.Fatal(err)
	}
	return h.code(s)
}

func (h *hubTest) code(s casedb.Sensor) string {
	h.t.Helper()
	code, digest := hub.NewCode()
	if err := h.db.SetSensorCode(h.t.Context(), s.ID, digest, h.clock().Add(hub.CodeLife)); err != nil {
		h.t.Fatal(err)
	}
	return code
}

// enrol returns a sensor's token.
func (h *hubTest) enrol(code string) sensorwire.Enrolled {
	h.t.Helper()
	status, body, _ := h.ask(http.MethodPost, sensorwire.PathEnrol, "", strings.NewReader(`{"code":"`+code+`"}`))
	var e sensorwire.Enrolled
	if err := json.Unmarshal([]byte(body), &e); err != nil || status != http.StatusOK {
		h.t.Fatalf("enrol: %d %s", status, body)
	}
	return e
}

// batchOf is a batch of n sources as a file, and its name.
func batchOf(t testing.TB, sensor string, window time.Time, n int) (name string, file []byte) {
	t.Helper()
	b := &observation.Batch{Sensor: sensor, Window: window, Length: 10 * time.Minute, Keys: n, Packets: uint64(n), Facts: &observation.Facts{From: window, To: window.Add(10 * time.Minute), Dropped: 1},
		Observations: func(yield func(*observation.Observation) bool) {
			for i := range n {
				o := observation.Observation{Window: window, Source: netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), Proto: 6, Port: 23, Class: observation.ClassSYN, Packets: 1, Bytes: 40,
					Destinations: 1, DestinationsExact: true, First: window, Last: window, Destination: netip.MustParseAddr("192.0.2.7")}
				if !yield(&o) {
					return
				}
			}
		}}
	var buf bytes.Buffer
	if err := batchfile.Write(&buf, b, "test"); err != nil {
		t.Fatal(err)
	}
	return sensorwire.BatchID{Window: window, Seconds: 600}.String(), buf.Bytes()
}

func path(sensor, name string) string {
	return strings.Replace(sensorwire.PathBatch, "{sensor}", sensor, 1) + name
}

func digestOf(file []byte) string {
	sum := sha256.Sum256(file)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func (h *hubTest) count(query string, args ...any) (n int) {
	h.t.Helper()
	if err := h.db.SQL().QueryRow(query, args...).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// TestEnrolment: a code is good once and for thirty minutes; what it gives is signed.
func TestEnrolment(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	code := h.add("tokyo-1")
	e := h.enrol(" " + strings.ToLower(strings.ReplaceAll(code, "-", " ")))
	var c sensorwire.Config
	if err := json.Unmarshal(e.Config.Config, &c); err != nil || !ed25519.Verify(e.PublicKey, e.Config.Config, e.Config.Signature) || c.Sensor != "tokyo-1" ||
		c.WindowSeconds != 600 || c.ReportZone != "Asia/Tokyo" || len(c.Networks) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	ask := func(code string) (int, string) {
		status, body, _ := h.ask(http.MethodPost, sensorwire.PathEnrol, "", strings.NewReader(`{"code":"`+code+`"}`))
		return status, body
	}
	status, body := ask(code)
	h.wants("a used code", status, 403, body, sensorwire.ProblemCode)
	late := h.add("tokyo-2")
	h.wait(hub.CodeLife + time.Second)
	status, body = ask(late)
	h.wants("an old code", status, 403, body, sensorwire.ProblemCode)
	limited := 0
	for range 40 {
		if status, _ := ask("AAAA-BBBB-CCCC-DDDD"); status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 15 {
		t.Errorf("%d of 40 guesses were refused unseen", limited)
	}
}

// TestStatuses: each answer that a sensor must understand.
func TestStatuses(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	token, other := h.enrol(h.add("tokyo-1")).Token, h.enrol(h.add("osaka-1")).Token
	name, file := batchOf(t, "tokyo-1", noon.Add(-time.Hour), 3)
	put := func(path, token string, file []byte, header ...string) (int, string) {
		status, body, _ := h.ask(http.MethodPut, path, token, bytes.NewReader(file), header...)
		return status, body
	}
	for what, tt := range map[string]struct {
		path, token string
		file        []byte
		header      []string
		status      int
		kind        string
	}{
		"no token":        {path("tokyo-1", name), "", file, nil, 401, sensorwire.ProblemToken},
		"wrong token":     {path("tokyo-1", name), "tts_x", file, nil, 401, sensorwire.ProblemToken},
		"another's token": {path("tokyo-1", name), other, file, nil, 403, sensorwire.ProblemSensor},
		"bad name":        {path("tokyo-1", "yesterday"), token, file, nil, 422, sensorwire.ProblemBatch},
		"another window":  {path("tokyo-1", "20260520T100000Z-600-0"), token, file, nil, 422, sensorwire.ProblemBatch},
		"another sensor":  {path("osaka-1", name), other, file, nil, 422, sensorwire.ProblemBatch},
		"the future":      {path("tokyo-1", "20260520T130000Z-600-0"), token, file, nil, 422, sensorwire.ProblemFuture},
		"no batch":        {path("tokyo-1", name), token, []byte("PAR1 no PAR1"), nil, 422, sensorwire.ProblemBatch},
		"empty":           {path("tokyo-1", name), token, nil, nil, 422, sensorwire.ProblemBatch},
		"wrong digest":    {path("tokyo-1", name), token, file, []string{sensorwire.DigestHeader, digestOf([]byte("x"))}, 400, "digest"},
		"bad digest":      {path("tokyo-1", name), token, file, []string{sensorwire.DigestHeader, "sha-256=:x:"}, 400, "digest"},
		"gzip":            {path("tokyo-1", name), token, file, []string{"Content-Encoding", "gzip"}, 400, "encoding"},
		"later protocol":  {path("tokyo-1", name), token, file, []string{sensorwire.ProtocolHeader, "2"}, 400, sensorwire.ProblemProtocol},
		"no such path":    {"/api/v1/sensors/tokyo-1/nothing", token, file, nil, 404, ""},
	} {
		status, body := put(tt.path, tt.token, tt.file, tt.header...)
		h.wants(what, status, tt.status, body, tt.kind)
	}
	if n := h.count(`select count(*) from sensor_batch`) + h.count(`select count(*) from batch`); n != 0 {
		t.Fatalf("%d batches are stored", n)
	}
	status, body := put(path("tokyo-1", name), token, file, sensorwire.DigestHeader, digestOf(file))
	h.wants("good", status, 200, body, `"known":false`)
	status, body = put(path("tokyo-1", name), token, file)
	h.wants("again", status, 200, body, `"known":true`)
	_, changed := batchOf(t, "tokyo-1", noon.Add(-time.Hour), 4)
	status, body = put(path("tokyo-1", name), token, changed)
	h.wants("other content", status, 409, body, sensorwire.ProblemContent)
	if n := h.count(`select count(*) from observation where country = 'JP'`); n != 3 {
		t.Errorf("%d observations", n)
	}
	if err := h.db.RevokeSensor(t.Context(), "tokyo-1", noon); err != nil {
		t.Fatal(err)
	}
	status, body = put(path("tokyo-1", name), token, file)
	h.wants("revoked", status, 401, body, sensorwire.ProblemToken)
}

// TestEmptyWindow: a window without packets is time in which the sensor was live.
func TestEmptyWindow(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	token := h.enrol(h.add("tokyo-1")).Token
	for n := range 6 {
		name, file := batchOf(t, "tokyo-1", noon.Add(time.Duration(n-6)*10*time.Minute), n%2)
		if status, body, _ := h.ask(http.MethodPut, path("tokyo-1", name), token, bytes.NewReader(file)); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	live, err := h.db.LiveSeconds(t.Context(), noon.Add(-24*time.Hour), noon)
	if err != nil || len(live) != 1 || live[0].Seconds != 3600 {
		t.Errorf("%+v, %v", live, err)
	}
	if n := h.count(`select count(*) from sensor_live`); n != 1 {
		t.Errorf("%d stretches", n)
	}
	health, err := h.db.SensorsHealth(t.Context(), noon)
	if err != nil || len(health) != 1 || health[0].Packets24h != 3 || health[0].Dropped24h != 6 || !health[0].LastBatch.Equal(noon) || health[0].State(noon) != casedb.SensorStateDegraded {
		t.Errorf("%+v, %v", health, err)
	}
	if s := health[0].State(noon.Add(15 * time.Minute)); s != casedb.SensorStateDegraded {
		t.Errorf("within window and five minutes: %s", s)
	}
	if s := health[0].State(noon.Add(15*time.Minute + time.Second)); s != casedb.SensorStateSilent {
		t.Errorf("after window and five minutes: %s", s)
	}
}

// TestOnceUnderRace: one batch offered twenty times at once is stored once.
func TestOnceUnderRace(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	token := h.enrol(h.add("tokyo-1")).Token
	name, file := batchOf(t, "tokyo-1", noon.Add(-time.Hour), 500)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if status, body, _ := h.ask(http.MethodPut, path("tokyo-1", name), token, bytes.NewReader(file)); status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	wg.Wait()
	if a, b, c := h.count(`select count(*) from observation`), h.count(`select count(*) from batch`), h.count(`select count(*) from sensor_batch`); a != 500 || b != 1 || c != 1 {
		t.Errorf("%d observations, %d batches, %d names", a, b, c)
	}
}

// TestRotation: the old token is good until the new one is used.
func TestRotation(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	token := h.enrol(h.add("tokyo-1")).Token
	rotate := func(token string) string {
		status, body, _ := h.ask(http.MethodPost, strings.Replace(sensorwire.PathToken, "{sensor}", "tokyo-1", 1), token, nil)
		var n sensorwire.NewToken
		if err := json.Unmarshal([]byte(body), &n); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		return n.Token
	}
	beat := func(token string) int {
		status, _, _ := h.ask(http.MethodPost, strings.Replace(sensorwire.PathHeartbeat, "{sensor}", "tokyo-1", 1), token, strings.NewReader(`{"sent":"2026-05-20T12:00:07Z","version":"1"}`))
		return status
	}
	lost := rotate(token) // the answer was lost: the sensor goes on with the old one
	next := rotate(token)
	for _, tt := range []struct {
		token string
		want  int
	}{{token, 200}, {next, 200}, {token, 401}, {lost, 401}, {next, 200}} {
		if got := beat(tt.token); got != tt.want {
			t.Errorf("got %d, want %d", got, tt.want)
		}
	}
	health, err := h.db.SensorsHealth(t.Context(), noon)
	if err != nil || health[0].SkewMS != 7000 || health[0].Version != "1" || health[0].State(noon) != casedb.SensorStateDegraded {
		t.Errorf("%+v, %v", health, err)
	}
	s, err := h.db.SensorByName(t.Context(), "tokyo-1")
	if err != nil {
		t.Fatal(err)
	}
	again := h.enrol(h.code(s)).Token // the machine was replaced
	if beat(next) != 401 || beat(again) != 200 {
		t.Error("a new enrolment does not take the place of the old")
	}
	if err := h.db.RetireSensor(t.Context(), "tokyo-1", noon); err != nil {
		t.Fatal(err)
	}
	if got := beat(again); got != 401 {
		t.Errorf("retired: %d", got)
	}
}

// TestConfiguration: a change reaches the sensor, and the history of prefixes is kept.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	e := h.enrol(h.add("tokyo-1"))
	s, err := h.db.SensorByName(t.Context(), "tokyo-1")
	if err != nil {
		t.Fatal(err)
	}
	s.WindowSeconds = 60
	h.wait(time.Hour)
	if err := h.db.ChangeSensor(t.Context(), s, []casedb.Prefix{{Prefix: netip.MustParsePrefix("203.0.113.0/24")}}, h.clock()); err != nil {
		t.Fatal(err)
	}
	_, body, _ := h.ask(http.MethodPost, strings.Replace(sensorwire.PathHeartbeat, "{sensor}", "tokyo-1", 1), e.Token, strings.NewReader(`{}`))
	var beaten sensorwire.Beaten
	if err := json.Unmarshal([]byte(body), &beaten); err != nil || beaten.Config != 2 {
		t.Errorf("%s, %v", body, err)
	}
	_, body, _ = h.ask(http.MethodGet, strings.Replace(sensorwire.PathConfig, "{sensor}", "tokyo-1", 1), e.Token, nil)
	var signed sensorwire.Signed
	var c sensorwire.Config
	if json.Unmarshal([]byte(body), &signed) != nil || json.Unmarshal(signed.Config, &c) != nil || !ed25519.Verify(e.PublicKey, signed.Config, signed.Signature) ||
		c.Version != 2 || c.WindowSeconds != 60 || fmt.Sprint(c.Networks) != "[203.0.113.0/24]" {
		t.Errorf("%s: %+v", body, c)
	}
	if ended, now := h.count(`select count(*) from sensor_network where valid_to = $1`, h.clock()), h.count(`select count(*) from sensor_network where valid_to is null`); ended != 1 || now != 1 {
		t.Errorf("%d ended, %d now", ended, now)
	}
}

// TestUploads: bodies that are too large, lie about their length, or stop.
func TestUploads(t *testing.T) {
	t.Parallel()
	h := newHub(t, func(c *hub.Config) { c.Limits = batchfile.Limits{Bytes: 10_000, Rows: 1000, Page: 1 << 20} })
	token := h.enrol(h.add("tokyo-1")).Token
	name, file := batchOf(t, "tokyo-1", noon.Add(-time.Hour), 3)
	large := bytes.Repeat([]byte("x"), 20_000)
	status, body, _ := h.ask(http.MethodPut, path("tokyo-1", name), token, bytes.NewReader(large))
	h.wants("too large", status, 413, body, sensorwire.ProblemSize)
	status, body, _ = h.ask(http.MethodPut, path("tokyo-1", name), token, struct{ io.Reader }{bytes.NewReader(large)}) // of unknown length
	h.wants("too large without a length", status, 413, body, sensorwire.ProblemSize)
	cut := func(claim, sent int) {
		c, err := net.Dial("tcp", h.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", path("tokyo-1", name), token, claim)
		_, _ = c.Write(file[:sent])
	}
	cut(len(file), len(file)-1)
	cut(len(file)+5, len(file))
	if n := h.count(`select count(*) from sensor_batch`); n != 0 {
		t.Errorf("%d batches", n)
	}
	status, body, _ = h.ask(http.MethodPut, path("tokyo-1", name), token, bytes.NewReader(file))
	h.wants("whole", status, 200, body, "")
}

// TestOldTimes: a capture of old times is taken, but not a table for each day.
func TestOldTimes(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	token := h.enrol(h.add("tokyo-1")).Token
	taken, refused := 0, 0
	for day := range 405 {
		name, file := batchOf(t, "tokyo-1", noon.AddDate(-20, 0, day), 0)
		switch status, body, header := h.ask(http.MethodPut, path("tokyo-1", name), token, bytes.NewReader(file)); status {
		case http.StatusOK:
			taken++
		case http.StatusTooManyRequests:
			refused++
			if header.Get("Retry-After") == "" {
				t.Error("no time to come again")
			}
		default:
			t.Fatalf("%d %s", status, body)
		}
	}
	if taken != 400 || refused != 5 {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
}

// TestManySensors: each with a batch at the same time; nothing is refused.
func TestManySensors(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	const sensors = 40
	tokens := make([]string, sensors)
	for i := range tokens {
		name := fmt.Sprintf("s%d", i)
		s, err := h.db.AddSensor(t.Context(), casedb.Sensor{Name: name}, nil, noon)
		if err != nil {
			t.Fatal(err)
		}
		token, digest := hub.NewToken()
		if err := h.db.AddSensorToken(t.Context(), s.ID, digest, noon); err != nil {
			t.Fatal(err)
		}
		tokens[i] = token
	}
	var wg sync.WaitGroup
	for i, token := range tokens {
		wg.Go(func() {
			sensor := fmt.Sprintf("s%d", i)
			name, file := batchOf(t, sensor, noon.Add(-time.Hour), 50)
			if status, body, _ := h.ask(http.MethodPut, path(sensor, name), token, bytes.NewReader(file)); status != http.StatusOK {
				t.Errorf("%s: %d %s", sensor, status, body)
			}
		})
	}
	wg.Wait()
	if n := h.count(`select count(*) from observation`); n != 50*sensors {
		t.Errorf("%d observations", n)
	}
}

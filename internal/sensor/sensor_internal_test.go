package sensor

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"teiten/internal/batchfile"
	"teiten/internal/observation"
	"teiten/internal/sensorwire"
)

// fakeHub is a hub that remembers, and answers as it is told.
type fakeHub struct {
	t       *testing.T
	server  *httptest.Server
	private ed25519.PrivateKey
	public  ed25519.PublicKey

	mu      sync.Mutex // guards the rest
	codes   map[string]bool
	token   string
	config  sensorwire.Config
	stored  map[string][]byte // digest by id
	puts    int
	beats   []sensorwire.Heartbeat
	trouble []func(w http.ResponseWriter) // for the next batches
}

func newFakeHub(t *testing.T) *fakeHub {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &fakeHub{t: t, private: private, public: public, codes: map[string]bool{"good": true}, token: "token-1", stored: map[string][]byte{},
		config: sensorwire.Config{Sensor: "tokyo-1", Version: 1, WindowSeconds: 600, PayloadBytes: 64, ReportZone: "Asia/Tokyo"}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+sensorwire.PathEnrol, h.enrol)
	mux.HandleFunc("PUT "+sensorwire.PathBatch+"{id}", h.put)
	mux.HandleFunc("POST "+sensorwire.PathHeartbeat, h.beat)
	mux.HandleFunc("GET "+sensorwire.PathConfig, h.getConfig)
	mux.HandleFunc("POST "+sensorwire.PathToken, h.rotate)
	h.server = httptest.NewServer(mux)
	t.Cleanup(h.server.Close)
	return h
}

func (h *fakeHub) signed(c sensorwire.Config) sensorwire.Signed {
	b, err := json.Marshal(c)
	if err != nil {
		h.t.Error(err)
	}
	return sensorwire.Signed{Config: b, Signature: ed25519.Sign(h.private, b)}
}

func problemOf(status int, kind string, header ...string) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(sensorwire.Problem{Type: kind, Title: "no", Status: status})
	}
}

func (h *fakeHub) enrol(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var e sensorwire.Enrolment
	if json.NewDecoder(r.Body).Decode(&e) != nil || !h.codes[e.Code] {
		problemOf(http.StatusForbidden, sensorwire.ProblemCode)(w)
		return
	}
	delete(h.codes, e.Code)
	_ = json.NewEncoder(w).Encode(sensorwire.Enrolled{Sensor: "tokyo-1", Token: h.token, PublicKey: h.public, Config: h.signed(h.config)})
}

func (h *fakeHub) put(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.puts++
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Context().Err() != nil { // the sensor has hung up
		return
	}
	if len(h.trouble) > 0 {
		trouble := h.trouble[0]
		h.trouble = h.trouble[1:]
		trouble(w)
		return
	}
	sum := sha256.Sum256(body)
	want := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	f, ferr := batchfile.Read(r.Context(), bytes.NewReader(body), int64(len(body)), batchfile.Limits{})
	if r.Context().Err() != nil {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+h.token || r.Header.Get(sensorwire.DigestHeader) != want || ferr != nil || f.ID != r.PathValue("id") || f.Sensor != "tokyo-1" {
		h.t.Errorf("a batch that no sensor sends: %v, %v", r.Header, ferr)
	}
	id := r.PathValue("id")
	known := h.stored[id] != nil
	if known && !bytes.Equal(h.stored[id], sum[:]) {
		problemOf(http.StatusConflict, sensorwire.ProblemContent)(w)
		return
	}
	h.stored[id] = sum[:]
	_ = json.NewEncoder(w).Encode(sensorwire.BatchStored{ID: id, Known: known})
}

func (h *fakeHub) beat(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b sensorwire.Heartbeat
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		h.t.Error(err)
	}
	h.beats = append(h.beats, b)
	_ = json.NewEncoder(w).Encode(sensorwire.Beaten{Now: time.Now(), Config: h.config.Version})
}

func (h *fakeHub) getConfig(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = json.NewEncoder(w).Encode(h.signed(h.config))
}

func (h *fakeHub) rotate(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+h.token {
		problemOf(http.StatusUnauthorized, sensorwire.ProblemToken)(w)
		return
	}
	h.token = "token-2"
	_ = json.NewEncoder(w).Encode(sensorwire.NewToken{Token: h.token})
}

// madeInput gives made-up batches, and then waits until it is stopped.
type madeInput struct {
	batches int
	wait    bool
	mu      sync.Mutex // guards set
	set     []Settings
}

var windowStart = time.Date(2026, 5, 20, 15, 0, 0, 0, time.UTC)

func (m *madeInput) Run(ctx context.Context, set Settings, sink func(*observation.Batch) error) error {
	m.Set(set)
	for n := range m.batches {
		o := observation.Observation{Window: windowStart.Add(time.Duration(n) * set.Window), Source: netip.MustParseAddr("192.0.2.9"), Proto: 6, Port: 23, Class: observation.ClassSYN,
			Packets: uint64(n + 1), Bytes: 40, Destinations: 1, DestinationsExact: true}
		o.First, o.Last = o.Window, o.Window
		b := &observation.Batch{Sensor: set.Sensor, Window: o.Window, Length: set.Window, Packets: o.Packets, Keys: 1, Observations: func(yield func(*observation.Observation) bool) { yield(&o) }}
		if err := sink(b); err != nil {
			return err
		}
	}
	if m.wait {
		<-ctx.Done()
	}
	return nil
}

func (m *madeInput) Set(s Settings) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set = append(m.set, s)
}

func (m *madeInput) Stats() Stats { return Stats{Packets: uint64(m.batches)} }

func (h *fakeHub) enrolled() string {
	h.t.Helper()
	state := filepath.Join(h.t.TempDir(), "state")
	name, err := Enrol(h.t.Context(), Enrolment{Hub: h.server.URL, Code: "good", State: state, Version: "test"})
	if err != nil || name != "tokyo-1" {
		h.t.Fatalf("%s, %v", name, err)
	}
	return state
}

func quietLog(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// TestEnrolment: a code is good once, and what it gave is kept where only its user
// reads it.
func TestEnrolment(t *testing.T) {
	t.Parallel()
	h := newFakeHub(t)
	state := h.enrolled()
	for _, name := range []string{identityFile, configFile} {
		if st, err := os.Stat(filepath.Join(state, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	other := filepath.Join(t.TempDir(), "other")
	var hub *hubError
	if _, err := Enrol(t.Context(), Enrolment{Hub: h.server.URL, Code: "good", State: other}); !errors.As(err, &hub) || hub.Type != sensorwire.ProblemCode {
		t.Errorf("a used code: %v", err)
	}
	if _, err := Run(t.Context(), Options{State: other, Input: &madeInput{}}, nil); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("without identity: %v", err)
	}
	if _, err := Enrol(t.Context(), Enrolment{Hub: h.server.URL, Code: "good", State: state}); err == nil {
		t.Error("an identity was replaced without a word")
	}
	for _, bad := range []string{"http://hub.example", "ftp://127.0.0.1", "hub.example", "https://", "https://user@hub.example", "https://hub.example?x", "http://192.0.2.1"} {
		if _, err := checkHub(bad); err == nil {
			t.Errorf("hub %s is taken", bad)
		}
	}
	for _, good := range []string{"https://hub.example", "https://hub.example/teiten/", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080"} {
		if _, err := checkHub(good); err != nil {
			t.Errorf("hub %s: %v", good, err)
		}
	}
}

// TestTwoSensorsWithOneState: the second is refused.
func TestTwoSensorsWithOneState(t *testing.T) {
	t.Parallel()
	h := newFakeHub(t)
	state := h.enrolled()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	in := &madeInput{wait: true}
	go func() {
		_, err := Run(ctx, Options{State: state, Input: in, Log: quietLog(t)}, nil)
		done <- err
	}()
	waitFor(t, func() bool { in.mu.Lock(); defer in.mu.Unlock(); return len(in.set) > 0 })
	if _, err := Run(t.Context(), Options{State: state, Input: &madeInput{}}, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func waitFor(t *testing.T, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing happens")
		}
	}
}

// TestOnce: everything is delivered, whatever the hub says meanwhile, and each batch
// once.
func TestOnce(t *testing.T) {
	t.Parallel()
	h := newFakeHub(t)
	cut := func(w http.ResponseWriter) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		c.Close()
	}
	h.trouble = []func(http.ResponseWriter){cut, problemOf(http.StatusServiceUnavailable, sensorwire.ProblemBusy, "Retry-After", "1")}
	state := h.enrolled()
	res, err := Run(t.Context(), Options{State: state, Input: &madeInput{batches: 20}, Once: true, Version: "test", Log: quietLog(t)}, nil)
	if err != nil || res.Delivered != 20 || res.Waiting != 0 || len(h.stored) != 20 || h.puts < 22 {
		t.Errorf("%s, %v; %d stored after %d requests", res, err, len(h.stored), h.puts)
	}
	// Batches that the hub has already.
	if res, err = Run(t.Context(), Options{State: state, Input: &madeInput{batches: 20}, Once: true, Version: "test", Log: quietLog(t)}, nil); err != nil || res.Delivered != 20 || len(h.stored) != 20 {
		t.Errorf("again: %s, %v", res, err)
	}
}

// TestHubAway: batches wait, through a stop and a new start, and --once does not
// report success before they are delivered.
func TestHubAway(t *testing.T) {
	t.Parallel()
	h := newFakeHub(t)
	state := h.enrolled()
	for range 1000 {
		h.trouble = append(h.trouble, problemOf(http.StatusUnauthorized, sensorwire.ProblemToken))
	}
	giveUp := make(chan struct{})
	time.AfterFunc(300*time.Millisecond, func() { close(giveUp) })
	res, err := Run(t.Context(), Options{State: state, Input: &madeInput{batches: 5}, Once: true, Log: quietLog(t)}, giveUp)
	if err == nil || res.Waiting != 5 || res.Delivered != 0 {
		t.Errorf("%s, %v", res, err)
	}
	h.mu.Lock()
	h.trouble = nil
	h.mu.Unlock()
	if res, err = Run(t.Context(), Options{State: state, Input: &madeInput{}, Once: true, Log: quietLog(t)}, nil); err != nil || res.Waiting != 0 || len(h.stored) != 5 {
		t.Errorf("later: %s, %v", res, err)
	}
}

// TestDecide: what follows from each answer. Only what a hub of teiten says of the
// batch itself gives it up.
func TestDecide(t *testing.T) {
	t.Parallel()
	hub := func(status int, kind string, after time.Duration) error {
		return fmt.Errorf("deliver: %w", &hubError{Problem: sensorwire.Problem{Type: kind, Status: status}, After: after})
	}
	for _, tt := range []struct {
		err   error
		want  outcome
		least time.Duration
	}{
		{nil, outcomeDone, 0},
		{errors.New("connection refused"), outcomeLater, firstPause},
		{hub(401, sensorwire.ProblemToken, 0), outcomeLater, refusedPause}, {hub(403, sensorwire.ProblemSensor, 0), outcomeLater, refusedPause},
		{hub(400, sensorwire.ProblemProtocol, 0), outcomeLater, refusedPause}, {hub(422, sensorwire.ProblemFuture, 0), outcomeLater, refusedPause},
		{hub(409, sensorwire.ProblemContent, 0), outcomeAside, 0}, {hub(413, sensorwire.ProblemSize, 0), outcomeAside, 0}, {hub(422, sensorwire.ProblemBatch, 0), outcomeAside, 0},
		{hub(429, sensorwire.ProblemRate, 3*time.Minute), outcomeLater, 3 * time.Minute}, {hub(503, sensorwire.ProblemBusy, time.Hour), outcomeLater, time.Hour},
		{hub(404, "", 0), outcomeLater, firstPause}, {hub(409, "", 0), outcomeLater, firstPause}, {hub(413, "", 0), outcomeLater, firstPause}, {hub(502, "", 0), outcomeLater, firstPause},
		{hub(301, "", 0), outcomeLater, firstPause}, {hub(200, "", 0), outcomeLater, firstPause},
	} {
		if got, pause := decide(tt.err, 0); got != tt.want || pause < tt.least {
			t.Errorf("%v: %d after %s, want %d after %s", tt.err, got, pause, tt.want, tt.least)
		}
	}
	if _, pause := decide(errors.New("x"), 1000); pause != lastPause {
		t.Errorf("pause %s after many failures", pause)
	}
}

// TestConfiguration: a newer one is fetched, checked and put in force while the
// sensor runs; one with another signature, of another sensor or older is not.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	h := newFakeHub(t)
	state := h.enrolled()
	in := &madeInput{wait: true}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := Run(ctx, Options{State: state, Input: in, Log: quietLog(t), beatEvery: 10 * time.Millisecond}, nil)
		done <- err
	}()
	last := func() sensorwire.Config { in.mu.Lock(); defer in.mu.Unlock(); return in.set[len(in.set)-1].Config }
	waitFor(t, func() bool { in.mu.Lock(); defer in.mu.Unlock(); return len(in.set) > 0 })
	h.mu.Lock()
	h.config.Version, h.config.WindowSeconds, h.config.Networks = 2, 60, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	h.mu.Unlock()
	waitFor(t, func() bool { return last().Version == 2 && last().WindowSeconds == 60 && len(last().Networks) == 1 })
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	own := h.private
	h.private, h.config.Version, h.config.WindowSeconds = stranger, 3, 1
	n := len(h.beats)
	h.mu.Unlock()
	beats := func(more int) {
		waitFor(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.beats) >= n+more })
	}
	beats(5)
	h.mu.Lock()
	h.private, h.config.Sensor = own, "osaka-1"
	n = len(h.beats)
	h.mu.Unlock()
	beats(5)
	if c := last(); c.Version != 2 {
		t.Errorf("in force is %+v", c)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	st, err := openState(state) // kept for the next start
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	if c := st.config(h.public); c == nil || c.Version != 2 {
		t.Errorf("kept is %+v", c)
	}
}

// TestRotation: an old token is replaced while the sensor runs, and the new one is
// kept before it is used.
func TestRotation(t *testing.T) {
	t.Parallel()
	h := newFakeHub(t)
	state := h.enrolled()
	in := &madeInput{wait: true}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	later := func() time.Time { return time.Now().Add(rotateEvery + time.Hour) }
	go func() {
		_, err := Run(ctx, Options{State: state, Input: in, Log: quietLog(t), Now: later, beatEvery: 10 * time.Millisecond}, nil)
		done <- err
	}()
	waitFor(t, func() bool {
		b, err := os.ReadFile(filepath.Join(state, identityFile))
		return err == nil && bytes.Contains(b, []byte("token-2"))
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if res, err := Run(t.Context(), Options{State: state, Input: &madeInput{batches: 1}, Once: true, Log: quietLog(t)}, nil); err != nil || res.Delivered != 1 {
		t.Errorf("%s, %v", res, err)
	}
}

// TestAnswersOfStrangers: what stands between sensor and hub answers in HTML, in
// endless bodies, or sends the sensor elsewhere with its token.
func TestAnswersOfStrangers(t *testing.T) {
	t.Parallel()
	leaked := make(chan string, 1)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked <- r.Header.Get("Authorization") }))
	defer elsewhere.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"HTML":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>log in</html>") },
		"endless":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 4<<20)) },
		"other id": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"id":"20200101T000000Z-600-0"}`) },
	} {
		s := httptest.NewServer(answer)
		c, err := newClient(s.URL, "", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		var stored sensorwire.BatchStored
		err = c.as("tokyo-1", "secret").post(t.Context(), sensorwire.PathHeartbeat, struct{}{}, &stored)
		if what, _ := decide(err, 0); name != "other id" && what != outcomeLater {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
	select {
	case token := <-leaked:
		t.Errorf("the token went elsewhere: %s", token)
	default:
	}
}

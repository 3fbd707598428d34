// Package hub is the hub's side of the conversation with sensors: it enrols them,
// takes their batches, hears their heartbeats and tells them how to work. All that
// comes in is a stranger's until it was checked.
package hub

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"teiten/internal/batchfile"
	"teiten/internal/casedb"
	"teiten/internal/ingest"
	"teiten/internal/quota"
	"teiten/internal/sensorwire"
)

// Config is what a hub needs.
type Config struct {
	DB      *casedb.DB
	Ingest  ingest.Options // how batches are stored
	Zone    string         // at whose midnight sensors cut their windows
	Limits  batchfile.Limits
	Logger  *slog.Logger
	Now     func() time.Time
	Spool   string // folder of uploads while they come in; empty: the one for temporary files
	AtOnce  int    // uploads that are checked and stored at once; 0: 4
	Proxies []netip.Prefix
}

// secretName names the key that signs configurations.
const secretName = "sensor-config"

// CodeLife is how long a code for enrolment is good.
const CodeLife = 30 * time.Minute

const (
	maxJSON = 64 << 10
	// patience is how long an upload waits for its turn.
	patience = 10 * time.Second
	busyFor  = 5 * time.Second
)

// Hub serves the paths of package sensorwire.
type Hub struct {
	cfg     Config
	mux     *http.ServeMux
	key     ed25519.PrivateKey
	turns   chan struct{}
	tries   *quota.Buckets // of codes and wrong tokens, by address
	allTrie *quota.Buckets // of codes, by all addresses together
	asks    *quota.Buckets // requests of a sensor
	bytes   *quota.Buckets // MiB of a sensor
	oldDays *quota.Buckets // days of old times that a sensor begins
}

// New returns a hub.
func New(ctx context.Context, cfg Config) (*Hub, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Limits == (batchfile.Limits{}) {
		cfg.Limits = batchfile.DefaultLimits()
	}
	if cfg.AtOnce == 0 {
		cfg.AtOnce = 4
	}
	cfg.Ingest.Now = cfg.Now
	seed, err := cfg.DB.Secret(ctx, secretName, cfg.Now())
	if err != nil {
		return nil, err
	}
	h := &Hub{cfg: cfg, mux: http.NewServeMux(), key: ed25519.NewKeyFromSeed(seed), turns: make(chan struct{}, cfg.AtOnce),
		tries: quota.New(20, 10*time.Minute, 10_000), allTrie: quota.New(200, 10*time.Minute, 1),
		asks: quota.New(1200, 2*time.Minute, 10_000), bytes: quota.New(2048, time.Hour, 10_000), oldDays: quota.New(400, 24*time.Hour, 10_000)}
	h.mux.HandleFunc("POST "+sensorwire.PathEnrol, h.enrol)
	h.mux.HandleFunc("PUT "+sensorwire.PathBatch+"{id}", h.sensor(h.putBatch))
	h.mux.HandleFunc("POST "+sensorwire.PathHeartbeat, h.sensor(h.heartbeat))
	h.mux.HandleFunc("GET "+sensorwire.PathConfig, h.sensor(h.config))
	h.mux.HandleFunc("POST "+sensorwire.PathToken, h.sensor(h.token))
	h.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, sensorwire.Problem{Status: http.StatusNotFound, Title: "no such path"}, 0)
	})
	return h, nil
}

// Path is the beginning of all paths of a hub.
const Path = "/api/v1/sensors/"

// ServeHTTP serves one request of a sensor.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	h.mux.ServeHTTP(w, r)
}

// refuse answers with a problem; after is how long to wait before the next request.
func refuse(w http.ResponseWriter, p sensorwire.Problem, after time.Duration) {
	if p.Type == "" {
		p.Type = "about:blank"
	}
	if after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the connection may be gone
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the connection may be gone
}

// failed answers for an error of ours: the sensor keeps what it has and comes again.
func (h *Hub) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		h.cfg.Logger.ErrorContext(r.Context(), "sensor request failed", "path", r.URL.Path, "err", err)
	}
	refuse(w, sensorwire.Problem{Type: sensorwire.ProblemBusy, Title: "the hub cannot do this now", Status: http.StatusServiceUnavailable}, busyFor)
}

// client is the address that asks, for counting: IPv6 by its /64.
func (h *Hub) client(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	a := peer.Addr().Unmap()
	for _, p := range h.cfg.Proxies {
		if p.Contains(a) {
			// The last one is what our own proxy has seen.
			list := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
			if f, err := netip.ParseAddr(strings.TrimSpace(list[len(list)-1])); err == nil {
				a = f.Unmap()
			}
			break
		}
	}
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// protocolKnown refuses a conversation of another time. A request without a version
// is of the first.
func protocolKnown(w http.ResponseWriter, r *http.Request) bool {
	text := r.Header.Get(sensorwire.ProtocolHeader)
	if text == "" {
		return true
	}
	if n, err := strconv.Atoi(text); err != nil || n < 1 || n > sensorwire.Protocol {
		refuse(w, sensorwire.Problem{Type: sensorwire.ProblemProtocol, Title: "this hub does not know the sensor's protocol", Status: http.StatusBadRequest,
			Detail: fmt.Sprintf("known are 1 to %d", sensorwire.Protocol)}, 0)
		return false
	}
	return true
}

// sensor lets a request in that has the token of the sensor in its path.
func (h *Hub) sensor(next func(http.ResponseWriter, *http.Request, casedb.Sensor)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !protocolKnown(w, r) {
			return
		}
		now, client := h.cfg.Now(), h.client(r)
		if !h.tries.Has(client, 1, now) {
			refuse(w, sensorwire.Problem{Type: sensorwire.ProblemRate, Title: "too many wrong tokens from this address", Status: http.StatusTooManyRequests}, time.Minute)
			return
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		digest := sha256.Sum256([]byte(token))
		s, err := casedb.Sensor{}, casedb.ErrNotFound
		if ok && len(token) <= 200 {
			s, err = h.cfg.DB.SensorByToken(r.Context(), digest[:], now)
		}
		switch {
		case errors.Is(err, casedb.ErrNotFound):
			h.tries.Take(client, 1, now)
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, sensorwire.Problem{Type: sensorwire.ProblemToken, Title: "unknown or revoked token", Status: http.StatusUnauthorized}, 0)
		case err != nil:
			h.failed(w, r, err)
		case s.Name != r.PathValue("sensor"):
			refuse(w, sensorwire.Problem{Type: sensorwire.ProblemSensor, Title: "the token is another sensor's", Status: http.StatusForbidden}, 0)
		case s.RetiredAt != nil:
			refuse(w, sensorwire.Problem{Type: sensorwire.ProblemSensor, Title: "the sensor is retired", Status: http.StatusForbidden}, 0)
		case !h.asks.Take(s.Name, 1, now):
			refuse(w, sensorwire.Problem{Type: sensorwire.ProblemRate, Title: "too many requests", Status: http.StatusTooManyRequests}, 10*time.Second)
		default:
			next(w, r, s)
		}
	}
}

// readJSON reads a small body.
func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxJSON)
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		refuse(w, sensorwire.Problem{Status: http.StatusBadRequest, Title: "the body is not what was asked for"}, 0)
		return false
	}
	return true
}

// enrol gives an identity for a code.
func (h *Hub) enrol(w http.ResponseWriter, r *http.Request) {
	if !protocolKnown(w, r) {
		return
	}
	now := h.cfg.Now()
	if !h.tries.Take(h.client(r), 1, now) || !h.allTrie.Take("", 1, now) {
		refuse(w, sensorwire.Problem{Type: sensorwire.ProblemRate, Title: "too many tries", Status: http.StatusTooManyRequests}, time.Minute)
		return
	}
	var e sensorwire.Enrolment
	if !readJSON(w, r, &e) {
		return
	}
	token, digest := NewToken()
	var s casedb.Sensor
	code := codeDigest(e.Code)
	err := h.cfg.DB.InTx(r.Context(), func(tx *casedb.Tx) (err error) {
		s, err = tx.UseSensorCode(r.Context(), code, digest, now)
		return err
	})
	switch {
	case errors.Is(err, casedb.ErrNotFound):
		refuse(w, sensorwire.Problem{Type: sensorwire.ProblemCode, Title: "the code is unknown, used, or older than 30 minutes", Status: http.StatusForbidden}, 0)
		return
	case err != nil:
		h.failed(w, r, err)
		return
	}
	signed, err := h.sign(s)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.cfg.Logger.InfoContext(r.Context(), "sensor enrolled", "sensor", s.Name, "version", casedb.CleanLine(e.Version, 100))
	answer(w, sensorwire.Enrolled{Sensor: s.Name, Token: token, PublicKey: h.key.Public().(ed25519.PublicKey), Config: signed})
}

// token gives a sensor a new token. The old one is good until the new one is used.
func (h *Hub) token(w http.ResponseWriter, r *http.Request, s casedb.Sensor) {
	token, digest := NewToken()
	if err := h.cfg.DB.AddSensorToken(r.Context(), s.ID, digest, h.cfg.Now()); err != nil {
		h.failed(w, r, err)
		return
	}
	answer(w, sensorwire.NewToken{Token: token})
}

// heartbeat notes how a sensor is.
func (h *Hub) heartbeat(w http.ResponseWriter, r *http.Request, s casedb.Sensor) {
	var b sensorwire.Heartbeat
	if !readJSON(w, r, &b) {
		return
	}
	now := h.cfg.Now()
	skew := max(min(b.Sent.Sub(now), 100*365*24*time.Hour), -100*365*24*time.Hour)
	text, err := json.Marshal(b)
	if err == nil {
		err = h.cfg.DB.NoteBeat(r.Context(), s.ID, []byte(casedb.Clean(string(text), 0)), b.Version, skew, now)
	}
	if err != nil {
		h.failed(w, r, err)
		return
	}
	answer(w, sensorwire.Beaten{Now: now.UTC(), Config: s.ConfigVersion})
}

// config tells a sensor how to work.
func (h *Hub) config(w http.ResponseWriter, r *http.Request, s casedb.Sensor) {
	signed, err := h.sign(s)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	answer(w, signed)
}

// sign makes a sensor's configuration.
func (h *Hub) sign(s casedb.Sensor) (sensorwire.Signed, error) {
	c := sensorwire.Config{Sensor: s.Name, Version: s.ConfigVersion, Auto: s.Auto, WindowSeconds: s.WindowSeconds, ReportZone: h.cfg.Zone, KeyLimit: s.KeyLimit, PayloadBytes: s.PayloadBytes}
	for _, n := range s.Networks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return sensorwire.Signed{}, fmt.Errorf("configuration of sensor %s: %w", s.Name, err)
		}
		c.Networks = append(c.Networks, p)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return sensorwire.Signed{}, fmt.Errorf("configuration of sensor %s: %w", s.Name, err)
	}
	return sensorwire.Signed{Config: text, Signature: ed25519.Sign(h.key, text)}, nil
}

// NewToken returns a token, and the digest by which it is recognised.
func NewToken() (token string, digest []byte) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails (Go 1.24)
	token = "tts_" + base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(token))
	return token, sum[:]
}

// NewCode returns a code for enrolment, in groups that a person can read to another,
// and the digest by which it is recognised. It has 80 bits.
func NewCode() (code string, digest []byte) {
	var b [10]byte
	_, _ = rand.Read(b[:]) // it never fails (Go 1.24)
	t := base32.StdEncoding.EncodeToString(b[:])
	code = t[:4] + "-" + t[4:8] + "-" + t[8:12] + "-" + t[12:]
	return code, codeDigest(code)
}

// codeDigest reads a code as people write it.
func codeDigest(code string) []byte {
	code = strings.NewReplacer("-", "", " ", "", "0", "O", "1", "I", "8", "B").Replace(strings.ToUpper(code[:min(len(code), 100)]))
	sum := sha256.Sum256([]byte(code))
	return sum[:]
}

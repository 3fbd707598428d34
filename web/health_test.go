package web_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"teiten/internal/casedb"
	"teiten/internal/pgtest"
	"teiten/notify"
	"teiten/web"
)

// TestMetricsAreForThisMachine: they name sensors, so a stranger does not see them,
// directly or through a proxy on this machine.
func TestMetricsAreForThisMachine(t *testing.T) {
	t.Parallel()
	db, err := casedb.Open(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, token := range []string{"", "secret"} {
		s, err := web.New(web.Config{DB: db, BaseURL: "http://desk.example", Registry: prometheus.NewRegistry(), Logger: logger(t), MetricsToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			from, name, value string
			want              int
		}{
			{"127.0.0.1:1234", "", "", http.StatusOK},
			{"[::1]:1234", "", "", http.StatusOK},
			{"192.0.2.7:1234", "", "", http.StatusNotFound},
			{"127.0.0.1:1234", "X-Forwarded-For", "192.0.2.7", http.StatusNotFound},
			{"127.0.0.1:1234", "X-Forwarded-For", "127.0.0.1", http.StatusNotFound},
			{"127.0.0.1:1234", "Forwarded", "for=192.0.2.7", http.StatusNotFound},
			{"192.0.2.7:1234", "Authorization", "Bearer ", http.StatusNotFound},
			{"192.0.2.7:1234", "Authorization", "Bearer wrong", http.StatusNotFound},
			{"192.0.2.7:1234", "Authorization", "Bearer secret", map[string]int{"": http.StatusNotFound, "secret": http.StatusOK}[token]},
		} {
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.RemoteAddr = tt.from
			if tt.name != "" {
				r.Header.Set(tt.name, tt.value)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("token %q, from %s with %s %q: %d, want %d", token, tt.from, tt.name, tt.value, w.Code, tt.want)
			}
		}
	}
}

// TestNoLinkInTheLog: what lets the reader of a mail answer or confirm stays out of
// the log, also when the database is away.
func TestNoLinkInTheLog(t *testing.T) {
	t.Parallel()
	db, err := casedb.Open("postgres://127.0.0.1:1/x?sslmode=disable&connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tokens := pageTokens(t)
	secret := tokens.PagePath("TT-2026-000001", &casedb.Message{ID: 1, Token: "x", TokenRule: 2})
	composer, err := notify.NewComposer(notify.Config{OrganisationJA: "Example CSIRT", OrganisationEN: "Example CSIRT",
		Email: "csirt@teiten.example", Domain: "teiten.example"}, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := web.New(web.Config{DB: db, BaseURL: "http://desk.example", Composer: composer,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/o/" + secret, "/register/confirm/" + secret} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := httptest.NewRequest(method, path, strings.NewReader("act=fixed"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code < 400 {
				t.Errorf("%s %s: %d without a database", method, path[:4], w.Code)
			}
		}
	}
	if text := log.String(); strings.Contains(text, secret) || !strings.Contains(text, "/o/...") {
		t.Errorf("the log has the link, or nothing: %s", text)
	}
}

// Package web is the desk of teiten in the browser: the case queue, cases with
// their timeline, sources, mail and settings for coordinators, and the public
// pages on which researchers register their scanners. It reads everything from
// the case database and writes decisions to it.
//
// Pages are rendered on the server, in Japanese and English, and work without
// JavaScript. GET changes nothing; every change is a POST that the browser
// says comes from our own pages, by a user whose role allows it.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/prometheus/client_golang/prometheus"

	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/notify"
)

// Config has the settings of the desk. DB is required; the rest has usable zero
// values.
type Config struct {
	DB     *casedb.DB
	Logger *slog.Logger     // nil: slog.Default
	Now    func() time.Time // nil: time.Now

	Organisation map[string]string // who runs this teiten, by language, as public pages say
	Authority    map[string]string // by language: who we are and by which authority we write; empty: not told
	Verify       map[string]string // by language: how to check us by another way; empty: not told
	TLP          casedb.TLP        // label of cases that have none of their own; empty: casedb.DefaultTLP
	Contact      string            // e-mail address shown on the public pages
	BaseURL      string            // where browsers reach the desk, "https://desk.example"; https makes the cookie Secure
	MailDomain   string            // domain of our Message-IDs and case addresses
	Language     string            // of visitors who ask for none; empty: Japanese
	Version      string            // shown in the footer

	// Mailbox says that mail goes to the built-in mailbox, which the desk then
	// shows and answers from.
	Mailbox bool
	// Rules are the names of the rules whose notifications can be set to go out
	// on their own.
	Rules []string
	// NotAnOwner says why nobody whom a case may be sent to reads the mail of an
	// address: it is a registry's own, or ours. Nil: everybody may.
	NotAnOwner func(address string) error
	// PasswordCost is that of the check for a user who does not exist.
	PasswordCost PasswordCost
	// Registration bounds what researchers may register.
	Registration RegistrationLimits
	// Countries and Prefixes are the constituency, whose sources reports count.
	Countries []string
	Prefixes  []netip.Prefix
	// Location is the clock by which reports count days; nil: UTC.
	Location *time.Location
	// TrustedProxies are the addresses whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	// Notify is called after a decision that gives the mail workers something
	// to do. It must not block; nil: they find it on their own.
	Notify func()
	// Composer makes mails as they go out, for previews and for researchers; nil:
	// stored texts are shown, and no researcher can register.
	Composer *notify.Composer
	// ReleaseHeld queues the letters that wait only for the leave of a rule that is
	// automatic now, and says how many other reasons hold on; nil: the page does
	// not offer it.
	ReleaseHeld func(ctx context.Context, rule, by string, now time.Time) (released, kept int, err error)
	// Planner predicts the results of the outgoing queue; nil: the page does not
	// exist.
	Planner *notify.Planner
	// Ready reports what else /readyz should know besides the database; nil:
	// nothing.
	Ready func(ctx context.Context) error
	// MetricsToken lets other machines read /metrics; empty: they cannot.
	MetricsToken string
	// Registry is served at /metrics, which names the sensors; nil: there is no such page.
	Registry prometheus.Gatherer
}

// Server is the desk.
type Server struct {
	cfg      Config
	db       *casedb.DB
	box      notify.Mailbox
	log      *slog.Logger
	now      func() time.Time
	catalog  *locale.Catalog
	views    *views
	assets   *assets
	sessions *scs.SessionManager
	pass     *passwords
	limits   *limits

	windowMemory casedb.TCPWindowMemory
	handler      http.Handler
}

// embeddedFiles are what follows from the files in the program alone. Nothing
// changes them, so every desk of a process has the same.
type embeddedFiles struct {
	catalog *locale.Catalog
	assets  *assets
	views   *views
}

var embedded = sync.OnceValues(func() (e embeddedFiles, err error) {
	if e.catalog, err = locale.Load(); err != nil {
		return e, err
	}
	if e.assets, err = loadAssets(); err != nil {
		return e, err
	}
	e.views, err = parseViews(e.catalog, e.assets)
	return e, err
})

// New returns the desk. An error means a configuration that cannot work or a
// template that does not parse.
func New(cfg Config) (*Server, error) {
	if cfg.DB == nil {
		return nil, errors.New("web: no database")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if !locale.Supported(cfg.Language) {
		cfg.Language = locale.Japanese
	}
	if cfg.Location == nil {
		cfg.Location = time.UTC
	}
	cfg.Registration = cfg.Registration.withDefaults()
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.Composer == nil || cfg.BaseURL == "" {
		// Without either there is no link to mail.
		cfg.Registration.Closed = true
	}
	secure := false
	if cfg.BaseURL != "" {
		u, err := url.Parse(cfg.BaseURL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Path != "" {
			return nil, fmt.Errorf("web: base URL %q must be http(s)://host without a path", cfg.BaseURL)
		}
		secure = u.Scheme == "https"
	}
	s := &Server{cfg: cfg, db: cfg.DB, box: notify.Mailbox{DB: cfg.DB}, log: cfg.Logger, now: cfg.Now, pass: newPasswords(max(1, runtime.GOMAXPROCS(0)), cfg.PasswordCost),
		limits: newLimits()}
	e, err := embedded()
	if err != nil {
		return nil, err
	}
	s.catalog, s.assets, s.views = e.catalog, e.assets, e.views
	s.sessions = newSessions(s.db, s.now, secure)
	s.handler = s.chain(s.routes())
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// wake tells the mail workers that there may be something to do.
func (s *Server) wake() {
	if s.cfg.Notify != nil {
		s.cfg.Notify()
	}
}

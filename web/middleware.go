package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/locale"
)

// maxForm bounds the body of every POST without files: the longest letter with every byte
// written %XX three times over, so that one too long can be shown again.
const maxForm = 2 << 20

// chain puts the middleware around the routing table: recover, log, security
// headers, cross-origin protection. Session and role follow per route, so that
// health checks and assets need no database.
func (s *Server) chain(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, s.stranger(r), errCrossOrigin)
	}))
	return s.recover(s.logged(secured(protection.Handler(next))))
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// recover answers a panic with an error page and logs it once; the process
// goes on.
func (s *Server) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			s.log.ErrorContext(r.Context(), "page panicked", "path", shownPath(r), "err", p, "stack", string(debug.Stack()))
			if rec.status == 0 {
				s.fail(rec, r, s.stranger(r), errPanicked)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// logged writes one line per request. Assets and health checks are at debug
// level, and query strings stay out: they hold what people search for and
// confirmation tokens.
func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec, ok := w.(*recorder)
		if !ok {
			rec = &recorder{ResponseWriter: w}
		}
		next.ServeHTTP(rec, r)
		path := shownPath(r)
		log := s.log.InfoContext
		if r.Method == http.MethodGet {
			log = s.log.DebugContext
		}
		log(r.Context(), "request", "method", r.Method, "path", path, "status", rec.status, "bytes", rec.bytes,
			"ms", time.Since(start).Milliseconds())
	})
}

// shownPath is the path of a request as it stands in the log: without what lets the
// reader of a mail, and nobody else, confirm or answer.
func shownPath(r *http.Request) string {
	for _, secret := range []string{confirmPath, ownerPath} {
		if strings.HasPrefix(r.URL.Path, secret) {
			return secret + "..."
		}
	}
	return r.URL.Path
}

// contentPolicy allows our own script, style sheet and pictures and nothing
// inline or foreign.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secured sets the headers that every answer carries.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		if r.Body != nil {
			limit := int64(maxForm)
			if uploads(r) {
				limit = maxUploadForm
			}
			r.Body = http.MaxBytesReader(w, r.Body, limit)
		}
		next.ServeHTTP(w, r)
	})
}

// visit is one request: its user, language and time.
type visit struct {
	user *casedb.User // nil: not logged in
	p    *locale.Printer
	now  time.Time
	// flash is the line that the request before this one left for the reader.
	flash string
	// stop is who stopped all mail; nil: it is not stopped, or the visitor is
	// not told.
	stop *casedb.SwitchChange
	// inbox is what came in and waits for a coordinator, for the navigation.
	inbox casedb.Inbox
}

// action handles one route. An error it returns becomes an error page; it
// must not have written anything then.
type action func(w http.ResponseWriter, r *http.Request, v *visit) error

// stranger is the visit of a request whose session could not be looked at.
func (s *Server) stranger(r *http.Request) *visit {
	return &visit{p: s.catalog.Printer(s.language(r, nil)), now: s.now()}
}

// public is a route for everybody. It has a session if the visitor has one.
func (s *Server) public(a action) http.Handler {
	return s.sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := s.sessionUserOf(r.Context())
		if err != nil {
			s.fail(w, r, s.stranger(r), err)
			return
		}
		v := &visit{user: user, now: s.now()}
		v.p = s.catalog.Printer(s.language(r, user))
		s.rememberLanguage(w, r)
		if user != nil {
			if v.stop, err = s.db.SendStop(r.Context()); err != nil {
				s.fail(w, r, v, err)
				return
			}
			if v.stop != nil {
				sayStop(v.p, v.stop)
			}
			if r.Method == http.MethodGet && r.Header.Get(partialHeader) == "" {
				if v.inbox, err = s.db.CountInbox(r.Context()); err != nil {
					s.fail(w, r, v, err)
					return
				}
			}
		}
		v.flash = s.sessions.PopString(r.Context(), sessionFlash)
		w.Header().Set("Cache-Control", "no-store")
		if err := a(w, r, v); err != nil {
			s.fail(w, r, v, err)
		}
	}))
}

// desk is a route for users of any role.
func (s *Server) desk(a action) http.Handler {
	return s.public(func(w http.ResponseWriter, r *http.Request, v *visit) error {
		if v.user == nil {
			if r.Method == http.MethodGet {
				http.Redirect(w, r, loginURL(r), http.StatusSeeOther)
				return nil
			}
			return errLogin
		}
		return a(w, r, v)
	})
}

// coordinator is a route for those who may change things.
func (s *Server) coordinator(a action) http.Handler {
	return s.desk(func(w http.ResponseWriter, r *http.Request, v *visit) error {
		if !v.user.MayChange() {
			return errRole
		}
		if r.Method == http.MethodPost {
			if err := readForm(r); err != nil {
				return errForm
			}
		}
		return a(w, r, v)
	})
}

// lead is a route for those who say what the program may do on its own.
func (s *Server) lead(a action) http.Handler {
	return s.coordinator(func(w http.ResponseWriter, r *http.Request, v *visit) error {
		if !v.user.MayLead() {
			return errLead
		}
		return a(w, r, v)
	})
}

// The errors of requests themselves.
var (
	errCrossOrigin = errors.New("request from another site")
	errPanicked    = errors.New("panic")
	errLogin       = errors.New("not logged in")
	errRole        = errors.New("role may not do this")
	errLead        = errors.New("only a lead may do this")
	errForm        = errors.New("form cannot be read")
	errBusy        = errors.New("too many requests")
)

// fail answers with the page for the error; unknown errors show nothing but
// that something went wrong, and are logged.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	status, key := http.StatusInternalServerError, "error.internal"
	switch {
	case errors.Is(err, casedb.ErrNotFound):
		status, key = http.StatusNotFound, "error.notfound"
	case errors.Is(err, errCrossOrigin):
		status, key = http.StatusForbidden, "error.crossorigin"
	case errors.Is(err, errRole):
		status, key = http.StatusForbidden, "error.role"
	case errors.Is(err, errLead):
		status, key = http.StatusForbidden, "error.lead"
	case errors.Is(err, errLogin):
		status, key = http.StatusUnauthorized, "error.login"
	case errors.Is(err, errForm):
		status, key = http.StatusBadRequest, "error.form"
	case errors.Is(err, errBusy):
		status, key = http.StatusTooManyRequests, "error.busy"
		w.Header().Set("Retry-After", "60")
	case casedb.IsUnavailable(err):
		status, key = http.StatusServiceUnavailable, "error.unavailable"
		w.Header().Set("Retry-After", "5")
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return // the client has gone
	}
	if status >= 500 && !errors.Is(err, errPanicked) {
		s.log.ErrorContext(r.Context(), "page failed", "path", shownPath(r), "err", err)
	}
	if err := s.render(w, r, v, status, "error", errorPage{Status: status, Key: key}); err != nil {
		http.Error(w, http.StatusText(status), status)
	}
}

// errorPage is the data of view error.
type errorPage struct {
	Status int
	Key    string
}

// clientAddr returns the address the request came from: that of the
// connection, or, behind trusted proxies, the last one they vouch for.
func (s *Server) clientAddr(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	addr = addr.Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusted(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = next.Unmap()
	}
	return addr
}

func (s *Server) trusted(a netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

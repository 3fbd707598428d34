package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"
)

// The limits of our SMTP servers.
const (
	maxMailBytes   = 10 << 20
	maxRecipients  = 20
	maxLine        = 64 << 10 // RFC 5321 allows 1000; people's programs do not know
	maxConnections = 100

	defaultPerMinute = 60 // mails from one address
	maxPerAddress    = 10
	serverIdle       = time.Minute // for a command
	mailTimes        = 5           // as long for a mail
)

// server is an SMTP server that can also be stopped while clients idle.
type server struct {
	*smtp.Server
	visitors *visitors  // nil: as many connections from one address as there are
	mu       sync.Mutex // guards conns
	conns    map[net.Conn]struct{}
}

// newServer returns an SMTP server with our limits.
func newServer(backend smtp.Backend, domain string, logger *slog.Logger) *server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := smtp.NewServer(backend)
	s.Domain = domain
	s.MaxRecipients = maxRecipients
	s.MaxMessageBytes = maxMailBytes
	s.MaxLineLength = maxLine
	s.ReadTimeout = serverIdle
	s.WriteTimeout = serverIdle
	s.EnableDSN = true
	s.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	return &server{Server: s, conns: map[net.Conn]struct{}{}}
}

// serve runs the server on the listener until it is closed or stopped.
func (s *server) serve(l net.Listener) error {
	if err := s.Serve(trackingListener{netutil.LimitListener(l, maxConnections), s}); err != nil {
		return fmt.Errorf("serve SMTP: %w", err)
	}
	return nil
}

// stop stops listening and lets mails under way end until ctx is done, a few
// seconds at most; then it closes what is left. A client that is cut off sends
// its mail again.
func (s *server) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	err := s.Shutdown(ctx)
	if errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	if ctx.Err() != nil {
		err = nil // the clients' time is up, that is all
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	if err != nil {
		return fmt.Errorf("stop the SMTP server: %w", err)
	}
	return nil
}

// trackingListener remembers the open connections of a server.
type trackingListener struct {
	net.Listener
	server *server
}

// Accept implements net.Listener. An address that has enough connections is
// turned away here, before it says a word: silent ones count, too.
func (l trackingListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tracked := &trackedConn{Conn: conn, server: l.server}
		if v := l.server.visitors; v != nil {
			tracked.visitor = visitor(conn.RemoteAddr())
			if !v.enter(tracked.visitor) {
				_ = conn.SetDeadline(time.Now().Add(time.Second))
				_, _ = conn.Write([]byte("421 4.7.0 too many connections from your address\r\n")) // RFC 5321, 3.1
				_ = conn.Close()
				continue
			}
		}
		l.server.mu.Lock()
		defer l.server.mu.Unlock()
		l.server.conns[tracked] = struct{}{}
		return tracked, nil
	}
}

type trackedConn struct {
	net.Conn
	server  *server
	visitor string
	once    sync.Once
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		if v := c.server.visitors; v != nil {
			v.leave(c.visitor)
		}
		go func() { // stop holds the lock while it closes
			c.server.mu.Lock()
			defer c.server.mu.Unlock()
			delete(c.server.conns, c)
		}()
	})
	return err
}

func smtpError(code int, a, b, c int, message string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: message}
}

// errTooLarge is the reply to a mail over the limit (RFC 1870, 6.3).
func errTooLarge() error { return smtpError(552, 5, 3, 4, "the mail is too large") }

// readMail reads a mail that is at most limit bytes long.
func readMail(r io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		_, _ = io.Copy(io.Discard, r) // the dialogue goes on after the mail
		return nil, errTooLarge()
	}
	return raw, nil
}

// visitors counts connections and mails per remote address.
type visitors struct {
	mu        sync.Mutex // guards open and rates
	open      map[string]int
	rates     map[string]*rate.Limiter
	rate      rate.Limit
	burst     int
	localFree bool // loopback is our own mail server and not limited
}

// newVisitors limits every address to perMinute mails; zero is the default,
// and lets loopback through.
func newVisitors(perMinute int) *visitors {
	v := &visitors{open: map[string]int{}, rates: map[string]*rate.Limiter{}, localFree: perMinute <= 0}
	if perMinute <= 0 {
		perMinute = defaultPerMinute
	}
	v.rate, v.burst = rate.Limit(float64(perMinute)/60), perMinute
	return v
}

// free reports whether the address is not limited.
func (v *visitors) free(address string) bool {
	ip := net.ParseIP(address)
	return v.localFree && ip != nil && ip.IsLoopback()
}

// enter reports whether one more connection from the address is welcome; then
// leave must be called at its end.
func (v *visitors) enter(address string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open[address] >= maxPerAddress && !v.free(address) {
		return false
	}
	v.open[address]++
	return true
}

func (v *visitors) leave(address string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open[address]--; v.open[address] <= 0 {
		delete(v.open, address)
	}
}

// mail reports whether one more mail from the address is welcome now.
func (v *visitors) mail(address string, now time.Time) bool {
	if v.free(address) {
		return true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	l := v.rates[address]
	if l == nil {
		if len(v.rates) >= 10000 {
			v.forget(now)
		}
		l = rate.NewLimiter(v.rate, v.burst)
		v.rates[address] = l
	}
	return l.AllowN(now, 1)
}

// forget drops the addresses that have been quiet long enough to be new again,
// or all of them if none has.
func (v *visitors) forget(now time.Time) {
	for a, l := range v.rates {
		if l.TokensAt(now) >= float64(v.burst) {
			delete(v.rates, a)
		}
	}
	if len(v.rates) >= 10000 {
		clear(v.rates)
	}
}

// visitor returns what a remote address is counted as: itself, or the /64 that
// an IPv6 host takes as many addresses from as it likes.
func visitor(a net.Addr) string {
	host := a.String()
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() && !ip.IsLoopback() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

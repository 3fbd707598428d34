package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"
)

// What a server of ours takes.
const (
	maxMailBytes   = 10 << 20
	maxRecipients  = 20
	maxConnections = 100
	maxPerAddress  = 10
	serverIdle     = time.Minute
)

// newServer returns an SMTP server with our limits.
func newServer(backend smtp.Backend, domain string, logger *slog.Logger) *smtp.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := smtp.NewServer(backend)
	s.Domain = domain
	s.MaxRecipients = maxRecipients
	s.MaxMessageBytes = maxMailBytes
	s.ReadTimeout = serverIdle
	s.WriteTimeout = serverIdle
	s.EnableDSN = true
	s.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	return s
}

// serve runs the server on the listener until Close or Shutdown.
func serve(s *smtp.Server, l net.Listener) error {
	if err := s.Serve(netutil.LimitListener(l, maxConnections)); err != nil {
		return fmt.Errorf("serve SMTP: %w", err)
	}
	return nil
}

// shutdown lets mails under way end, and closes what is left when ctx is done.
func shutdown(ctx context.Context, s *smtp.Server) error {
	err := s.Shutdown(ctx)
	if err == nil || errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	// Shutdown closed the listeners; connections that stay idle end with their
	// time-out, or with the process.
	return fmt.Errorf("stop the SMTP server: %w", err)
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
	mu    sync.Mutex // guards open and rates
	open  map[string]int
	rates map[string]*rate.Limiter
	rate  rate.Limit
	burst int
}

func newVisitors(perMinute int) *visitors {
	return &visitors{open: map[string]int{}, rates: map[string]*rate.Limiter{},
		rate: rate.Limit(float64(perMinute) / 60), burst: perMinute}
}

// enter reports whether one more connection from the address is welcome; then
// leave must be called at its end.
func (v *visitors) enter(address string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open[address] >= maxPerAddress {
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

// remoteHost returns the host of a remote address.
func remoteHost(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

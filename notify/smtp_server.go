package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
)

// The limits of our SMTP servers.
const (
	maxMailBytes   = 10 << 20
	maxRecipients  = 20
	maxLine        = 256 << 10 // RFC 5321 allows 1000; people's programs do not know
	maxConnections = 100

	serverIdle = time.Minute // for a command
	mailTimes  = 5           // as long for a mail
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
	if err := s.Serve(trackingListener{l, s}); err != nil {
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

// Accept implements net.Listener. A connection too many, of its address or in all,
// is turned away here, before it says a word: silent ones count, too. It hears so:
// a client without an answer waits for minutes, and one that is told tries another
// server or comes again.
func (l trackingListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tracked := &trackedConn{Conn: conn, server: l.server}
		if v := l.server.visitors; v != nil {
			tracked.visitor = v.of(conn.RemoteAddr())
			if !v.enter(tracked.visitor) {
				turnAway(conn, "421 4.7.0 too many connections from your address\r\n")
				continue
			}
		}
		if !l.server.track(tracked) {
			turnAway(tracked, "421 4.3.2 too many connections, come again later\r\n")
			continue
		}
		return tracked, nil
	}
}

// turnAway closes a connection with a reply instead of the greeting (RFC 5321, 3.1).
func turnAway(conn net.Conn, reply string) {
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(conn, reply)
	_ = conn.Close()
}

// track remembers a connection, unless there are too many.
func (s *server) track(c *trackedConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= maxConnections {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

type trackedConn struct {
	net.Conn
	server  *server
	visitor string
	once    sync.Once
	over    atomic.Bool
}

// end makes the server close the connection after its reply: nothing more is read.
func (c *trackedConn) end() {
	c.over.Store(true)
	_ = c.Conn.SetReadDeadline(time.Now())
}

// SetReadDeadline implements net.Conn.
func (c *trackedConn) SetReadDeadline(t time.Time) error {
	if c.over.Load() {
		return os.ErrDeadlineExceeded
	}
	return c.Conn.SetReadDeadline(t)
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

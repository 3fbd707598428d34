package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
)

// The memory and the disk that mails under way take before they are stored.
const (
	spoolOver     = 64 << 10         // larger mails wait in a file for their end
	maxSpooled    = 256 << 20        // bytes in such files together
	largeAtOnce   = 2                // large mails that are read back and stored
	minRate       = 1 << 10          // bytes a second that a client must send ...
	rateGrace     = 30 * time.Second // ... after this time
	drainPatience = 3 * time.Second  // for the rest of a mail that cannot be read
)

// spool keeps what clients have sent of mails that are not complete. One client
// that sends slowly costs no more memory than a small mail, and all together no
// more disk than maxSpooled.
type spool struct {
	dir    string
	within atomic.Int64
	large  chan struct{}
}

func newSpool(dir string) *spool {
	if dir == "" {
		dir = SpoolDir()
	}
	return &spool{dir: dir, large: make(chan struct{}, largeAtOnce)}
}

// SpoolDir returns the directory for temporary files that are not in memory, as
// /tmp often is (file-hierarchy(7)).
func SpoolDir() string {
	const dir = "/var/tmp"
	if os.Getenv("TMPDIR") == "" {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return os.TempDir()
}

// errSpoolFull refuses a mail for now (RFC 5321, 4.2.3; RFC 3463, 3.4).
func errSpoolFull() error {
	return smtpError(452, 4, 3, 1, "too many large mails at once, come again later")
}

// mailUnderWay is a mail as far as it has come.
type mailUnderWay struct {
	spool *spool
	head  []byte   // all of a small mail
	file  *os.File // all of a large one; it has no name any more
	size  int64
}

// Write implements io.Writer.
func (m *mailUnderWay) Write(p []byte) (int, error) {
	if m.file == nil && len(m.head)+len(p) > spoolOver {
		if err := m.toFile(); err != nil {
			return 0, err
		}
	}
	m.size += int64(len(p))
	if m.file == nil {
		m.head = append(m.head, p...)
		return len(p), nil
	}
	if m.spool.within.Add(int64(len(p))) > maxSpooled {
		m.spool.within.Add(-int64(len(p)))
		m.size -= int64(len(p))
		return 0, errSpoolFull()
	}
	return m.file.Write(p)
}

// toFile moves what has come to a file. It is deleted at once, so that no crash
// leaves it behind.
func (m *mailUnderWay) toFile() error {
	f, err := os.CreateTemp(m.spool.dir, "teiten-mail-*")
	if err != nil {
		return fmt.Errorf("spool mail: %w", err)
	}
	m.file = f
	m.spool.within.Add(m.size)
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("spool mail: %w", err)
	}
	if _, err := f.Write(m.head); err != nil {
		return fmt.Errorf("spool mail: %w", err)
	}
	m.head = nil
	return nil
}

// use calls f with the whole mail. Only a few large mails are in memory at one
// time; the others wait until ctx is done.
func (m *mailUnderWay) use(ctx context.Context, f func(raw []byte) error) error {
	if m.file == nil {
		return f(m.head)
	}
	select {
	case m.spool.large <- struct{}{}:
		defer func() { <-m.spool.large }()
	case <-ctx.Done():
		return errSpoolFull()
	}
	raw := make([]byte, m.size)
	if _, err := m.file.ReadAt(raw, 0); err != nil {
		return fmt.Errorf("read spooled mail: %w", err)
	}
	return f(raw)
}

// close frees what the mail takes.
func (m *mailUnderWay) close() {
	if m.file != nil {
		_ = m.file.Close()
		m.spool.within.Add(-m.size)
	}
}

// errTooSlow ends a mail that comes too slowly to be one.
func errTooSlow() error { return smtpError(451, 4, 4, 2, "the mail comes too slowly") }

// receive reads a mail to its end, and what it may not be is the error.
func (s *inboundSession) receive(r io.Reader, m *mailUnderWay) error {
	begin := time.Now()
	// A mail takes longer than a command does (RFC 5321, 4.5.3.2), but not for ever,
	// and it has to move: a connection is worth more than one byte a minute.
	latest := begin.Add(mailTimes * s.server.server.ReadTimeout)
	buf := make([]byte, 16<<10)
	for {
		deadline := begin.Add(rateGrace + time.Duration(m.size)*time.Second/minRate)
		if latest.Before(deadline) {
			deadline = latest
		}
		if time.Now().After(deadline) { // chunks (RFC 3030) come with deadlines of their own
			return &cutOff{os.ErrDeadlineExceeded}
		}
		_ = s.conn.SetReadDeadline(deadline)
		n, err := r.Read(buf)
		if m.size+int64(n) > s.server.config.MaxBytes {
			return errTooLarge()
		}
		if err := s.server.server.visitors.take(s.visitor, n, s.server.config.Now()); err != nil {
			return err
		}
		if _, err := m.Write(buf[:n]); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, smtp.ErrTooLongLine):
			s.drain()
			return smtpError(554, 5, 6, 0, "a line of the mail is too long (RFC 5321, 4.5.3.1.6)")
		case err != nil && !time.Now().Before(deadline): // of a chunk it is told as a reset
			return &cutOff{os.ErrDeadlineExceeded}
		case err != nil:
			return &cutOff{err}
		}
	}
}

// cutOff is the end of a connection in a mail.
type cutOff struct{ error }

// Unwrap returns the error of the connection.
func (e *cutOff) Unwrap() error { return e.error }

// endConn ends a connection that the server tracks.
func endConn(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if c, ok := conn.(*trackedConn); ok {
		c.end()
	}
}

// drain takes the rest of a mail that cannot be read: a client that is not
// listened to does not hear the answer, and sends the same mail again for days.
func (s *inboundSession) drain() {
	const end = "\r\n.\r\n"
	var last []byte
	buf := make([]byte, 16<<10)
	for left := s.server.config.MaxBytes; left > 0; {
		_ = s.conn.SetReadDeadline(time.Now().Add(drainPatience))
		n, err := s.conn.Read(buf)
		last = append(last, buf[:n]...)
		last = last[max(len(last)-len(end), 0):]
		if string(last) == end || err != nil {
			return
		}
		left -= int64(n)
	}
}

package notify

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certFor is how long a certificate is used before its files are looked at again.
const certFor = time.Minute

// certFiles is a certificate that is read again when its files change, as an ACME
// client renews it without a restart of ours.
type certFiles struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex // guards the rest
	now     *tls.Certificate
	looked  time.Time
	changed [2]time.Time // of the files, as they were read
}

// ServerTLS returns the TLS of a server (RFC 3207) with a certificate of files.
func ServerTLS(cert, key string, log *slog.Logger) (*tls.Config, error) {
	f := &certFiles{cert: cert, key: key, log: log}
	if err := f.read(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return f.current(time.Now()), nil
	}}, nil
}

// current returns the certificate. If new files cannot be read, perhaps because
// they are being written, the old one stays in use.
func (f *certFiles) current(now time.Time) *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.looked) < certFor {
		return f.now
	}
	f.looked = now
	if changed, err := f.times(); err != nil || changed != f.changed {
		if err := f.read(); err != nil {
			f.log.Warn("the certificate of incoming mail cannot be read again", "err", err)
		}
	}
	return f.now
}

func (f *certFiles) times() (at [2]time.Time, err error) {
	for i, name := range []string{f.cert, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return at, fmt.Errorf("read certificate: %w", err)
		}
		at[i] = info.ModTime()
	}
	return at, nil
}

func (f *certFiles) read() error {
	changed, err := f.times()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	f.now, f.changed = &pair, changed
	return nil
}

package notify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/notify"
)

// receivedMail is a mail that a test server took.
type receivedMail struct {
	from, to string
	raw      []byte
	tls      bool
	peer     string // distinct for each connection
	mailOpts smtp.MailOptions
	rcptOpts smtp.RcptOptions
}

// testServer is a real SMTP server whose answers a test decides.
type testServer struct {
	t    *testing.T
	addr string
	pool *x509.CertPool
	rcpt func(to string) error
	data func(m receivedMail, conn net.Conn) error // before the mail is kept
	// logout is called when a session that had a mail ends.
	logout  func()
	maxSize int64 // declared; 0: none

	mu    sync.Mutex // guards mails
	mails []receivedMail
}

func (s *testServer) received() []receivedMail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]receivedMail(nil), s.mails...)
}

// startServer starts a server with a certificate for localhost.
func startServer(t *testing.T, s *testServer) *testServer {
	t.Helper()
	cert, pool := testCertificate(t)
	s.t, s.pool = t, pool
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &testSession{server: s, conn: c}, nil
	}))
	server.Domain = "mx.test.example"
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.EnableDSN = true
	server.MaxMessageBytes = s.maxSize
	server.ErrorLog = discard{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s.addr = net.JoinHostPort("localhost", port)
	return s
}

// transport returns a client of the server.
func (s *testServer) transport() *notify.SMTPTransport {
	return closed(s.t, &notify.SMTPTransport{Address: s.addr, TLS: notify.TLSRequired, CAs: s.pool, Timeout: 2 * time.Second})
}

// closed closes a transport at the end of the test, before its server: a server that stops waits for its clients.
func closed(t *testing.T, tr *notify.SMTPTransport) *notify.SMTPTransport {
	t.Cleanup(tr.Close)
	return tr
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

type testSession struct {
	server *testServer
	conn   *smtp.Conn
	mail   receivedMail
	took   bool
}

func (s *testSession) Reset() { s.mail = receivedMail{} }
func (s *testSession) Logout() error {
	if s.took && s.server.logout != nil {
		s.server.logout()
	}
	return nil
}
func (s *testSession) Mail(from string, o *smtp.MailOptions) error {
	s.mail.from, s.mail.mailOpts = from, *o
	_, s.mail.tls = s.conn.TLSConnectionState()
	s.mail.peer = s.conn.Conn().RemoteAddr().String()
	return nil
}
func (s *testSession) Rcpt(to string, o *smtp.RcptOptions) error {
	s.mail.to, s.mail.rcptOpts = to, *o
	if s.server.rcpt != nil {
		return s.server.rcpt(to)
	}
	return nil
}
func (s *testSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mail.raw = raw
	if s.server.data != nil {
		if err := s.server.data(s.mail, s.conn.Conn()); err != nil {
			return err
		}
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, s.mail)
	s.took = true
	return nil
}

func testCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/mail"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
)

// beTeiten makes the test binary behave as the program, so that tests run and
// kill the real thing without building it a second time.
const beTeiten = "BE_TEITEN"

func TestMain(m *testing.M) {
	if os.Getenv(beTeiten) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// teiten returns a command that runs the program with args.
func teiten(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "TEITEN_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, beTeiten+"=1")
	return cmd
}

// served is a running `teiten serve`.
type served struct {
	t        *testing.T
	args     []string
	cmd      *exec.Cmd // nil: it runs in this process
	cancel   func()    // asks the one of this process to end
	url      string    // of the web UI, without a slash at its end
	user     string
	password string
	log      *lockedBuffer
	done     chan struct{}
	database *casedb.DB // of the server, once detail has opened it
}

// lockedBuffer collects output that is written and read at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var (
	readyLine = regexp.MustCompile(`^teiten is ready at (http://\S+)/$`)
	loginLine = regexp.MustCompile(`^Log in as (\S+) with the password (\S+)$`)
)

// serve runs `teiten serve` in this process and waits until it is ready.
func serve(t *testing.T, args ...string) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &served{t: t, args: args, cancel: cancel, log: &lockedBuffer{}, done: make(chan struct{})}
	out, in := io.Pipe()
	p := &program{Stdin: strings.NewReader(""), Stdout: in, Stderr: s.log}
	go func() {
		defer close(s.done)
		code := p.run(ctx, append([]string{"serve"}, args...))
		_ = in.Close()
		if code != exitOK {
			t.Errorf("serve ended with %d", code)
		}
	}()
	s.waitReady(out)
	return s
}

// serveProcess runs it as a process of its own, for tests that kill it.
func serveProcess(t *testing.T, args ...string) *served {
	t.Helper()
	s := &served{t: t, args: args, cmd: teiten(append([]string{"serve"}, args...)...), log: &lockedBuffer{}, done: make(chan struct{})}
	out, in := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = in, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // how it ended is the test's business
		_ = in.Close()
	}()
	s.waitReady(out)
	return s
}

// waitReady reads what serve prints until it is ready, and goes on reading.
func (s *served) waitReady(out io.Reader) {
	s.t.Helper()
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
				s.url = m[1]
			}
			if m := loginLine.FindStringSubmatch(lines.Text()); m != nil {
				s.user, s.password = m[1], m[2]
			}
			if strings.HasPrefix(lines.Text(), "Stop it") {
				close(ready)
			}
		}
	}()
	s.t.Cleanup(func() {
		s.end()
		if s.t.Failed() {
			s.t.Logf("teiten said:\n%s", s.log)
		}
	})
	select {
	case <-ready:
	case <-s.done:
		s.t.Fatal("teiten ended before it was ready")
	case <-time.After(2 * time.Minute):
		s.t.Fatal("teiten is not ready after two minutes")
	}
}

// end stops the program, if it has not ended: a process by SIGKILL.
func (s *served) end() {
	if s.cmd == nil {
		s.cancel()
	} else {
		_ = s.cmd.Process.Kill() // it may have ended
	}
	<-s.done
}

// client is a browser without a screen: it keeps cookies.
type client struct {
	t    *testing.T
	base string
	http *http.Client
}

// login logs in as the first user.
func (s *served) login() *client {
	s.t.Helper()
	c := s.visitor()
	page := c.post("/login", url.Values{"name": {s.user}, "password": {s.password}})
	if strings.Contains(page, `name="password"`) {
		s.t.Fatalf("still at the login page:\n%s", page)
	}
	return c
}

// visitor is a client that is not logged in.
func (s *served) visitor() *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &client{t: s.t, base: s.url, http: &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

func (c *client) do(req *http.Request, err error) (int, string) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// get returns the page at path.
func (c *client) get(path string) string {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodGet, c.base+path, nil)
	code, body := c.do(req, err)
	if code != http.StatusOK {
		c.t.Fatalf("GET %s: %d\n%s", path, code, body)
	}
	return body
}

// post sends a form as the page itself would and returns the page it leads to.
func (c *client) post(path string, form url.Values) string {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodPost, c.base+path, strings.NewReader(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", c.base)
	}
	code, body := c.do(req, err)
	if code != http.StatusOK {
		c.t.Fatalf("POST %s: %d\n%s", path, code, body)
	}
	return body
}

// tick is how often a test looks at another process: nothing tells it when that is done.
const tick = 25 * time.Millisecond

// eventually tries until ok, for at most a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(tick) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// received is a mail that the sink took.
type received struct {
	from, to string
	raw      []byte
	msg      *mail.Message
	tls      bool
}

// sink is a mail server that keeps what it gets. It offers STARTTLS and wants
// it before anything else.
type sink struct {
	addr   string
	caFile string

	mu    sync.Mutex
	mails []received
	// beforeOK, if set, runs after the mail is kept and before the 250.
	beforeOK func()
}

func newSink(t *testing.T) *sink {
	t.Helper()
	cert, caFile := testCertificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{addr: l.Addr().String(), caFile: caFile}
	server := smtp.NewServer(s)
	server.Domain = "mx.isp.example"
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.ReadTimeout, server.WriteTimeout = time.Minute, time.Minute
	server.ErrorLog = log.New(io.Discard, "", 0) // clients die here on purpose
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return s
}

func (s *sink) got() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.mails...)
}

// NewSession implements smtp.Backend.
func (s *sink) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &sinkSession{sink: s, conn: c}, nil
}

type sinkSession struct {
	sink     *sink
	conn     *smtp.Conn
	from, to string
}

// Reset implements smtp.Session.
func (s *sinkSession) Reset() { s.from, s.to = "", "" }

// Logout implements smtp.Session.
func (s *sinkSession) Logout() error { return nil }

// Mail implements smtp.Session.
func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	if _, ok := s.conn.TLSConnectionState(); !ok {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Must issue a STARTTLS command first"}
	}
	s.from = from
	return nil
}

// Rcpt implements smtp.Session.
func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}

// Data implements smtp.Session.
func (s *sinkSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	_, isTLS := s.conn.TLSConnectionState()
	s.sink.mu.Lock()
	s.sink.mails = append(s.sink.mails, received{from: s.from, to: s.to, raw: raw, msg: msg, tls: isTLS})
	before := s.sink.beforeOK
	s.sink.mu.Unlock()
	if before != nil {
		before()
	}
	return nil
}

// testCertificate makes a certificate for 127.0.0.1 and writes its authority
// to a file.
func testCertificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.isp.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// sendMail gives a mail to teiten's inbound server, as the world would.
func sendMail(ctx context.Context, addr, from, to string, body string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	c := smtp.NewClient(conn)
	defer c.Close()
	return c.SendMail(from, []string{to}, strings.NewReader(strings.ReplaceAll(body, "\n", "\r\n")))
}

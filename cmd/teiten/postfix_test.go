package main

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/soak"
)

// postfix is a real Postfix in a folder of its own: it demands TLS, asks the
// test's policy server about every recipient, refuses what it does not know
// and what is too large, and delivers into Maildirs.
type postfix struct {
	t       *testing.T
	dir     string
	address string // where smtpd listens
	caFile  string
	policy  *policyServer
	fg      *exec.Cmd
	fgDone  chan struct{}
}

const postfixSizeLimit = 40_000

// postfixMaster has the services of Debian's master.cf that this one needs,
// none of them in a chroot.
const postfixMaster = `%s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// postfixMain: owner7.example and the like are ours, abuse@ is their only
// mailbox, and what goes elsewhere (bounces, to teiten) leaves by inbound.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
default_privs = nobody
myhostname = mx.owners.example
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = regexp:%[1]s/etc/domains
virtual_mailbox_maps = texthash:%[1]s/etc/mailboxes
virtual_mailbox_base = %[1]s/mail
virtual_uid_maps = static:%[2]s
virtual_gid_maps = static:%[3]s
virtual_minimum_uid = 1
transport_maps = regexp:%[1]s/etc/transport
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = %[1]s/etc/cert.pem
smtpd_tls_key_file = %[1]s/etc/key.pem
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unlisted_recipient, check_policy_service inet:%[4]s
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1001
smtpd_hard_error_limit = 1000
message_size_limit = %[5]d
default_transport = smtp:%[6]s
smtp_tls_security_level = none
bounce_queue_lifetime = 1h
minimal_backoff_time = 1s
maximal_backoff_time = 5s
queue_run_delay = 1s
maillog_file = %[1]s/log/postfix.log
maillog_file_prefixes = %[1]s
`

// newPostfix starts a Postfix, or skips the test where there is none. bounces
// is the address that takes its bounces; late are the owners whose mail it
// takes first and bounces then.
func newPostfix(t *testing.T, policy *policyServer, bounces string, late []int) *postfix {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("Postfix starts as root only")
	}
	if _, err := os.Stat("/usr/lib/postfix/sbin/master"); err != nil {
		t.Skip("no Postfix here: `make test` as root installs it")
	}
	// Postfix's own users must be able to come in, and its sockets' names are short.
	dir, err := os.MkdirTemp("/tmp", "pf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &postfix{t: t, dir: dir, address: freeAddress(t), policy: policy}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Skip("Postfix has no user here")
	}
	p.makeFolders(map[string]*user.User{"data": owner, "mail": nobody})
	cert, caFile := testCertificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p.caFile = caFile
	host, port, _ := net.SplitHostPort(bounces)
	transport := ""
	if len(late) > 0 {
		_, behind, _ := net.SplitHostPort(newRefuser(t))
		for _, n := range late {
			transport += fmt.Sprintf("/^abuse@owner%d\\.example$/ smtp:[127.0.0.1]:%s\n", n, behind)
		}
	}
	mailboxes := ""
	for n := range 1000 { // virtual(8) takes no substitution from patterns
		mailboxes += fmt.Sprintf("abuse@owner%[1]d.example owner%[1]d/\n", n)
	}
	for name, text := range map[string]string{
		"main.cf":   fmt.Sprintf(postfixMain, dir, nobody.Uid, nobody.Gid, policy.address, postfixSizeLimit, "["+host+"]:"+port),
		"master.cf": fmt.Sprintf(postfixMaster, p.address),
		"domains":   "/^owner[0-9]+\\.example$/ ok\n",
		"mailboxes": mailboxes,
		"transport": transport,
		"cert.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
		"key.pem":   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	} {
		mode := os.FileMode(0o644) // the tables are read by Postfix's own user
		if name == "key.pem" {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(p.kill)
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(dir, "log", "postfix.log"))
			t.Logf("Postfix's log ends with:\n%s", b[max(0, len(b)-4000):])
		}
	})
	p.start()
	return p
}

// makeFolders makes Postfix's folders, some of them with an owner.
func (p *postfix) makeFolders(owners map[string]*user.User) {
	p.t.Helper()
	for _, d := range []string{"", "etc", "queue", "data", "mail", "log"} {
		if err := os.MkdirAll(filepath.Join(p.dir, d), 0o755); err != nil {
			p.t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(p.dir, d), 0o755); err != nil {
			p.t.Fatal(err)
		}
	}
	for d, u := range owners {
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(filepath.Join(p.dir, d), uid, gid); err != nil {
			p.t.Fatal(err)
		}
	}
}

// start starts it and waits until it answers.
func (p *postfix) start() {
	p.t.Helper()
	p.fg = exec.Command("/usr/sbin/postfix", "-c", filepath.Join(p.dir, "etc"), "start-fg")
	var out lockedBuffer
	p.fg.Stdout, p.fg.Stderr = &out, &out
	if err := p.fg.Start(); err != nil {
		p.t.Fatal(err)
	}
	done, cmd := make(chan struct{}), p.fg
	p.fgDone = done
	go func() { defer close(done); _ = cmd.Wait() }()
	deadline := time.Now().Add(time.Minute)
	for {
		c, err := net.DialTimeout("tcp", p.address, time.Second)
		if err == nil {
			line, _ := bufio.NewReader(c).ReadString('\n')
			_ = c.Close()
			if strings.HasPrefix(line, "220 ") {
				return
			}
		}
		select {
		case <-done:
			p.t.Fatalf("Postfix ended:\n%s", &out)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("Postfix does not answer (%v):\n%s", err, &out)
		}
	}
}

// kill ends all its processes with SIGKILL: those that work in its queue.
func (p *postfix) kill() {
	for range 100 {
		alive := 0
		dirs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			p.t.Error(err)
			return
		}
		for _, d := range dirs {
			cwd, err := os.Readlink(filepath.Join(d, "cwd"))
			if err != nil || cwd != filepath.Join(p.dir, "queue") {
				continue
			}
			pid, _ := strconv.Atoi(filepath.Base(d))
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				alive++
			}
		}
		if alive == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if p.fg != nil && p.fg.Process != nil {
		_ = p.fg.Process.Kill()
		<-p.fgDone
	}
}

// delivered returns how often each Message-ID lies in a Maildir, and the
// copies.
func (p *postfix) delivered() map[string][][]byte {
	p.t.Helper()
	list := map[string][][]byte{}
	err := filepath.WalkDir(filepath.Join(p.dir, "mail"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(path)) != "new" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			return err
		}
		id := m.Header.Get("Message-ID")
		// What the way added stands above the first header of ours.
		if i := bytes.Index(raw, []byte("\nFrom: ")); i >= 0 {
			raw = raw[i+1:]
		}
		list[id] = append(list[id], raw)
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return list
}

// policyServer speaks Postfix's policy delegation protocol
// (SMTPD_POLICY_README): it defers the first mail to some owners, as
// greylisting does, and remembers when who was written to.
type policyServer struct {
	address string

	mu    sync.Mutex // guards what follows
	grey  map[string]bool
	asked []policyRequest
}

type policyRequest struct {
	at        time.Time
	recipient string
	deferred  bool
}

func newPolicyServer(t *testing.T, grey []string) *policyServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &policyServer{address: l.Addr().String(), grey: map[string]bool{}}
	for _, g := range grey {
		s.grey[g] = true
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

func (s *policyServer) serve(c net.Conn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	recipient := ""
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "recipient="); ok {
			recipient = v
		}
		if lines.Text() != "" {
			continue
		}
		s.mu.Lock()
		deferred := s.grey[recipient]
		delete(s.grey, recipient)
		s.asked = append(s.asked, policyRequest{time.Now(), recipient, deferred})
		s.mu.Unlock()
		action := "DUNNO"
		if deferred {
			action = "DEFER_IF_PERMIT 4.7.1 Greylisted, come again"
		}
		if _, err := fmt.Fprintf(c, "action=%s\n\n", action); err != nil {
			return
		}
	}
}

func (s *policyServer) requests() []policyRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]policyRequest(nil), s.asked...)
}

// newRefuser is a mail server behind Postfix that knows no recipient: what Postfix
// has taken for it comes back.
func newRefuser(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(refuser{})
	server.Domain = "mx.behind.example"
	server.ErrorLog = log.New(io.Discard, "", 0)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

type refuser struct{}

// NewSession implements smtp.Backend.
func (refuser) NewSession(*smtp.Conn) (smtp.Session, error) { return refuser{}, nil }

// Reset implements smtp.Session.
func (refuser) Reset() {}

// Logout implements smtp.Session.
func (refuser) Logout() error { return nil }

// Mail implements smtp.Session.
func (refuser) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt implements smtp.Session.
func (refuser) Rcpt(string, *smtp.RcptOptions) error {
	return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user here"}
}

// Data implements smtp.Session.
func (refuser) Data(io.Reader) error { return errors.New("nobody was named") }

// flakyProxy passes connections on to an address and breaks one in three at a
// random byte, as a bad line does.
type flakyProxy struct {
	address string
	mu      sync.Mutex // guards broken
	broken  int
}

func newFlakyProxy(t *testing.T, to string) *flakyProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &flakyProxy{address: l.Addr().String()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(c, to)
		}
	}()
	return p
}

func (p *flakyProxy) pass(in net.Conn, to string) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	// Somewhere between the greeting and well past a letter or two.
	up, down := int64(1<<40), int64(1<<40)
	switch rand.IntN(6) {
	case 0:
		up = rand.Int64N(60_000)
	case 1:
		down = rand.Int64N(8_000)
	}
	var both sync.WaitGroup
	pipe := func(dst, src net.Conn, limit int64) {
		n, _ := io.CopyN(dst, src, limit)
		if n == limit {
			p.mu.Lock()
			p.broken++
			p.mu.Unlock()
		}
		_ = dst.Close()
		_ = src.Close()
	}
	both.Go(func() { pipe(out, in, up) })
	both.Go(func() { pipe(in, out, down) })
	both.Wait()
}

// TestSoakPostfixHarness: what the other test rests on behaves as a mail server
// does.
func TestSoakPostfixHarness(t *testing.T) {
	soak.Start(t)
	t.Parallel()
	policy := newPolicyServer(t, []string{"abuse@owner2.example"})
	p := newPostfix(t, policy, freeAddress(t), nil)
	p.kill()
	p.start()
	if len(p.delivered()) != 0 {
		t.Error("mail before any was sent")
	}
}

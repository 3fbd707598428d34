package notify_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"teiten/notify"
)

// dialogue is an SMTP dialogue with our inbound server, said word by word.
type dialogue struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// talk connects and greets.
func (p *post) talk() *dialogue {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.inbound)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute)) // a hung dialogue fails
	d := &dialogue{p.t, conn, bufio.NewReader(conn)}
	d.want(220)
	d.say(250, "EHLO client.example")
	return d
}

// read returns the code of a reply; 0 if the server has hung up.
func (d *dialogue) read() (code int, text string) {
	d.t.Helper()
	for {
		line, err := d.r.ReadString('\n')
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			d.t.Fatal("the server says nothing any more")
		}
		if err != nil || len(line) < 4 {
			return 0, line
		}
		text += line[4:]
		if line[3] == ' ' {
			code, _ = strconv.Atoi(line[:3])
			return code, strings.TrimSpace(text)
		}
	}
}

func (d *dialogue) want(code int) {
	d.t.Helper()
	if got, text := d.read(); got != code {
		d.t.Fatalf("reply %d %s, want %d", got, text, code)
	}
}

// say sends a line and wants a reply.
func (d *dialogue) say(code int, line string) {
	d.t.Helper()
	_, _ = io.WriteString(d.conn, line+"\r\n")
	if got, text := d.read(); got != code {
		d.t.Fatalf("%.80q: reply %d %s, want %d", line, got, text, code)
	}
}

// begin starts a mail to an address of ours.
func (d *dialogue) begin() {
	d.t.Helper()
	d.say(250, "MAIL FROM:<a@client.example>")
	d.say(250, "RCPT TO:<postmaster@"+domain+">")
}

// honest sends a small mail that must be taken.
func (d *dialogue) honest() {
	d.t.Helper()
	d.begin()
	d.say(354, "DATA")
	d.say(250, "Subject: honest\r\n\r\nhonest\r\n.")
}

// stored returns how many mails were taken in.
func (p *post) stored() (n int) {
	p.t.Helper()
	p.scan(`select count(*) from inbound`, &n)
	return n
}

// allocated returns how many bytes f allocates. Tests that ask for it run
// alone.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestSubjectOfFiftyMegabytes is refused however it is sent, without being
// held in memory, and the server goes on.
func TestSubjectOfFiftyMegabytes(t *testing.T) {
	p := newPost(t, notify.InboundConfig{})
	const size = 50 << 20
	piece := []byte(strings.Repeat("subject ", 8<<10))
	folded := []byte(strings.Repeat(" "+strings.Repeat("subject ", 100)+"\r\n", 80))
	for _, test := range []struct {
		name  string
		begin []string
		piece []byte
		end   string
		stays bool // the dialogue goes on after the refusal
	}{
		{"in one line", []string{"DATA"}, piece, "\r\n\r\nx\r\n.\r\n", false},
		{"folded", []string{"DATA"}, folded, "\r\nx\r\n.\r\n", true},
		{"in a chunk", nil, piece, "", false},
		{"announced", nil, nil, "", true},
	} {
		d := p.talk()
		used := allocated(func() {
			if test.name == "announced" {
				d.say(552, fmt.Sprintf("MAIL FROM:<a@client.example> SIZE=%d", size))
				return
			}
			d.begin()
			for _, line := range test.begin {
				d.say(354, line)
			}
			go func() {
				if test.begin == nil {
					_, _ = fmt.Fprintf(d.conn, "BDAT %d LAST\r\n", size/len(test.piece)*len(test.piece))
				} else {
					_, _ = io.WriteString(d.conn, "Subject:")
				}
				for n := 0; n+len(test.piece) <= size; n += len(test.piece) {
					if _, err := d.conn.Write(test.piece); err != nil {
						return
					}
				}
				_, _ = io.WriteString(d.conn, test.end)
			}()
			// Who hangs up on a client that still sends may not be heard.
			if code, text := d.read(); code/100 != 5 && (code != 0 || test.stays) {
				t.Errorf("%s: reply %d %s", test.name, code, text)
			}
		})
		t.Logf("%s: %d MB allocated", test.name, used>>20)
		if used > 100<<20 { // a mail of 10 MiB, read into a slice that grows
			t.Errorf("%s: %d MB allocated", test.name, used>>20)
		}
		if test.stays {
			d.honest()
		}
	}
	p.talk().honest()
	if n := p.stored(); n != 3 {
		t.Errorf("%d mails stored, want the 3 honest ones", n)
	}
}

// TestTenThousandRecipients: twenty are taken, the rest is told to come again,
// and a mail to addresses without a valid token is stored once.
func TestTenThousandRecipients(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	d := p.talk()
	d.say(250, "MAIL FROM:<a@client.example>")
	const n = 10_000
	go func() {
		for i := range n {
			_, _ = fmt.Fprintf(d.conn, "RCPT TO:<case+tt-2026-000001.%d.aaaaaaaaaaaaaaaaaaaa@%s>\r\n", i+1, domain)
		}
		for range n {
			_, _ = io.WriteString(d.conn, "RCPT TO:<victim@elsewhere.example>\r\n")
		}
	}()
	got := map[int]int{}
	for range 2 * n {
		code, _ := d.read()
		got[code]++
	}
	if got[250] != 20 || got[452] != 2*n-20 {
		t.Errorf("replies %v", got)
	}
	d.say(354, "DATA")
	d.say(250, "Subject: x\r\n\r\nx\r\n.")
	if got := p.stored(); got != 1 {
		t.Errorf("stored %d times, want once", got)
	}
	d.honest()
}

// TestNobodyRelays: whatever an address looks like, only our own addresses are
// taken, and nothing ever leaves because of a mail that came.
func TestNobodyRelays(t *testing.T) {
	t.Parallel()
	for _, lmtp := range []bool{false, true} {
		t.Run(fmt.Sprintf("lmtp=%v", lmtp), func(t *testing.T) {
			t.Parallel()
			p := newPost(t, notify.InboundConfig{LMTP: lmtp})
			conn, err := net.Dial("tcp", p.inbound)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			d := &dialogue{t, conn, bufio.NewReader(conn)}
			d.want(220)
			if lmtp {
				d.say(250, "LHLO client.example")
			} else {
				d.say(250, "EHLO client.example")
			}
			refused := func(line string) {
				t.Helper()
				_, _ = io.WriteString(conn, line+"\r\n")
				if code, text := d.read(); code/100 != 5 {
					t.Errorf("%s: reply %d %s", line, code, text)
				}
			}
			for _, from := range []string{"", "victim@elsewhere.example", "csirt@" + domain, "postmaster@" + domain} {
				for _, auth := range []string{"", "AUTH PLAIN AGNzaXJ0AGNzaXJ0", "AUTH LOGIN"} {
					if auth != "" {
						refused(auth)
					}
					d.say(250, "MAIL FROM:<"+from+">")
					for _, to := range []string{
						"victim@elsewhere.example",
						"victim%elsewhere.example@" + domain,
						"victim%elsewhere.example%" + domain + "@" + domain,
						"@" + domain + ":victim@elsewhere.example",
						"@" + domain + ",@elsewhere.example:victim@elsewhere.example",
						`"victim@elsewhere.example"@` + domain,
						`"postmaster@elsewhere.example"@` + domain,
						"elsewhere.example!victim@" + domain,
						domain + "!victim@elsewhere.example",
						"victim@elsewhere.example@" + domain,
						"postmaster@" + domain + "@elsewhere.example",
						"postmaster@" + domain + ".elsewhere.example",
						"postmaster@sub." + domain,
						"postmaster@[127.0.0.1]", "postmaster@localhost", "postmaster@[192.0.2.1]",
						"postmaster%" + domain,
						"postmaster@" + domain + "\x00@elsewhere.example",
						"postmaster@" + domain + "> <victim@elsewhere.example",
						"victim", "",
					} {
						refused("RCPT TO:<" + to + ">")
					}
					refused("RCPT TO:postmaster@" + domain + ",victim@elsewhere.example")
					refused("RCPT TO:<postmaster@" + domain + ">, <victim@elsewhere.example>")
					refused("DATA") // no recipient is left
					d.say(250, "RSET")
				}
			}
			refused("EXPN csirt")
			refused("TURN")
			_, _ = io.WriteString(conn, "VRFY victim@elsewhere.example\r\n")
			if code, _ := d.read(); code != 252 { // RFC 5321, 3.5.3: neither yes nor no
				t.Errorf("VRFY: %d", code)
			}
			d.say(250, "MAIL FROM:<>")
			d.say(250, "RCPT TO:<postmaster@"+domain+">") // RFC 5321, 4.5.1
			d.say(354, "DATA")
			d.say(250, "To: victim@elsewhere.example\r\nBcc: victim@elsewhere.example\r\nResent-To: victim@elsewhere.example\r\n"+
				"Return-Receipt-To: victim@elsewhere.example\r\nDisposition-Notification-To: victim@elsewhere.example\r\nSubject: x\r\n\r\nx\r\n.")
			p.do(p.worker.Do)
			p.do(p.sender.Do)
			var out int
			p.scan(`select (select count(*) from message) + (select count(*) from mailbox)`, &out)
			if n := p.stored(); n != 1 || out != 0 {
				t.Errorf("%d mails stored, %d going out; want 1 and 0", n, out)
			}
		})
	}
}

// TestSmuggledMailStaysOne: no line end but CRLF ends a mail, so that what
// another server took for one mail is one here, too (SMTP smuggling).
func TestSmuggledMailStaysOne(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	d := p.talk()
	const second = "MAIL FROM:<ceo@isp.example>\r\nRCPT TO:<csirt@" + domain + ">\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"
	for _, end := range []string{"\n.\r\n", "\n.\n", "\r.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\n\n.\r\n", "\r\r.\r\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n. \r\n", "\n.\r\r\n"} {
		d.begin()
		d.say(354, "DATA")
		body := "Subject: honest\r\n\r\nfirst" + end + second
		if _, err := io.WriteString(d.conn, body+".\r\n"); err != nil {
			t.Fatal(err)
		}
		d.want(250)
		var raw []byte
		p.scan(`select raw from inbound order by id desc limit 1`, &raw)
		// A dot that begins a line is the transport's (RFC 5321, 4.5.2); the
		// library takes a CR behind it along.
		want := strings.NewReplacer("\r\n.\rM", "\r\nM", "\r\n.", "\r\n").Replace(body)
		if got := string(raw); got != want {
			t.Errorf("%q: stored %q, want %q", end, got, want)
		}
		d.say(250, "NOOP") // the next line is read as a command again
	}
	p.do(p.worker.Do)
	var smuggled int
	p.scan(`select count(*) from inbound where subject = 'smuggled' or envelope_from = 'ceo@isp.example'`, &smuggled)
	if smuggled != 0 {
		t.Errorf("%d mails were smuggled in", smuggled)
	}
}

// TestCommandsBeforeTLSAreForgotten: text that an attacker put behind STARTTLS in
// the clear is not taken for the client's (RFC 3207, 6).
func TestCommandsBeforeTLSAreForgotten(t *testing.T) {
	t.Parallel()
	cert, roots := testCertificate(t)
	p := newPost(t, notify.InboundConfig{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	d := p.talk()
	d.say(250, "MAIL FROM:<mallory@client.example>")
	_, _ = io.WriteString(d.conn, "STARTTLS\r\nRCPT TO:<postmaster@"+domain+">\r\nNOOP\r\nNOOP\r\n")
	d.want(220)
	secure := tls.Client(d.conn, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.conn, d.r = secure, bufio.NewReader(secure)
	d.say(502, "RCPT TO:<postmaster@"+domain+">") // the transaction from before is gone
	d.say(250, "EHLO client.example")
	d.say(502, "DATA")
	d.honest()
}

// TestGarbageEndsTheDialogue: who does not speak SMTP is not listened to for
// long, and a mail that breaks off is none.
func TestGarbageEndsTheDialogue(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	for name, garbage := range map[string]string{
		"binary": strings.Repeat("\x16\x03\x01\x00\xff\xfe\r\n", 50_000),
		"http":   "GET / HTTP/1.1\r\nHost: teiten.example\r\nAccept: */*\r\nX: y\r\nA: b\r\n\r\n",
		"blank":  strings.Repeat("\r\n", 50_000),
		"nul":    strings.Repeat("\x00", 1<<20),
		"line":   "MAIL FROM:<" + strings.Repeat("a", 1<<20) + "@client.example>\r\n",
		"hello":  "EHLO " + strings.Repeat("a", 1<<20) + "\r\n",
	} {
		d := p.talk()
		go func() { _, _ = io.WriteString(d.conn, garbage) }()
		for n := 0; ; n++ {
			code, text := d.read()
			if code == 0 {
				break
			}
			if code/100 != 5 || n > 10 {
				t.Errorf("%s: reply %d after %d: %d %s", name, n, n, code, text)
				break
			}
		}
	}
	for _, words := range []string{"DATA\r\nSubject: half", "BDAT 100\r\nSubject: half\r\n", "BDAT 13\r\nSubject: half"} {
		d := p.talk()
		d.begin()
		_, _ = io.WriteString(d.conn, words)
		_ = d.conn.(*net.TCPConn).CloseWrite()
		for code := 1; code != 0; code, _ = d.read() {
		}
	}
	if n := p.stored(); n != 0 {
		t.Errorf("%d mails stored", n)
	}
	p.talk().honest()
	if n := p.stored(); n != 1 {
		t.Errorf("%d mails stored, want the honest one", n)
	}
}

// crlf writes a text in the lines of a mail.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// sent delivers a mail as it stands and returns how the server has it.
func (p *post) sent(raw []byte) (id int64) {
	p.t.Helper()
	d := p.talk()
	d.begin()
	_, _ = fmt.Fprintf(d.conn, "BDAT %d LAST\r\n", len(raw))
	if _, err := d.conn.Write(raw); err != nil {
		p.t.Fatal(err)
	}
	d.want(250)
	var kept []byte
	p.scan(`select id from inbound order by id desc limit 1`, &id)
	p.scan(`select raw from inbound where id = $1`, &kept, id)
	if !bytes.Equal(kept, raw) {
		p.t.Errorf("%d bytes stored of %d, or others", len(kept), len(raw))
	}
	return id
}

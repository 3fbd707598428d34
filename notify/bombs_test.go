package notify_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"teiten/internal/casedb"
	"teiten/internal/soak"
	"teiten/notify"
)

// zeros writes so many megabytes of nothing.
func zeros(t *testing.T, w io.Writer, megabytes int) {
	t.Helper()
	block := make([]byte, 1<<20)
	for range megabytes {
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
}

// packed returns 40 MB of nothing as a zip file and as a gzip file.
func packed(t *testing.T) (zipped, gzipped []byte) {
	t.Helper()
	var z, g bytes.Buffer
	zw := zip.NewWriter(&z)
	f, err := zw.Create("report.txt")
	if err != nil {
		t.Fatal(err)
	}
	gw := gzip.NewWriter(&g)
	zeros(t, io.MultiWriter(f, gw), 40)
	for _, c := range []io.Closer{zw, gw} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return z.Bytes(), g.Bytes()
}

func lines(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var out strings.Builder
	for len(s) > 76 {
		out.WriteString(s[:76] + "\n")
		s = s[76:]
	}
	return out.String() + s + "\n"
}

type mailBomb struct{ name, raw string }

// mailBombs are mails about a case that are made to be much more than they are.
func mailBombs(number string, zipped, gzipped []byte) []mailBomb {
	var deep, letters strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	var parameters strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&parameters, ";\n a%d=x", i)
	}
	for range 5000 {
		letters.WriteString("Content-Type: message/rfc822\n\n")
	}
	head := "From: a@isp.example\nSubject: [" + number + "] bomb\nMIME-Version: 1.0\n"
	attach := func(kind, name, encoding, body string) string {
		return head + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nSee the file.\n--b\nContent-Type: " + kind +
			"\nContent-Disposition: attachment; filename=\"" + name + "\"\nContent-Transfer-Encoding: " + encoding + "\n\n" + body + "\n--b--\n"
	}
	fill := func(s string, n int) string { return strings.Repeat(s, n/len(s)) }
	return []mailBomb{
		{"100,000 parts", head + "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 100_000) + "--b--\n"},
		{"20,000 files", head + "Content-Type: multipart/mixed; boundary=b\n\n" +
			strings.Repeat("--b\nContent-Disposition: attachment; filename=a\n\nx\n", 20_000) + "--b--\n"},
		{"10,000 multiparts in each other", head + deep.String() + "x\n"},
		{"mails in mails", head + letters.String() + "x\n"},
		{"zip", attach("application/zip", "report.zip", "base64", lines(zipped))},
		{"gzip", attach("application/gzip", "report.txt.gz", "base64", lines(gzipped))},
		{"compressed body", head + "Content-Encoding: gzip\nContent-Transfer-Encoding: base64\n\n" + lines(gzipped)},
		{"compressed text", attach("text/plain; charset=utf-8", "report.txt.gz", "base64", lines(gzipped))},
		{"base64 of base64", attach("text/plain", "a.txt", "base64", lines([]byte(lines([]byte(fill("text ", 600<<10))))))},
		{"quoted-printable", head + "Content-Transfer-Encoding: quoted-printable\n\n" + fill("=41=\n", 512<<10)},
		{"encoded words", "From: =?utf-8?q?" + fill("=41", 60_000) + "?= <a@isp.example>\nSubject:" + fill(" =?iso-2022-jp?B?GyRCJUYbKEI=?=\n", 1<<20) + "\nx\n"},
		{"encoded words of no charset", "From: a@isp.example\nSubject:" + fill(" =?x-none?q?=3Cscript=3E?=\n", 512<<10) + "\nx\n"},
		{"continued parameter", head + "Content-Type: application/x; name*0=a;\n" + fill(" name*1=b;\n", 512<<10) + " x=y\n\nx\n"},
		{"60,000 parameters of a type", head + "Content-Type: text/plain" + parameters.String() + "\n\nx\n"},
		{"60,000 parameters of a file", head + "Content-Disposition: attachment" + parameters.String() + "\n\nx\n"},
		{"endless header", head + fill("X-A: b\n", 512<<10)},
		{"long lines", "From: a@isp.example\nSubject: x\n\n" + fill(fill("a", 60_000)+"\n", 512<<10)},
		{"long address", "From: " + fill("<", 60_000) + "a@isp.example\nTo: " + fill("(", 60_000) + "\nSubject: x\n\nx\n"},
		{"references", head + "References:" + fill(" <a@b.example>\n", 512<<10) + "\nx\n"},
		{"ISO-2022-JP that shifts", head + "Content-Type: text/plain; charset=iso-2022-jp\n\n" + fill("\x1b$B\x1b(B\x1b$@\x1b(J", 512<<10) + "\x1b$B\n"},
		{"UTF-7", head + "Content-Type: text/plain; charset=utf-7\n\n" + fill("+ADw-script+AD4-", 512<<10) + "\n"},
		{"UTF-16", head + "Content-Type: text/plain; charset=utf-16\n\n" + fill("\xff\xfe\x00\xd8", 512<<10) + "\n"},
		{"NUL and bare line ends", head + "\n" + fill("a\x00b\rc\r\rd\x1b[2J\x08", 512<<10)},
		{"HTML", head + "Content-Type: text/html\n\n" + fill("<div><table><p>", 512<<10)},
		{"entities", head + "Content-Type: text/html\n\n" + fill("&NotEqualTilde;&#x41;&", 512<<10)},
		{"boundaries that are none", head + "Content-Type: multipart/mixed; boundary=b\n\n" + fill("\n--", 512<<10)},
		{"reports", head + "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n" +
			strings.Repeat("--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n", 10_000) + "--b--\n"},
	}
}

// explode sends a bomb and looks at what it takes to read it, and what is stored.
func (p *post) explode(bomb mailBomb) {
	p.t.Helper()
	raw := []byte(crlf(bomb.raw))
	if bomb.name == "NUL and bare line ends" || bomb.name == "lines that end in CR" {
		raw = []byte(bomb.raw)
	}
	id := p.sent(raw)
	begin := time.Now()
	used := allocated(func() { p.do(p.worker.Do) })
	took := time.Since(begin)
	p.t.Logf("%s: %d KB, read in %s with %d MB allocated", bomb.name, len(raw)>>10, took.Round(time.Millisecond), used>>20)
	if used > 300<<20 { // time is bounded by the worker, after which the mail is put aside
		p.t.Errorf("%s: %d KB took %d MB", bomb.name, len(raw)>>10, used>>20)
	}
	if strings.Contains(bomb.name, "zip") && used > 20<<20 {
		p.t.Errorf("%s: somebody has opened it: %d MB allocated", bomb.name, used>>20)
	}
	in, err := p.db.Inbound(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	if in.State != casedb.InboundProcessed {
		p.t.Errorf("%s: %s, %s", bomb.name, in.State, in.LastError)
	}
	if !bytes.Equal(in.Raw, raw) {
		p.t.Errorf("%s: the mail itself has changed", bomb.name)
	}
	if len(in.Text) > 100_000 || len(in.Subject) > 500 || !utf8.ValidString(in.Text) || strings.ContainsAny(in.Text, "\x00\x08\x1b\r") {
		p.t.Errorf("%s: %d bytes of text, %d of subject", bomb.name, len(in.Text), len(in.Subject))
	}
	if n := len(in.Attachments.V.List); n > 100 {
		p.t.Errorf("%s: %d files listed", bomb.name, n)
	}
	p.clock.advance(time.Minute) // so many mails one host may send
}

// TestMailBombs sends mails that are made to be much more than they are. Each is
// stored as it came, before the 250; reading it stays within bounds of time and
// memory, and the mails around it take effect. It takes a third of them.
func TestMailBombs(t *testing.T) { explodeBombs(t, 3) }

// TestSoakMailBombs takes all.
func TestSoakMailBombs(t *testing.T) {
	soak.Start(t)
	explodeBombs(t, 1)
}

// explodeBombs sends every step-th bomb.
func explodeBombs(t *testing.T, step int) {
	t.Helper()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	p.do(p.sender.Do)
	zipped, gzipped := packed(t)
	bombs := mailBombs(c.Number, zipped, gzipped)
	for i := 0; i < len(bombs); i += step {
		p.explode(bombs[i])
	}
	// The owner's answer among them is heard.
	in := p.take("abuse@isp.example", p.composer.Tokens().Make(notify.TokenReply, c.Number, &m), "From: abuse@isp.example\nSubject: Re: x\n\nWe cleaned it.\n")
	if got := p.getCase(c.ID); in.Class != casedb.InboundHuman || got.State != casedb.CaseAnswered {
		t.Errorf("after the bombs an answer is %s and its case %s", in.Class, got.State)
	}
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"teiten/internal/browsertest"
	"teiten/internal/casedb"
	"teiten/internal/pgtest"
	"teiten/internal/synth"
)

var (
	inboundLine = regexp.MustCompile(`mail server listens.*server="inbound mail" address=(\S+)`)
	caseNumber  = regexp.MustCompile(`TT-\d{4}-\d{6}`)
)

// TestTheWholeLine plays one case to its end with the real program: a capture
// file goes in, a coordinator approves over HTTP, a mail server with STARTTLS
// gets the letter, a reply and a bounce come back over SMTP, and the pages are
// read in a browser in both languages.
func TestTheWholeLine(t *testing.T) {
	t.Parallel()
	mx := newSink(t)
	capture := sampleFile(t)
	database := "database.url=" + pgtest.New(t)
	s := serveProcess(t, "--capture", capture, "--sensor", "tokyo-1", "--set", database,
		"--set", "web.listen=127.0.0.1:0", "--set", "mail.inbound_listen=127.0.0.1:0", "--set", "mail.transport=smtp",
		"--set", "mail.smarthost="+mx.addr, "--set", "mail.ca_file="+mx.caFile, "--set", "mail.tls=starttls")
	m := inboundLine.FindStringSubmatch(s.log.String())
	if m == nil {
		t.Fatalf("no line says where mail comes in:\n%s", s.log)
	}
	inbound := m[1]
	desk := s.login()

	// The capture has become cases that wait: two with a contact,
	// one without.
	var queue string
	eventually(t, "three cases wait", func() bool {
		queue = desk.get("/cases")
		return len(links(t, queue, "/cases/TT-")) >= 3
	})
	number := ""
	for _, link := range links(t, queue, "/cases/TT-") {
		if page := desk.get(link); strings.Contains(page, "abuse@isp.example") {
			number = caseNumber.FindString(link)
		}
	}
	if number == "" {
		t.Fatal("no case writes to the provider")
	}
	page := desk.get("/cases/" + number)
	for _, want := range []string{"192.0.2.10", "192.0.2.15", "Example Internet Service"} {
		if !strings.Contains(page, want) {
			t.Errorf("the case page does not show %s", want)
		}
	}
	showsTheOwner(t, desk, database)
	if len(mx.got()) != 0 {
		t.Fatal("a mail went out before anybody approved it")
	}

	// Approve; the letter arrives, once, encrypted, without the sensor's address.
	desk.submit(page, "/approve", nil)
	eventually(t, "the letter arrives", func() bool { return len(mx.got()) == 1 })
	letter := mx.got()[0]
	if !letter.tls {
		t.Error("the letter came unencrypted")
	}
	if strings.Contains(string(letter.raw), "198.51.100.") {
		t.Error("the letter names a sensor's address")
	}
	if got := letter.msg.Header.Get("Auto-Submitted"); got != "auto-generated" {
		t.Errorf("Auto-Submitted: %q", got)
	}
	eventually(t, "the case is notified", func() bool { return s.state(number) == "notified" })

	// The owner answers; the case is in the queue again, with the text.
	ownerAnswers(t, s, desk, letter, number, inbound)

	// The letter bounces after all: the address is suppressed, the case waits.
	letterBounces(t, s, letter, number, inbound)

	readInBrowser(t, s, number)

	// Close it; a clean stop takes less than ten seconds.
	desk.submit(desk.get("/cases/"+number), "/close", map[string]string{"reason": "cleaned"})
	if got := s.state(number); got != "closed" {
		t.Errorf("state %q, want closed", got)
	}
	if n := len(mx.got()); n != 1 {
		t.Errorf("%d mails went out, want 1", n)
	}
	s.stopCleanly()
}

// sampleFile writes the sample capture, which ends now.
func sampleFile(t *testing.T) (capture string) {
	t.Helper()
	capture = filepath.Join(t.TempDir(), "two-days.pcap")
	f, err := os.Create(capture)
	if err != nil {
		t.Fatal(err)
	}
	if err := synth.WriteSample(f, time.Now().UTC().Truncate(time.Hour).Add(-synth.SampleSpan), 7); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return capture
}

// showsTheOwner asks the page and the command whose an address was when.
func showsTheOwner(t *testing.T, desk *client, database string) {
	t.Helper()
	if source := desk.get("/sources/192.0.2.10"); !strings.Contains(source, `id="history"`) {
		t.Error("the source page has no history")
	}
	if out, err := teiten("lookup", "192.0.2.10", "--set", database).Output(); err != nil || !strings.Contains(string(out),
		`"until":null,"range":"192.0.2.0/26","handle":"192.0.2.0 - 192.0.2.63","name":"EX-ISP-JP","owner":"Example Internet Service (Japan)"`) {
		t.Errorf("lookup with a database: %v %s", err, out)
	}
}

// ownerAnswers replies to a letter, and looks for the words on the case's page.
func ownerAnswers(t *testing.T, s *served, desk *client, letter received, number, inbound string) {
	t.Helper()
	reply := fmt.Sprintf("From: Hanako <noc@isp.example>\nTo: %s\nSubject: Re: your report [Ticket#2026111]\nMessage-ID: <1@isp.example>\n"+
		"In-Reply-To: %s\nDate: %s\n\nWe have reinstalled the machine at 192.0.2.10.\n",
		letter.msg.Header.Get("Reply-To"), letter.msg.Header.Get("Message-ID"), time.Now().Format(time.RFC1123Z))
	replyTo := strings.Trim(letter.msg.Header.Get("Reply-To"), "<>")
	if i := strings.LastIndexByte(replyTo, '<'); i >= 0 {
		replyTo = replyTo[i+1:]
	}
	if err := sendMail(t.Context(), inbound, "noc@isp.example", replyTo, reply); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the case is answered", func() bool { return s.state(number) == "answered" })
	if page := desk.get("/cases/" + number); !strings.Contains(page, "We have reinstalled the machine") {
		t.Error("the page does not show the reply")
	}
}

// letterBounces sends a letter back.
func letterBounces(t *testing.T, s *served, letter received, number, inbound string) {
	t.Helper()
	bounce := fmt.Sprintf("From: MAILER-DAEMON@mx.isp.example\nTo: %[1]s\nSubject: Undelivered Mail Returned to Sender\n"+
		"Date: %[2]s\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"+
		"--b\nContent-Type: text/plain\n\nNo such user.\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.isp.example\n\n"+
		"Final-Recipient: rfc822; %[3]s\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n\n--b--\n",
		letter.from, time.Now().Format(time.RFC1123Z), letter.to)
	if err := sendMail(t.Context(), inbound, "", letter.from, bounce); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bounce is in the case", func() bool {
		return slices.ContainsFunc(s.detail(number).Messages, func(m messageLine) bool { return m.State == "bounced" && m.Recipient == letter.to })
	})
	if waiting := s.detail(number).Waiting; waiting != "reply" { // no coordinator has read the answer yet
		t.Errorf("the case waits for %q, want reply", waiting)
	}
}

// stopCleanly stops the program as an operator would.
func (s *served) stopCleanly() {
	t := s.t
	t.Helper()
	begin := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.done:
		if code := s.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("ended with %d", code)
		}
	case <-time.After(15 * time.Second):
		t.Error("still running 15 s after SIGTERM")
	}
	t.Logf("stopped after %s", time.Since(begin).Round(time.Millisecond))
}

// detail reads a case from the server's database, as `teiten case show` does.
func (s *served) detail(number string) caseDetail {
	s.t.Helper()
	if s.database == nil {
		i := slices.IndexFunc(s.args, func(a string) bool { return strings.HasPrefix(a, "database.url=") })
		db, err := casedb.Open(strings.TrimPrefix(s.args[i], "database.url="))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = db.Close() })
		s.database = db
	}
	say, err := english()
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := readCase(s.t.Context(), s.database, say, number)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *served) state(number string) string { return s.detail(number).State }

// readInBrowser logs in with a browser and reads the case in both languages.
func readInBrowser(t *testing.T, s *served, number string) {
	t.Helper()
	ctx := browsertest.Open(t)
	err := chromedp.Do(ctx,
		chromedp.Navigate(s.url+"/login?lang=ja"),
		chromedp.SendKeys(`input[name="name"]`, s.user),
		chromedp.SendKeys(`input[name="password"]`, s.password),
		chromedp.Click(`main form button[type="submit"], main form button:not([type])`),
		chromedp.WaitVisible(`a[href^="/cases/TT-"]`),
	)
	if err != nil {
		t.Fatalf("log in with a browser: %v", err)
	}
	for lang, words := range map[string][]string{
		"ja": {"回答", "不達", "We have reinstalled the machine", "abuse@isp.example", "192.0.2.10"},
		"en": {"repl", "bounce", "We have reinstalled the machine", "abuse@isp.example", "192.0.2.10"},
	} {
		if err := chromedp.Do(ctx, chromedp.Navigate(s.url+"/cases/"+number+"?lang="+lang), chromedp.WaitVisible("main")); err != nil {
			t.Fatalf("open the case in a browser: %v", err)
		}
		text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector("main").innerText`))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if !strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
				t.Errorf("%s: the page does not say %q", lang, w)
			}
		}
		if got, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.documentElement.lang`)); err != nil || got != lang {
			t.Errorf("language of the page: %q %v, want %q", got, err, lang)
		}
		charts, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll("main svg").length`))
		if err != nil || charts == 0 {
			t.Errorf("%s: no chart on the page (%v)", lang, err)
		}
	}
}

package notify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
	"teiten/internal/pgtest"
	"teiten/notify"

	"teiten/internal/reason"
)

func TestSendOverSTARTTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := startServer(t, &testServer{})
	c, m := w.queued(ispCase)
	if n := w.do(w.sender(server.transport()).Do); n != 1 {
		t.Errorf("did %d, want 1", n)
	}
	mails := server.received()
	if len(mails) != 1 {
		t.Fatalf("got %d mails, want 1", len(mails))
	}
	got := mails[0]
	if !got.tls {
		t.Error("the mail came without TLS")
	}
	if token, ok := notify.ParseToken(got.from); !ok || !w.composer.Tokens().Verify(token) || token.Kind != notify.TokenBounce || token.Message != m.ID {
		t.Errorf("envelope sender %q is no token of ours", got.from)
	}
	if got.to != ispCase.email || got.mailOpts.Return != smtp.DSNReturnHeaders || got.mailOpts.EnvelopeID != m.Token ||
		got.rcptOpts.OriginalRecipient != ispCase.email || len(got.rcptOpts.Notify) != 2 {
		t.Errorf("envelope %+v", got)
	}
	m = w.getMessage(m.ID)
	if m.State != casedb.MessageSent || m.SentAt == nil || m.Attempts != 1 || !bytes.Equal(bytes.TrimSpace(m.Raw), bytes.TrimSpace(got.raw)) {
		t.Errorf("message is %s after %d attempts", m.State, m.Attempts)
	}
	if c = w.getCase(c.ID); c.State != casedb.CaseNotified || c.Waiting != casedb.WaitingNone {
		t.Errorf("case is %s waiting %q", c.State, c.Waiting)
	}
	if kinds := w.events(c.ID); kinds[len(kinds)-1] != casedb.EventSent {
		t.Errorf("events %v", kinds)
	}
	for _, secret := range []string{"198.51.100.7", "3325256711", "sample"} {
		if bytes.Contains(got.raw, []byte(secret)) {
			t.Errorf("the mail betrays %s", secret)
		}
	}
}

// sendErrorTest is a failure and what becomes of the mail.
type sendErrorTest struct {
	name       string
	transport  func(*testing.T) notify.Transport
	outcome    casedb.AttemptOutcome
	code       int
	state      casedb.MessageState
	waiting    casedb.Waiting
	suppressed bool
}

// TestSendErrors drives every kind of failure through the real client.
func TestSendErrors(t *testing.T) {
	t.Parallel()
	silent := func(t *testing.T) notify.Transport {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return &notify.SMTPTransport{Address: l.Addr().String(), TLS: notify.TLSRequired, Timeout: 300 * time.Millisecond}
	}
	reply := func(code, a, b, c int) func(string) error {
		return func(string) error {
			return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: "as the test wants"}
		}
	}
	tests := []sendErrorTest{
		{"421", with(&testServer{rcpt: reply(421, 4, 3, 2)}), "temporary", 421, casedb.MessageQueued, casedb.WaitingApproval, false},
		{"451", with(&testServer{rcpt: reply(451, 4, 7, 1)}), "temporary", 451, casedb.MessageQueued, casedb.WaitingApproval, false},
		{"550 unknown user", with(&testServer{rcpt: reply(550, 5, 1, 1)}), "permanent", 550, casedb.MessageFailed, casedb.WaitingBounce, true},
		{"550 unknown user in words", with(&testServer{rcpt: func(string) error {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.NoEnhancedCode, Message: "No such user here"}
		}}), "permanent", 550, casedb.MessageFailed, casedb.WaitingBounce, true},
		{"550 policy", with(&testServer{rcpt: reply(550, 5, 7, 1)}), "permanent", 550, casedb.MessageFailed, casedb.WaitingFailed, false},
		{"552 after DATA", with(&testServer{data: func(receivedMail, net.Conn) error { return reply(552, 5, 3, 4)("") }}), "permanent", 552,
			casedb.MessageFailed, casedb.WaitingFailed, false},
		{"cut after DATA", with(&testServer{data: func(_ receivedMail, c net.Conn) error { return c.Close() }}), "unknown", 0,
			casedb.MessageQueued, casedb.WaitingApproval, false},
		{"silence", silent, "temporary", 0, casedb.MessageQueued, casedb.WaitingApproval, false},
		{"nobody listens", func(*testing.T) notify.Transport {
			return &notify.SMTPTransport{Address: "127.0.0.1:1", TLS: notify.TLSRequired, Timeout: time.Second}
		}, "temporary", 0, casedb.MessageQueued, casedb.WaitingApproval, false},
		{"untrusted certificate", func(t *testing.T) notify.Transport {
			tr := startServer(t, &testServer{}).transport()
			_, tr.CAs = testCertificate(t)
			return tr
		}, "temporary", 0, casedb.MessageQueued, casedb.WaitingApproval, false},
		{"no AUTH offered", func(t *testing.T) notify.Transport {
			tr := startServer(t, &testServer{}).transport()
			tr.Username, tr.Password = "u", "p"
			return tr
		}, "temporary", 504, casedb.MessageQueued, casedb.WaitingApproval, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { checkSendError(t, test) })
	}
}

// checkSendError sends a mail and looks at what is recorded of the failure.
func checkSendError(t *testing.T, test sendErrorTest) {
	t.Parallel()
	w := newWorld(t)
	c, m := w.queued(ispCase)
	w.do(w.sender(test.transport(t)).Do)
	attempts, err := w.db.MessageAttempts(t.Context(), m.ID, 10)
	if err != nil || len(attempts) != 1 {
		t.Fatalf("attempts %v, %v", attempts, err)
	}
	if a := attempts[0]; a.Outcome != test.outcome || a.Code != test.code || a.FinishedAt == nil || a.Response == "" {
		t.Errorf("attempt %+v, want %s %d", a, test.outcome, test.code)
	}
	m = w.getMessage(m.ID)
	if m.State != test.state {
		t.Errorf("message is %s, want %s (%s)", m.State, test.state, m.LastError)
	}
	if m.State == casedb.MessageQueued {
		if wait := m.NextAttemptAt.Sub(epoch); wait < 450*time.Second || wait > 520*time.Second {
			t.Errorf("next attempt after %s", wait)
		}
	}
	if c = w.getCase(c.ID); c.Waiting != test.waiting {
		t.Errorf("case waits for %q, want %q", c.Waiting, test.waiting)
	}
	_, err = w.db.Suppression(t.Context(), strings.ToUpper(ispCase.email), epoch)
	if suppressed := err == nil; suppressed != test.suppressed {
		t.Errorf("suppressed %v, want %v (%v)", suppressed, test.suppressed, err)
	}
}

func with(s *testServer) func(*testing.T) notify.Transport {
	return func(t *testing.T) notify.Transport { return startServer(t, s).transport() }
}

// TestSendErrorCrossesPackages pins that errors.As finds the error as the
// sender looks for it.
func TestSendErrorCrossesPackages(t *testing.T) {
	t.Parallel()
	server := startServer(t, &testServer{rcpt: func(string) error {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no"}
	}})
	_, err := server.transport().Send(t.Context(), notify.Envelope{From: "a@teiten.example", To: "b@isp.example"}, strings.NewReader("x"))
	var failed *notify.SendError
	if !errors.As(fmt.Errorf("wrapped: %w", err), &failed) || !failed.Permanent || failed.Code != 550 || failed.Enhanced != "5.1.1" || failed.Command != "RCPT" {
		t.Errorf("got %#v", err)
	}
	var cause *smtp.SMTPError
	if !errors.As(err, &cause) {
		t.Error("the cause is lost")
	}
}

// TestRetriesAreTheSameMail pins byte-identical retries, the back-off, and the
// end after eight tries.
func TestRetriesAreTheSameMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	var seen [][]byte
	server := startServer(t, &testServer{data: func(m receivedMail, _ net.Conn) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, m.raw)
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
	}})
	c, m := w.queued(ispCase)
	sender := w.sender(server.transport())
	var last time.Duration
	for range 12 {
		w.do(sender.Do)
		m = w.getMessage(m.ID)
		if m.State != casedb.MessageQueued {
			break
		}
		wait := m.NextAttemptAt.Sub(w.clock.now())
		if wait < last {
			t.Errorf("wait %s after %s", wait, last)
		}
		last = wait * 3 / 2
		w.clock.advance(wait)
		w.exec(`update observation set packets = packets + 1`) // the data move on; the mail does not
	}
	if len(seen) != 8 || m.State != casedb.MessageFailed || m.Attempts != 8 {
		t.Errorf("%d mails, message %s after %d attempts", len(seen), m.State, m.Attempts)
	}
	for _, raw := range seen {
		if !bytes.Equal(raw, seen[0]) {
			t.Error("a retry differs from the first mail")
		}
	}
	if c = w.getCase(c.ID); c.Waiting != casedb.WaitingFailed {
		t.Errorf("case waits for %q", c.Waiting)
	}
	if age := w.clock.now().Sub(epoch); age < 14*time.Hour || age > 48*time.Hour {
		t.Errorf("gave up after %s", age)
	}
}

// deadTransport delivers and then dies before it can say so, as a process that
// is killed between the server's 250 and our commit.
type deadTransport struct {
	notify.Transport
	killed chan struct{}
}

func (d *deadTransport) Send(ctx context.Context, e notify.Envelope, mail io.Reader) (notify.Receipt, error) {
	_, err := d.Transport.Send(ctx, e, mail)
	if err == nil {
		close(d.killed)
		select {} // the process is gone
	}
	return notify.Receipt{}, err
}

func TestCrashWindowRepeatsTheMessageID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := startServer(t, &testServer{})
	_, m := w.queued(ispCase)
	dead := &deadTransport{server.transport(), make(chan struct{})}
	go func() { _, _ = w.sender(dead).Do(context.WithoutCancel(t.Context())) }()
	<-dead.killed
	sender := w.sender(server.transport())
	if w.do(sender.Do) != 0 {
		t.Error("a message under way was sent again at once")
	}
	w.clock.advance(10 * time.Minute)
	w.do(sender.Do)
	mails := server.received()
	if len(mails) != 2 || !bytes.Equal(mails[0].raw, mails[1].raw) || mails[0].from != mails[1].from {
		t.Fatalf("%d mails, or different ones", len(mails))
	}
	if !bytes.Contains(mails[1].raw, []byte("Message-Id: <"+m.HeaderID+">")) {
		t.Error("the Message-ID is not the message's")
	}
	attempts, err := w.db.MessageAttempts(t.Context(), m.ID, 10)
	if err != nil || len(attempts) != 2 || attempts[0].Outcome != casedb.AttemptUnknown || attempts[1].Outcome != casedb.AttemptSent {
		t.Errorf("attempts %+v, %v", attempts, err)
	}
}

func TestTwoSendersSendEachOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := startServer(t, &testServer{})
	const n = 24
	for i := range n {
		s := ispCase
		s.owner, s.email = fmt.Sprintf("owner %d", i), fmt.Sprintf("abuse@net%d.example", i%7)
		s.sources = []string{fmt.Sprintf("192.0.2.%d", 10+i)}
		w.queued(s)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			sender := w.sender(server.transport())
			// Whoever sends the last one finds that there is nothing more to do.
			for done := 1; done > 0; {
				var err error
				if done, err = sender.Do(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	ids := map[string]int{}
	for _, m := range server.received() {
		ids[m.mailOpts.EnvelopeID]++
	}
	if len(ids) != n || len(server.received()) != n {
		t.Errorf("%d mails of %d messages, want %d", len(server.received()), len(ids), n)
	}
}

// TestLimitsHoldInEveryWindow sends more than the limits allow over several
// hours, with two senders, and looks at every window.
func TestLimitsHoldInEveryWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	type sent struct {
		at time.Time
		to string
	}
	var all []sent
	server := startServer(t, &testServer{data: func(m receivedMail, _ net.Conn) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, sent{w.clock.now(), m.to})
		return nil
	}})
	const n = 30
	for i := range n {
		s := ispCase
		s.owner, s.email = fmt.Sprintf("owner %d", i), fmt.Sprintf("abuse@net%d.example", i%3)
		s.sources = []string{fmt.Sprintf("192.0.2.%d", 10+i)}
		w.queued(s)
	}
	for range 40 * 3 {
		for range 2 {
			sender := w.sender(server.transport())
			sender.Limits = casedb.SendLimits{PerHour: 5, PerRecipientDay: 4}
			if _, err := sender.Do(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.clock.advance(20 * time.Minute)
	}
	if len(all) < 20 {
		t.Errorf("only %d mails in 40 hours", len(all))
	}
	for i, a := range all {
		hour, day := 0, 0
		for _, b := range all[i:] {
			if b.at.Sub(a.at) < time.Hour {
				hour++
			}
			if b.to == a.to && b.at.Sub(a.at) < 24*time.Hour {
				day++
			}
		}
		if hour > 5 || day > 4 {
			t.Fatalf("%d mails in an hour, %d to one address in a day", hour, day)
		}
	}
}

// TestNoAttemptStartsAfterTheStop throws the switch at the worst moment: when
// the attempt is on record and the sender has not connected yet.
func TestNoAttemptStartsAfterTheStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := startServer(t, &testServer{})
	sender := w.sender(server.transport())
	_, m := w.queued(ispCase)
	w.exec(`create function stop_now() returns trigger language plpgsql as $$ begin
		insert into setting (name, value, changed_at, changed_by, reason) values ('send-stopped', 'true', now(), 'coordinator', 'test');
		return new; end $$`)
	w.exec(`create trigger stop_now after insert on message_attempt for each row execute function stop_now()`)
	w.do(sender.Do)
	if n := len(server.received()); n != 0 {
		t.Fatalf("%d mails left after the stop", n)
	}
	if m = w.getMessage(m.ID); m.State != casedb.MessageQueued || m.Attempts != 1 || !strings.Contains(m.LastError, "stopped") {
		t.Errorf("message is %s after %d attempts: %s", m.State, m.Attempts, m.LastError)
	}
	w.exec(`drop trigger stop_now on message_attempt`)
	w.clock.advance(time.Hour)
	w.do(sender.Do)
	if n := len(server.received()); n != 0 {
		t.Fatalf("%d mails left while stopped", n)
	}
	if err := w.db.SetSendStopped(t.Context(), false, "lead", "mended", w.clock.now()); err != nil {
		t.Fatal(err)
	}
	w.do(sender.Do)
	if n := len(server.received()); n != 1 {
		t.Errorf("%d mails after the release, want 1", n)
	}
}

func TestStopSwitchAndDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := startServer(t, &testServer{})
	sender := w.sender(server.transport())
	c, m := w.queued(ispCase)
	if err := w.db.SetSendStopped(t.Context(), true, "coordinator", "test", epoch); err != nil {
		t.Fatal(err)
	}
	if w.do(sender.Do) != 0 || len(server.received()) != 0 {
		t.Fatal("mail left although sending is stopped")
	}
	if err := w.db.SetSendStopped(t.Context(), false, "lead", "mended", epoch); err != nil {
		t.Fatal(err)
	}
	// An acknowledged source makes the message wait; the coordinator overrules it.
	w.exec(`insert into scanner (prefix, organisation, list, created_at) values ('192.0.2.10/32', 'Example Research Institute', 'test', $1)`, epoch)
	w.do(sender.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageHeld || !strings.Contains(m.HoldWhy.String(), "acknowledged: Example Research Institute") {
		t.Fatalf("message is %s because of %q", m.State, m.HoldWhy)
	}
	if c = w.getCase(c.ID); c.Waiting != casedb.WaitingApproval {
		t.Errorf("case waits for %q", c.Waiting)
	}
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, m.ID, m.Version, "coordinator", epoch)
	})
	w.do(sender.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent {
		t.Errorf("message is %s after its approval", m.State)
	}
	// A suppressed address gets nothing.
	s := ispCase
	s.owner, s.sources, s.email = "another", []string{"192.0.2.30"}, "Dead@Isp.example"
	c2, m2 := w.queued(s)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.Suppress(ctx, casedb.Suppression{Address: "dead@isp.example", Why: reason.Of(reason.Other, "bounced"), CreatedAt: epoch})
	})
	w.do(sender.Do)
	if m2 = w.getMessage(m2.ID); m2.State != casedb.MessageFailed || w.getCase(c2.ID).Waiting != casedb.WaitingBounce {
		t.Errorf("message to a suppressed address is %s", m2.State)
	}
	// A closed case sends nothing.
	s.owner, s.sources, s.email = "a third", []string{"192.0.2.40"}, "abuse@third.example"
	c3, m3 := w.queued(s)
	w.exec(`update cases set state = 'closed' where id = $1`, c3.ID)
	w.do(sender.Do)
	if m3 = w.getMessage(m3.ID); m3.State != casedb.MessageCanceled {
		t.Errorf("message of a closed case is %s", m3.State)
	}
	if len(server.received()) != 1 {
		t.Errorf("%d mails, want 1", len(server.received()))
	}
}

// TestDatabaseRestartInMidSend stops PostgreSQL while the server has the mail;
// the end is recorded when it is back, and the mail is not sent again.
func TestDatabaseRestartInMidSend(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	w := newWorldAt(t, cluster.URL())
	killed := make(chan struct{})
	server := startServer(t, &testServer{data: func(receivedMail, net.Conn) error {
		cluster.Kill()
		close(killed)
		return nil
	}})
	c, m := w.queued(ispCase)
	sender := w.sender(server.transport())
	result := make(chan error, 1)
	go func() {
		_, err := sender.Do(t.Context())
		result <- err
	}()
	<-killed // that the mail was taken is written while the server is down: it takes longer to start
	cluster.Start()
	if err := <-result; err != nil && !casedb.IsUnavailable(err) {
		t.Fatal(err)
	}
	w.clock.advance(time.Hour)
	for range 50 { // the pool still holds broken connections
		if _, err := sender.Do(t.Context()); err == nil {
			break
		}
	}
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent || len(server.received()) != 1 {
		t.Errorf("message is %s, %d mails", m.State, len(server.received()))
	}
	if kinds := w.events(c.ID); !slices.Contains(kinds, casedb.EventSent) {
		t.Errorf("events %v", kinds)
	}
}

package notify_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
	"teiten/notify"
)

// queueTo queues one message to each address.
func (w *world) queueTo(addresses ...string) (all []casedb.Message) {
	w.t.Helper()
	for i, a := range addresses {
		s := ispCase
		s.owner, s.email, s.sources = fmt.Sprintf("owner %d of %s", i, a), a, []string{fmt.Sprintf("192.0.2.%d", 10+i)}
		_, m := w.queued(s)
		all = append(all, m)
	}
	return all
}

func (w *world) attempts(all []casedb.Message) (n []int) {
	w.t.Helper()
	for _, m := range all {
		n = append(n, w.getMessage(m.ID).Attempts)
	}
	return n
}

// TestDomainWaits refuses one domain for a while: its other mail waits, also
// for a sender that was started later, and other domains' mail does not.
func TestDomainWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	down := true
	server := startServer(t, &testServer{rcpt: func(to string) error {
		if down && strings.HasSuffix(strings.ToLower(to), "@busy.example") {
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 4, 1}, Message: "no answer from host"}
		}
		return nil
	}})
	all := w.queueTo("a@busy.example", "b@Busy.example", "c@busy.example", "d@quiet.example")
	step := func(wantReason string, want ...int) {
		t.Helper()
		sender := w.sender(server.transport()) // another each time, as after a restart
		w.do(sender.Do)
		if got := w.attempts(all); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("attempts %v, want %v", got, want)
		}
		waiting, err := w.db.BackedOff(t.Context(), 10, w.clock.now())
		if err != nil || (wantReason == "") != (len(waiting) == 0) || len(waiting) == 1 && !strings.Contains(waiting[0].Reason, wantReason) {
			t.Fatalf("waiting: %+v, %v", waiting, err)
		}
	}
	step("4.4.1", 1, 0, 0, 1)
	w.clock.advance(7 * time.Minute)
	step("4.4.1", 1, 0, 0, 1)
	w.clock.advance(time.Minute)
	step("4.4.1", 1, 1, 0, 1) // now twice as long
	w.clock.advance(14 * time.Minute)
	step("4.4.1", 1, 1, 0, 1)
	down = false
	w.clock.advance(2 * time.Hour)
	step("", 2, 2, 1, 1)
}

// TestSmarthostDownCostsOneAttempt queues mail for a smarthost that is away:
// one message finds that out, the others keep their tries.
func TestSmarthostDownCostsOneAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := w.queueTo("a@a.example", "b@b.example", "c@c.example")
	dead := &notify.SMTPTransport{Address: "127.0.0.1:1", TLS: notify.TLSRequired, Timeout: time.Second}
	sender := w.sender(dead)
	sender.Parallel = 1
	w.do(sender.Do)
	if got := w.attempts(all); fmt.Sprint(got) != "[1 0 0]" {
		t.Fatalf("attempts %v", got)
	}
	server := startServer(t, &testServer{})
	sender.Transport = server.transport()
	w.do(sender.Do)
	if n := len(server.received()); n != 0 {
		t.Fatalf("%d mails before the wait is over", n)
	}
	w.clock.advance(31 * time.Second)
	w.do(sender.Do)
	if got := w.attempts(all); fmt.Sprint(got) != "[1 1 1]" || len(server.received()) != 2 {
		t.Fatalf("attempts %v", got)
	}
}

// TestGreylistingHoldsUpNobodyElse greylists each mail once.
func TestGreylistingHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := map[string]bool{}
	server := startServer(t, &testServer{rcpt: func(to string) error {
		if !seen[to] {
			seen[to] = true
			return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted, see you later"}
		}
		return nil
	}, data: func(receivedMail, net.Conn) error { return nil }})
	all := w.queueTo("a@grey.example", "b@grey.example", "c@grey.example")
	sender := w.sender(server.transport())
	w.do(sender.Do)
	if got := w.attempts(all); fmt.Sprint(got) != "[1 1 1]" {
		t.Fatalf("attempts %v", got)
	}
	w.clock.advance(9 * time.Minute)
	w.do(sender.Do)
	if n := len(server.received()); n != 3 {
		t.Errorf("%d mails after the wait, want 3", n)
	}
}

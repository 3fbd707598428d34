package notify_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
	"teiten/notify"
)

// operatorLimits are those of a new installation.
var operatorLimits = casedb.SendLimits{PerHour: 200, PerRecipientDay: 10, PerDomainDay: 50, PerASDay: 50,
	ConfirmationsPerHour: 20, ConfirmationsPerDomainDay: 5}

// signUp does what the registration form does with an address: a request and a
// queued mail with its link.
func (w *world) signUp(addresses ...string) (all []casedb.Message) {
	w.t.Helper()
	now := w.clock.now()
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		for _, a := range addresses {
			token := fmt.Sprintf("stranger%d-%s", now.Unix(), a)
			r, err := tx.CreateRegistration(ctx, casedb.Registration{Organisation: "x", Purpose: "x", Email: a, Language: "en",
				Prefixes: []string{"203.0.113.0/26"}, State: casedb.RegistrationUnconfirmed, ConfirmDigest: []byte(token),
				ConfirmUntil: now.Add(48 * time.Hour), CreatedAt: now})
			if err != nil {
				return err
			}
			m, err := tx.InsertMessage(ctx, casedb.Message{RegistrationID: &r.ID, Purpose: casedb.PurposeConfirmation, State: casedb.MessageQueued,
				Reason: "confirmation", Recipient: a, Language: "en", Subject: "x", Body: "x", NextAttemptAt: &now, CreatedAt: now,
				HeaderID: token + "@" + domain, Token: token}, "teiten")
			if err != nil {
				return err
			}
			all = append(all, m)
		}
		return nil
	})
	return all
}

// strangers are addresses that a stranger enters.
func strangers(n int, of func(i int) string) (all []string) {
	for i := range n {
		all = append(all, of(i))
	}
	return all
}

// TestStrangersDoNotPutLettersOff lets strangers register as the attack of the
// field did. The letter that is due after them is sent at the same moment, which
// is what the plan says as well; with one budget for both it was put off by a day
// (50 registrations at its domain) and by an hour (200 anywhere).
func TestStrangersDoNotPutLettersOff(t *testing.T) {
	t.Parallel()
	for name, addresses := range map[string][]string{
		"50 at the domain": strangers(50, func(i int) string { return fmt.Sprintf("s%d@isp.example", i) }),
		"200 in an hour":   strangers(200, func(i int) string { return fmt.Sprintf("s@d%d.example", i) }),
		"the desk itself":  {ispCase.email},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			server := startServer(t, &testServer{})
			sender := w.sender(server.transport())
			sender.Limits = operatorLimits
			if name == "the desk itself" {
				sender.Limits.PerRecipientDay = 1
			}
			w.signUp(addresses...)
			w.do(sender.Do)
			var confirmations int
			w.scan(`select count(*) from message where purpose = 'confirmation' and state = 'sent'`, &confirmations)
			w.clock.advance(time.Minute)
			_, m := w.queued(ispCase)
			plan, err := (&notify.Planner{DB: w.db, Limits: sender.Limits}).Queue(t.Context(), 0, 300, w.clock.now())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(plan.Lines, func(l notify.Planned) bool { return l.Message.ID == m.ID })
			if i < 0 || plan.Lines[i].At.After(w.clock.now()) {
				t.Errorf("the plan puts the letter off: %+v", plan.Lines[max(i, 0)])
			}
			w.do(sender.Do)
			m = w.getMessage(m.ID)
			if m.State != casedb.MessageSent {
				t.Fatalf("the letter is %s after %d confirmations, and due %s later because of %s",
					m.State, confirmations, m.NextAttemptAt.Sub(w.clock.now()).Round(time.Minute), m.DelayWhy)
			}
			t.Logf("%d registrations: %d confirmations sent, the letter put off by 0 hours", len(addresses), confirmations)
			if most := map[string]int{"50 at the domain": 5, "200 in an hour": 20, "the desk itself": 1}[name]; confirmations != most {
				t.Errorf("%d confirmations were sent, want %d", confirmations, most)
			}
		})
	}
}

// TestLettersGoBeforeConfirmations: in a queue of both, whichever came first.
func TestLettersGoBeforeConfirmations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var to []string
	server := startServer(t, &testServer{rcpt: func(a string) error {
		to = append(to, a)
		return nil
	}})
	sender := w.sender(server.transport())
	sender.Limits, sender.Parallel = operatorLimits, 1
	w.signUp("a@one.example", "b@two.example")
	w.clock.advance(time.Minute)
	w.queueTo("abuse@three.example", "abuse@one.example")
	w.do(sender.Do)
	if want := []string{"abuse@three.example", "abuse@one.example", "a@one.example", "b@two.example"}; !slices.Equal(to, want) {
		t.Errorf("sent in order %v, want %v", to, want)
	}
}

// TestStrangersAddressIsWrittenToOnceADay registers the same address over and
// over: it gets a mail a day, and what waits is given up with its link.
func TestStrangersAddressIsWrittenToOnceADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := startServer(t, &testServer{})
	sender := w.sender(server.transport())
	sender.Limits = operatorLimits
	w.signUp("victim@home.example")
	w.clock.advance(time.Second)
	w.signUp("Victim@home.example")
	w.clock.advance(time.Second)
	w.signUp("victim@HOME.example")
	for day, want := range []int{1, 2, 2, 2} {
		w.do(sender.Do)
		w.clock.advance(23 * time.Hour)
		w.do(sender.Do)
		var sent int
		w.scan(`select count(*) from message where purpose = 'confirmation' and state = 'sent'`, &sent)
		if sent != want {
			t.Errorf("day %d: %d mails went to the address, want %d", day, sent, want)
		}
		w.clock.advance(time.Hour + time.Minute)
	}
	var end string
	w.scan(`select string_agg(state || ' ' || end_why::text, ',') from message where state not in ('sent')`, &end)
	if want := `canceled [{"code": "link-expired"}]`; end != want {
		t.Errorf("what was left became %s, want %s", end, want)
	}
}

// TestFailedConfirmationMakesNoLetterWait: the domain of an address that a
// stranger made up defers mail to it.
func TestFailedConfirmationMakesNoLetterWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := startServer(t, &testServer{rcpt: func(a string) error {
		if strings.HasPrefix(a, "nobody") {
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "not now"}
		}
		return nil
	}})
	sender := w.sender(server.transport())
	sender.Limits = operatorLimits
	w.signUp("nobody@isp.example")
	w.do(sender.Do)
	_, m := w.queued(ispCase)
	w.do(sender.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent {
		t.Errorf("the letter is %s until %v", m.State, m.NextAttemptAt)
	}
}

package notify_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
	"teiten/notify"
)

func (w *world) approve(m casedb.Message) {
	w.t.Helper()
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, m.ID, w.getMessage(m.ID).Version, "coordinator", w.clock.now())
	})
}

// TestOnlyTheInfectedAreAccused: a source that was judged again as another kind,
// or that is acknowledged, is in no letter, approved or not.
func TestOnlyTheInfectedAreAccused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := ispCase
	s.sources = []string{"192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.13"}
	c := w.openCase(s)
	m := w.message(c, s, casedb.MessageHeld)
	w.judge("192.0.2.11", "unknown", "")
	w.exec(`insert into scanner (prefix, organisation, list, created_at) values ('192.0.2.12/32', 'Example Research Institute', 'test', $1)`, epoch)
	w.exec(`update verdict set attention = 'contradiction', tell = false where source = '192.0.2.13'`)
	server := startServer(t, &testServer{})
	sender := w.sender(server.transport())
	w.approve(m)
	w.do(sender.Do) // held: an acknowledged source
	w.approve(m)
	w.do(sender.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent {
		t.Fatalf("message is %s: %s", m.State, m.HoldWhy)
	}
	if !strings.Contains(m.Body, "192.0.2.10 ") {
		t.Error("the infected source is missing")
	}
	for _, a := range []string{"192.0.2.11 ", "192.0.2.12 ", "192.0.2.13 "} {
		if strings.Contains(m.Body, a) {
			t.Errorf("the letter accuses %s", a)
		}
	}
	if !strings.Contains(m.Body, "1 個の IP アドレス") {
		t.Errorf("the letter counts others: %s", m.Body)
	}
}

// TestNobodyIsAccusedAnyMore holds what has nothing left to say, even if a
// coordinator approves it again.
func TestNobodyIsAccusedAnyMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, m := w.queued(ispCase)
	w.judge("192.0.2.10", "scanner", "")
	w.judge("192.0.2.11", "unknown", "")
	server := startServer(t, &testServer{})
	for range 2 {
		w.do(w.sender(server.transport()).Do)
		if m = w.getMessage(m.ID); m.State != casedb.MessageHeld || m.HoldWhy.String() != "none-left" {
			t.Fatalf("message is %s: %q", m.State, m.HoldWhy)
		}
		if c = w.getCase(c.ID); c.Waiting != casedb.WaitingApproval {
			t.Errorf("case waits for %q", c.Waiting)
		}
		w.approve(m)
	}
	if n := len(server.received()); n != 0 {
		t.Errorf("%d mails", n)
	}
}

// TestNothingIsLeftToShow holds a letter whose observations are past their
// retention, approved or not: its table would be empty.
func TestNothingIsLeftToShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, m := w.queued(ispCase)
	w.exec(`delete from observation`)
	w.clock.advance(48 * time.Hour)
	server := startServer(t, &testServer{})
	for range 2 {
		w.do(w.sender(server.transport()).Do)
		if m = w.getMessage(m.ID); m.State != casedb.MessageHeld || m.HoldWhy.String() != "evidence-gone" {
			t.Fatalf("message is %s: %q %q", m.State, m.HoldWhy, m.LastError)
		}
		if _, err := w.composer.Preview(t.Context(), w.db, m, w.clock.now()); !errors.Is(err, notify.ErrGone) {
			t.Errorf("the letter: %v", err)
		}
		w.approve(m)
	}
	if n := len(server.received()); n != 0 {
		t.Errorf("%d mails", n)
	}
}

// TestSettledWordsAreNotSentAgainstTheCleared: an edited letter, and one that
// is tried again, name what they name.
func TestSettledWordsAreNotSentAgainstTheCleared(t *testing.T) {
	t.Parallel()
	for _, edited := range []bool{true, false} {
		w := newWorld(t)
		c, m := w.queued(ispCase)
		fail := true
		server := startServer(t, &testServer{data: func(receivedMail, net.Conn) error {
			if fail {
				return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
			}
			return nil
		}})
		sender := w.sender(server.transport())
		if edited {
			w.tx(func(ctx context.Context, tx *casedb.Tx) error {
				return tx.EditMessage(ctx, m.ID, m.Version, "subject", "192.0.2.10 and 192.0.2.11", "coordinator", epoch)
			})
		} else {
			w.do(sender.Do)
			w.clock.advance(10 * time.Minute)
		}
		fail = false
		w.judge("192.0.2.11", "unknown", "")
		w.do(sender.Do)
		if m = w.getMessage(m.ID); m.State != casedb.MessageHeld || m.HoldWhy.String() != "source-lost: 192.0.2.11" {
			t.Errorf("edited %v: message is %s: %q", edited, m.State, m.HoldWhy)
		}
		if c = w.getCase(c.ID); c.Waiting != casedb.WaitingApproval {
			t.Errorf("case waits for %q", c.Waiting)
		}
		if edited { // and the words can be put right
			w.tx(func(ctx context.Context, tx *casedb.Tx) error {
				return tx.EditMessage(ctx, m.ID, m.Version, "subject", "192.0.2.10", "coordinator", epoch)
			})
			w.approve(m)
			w.do(sender.Do)
			if m = w.getMessage(m.ID); m.State != casedb.MessageSent {
				t.Errorf("message is %s: %q", m.State, m.HoldWhy)
			}
		}
	}
}

// TestRulesHoldAtTheLastMoment: a letter without an approval goes out only if
// all its rules let it.
func TestRulesHoldAtTheLastMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := startServer(t, &testServer{})
	sender := w.sender(server.transport())
	mixed := spec{malware: casedb.MalwareMirai, rule: "mirai", country: "JP", sources: []string{"192.0.2.40"}}
	c, m := w.queued(ispCase)
	w.join(c, mixed)
	w.do(sender.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageHeld || m.HoldWhy.String() != "rule-holds" {
		t.Fatalf("message is %s: %q", m.State, m.HoldWhy)
	}
	w.approve(m)
	w.do(sender.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent || !strings.Contains(m.Body, "192.0.2.40") {
		t.Errorf("message is %s: %q", m.State, m.HoldWhy)
	}
	s := ispCase
	s.owner, s.sources, s.email = "another", []string{"192.0.2.80"}, "abuse@another.example"
	c, m = w.queued(s)
	w.rule("worm445", casedb.RuleHold)
	w.do(sender.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageHeld || m.HoldWhy.String() != "rule-holds" || w.getCase(c.ID).Waiting != casedb.WaitingApproval {
		t.Errorf("message is %s: %q", m.State, m.HoldWhy)
	}
	if n := len(server.received()); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}
}

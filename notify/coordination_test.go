package notify_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/notify"

	"teiten/internal/reason"
)

// fails runs f in a transaction that must end with the error.
func (w *world) fails(want error, f func(ctx context.Context, tx *casedb.Tx) error) {
	w.t.Helper()
	err := w.db.InTx(w.t.Context(), func(tx *casedb.Tx) error { return f(w.t.Context(), tx) })
	if !errors.Is(err, want) {
		w.t.Errorf("got %v, want %v", err, want)
	}
}

// approvedBy wants a contact that a given user approved.
func (w *world) approvedBy(contactID int64, by string) {
	w.t.Helper()
	var approved string
	w.scan(`select approved_by from contact where id = $1 and approved_at is not null`, &approved, contactID)
	if approved != by {
		w.t.Errorf("contact approved by %q", approved)
	}
}

// hasEvents wants events of these kinds in a case.
func (w *world) hasEvents(caseID int64, wanted ...casedb.EventKind) {
	w.t.Helper()
	kinds := w.events(caseID)
	for _, want := range wanted {
		if !slices.Contains(kinds, want) {
			w.t.Errorf("no event %s in %v", want, kinds)
		}
	}
}

// TestCoordinatorsWork goes through what a coordinator can do with a message.
func TestCoordinatorsWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := ispCase
	s.gate = casedb.GateApprove
	c := w.openCase(s)
	m := w.message(c, s, casedb.MessageHeld)
	const by = "coordinator"
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.EditMessage(ctx, m.ID, m.Version, "My subject", "My words\r\nsecond line", by, epoch)
	})
	w.fails(casedb.ErrStale, func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, m.ID, m.Version, by, epoch)
	})
	m = w.getMessage(m.ID)
	d, err := w.composer.Preview(t.Context(), w.db, m, epoch)
	if err != nil || d.Subject != "["+c.Number+"] My subject TLP:AMBER+STRICT" || d.Body != "My words\nsecond line\n" || len(d.CSV) == 0 {
		t.Errorf("preview %q %q %v", d.Subject, d.Body, err)
	}
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, m.ID, m.Version, by, epoch)
	})
	if c = w.getCase(c.ID); c.State != casedb.CaseOpen || c.Waiting != casedb.WaitingNone {
		t.Errorf("after the approval the case is %s waiting %q", c.State, c.Waiting)
	}
	w.approvedBy(*c.ContactID, by)
	m = w.getMessage(m.ID)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.HoldMessage(ctx, m.ID, m.Version, by, reason.Typed("wait for the phone call"), epoch)
	})
	if c = w.getCase(c.ID); c.Waiting != casedb.WaitingApproval {
		t.Errorf("a held message: the case waits for %q", c.Waiting)
	}
	w.fails(casedb.ErrConflict, func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.SendAgain(ctx, c.ID, c.Version, domain, false, by, epoch)
		return err
	})
	m = w.getMessage(m.ID)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.CancelMessage(ctx, m.ID, m.Version, by, reason.Typed("not needed"), epoch)
	})
	w.fails(casedb.ErrState, func(ctx context.Context, tx *casedb.Tx) error { return tx.ApproveMessage(ctx, m.ID, 0, by, epoch) })
	c = w.getCase(c.ID)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.SendAgain(ctx, c.ID, c.Version, domain, true, by, epoch)
		return err
	})
	server := startServer(t, &testServer{})
	w.do(w.sender(server.transport()).Do)
	if n := len(server.received()); n != 1 {
		t.Fatalf("%d mails, want 1", n)
	}
	c = w.getCase(c.ID)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.SendAgain(ctx, c.ID, c.Version, domain, false, by, epoch)
		return err
	})
	last := changesContact(t, w, c.ID, by)
	// Closing ends what waits.
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		c, err := tx.LockCase(ctx, c.ID)
		if err != nil {
			return err
		}
		return tx.CloseCase(ctx, &c, by, reason.Typed("done"), epoch)
	})
	if m := w.getMessage(last.ID); m.State != casedb.MessageCanceled {
		t.Errorf("the message of the closed case is %s", m.State)
	}
	c = w.getCase(c.ID)
	w.fails(casedb.ErrState, func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.SendAgain(ctx, c.ID, c.Version, domain, true, by, epoch)
		return err
	})
	w.hasEvents(c.ID, casedb.EventHeld, casedb.EventEdited, casedb.EventApproved, casedb.EventCanceled, casedb.EventQueued,
		casedb.EventSent, casedb.EventContact, casedb.EventClosed)
}

// changesContact gives a case another contact, and returns the letter that is held for it.
func changesContact(t *testing.T, w *world, caseID int64, by string) casedb.Message {
	t.Helper()
	// A contact that is another's, or none.
	c := w.getCase(caseID)
	for _, bad := range []string{"", "nobody", "a b@c.example", "a@b.example\r\nBcc: c@d.example"} {
		w.fails(casedb.ErrState, func(ctx context.Context, tx *casedb.Tx) error {
			_, err := tx.ChangeContact(ctx, c.ID, c.Version, casedb.ContactChange{Email: bad}, domain, by, epoch)
			return err
		})
	}
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.ChangeContact(ctx, c.ID, c.Version, casedb.ContactChange{Email: "noc@isp.example", Language: "en", Why: "by phone"}, domain, by, epoch)
		return err
	})
	msgs, err := w.db.CaseMessages(t.Context(), c.ID, 10)
	if err != nil || len(msgs) != 3 || msgs[2].Recipient != "noc@isp.example" || msgs[2].Language != "en" || msgs[2].State != casedb.MessageHeld {
		t.Fatalf("messages %+v, %v", msgs, err)
	}
	return msgs[2]
}

// TestClosingDuringAnAttempt pins that a mail on its way is not called
// canceled.
func TestClosingDuringAnAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, m := w.queued(ispCase)
	server := startServer(t, &testServer{rcpt: func(string) error {
		return w.db.InTx(t.Context(), func(tx *casedb.Tx) error {
			c, err := tx.LockCase(t.Context(), c.ID)
			if err != nil {
				return err
			}
			return tx.CloseCase(t.Context(), &c, "coordinator", reason.Typed("done"), epoch)
		})
	}})
	w.do(w.sender(server.transport()).Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent {
		t.Errorf("message is %s", m.State)
	}
	if c = w.getCase(c.ID); c.State != casedb.CaseClosed {
		t.Errorf("case is %s", c.State)
	}
}

func TestSuppressionsCanBeLifted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	until := epoch.Add(time.Hour)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return errors.Join(
			tx.Suppress(ctx, casedb.Suppression{Address: "A@isp.example", Why: reason.Of(reason.Other, "first"), CreatedAt: epoch, Until: &until}),
			tx.Suppress(ctx, casedb.Suppression{Address: " a@ISP.example ", Why: reason.Of(reason.Other, "second"), CreatedAt: epoch}))
	})
	s, err := w.db.Suppression(t.Context(), "a@isp.example", until.Add(time.Hour))
	if err != nil || s.Why.String() != "other: first" || s.Until != nil {
		t.Errorf("suppression %+v, %v", s, err)
	}
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.LiftSuppression(ctx, "a@isp.example", "coordinator", epoch)
	})
	if _, err := w.db.Suppression(t.Context(), "a@isp.example", epoch); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("lifted: %v", err)
	}
	if list, err := w.db.Suppressions(t.Context(), 0, 10, epoch); err != nil || len(list) != 0 {
		t.Errorf("suppressions %v, %v", list, err)
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	notification := casedb.Message{Purpose: casedb.PurposeNotification, Reason: "first"}
	approved := notification
	approved.ApprovedAt, approved.Overruled = &epoch2, []string{"acknowledged"}
	open, closed := casedb.Case{State: casedb.CaseOpen}, casedb.Case{State: casedb.CaseClosed}
	dead := &casedb.Suppression{Why: reason.Of(reason.Other, "bounced")}
	one := []casedb.LetterGroup{{Rule: "worm445", Sources: 1}}
	two := append(one[:1:1], casedb.LetterGroup{Rule: "mirai", Sources: 1})
	automatic := casedb.RuleLeave{Modes: map[string]casedb.RuleMode{"worm445": casedb.RuleAutomatic, "slammer": casedb.RuleAutomatic, "mirai": casedb.RuleHold}}
	once := casedb.RuleLeave{Modes: map[string]casedb.RuleMode{"worm445": casedb.RuleApproveOnce}}
	earned := casedb.RuleLeave{Modes: once.Modes, Approved: []string{"worm445"}}
	night := notify.QuietHours{From: 22 * time.Hour, To: 7 * time.Hour}
	midnight := time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC) // in Japan
	paused := open
	week := midnight.Add(7 * 24 * time.Hour)
	paused.PausedUntil = &week
	tired := casedb.Message{Purpose: casedb.PurposeNotification, Attempts: 8}
	approved.ApprovedBy = "coordinator"
	for _, test := range []struct {
		name  string
		facts notify.Facts
		want  notify.Action
		why   string
	}{
		{"first", notify.Facts{Message: notification, Case: &open, Accused: one, Leave: automatic}, notify.ActionSend, ""},
		{"closed", notify.Facts{Message: notification, Case: &closed}, notify.ActionCancel, "closed"},
		{"answer in a closed case", notify.Facts{Message: casedb.Message{Purpose: casedb.PurposeAnswer}, Case: &closed}, notify.ActionSend, ""},
		{"restored since", notify.Facts{Message: approved, Case: &open, Accused: one, Leave: automatic, Restored: epoch2.Add(time.Hour)}, notify.ActionHold, "restored"},
		{"restored since, approved then", notify.Facts{Message: approved, Case: &open, Accused: one, Restored: epoch2.Add(-time.Hour)}, notify.ActionSend, ""},
		{"answer, restored since", notify.Facts{Message: casedb.Message{Purpose: casedb.PurposeAnswer}, Case: &open, Restored: epoch2}, notify.ActionHold, "restored"},
		{"written after the restore", notify.Facts{Message: casedb.Message{Purpose: casedb.PurposeAnswer, CreatedAt: epoch2}, Case: &open, Restored: epoch2}, notify.ActionSend, ""},
		{"suppressed", notify.Facts{Message: notification, Case: &open, Suppression: dead}, notify.ActionFail, "bounced"},
		{"confirmation to a suppressed address", notify.Facts{Message: casedb.Message{Purpose: casedb.PurposeConfirmation}, Suppression: dead}, notify.ActionFail, "bounced"},
		{"acknowledged", notify.Facts{Message: notification, Case: &open, Acknowledged: []string{"X"}}, notify.ActionHold, "X"},
		{"acknowledged and approved even so", notify.Facts{Message: approved, Case: &open, Acknowledged: []string{"X"}, Accused: two}, notify.ActionSend, ""},
		{"one of two rules holds", notify.Facts{Message: notification, Case: &open, Accused: two, Leave: automatic}, notify.ActionHold, "rule-holds"},
		{"nobody set a mode", notify.Facts{Message: notification, Case: &open, Accused: one}, notify.ActionHold, "rule-holds"},
		{"nothing left to say", notify.Facts{Message: approved, Case: &open, Leave: automatic}, notify.ActionHold, "none-left"},
		{"settled words about others", notify.Facts{Message: approved, Case: &open, Accused: one, Lost: []string{"192.0.2.1"}}, notify.ActionHold, "192.0.2.1"},
		{"approved, then the contact changed", notify.Facts{Message: approved, Case: &open, ContactRetired: true}, notify.ActionHold, "contact"},
		{"first of a rule", notify.Facts{Message: notification, Case: &open, Accused: one, Leave: once}, notify.ActionHold, "rule-first"},
		{"first of a rule, approved", notify.Facts{Message: approved, Case: &open, Accused: one, Leave: once}, notify.ActionSend, ""},
		{"second of a rule", notify.Facts{Message: notification, Case: &open, Accused: one, Leave: earned}, notify.ActionSend, ""},
		{"second of one rule, first of another", notify.Facts{Message: notification, Case: &open, Accused: two, Leave: earned}, notify.ActionHold, "rule-holds"},
		{"paused by the owner", notify.Facts{Message: notification, Case: &paused, Accused: one, Leave: automatic, Now: midnight}, notify.ActionDelay, "paused"},
		{"paused, and approved all the same", notify.Facts{Message: approved, Case: &paused, Accused: one, Now: midnight}, notify.ActionSend, ""},
		{"after the pause", notify.Facts{Message: notification, Case: &paused, Accused: one, Leave: automatic, Now: midnight.Add(8 * 24 * time.Hour)}, notify.ActionSend, ""},
		{"at night", notify.Facts{Message: notification, Case: &open, Accused: one, Leave: automatic, Quiet: night, Now: midnight, Country: "JP"}, notify.ActionDelay, "quiet"},
		{"at night, approved", notify.Facts{Message: approved, Case: &open, Accused: one, Quiet: night, Now: midnight, Country: "JP"}, notify.ActionSend, ""},
		{"at somebody else's night", notify.Facts{Message: notification, Case: &open, Accused: one, Leave: automatic, Quiet: night, Now: midnight, Country: "DE"}, notify.ActionSend, ""},
		{"held rather than delayed", notify.Facts{Message: notification, Case: &open, Accused: one, Quiet: night, Now: midnight, Country: "JP"}, notify.ActionHold, "rule-holds"},
		{"after eight tries", notify.Facts{Message: tired, Case: &open, Accused: one, Leave: automatic}, notify.ActionFail, "gave-up: 8"},
	} {
		if got := notify.Decide(test.facts); got.Action != test.want || !strings.Contains(got.Why.String(), test.why) {
			t.Errorf("%s: %+v, want %s because of %q", test.name, got, test.want, test.why)
		}
	}
}

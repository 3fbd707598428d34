package notify_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/notify"

	"teiten/internal/reason"
)

// seedFor finds a seed with which the case is drawn for the arm.
func seedFor(number string, arm casedb.Arm) string {
	for i := 0; ; i++ {
		seed := fmt.Sprint("seed ", i)
		if (casework.DrawNumber(seed, number) < 0.5) == (arm == casedb.ArmControl) {
			return seed
		}
	}
}

// drawn is a sender that draws the case for the arm, and its server.
func (w *world) drawn(c casedb.Case, arm casedb.Arm) (*notify.Sender, *testServer) {
	server := startServer(w.t, &testServer{})
	s := w.sender(server.transport())
	s.Control = casework.Control{Share: 0.5, Days: 14, Rules: []string{"worm445", "slammer"}, Seed: seedFor(c.Number, arm),
		Critical: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	return s, server
}

func (w *world) draw(c casedb.Case) casedb.ControlDraw {
	w.t.Helper()
	d, err := w.db.ControlDraw(w.t.Context(), c.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// seeLater moves the last packet of the case's sources to now.
func (w *world) seeLater() {
	w.t.Helper()
	w.exec(`update verdict set last_at = $1 where superseded_at is null`, w.clock.now())
	w.exec(`update source set last_at = $1`, w.clock.now())
}

func (w *world) sent(want int, when string) {
	w.t.Helper()
	var n int
	if w.scan(`select count(*) from message_attempt`, &n); n != want {
		w.t.Errorf("%d attempts %s, want %d", n, when, want)
	}
}

// TestNoMailLeavesForAControl before its time, whether its letter went on its
// own or was approved, however often it is approved again; then it is decided
// about as usual.
func TestNoMailLeavesForAControl(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, m := w.queued(ispCase)
	s, _ := w.drawn(c, casedb.ArmControl)
	plan, err := (&notify.Planner{DB: w.db, Control: s.Control}).Queue(t.Context(), 0, 10, w.clock.now())
	if err != nil || len(plan.Lines) != 1 || plan.Lines[0].Decision.Action != notify.ActionDelay || plan.Lines[0].Decision.Why.String() != "control" {
		t.Errorf("plan %+v, %v", plan, err)
	}
	w.do(s.Do)
	w.sent(0, "at the draw")
	d := w.draw(c)
	if d.Arm != casedb.ArmControl || !d.Until.Equal(epoch.Add(14*24*time.Hour)) || d.Drawn != casework.DrawNumber(d.Seed, c.Number) || d.Share != 0.5 {
		t.Errorf("draw %+v", d)
	}
	var arms string
	w.scan(`select string_agg(format('%s %s %s', host(source), arm, drawn), ',' order by source) from followup`, &arms)
	if arms != "192.0.2.10 control t,192.0.2.11 control t" {
		t.Errorf("followed: %s", arms)
	}
	list, err := w.db.ListCases(t.Context(), casedb.CaseFilter{Control: true}, casedb.CaseCursor{}, false, 10)
	if err != nil || len(list.Rows) != 1 || list.Rows[0].ControlUntil == nil {
		t.Errorf("list of controls %+v, %v", list, err)
	}
	// Held and approved by a coordinator: it is a control still.
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.HoldMessage(ctx, m.ID, w.getMessage(m.ID).Version, "taro", reason.Typed("look"), w.clock.now())
	})
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, m.ID, w.getMessage(m.ID).Version, "taro", w.clock.now())
	})
	w.clock.advance(14*24*time.Hour - time.Minute)
	w.seeLater()
	w.do(s.Do)
	w.sent(0, "a minute before its time")
	w.exec(`update message set next_attempt_at = $1`, w.clock.now())
	if err := w.db.InTx(t.Context(), func(tx *casedb.Tx) error {
		due := w.getMessage(m.ID)
		due.Raw = []byte("mail")
		return tx.BeginAttempt(t.Context(), &due, w.clock.now(), w.clock.now())
	}); !errors.Is(err, casedb.ErrStale) {
		t.Errorf("an attempt for a control: %v", err)
	}
	w.clock.advance(2 * time.Minute)
	w.seeLater()
	w.exec(`update message set next_attempt_at = $1`, w.clock.now())
	w.do(s.Do)
	w.sent(1, "after its time")
	if n, err := s.Control.Keep(t.Context(), w.db, w.clock.now()); n != 1 || err != nil {
		t.Errorf("%d controls ended, %v", n, err)
	}
	if d = w.draw(c); d.EndKind != casedb.ControlOver || !d.EndedAt.Equal(*d.Until) {
		t.Errorf("draw %+v", d)
	}
	for _, change := range []string{`update control_draw set drawn = 0.1`, `update control_draw set end_why = '[{"code":"control-ics"}]'`, `delete from control_draw`} {
		if _, err := w.db.SQL().Exec(change); err == nil {
			t.Errorf("%s is possible", change)
		}
	}
}

// TestAControlThatWasNotSeenAgainIsHeld: a person decides whether that is worth
// a mail.
func TestAControlThatWasNotSeenAgainIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, m := w.queued(ispCase)
	s, _ := w.drawn(c, casedb.ArmControl)
	w.do(s.Do)
	w.clock.advance(15 * 24 * time.Hour)
	w.do(s.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageHeld || m.HoldWhy.String() != "control-quiet" {
		t.Fatalf("message %s: %s", m.State, m.HoldWhy)
	}
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, m.ID, m.Version, "taro", w.clock.now())
	})
	w.do(s.Do)
	w.sent(1, "after the approval")
}

// TestThoseToldAtOnceAreDrawnToo, once, and followed from the draw on.
func TestThoseToldAtOnceAreDrawnToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := w.queued(ispCase)
	s, _ := w.drawn(c, casedb.ArmNotified)
	w.do(s.Do)
	w.sent(1, "at once")
	if d := w.draw(c); d.Arm != casedb.ArmNotified || d.Until != nil {
		t.Errorf("draw %+v", d)
	}
	var n int
	if w.scan(`select count(*) from followup where drawn and arm = 'notified'`, &n); n != 2 {
		t.Errorf("%d sources are followed from the draw on", n)
	}
}

// tellOfAnotherKind opens another case of the owner, of another kind, and sends its letter.
func (w *world) tellOfAnotherKind(c casedb.Case, s *notify.Sender) {
	other := ispCase
	other.kind, other.malware, other.sources = casedb.KindMisconfigured, "", []string{"192.0.2.50"}
	w.rule("misconfigured", casedb.RuleAutomatic)
	sources := w.see(other)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		o, _, _, err := tx.OpenOrJoinCase(ctx, casedb.NewCase{OwnerID: c.OwnerID, Kind: other.kind, ContactID: c.ContactID, Language: "ja",
			Sources: sources, Actor: "test"}, w.clock.now())
		if err != nil {
			return err
		}
		now := w.clock.now()
		m := casedb.Message{CaseID: &o.ID, ContactID: c.ContactID, Purpose: casedb.PurposeNotification, State: casedb.MessageQueued, Reason: "first",
			Recipient: other.email, Language: "ja", CreatedAt: now, NextAttemptAt: &now}
		m.HeaderID, m.Token = casedb.NewIdentity(domain)
		_, err = tx.InsertMessage(ctx, m, "test")
		return err
	})
	w.do(s.Do)
	var told string
	w.scan(`select string_agg(host(source), ',') from message_source ms join message m on m.id = ms.message_id where m.reason = 'first' and m.case_id <> 1`, &told)
	if told != "192.0.2.50" {
		w.t.Errorf("the other letter told of %s", told)
	}
}

// TestControlsEnd: by hand, by another mail to the owner, by becoming severe,
// and with the case. The letter is due then.
func TestControlsEnd(t *testing.T) {
	t.Parallel()
	by := map[casedb.ControlEnd]func(w *world, c casedb.Case, s *notify.Sender){
		casedb.ControlHand: func(w *world, c casedb.Case, _ *notify.Sender) {
			w.tx(func(ctx context.Context, tx *casedb.Tx) error {
				locked, err := tx.LockCase(ctx, c.ID)
				if err != nil {
					return err
				}
				return tx.EndControl(ctx, &locked, casedb.ControlHand, "taro", reason.Typed("the press asks"), w.clock.now())
			})
		},
		// Another case of the owner, of another kind: its letter is not delayed.
		casedb.ControlContaminated: (*world).tellOfAnotherKind,
		casedb.ControlSevere: func(w *world, c casedb.Case, s *notify.Sender) {
			more := ispCase
			more.malware, more.rule, more.sources = casedb.MalwareMirai, "mirai", []string{"192.0.2.60"}
			w.rule("mirai", casedb.RuleAutomatic)
			w.join(c, more)
			if n, err := s.Control.Keep(w.t.Context(), w.db, w.clock.now()); n != 1 || err != nil {
				w.t.Errorf("%d controls ended, %v", n, err)
			}
		},
		casedb.ControlCase: func(w *world, c casedb.Case, _ *notify.Sender) {
			w.tx(func(ctx context.Context, tx *casedb.Tx) error {
				locked, err := tx.LockCase(ctx, c.ID)
				if err != nil {
					return err
				}
				return tx.CloseCase(ctx, &locked, "taro", nil, w.clock.now())
			})
		},
	}
	for kind, end := range by {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c, m := w.queued(ispCase)
			s, _ := w.drawn(c, casedb.ArmControl)
			w.do(s.Do)
			w.clock.advance(3 * 24 * time.Hour)
			w.seeLater()
			w.sent(0, "before the end")
			end(w, c, s)
			d := w.draw(c)
			if d.EndKind != kind || d.EndedAt == nil || !d.EndedAt.Equal(w.clock.now()) {
				t.Errorf("draw %+v", d)
			}
			w.do(s.Do)
			want := casedb.MessageSent
			if kind == casedb.ControlCase {
				want = casedb.MessageCanceled
			}
			if m = w.getMessage(m.ID); m.State != want {
				t.Errorf("the letter is %s: %s", m.State, m.LastError)
			}
		})
	}
}

// TestSevereCasesAreNeverDrawn: their letters go at once, and no draw is made.
func TestSevereCasesAreNeverDrawn(t *testing.T) {
	t.Parallel()
	many := ispCase
	many.sources = nil
	for i := range 6 {
		many.sources = append(many.sources, fmt.Sprintf("192.0.2.%d", 100+i))
	}
	mirai, critical := ispCase, ispCase
	mirai.malware, mirai.rule = casedb.MalwareMirai, "mirai"
	critical.sources = []string{"203.0.113.7"}
	for name, test := range map[string]struct {
		spec   spec
		change string
	}{
		"many sources":         {many, ""},
		"a bot":                {mirai, ""},
		"a critical network":   {critical, ""},
		"sure at many sensors": {ispCase, `update verdict set confidence = 0.96, evidence = '{"sensors":3}'`},
		"control systems":      {ispCase, `update verdict set evidence = '{"notes":["ics"]}'`},
		"the owner was mailed": {ispCase, `with o as (insert into cases (number, owner_id, kind, state, language, created_at, updated_at)
			select 'TT-2026-000099', owner_id, 'scanner', 'notified', 'ja', now(), now() from cases returning id)
			insert into message (case_id, purpose, state, recipient, language, message_id, token, attempts, created_at, sent_at)
			select id, 'notification', 'sent', 'x@isp.example', 'ja', 'y', 'y', 1, now(), now() from o`},
		"words of a coordinator": {ispCase, `with m as (update message set edited = true, subject = 'x', body = 'y', approved_by = 'taro' returning id, case_id)
			insert into message_source select m.id, s.source from m join case_source s using (case_id)`},
		"not the first letter": {ispCase, `update message set reason = 'again'`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.rule("mirai", casedb.RuleAutomatic)
			c, m := w.queued(test.spec)
			s, _ := w.drawn(c, casedb.ArmControl)
			if test.change != "" {
				w.exec(test.change)
			}
			w.do(s.Do)
			if m = w.getMessage(m.ID); m.State != casedb.MessageSent {
				t.Errorf("message %s: %s", m.State, m.LastError)
			}
			if _, err := w.db.ControlDraw(t.Context(), c.ID); !errors.Is(err, casedb.ErrNotFound) {
				t.Errorf("it was drawn: %v", err)
			}
		})
	}
}

package notify_test

import (
	"context"
	"io"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/notify"
)

// sendTo is a transport that notes the recipients, after doing something.
type sendTo struct {
	to     []string
	during func() error
}

func (s *sendTo) Send(_ context.Context, e notify.Envelope, mail io.Reader) (notify.Receipt, error) {
	if _, err := io.Copy(io.Discard, mail); err != nil {
		return notify.Receipt{}, err
	}
	s.to = append(s.to, e.To)
	if s.during != nil {
		if err := s.during(); err != nil {
			return notify.Receipt{}, err
		}
	}
	return notify.Receipt{Code: 250}, nil
}

// enter writes an entry of the directory, with what follows from it.
func (w *world) enter(scope casedb.DirectoryScope, target, email string) {
	w.t.Helper()
	e := casedb.DirectoryEntry{Scope: scope, Target: target, Email: email, Language: "en"}
	if err := e.Check(); err != nil {
		w.t.Fatal(err)
	}
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.PutDirectoryEntries(ctx, []casedb.DirectoryEntry{e}, "taro", w.clock.now())
		return err
	})
}

func (w *world) end(target string) {
	w.t.Helper()
	var id int64
	w.scan(`select id from directory_entry where target = $1 and ended_at is null`, &id, target)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.EndDirectoryEntry(ctx, id, "taro", w.clock.now())
	})
}

// TestDirectoryChangesBeforeALetterGoes: a letter that waits does not go to
// a contact that the directory has replaced, and is not lost.
func TestDirectoryChangesBeforeALetterGoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		before, change func(*world)
		held           string // why it is, before anybody approves; empty: it is sent
		sent           bool   // when a coordinator approves it after that
	}{
		{"nothing", func(*world) {}, func(*world) {}, "", false},
		{"a prefix", func(*world) {}, func(w *world) { w.enter(casedb.ScopePrefix, "192.0.2.0/28", "dept@example.net") }, "none-left", false},
		{"an organisation", func(*world) {}, func(w *world) { w.enter(casedb.ScopeOrganisation, ispCase.owner, "csirt@example.net") }, "contact-replaced", true},
		{"another organisation", func(*world) {}, func(w *world) { w.enter(casedb.ScopeOrganisation, "Example", "csirt@example.net") }, "", false},
		{"the same address", func(*world) {}, func(w *world) { w.enter(casedb.ScopeOrganisation, ispCase.owner, "ABUSE@isp.example") }, "", false},
		{"a country", func(*world) {}, func(w *world) { w.enter(casedb.ScopeCountry, "JP", "cert@example.net") }, "", false},
		{"known before", func(w *world) { w.enter(casedb.ScopeOrganisation, ispCase.owner, "csirt@example.net") }, func(*world) {}, "", false},
		{"ended", func(w *world) { w.enter(casedb.ScopeOrganisation, ispCase.owner, "csirt@example.net") }, func(w *world) { w.end("example internet service (japan)") }, "", false},
		{"suppressed", func(*world) {}, func(w *world) {
			w.enter(casedb.ScopeOrganisation, ispCase.owner, "csirt@example.net")
			w.exec(`insert into suppression (address, why, created_at) values ('csirt@example.net', '[{"code":"other","args":["bounced"]}]', $1)`, epoch)
		}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.openCase(ispCase)
			tt.before(w)
			w.clock.advance(time.Minute)
			m := w.message(c, ispCase, casedb.MessageQueued)
			w.clock.advance(time.Minute)
			tt.change(w)
			tr := &sendTo{}
			w.do(w.sender(tr).Do)
			m = w.getMessage(m.ID)
			if tt.held == "" {
				if m.State != casedb.MessageSent || len(tr.to) != 1 || tr.to[0] != ispCase.email {
					t.Errorf("got %s [%s], sent to %v", m.State, m.HoldWhy, tr.to)
				}
				return
			}
			if m.State != casedb.MessageHeld || m.HoldWhy.String() != tt.held || len(tr.to) != 0 {
				t.Fatalf("got %s [%s], sent to %v", m.State, m.HoldWhy, tr.to)
			}
			w.clock.advance(time.Minute)
			w.approve(m)
			w.do(w.sender(tr).Do)
			if m = w.getMessage(m.ID); (m.State == casedb.MessageSent) != tt.sent {
				t.Errorf("approved: got %s [%s], sent to %v", m.State, m.HoldWhy, tr.to)
			}
		})
	}
}

// TestDirectoryEntryEndsWhileALetterIsSent: the attempt under way is recorded as
// it ends, a letter that arrived goes out once, and one that did not is held.
func TestDirectoryEntryEndsWhileALetterIsSent(t *testing.T) {
	t.Parallel()
	for _, arrives := range []bool{true, false} {
		w := newWorld(t)
		c := w.openCase(ispCase)
		w.enter(casedb.ScopeOrganisation, ispCase.owner, "csirt@example.net")
		w.scan(`update cases set contact_id = (select id from contact where email = 'csirt@example.net') returning contact_id`, &c.ContactID)
		s := ispCase
		s.email = "csirt@example.net"
		m := w.message(c, s, casedb.MessageHeld)
		w.approve(m)
		tr := &sendTo{}
		tr.during = func() error {
			w.end("example internet service (japan)")
			if !arrives {
				return &notify.SendError{Code: 451, Enhanced: "4.2.0", Command: "RCPT", Response: "later"}
			}
			return nil
		}
		w.do(w.sender(tr).Do)
		tr.during = nil
		w.clock.advance(24 * time.Hour)
		w.do(w.sender(tr).Do)
		m = w.getMessage(m.ID)
		want := casedb.MessageHeld
		if arrives {
			want = casedb.MessageSent
		}
		if m.State != want || len(tr.to) != 1 {
			t.Errorf("arrives %v: got %s [%s], sent to %v", arrives, m.State, m.HoldWhy, tr.to)
		}
	}
}

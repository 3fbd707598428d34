package notify_test

import (
	"context"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
	"teiten/notify"
)

// twoGuards is a message about two sources that one guard after the other can
// hold: acknowledge makes one source an acknowledged scanner, replace makes the
// registry name another contact.
func twoGuards(t *testing.T) (w *world, m casedb.Message, s *notify.Sender, acknowledge, replace func()) {
	t.Helper()
	w = newWorld(t)
	spec := ispCase
	spec.sources = []string{"192.0.2.10", "192.0.2.11"}
	_, m = w.queued(spec)
	acknowledge = func() {
		w.exec(`insert into scanner (prefix, organisation, list, created_at) values ('192.0.2.11/32', 'Example Research Institute', 'test', $1)`, w.clock.now())
	}
	replace = func() { w.exec(`update contact set retired_at = $1`, w.clock.now()) }
	return w, m, w.sender(&sendTo{}), acknowledge, replace
}

// hold wants a message to be held for these codes.
func (w *world) wantHeld(m casedb.Message, want string) casedb.Message {
	w.t.Helper()
	m = w.getMessage(m.ID)
	if got := m.HoldWhy.String(); m.State != casedb.MessageHeld || got != want {
		w.t.Fatalf("message is %s because of %q, want it held because of %q", m.State, got, want)
	}
	return m
}

// TestAnApprovalOverrulesEveryGuard: a letter whose source is acknowledged and
// whose contact was replaced is held once, for both, and not for ever.
func TestAnApprovalOverrulesEveryGuard(t *testing.T) {
	t.Parallel()
	w, m, s, acknowledge, replace := twoGuards(t)
	acknowledge()
	replace()
	w.do(s.Do)
	m = w.wantHeld(m, "acknowledged: Example Research Institute; contact-replaced")
	w.approve(m)
	w.do(s.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent {
		t.Fatalf("approved for both: %s because of %s", m.State, m.HoldWhy)
	}
}

// TestALaterGuardStillHolds: an overruled guard stays overruled, and a later guard
// is named with it, also after a coordinator held the letter by hand.
func TestALaterGuardStillHolds(t *testing.T) {
	t.Parallel()
	w, m, s, acknowledge, replace := twoGuards(t)
	acknowledge()
	w.do(s.Do)
	m = w.wantHeld(m, "acknowledged: Example Research Institute")
	w.approve(m)
	replace()
	w.clock.advance(time.Minute)
	w.do(s.Do)
	m = w.wantHeld(m, "acknowledged: Example Research Institute; contact-replaced")
	w.approve(m)
	m = w.getMessage(m.ID)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.HoldMessage(ctx, m.ID, m.Version, "taro", reason.Typed("wait for the call"), w.clock.now())
	})
	w.approve(w.wantHeld(m, "person: wait for the call"))
	w.do(s.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent {
		t.Fatalf("approved for both: %s because of %s", m.State, m.HoldWhy)
	}
}

// TestTypedWordsOverruleNothing: a coordinator's reason that reads like one of
// the program's is no reason of the program's.
func TestTypedWordsOverruleNothing(t *testing.T) {
	t.Parallel()
	for _, typed := range []string{"acknowledged scanner", "acknowledged scanner: says taro", "acknowledged", "contact replaced", "contact-replaced",
		`[{"code":"acknowledged","args":["x"]}]`} {
		w, m, s, acknowledge, replace := twoGuards(t)
		w.tx(func(ctx context.Context, tx *casedb.Tx) error {
			return tx.HoldMessage(ctx, m.ID, m.Version, "taro", reason.Typed(typed), w.clock.now())
		})
		acknowledge()
		replace()
		w.approve(w.wantHeld(m, "person: "+typed))
		w.do(s.Do)
		w.wantHeld(m, "acknowledged: Example Research Institute; contact-replaced")
	}
}

// TestAnotherContactIsAnotherDecision: a guard that was overruled for one
// contact is not overruled for the next.
func TestAnotherContactIsAnotherDecision(t *testing.T) {
	t.Parallel()
	w, m, s, _, replace := twoGuards(t)
	replace()
	w.do(s.Do)
	w.approve(w.wantHeld(m, "contact-replaced"))
	c := w.getCase(*m.CaseID)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.ChangeContact(ctx, c.ID, c.Version, casedb.ContactChange{Email: "noc@isp.example", Why: "they asked"}, domain, "taro", w.clock.now())
		return err
	})
	m = w.wantHeld(m, "contact-changed")
	w.approve(m)
	replace()
	w.do(s.Do)
	w.wantHeld(m, "contact-replaced")
}

// TestTheNextContactIsGuardedToo: a letter that is held because its contact was
// replaced gets another contact. Approving it then overrules nothing about that
// one, which is replaced in its turn before the letter leaves.
func TestTheNextContactIsGuardedToo(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		w, m, s, acknowledge, replace := twoGuards(t)
		held, wanted, again := "contact-replaced", "contact-changed", "contact-replaced"
		if both {
			acknowledge()
			guard := "acknowledged: Example Research Institute"
			held, wanted, again = guard+"; contact-replaced", guard, guard+"; contact-replaced"
		}
		replace()
		w.do(s.Do)
		m = w.wantHeld(m, held)
		c := w.getCase(*m.CaseID)
		w.tx(func(ctx context.Context, tx *casedb.Tx) error {
			_, err := tx.ChangeContact(ctx, c.ID, c.Version, casedb.ContactChange{Email: "noc@isp.example", Why: "they asked"}, domain, "taro", w.clock.now())
			return err
		})
		w.approve(w.wantHeld(m, wanted))
		replace()
		w.do(s.Do)
		w.wantHeld(m, again)
	}
}

package casework_test

import (
	"fmt"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
)

// released asks for the letters of the rule and compares what became of them.
func (d *desk) released(want casework.Released) {
	d.t.Helper()
	r := casework.Releaser{DB: d.db, FirstContactByGate: d.opener.FirstContactByGate}
	got, err := r.Release(d.t.Context(), "worm445", "lead", d.now)
	if err != nil || got != want {
		d.t.Errorf("release: got %+v, %v, want %+v", got, err, want)
	}
}

func (d *desk) heldForRule() int {
	d.t.Helper()
	n, err := d.db.CountHeldForRules(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return n["worm445"]
}

const message = `select state || ' ' || approved_by || ' ' || cardinality(overruled) || ' ' || coalesce(hold_why->0->>'code', '') from message`

// heldLetter opens a case whose letter is held because its rule holds.
func heldLetter(t *testing.T) *desk {
	d := newDesk(t, nil)
	d.opener.FirstContactByGate = true
	d.see("192.0.2.80")
	if _, err := d.opener.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.work()
	d.exec(`update contact set gate = 'auto', valid = true`)
	d.open()
	d.want(message, "held  0 rule-holds")
	if d.heldForRule() != 0 {
		t.Error("a rule that holds has letters to release")
	}
	return d
}

func TestHeldLettersOfAnAutomaticRuleAreReleased(t *testing.T) {
	t.Parallel()
	d := heldLetter(t)
	d.released(casework.Released{}) // the rule still holds
	d.mode(casedb.RuleAutomatic)
	if n := d.heldForRule(); n != 1 {
		t.Fatalf("got %d letters to release, want 1", n)
	}
	d.released(casework.Released{Released: 1})
	d.want(message, "queued  0 rule-holds") // nobody approved it, and nothing is overruled
	d.want(`select (approved_at is null and next_attempt_at is not null)::text from message`, "true")
	d.want(`select state || ' ' || waiting from cases`, "open ")
	d.want(`select kind || ' ' || actor from case_event order by id desc limit 1`, "message-queued lead")
	d.released(casework.Released{})
}

// TestReleaseOverrulesNoOtherGuard: a held letter names only the first of the
// reasons that it had.
func TestReleaseOverrulesNoOtherGuard(t *testing.T) {
	t.Parallel()
	for what, other := range map[string]struct {
		change func(d *desk)
		why    string
	}{
		"the first letter to a contact": {func(d *desk) { d.opener.FirstContactByGate = false }, "contact-first"},
		"a contact by hand":             {func(d *desk) { d.exec(`update contact set gate = 'human'`) }, "contact-by-hand"},
		"a contact to approve":          {func(d *desk) { d.exec(`update contact set gate = 'approve', approved_at = null`) }, "contact-approval"},
		"a contact that is gone":        {func(d *desk) { d.exec(`update contact set retired_at = $1`, d.now) }, "contact-replaced"},
		"a reply":                       {func(d *desk) { d.exec(`update cases set waiting = 'reply'`) }, "case-waits"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := heldLetter(t)
			d.mode(casedb.RuleAutomatic)
			other.change(d)
			d.released(casework.Released{Kept: 1})
			d.want(message, "held  0 "+other.why)
			if n := d.heldForRule(); n != 0 {
				t.Errorf("got %d letters that the rule still holds", n)
			}
		})
	}
	for what, change := range map[string]string{
		"held by a coordinator":       `update message set hold_why = '[{"code":"by-hand"}]'`,
		"held for a doubt, too":       `update message set hold_why = hold_why || '[{"code":"source-lost","args":["192.0.2.80"]}]'`,
		"edited":                      `update message set edited = true`,
		"with a source of other rule": `update message set rules = rules || '{mirai}'`,
		"decided about":               `update message set state = 'canceled'`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := heldLetter(t)
			d.mode(casedb.RuleAutomatic)
			d.exec(change)
			d.released(casework.Released{})
		})
	}
}

// TestReleaseKeepsTheDayBetweenLetters: what the opener would send later is not
// sent now.
func TestReleaseKeepsTheDayBetweenLetters(t *testing.T) {
	t.Parallel()
	d := heldLetter(t)
	d.exec(`update message set reason = 'new-sources'`)
	d.exec(`insert into message (case_id, contact_id, purpose, state, reason, recipient, language, message_id, token, created_at, sent_at, attempts)
		select case_id, contact_id, purpose, 'sent', 'first', recipient, language, 'earlier@teiten.example', 'earlier', $1, $1, 1 from message`, d.now.Add(-time.Hour))
	d.mode(casedb.RuleAutomatic)
	d.released(casework.Released{Released: 1})
	d.want(`select to_char(next_attempt_at at time zone 'UTC', 'DD HH24:MI') from message where reason = 'new-sources'`,
		fmt.Sprint(d.now.Add(23*time.Hour).Format("02 15:04")))
}

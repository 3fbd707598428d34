package casework_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/casework"
)

// seeAgain sees sources whose verdict stands.
func (d *desk) seeAgain(addrs ...string) {
	d.t.Helper()
	for _, a := range addrs {
		d.exec(`update source set last_at = $2 where address = $1`, a, d.now)
		d.exec(`update verdict set last_at = $2 where source = $1 and superseded_at is null`, a, d.now)
	}
}

func (d *desk) remind() int {
	d.t.Helper()
	n, err := d.opener.Remind(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

func (d *desk) send() {
	d.t.Helper()
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return d.attempt(ctx, tx, casedb.AttemptSent) })
}

// TestOwnersAreRemindedOfWhatIsStillActive: of that alone, twice and not
// again.
func TestOwnersAreRemindedOfWhatIsStillActive(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.opener.Reminders = casework.Reminders{14 * oneDay, 30 * oneDay}
	d.see("192.0.2.10", "192.0.2.11", "192.0.2.12")
	d.open()
	d.send()
	d.now = d.now.Add(13 * oneDay)
	d.seeAgain("192.0.2.10", "192.0.2.12")
	if n := d.remind(); n != 0 {
		t.Fatalf("%d reminders after 13 days", n)
	}
	d.now = d.now.Add(oneDay)
	d.exec(`update verdict set attention = 'contradiction', tell = false where source = '192.0.2.12'`)
	if n := d.remind(); n != 1 {
		t.Fatalf("%d reminders after 14 days, want 1", n)
	}
	if n := d.remind(); n != 0 {
		t.Fatalf("%d more reminders at once", n)
	}
	d.want(`select format('%s %s [%s] %s', state, reason, coalesce(hold_why->0->>'code', ''), rules) from message where id = 2`, "queued still-active [] {worm445}")
	d.want(`select string_agg(host(source), ' ' order by source) from message_source where message_id = 2`, "192.0.2.10")
	d.want(`select format('%s %s', kind, data->>'reason') from case_event order by id desc limit 1`, "message-queued still-active")
	// A source that joins now is not said to be still active; it gets a letter
	// of its own.
	d.see("192.0.2.13")
	d.open()
	d.send()
	d.want(`select string_agg(host(source), ' ' order by source) from message_source where message_id = 2`, "192.0.2.10")
	d.open()
	d.want(`select format('%s %s', state, reason) from message where id = 3`, "queued new-sources")
	d.now = d.now.Add(2 * oneDay)
	d.send()
	for i, wait := range []time.Duration{29 * oneDay, oneDay, 100 * oneDay} {
		d.now = d.now.Add(wait)
		d.seeAgain("192.0.2.10")
		want := 0
		if i == 1 {
			want = 1
		}
		if n := d.remind(); n != want {
			t.Errorf("%d reminders %s later, want %d", n, wait, want)
		}
		if want == 1 {
			d.send()
		}
	}
	d.want(`select string_agg(reason, ' ' order by id) from message`, "first still-active new-sources still-active")
}

// TestARecoveryIsToldOnce: before the case ends, and only where somebody wants
// it.
func TestARecoveryIsToldOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.see("192.0.2.10")
	d.open()
	tell := func() bool {
		t.Helper()
		done, err := d.opener.TellRecovered(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	d.opener.Recovered = true
	if tell() {
		t.Error("the recovery of what nobody was told about")
	}
	d.send()
	d.opener.Recovered = false
	if tell() {
		t.Error("a recovery that nobody wanted to hear of was told")
	}
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error {
		c, err := tx.LockCase(ctx, 1)
		if err != nil {
			return err
		}
		return tx.SetTellRecovered(ctx, &c, true, "taro", d.now)
	})
	d.now = d.now.Add(20 * oneDay)
	d.exec(`insert into suppression (address, why, created_at) values ('abuse@isp.example', '[{"code":"other","args":["test"]}]', $1)`, d.now)
	if tell() {
		t.Error("the recovery was told to a dead address")
	}
	d.want(`select waiting from cases`, "")
	d.exec(`delete from suppression`)
	if !tell() || tell() {
		t.Error("the recovery was not told once")
	}
	d.want(`select format('%s %s [%s]', state, reason, coalesce(hold_why->0->>'code', '')) from message where id = 2`, "queued recovered []")
	d.send()
	if tell() {
		t.Error("the recovery was told again")
	}
}

// TestNobodyIsRemindedWhileSomebodyIsAtIt: what waits for a coordinator, has
// ended, or has a mail under way is left alone; a case that was answered is
// held.
func TestNobodyIsRemindedWhileSomebodyIsAtIt(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		`waiting = 'reply', waiting_since = now()`:  "",
		`waiting = 'bounce', waiting_since = now()`: "",
		`state = 'closed', closed_at = now()`:       "",
		`state = 'answered'`:                        "held still-active [case-waits]",
		`state = 'notified'`:                        "queued still-active []",
	} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			d.automatic()
			d.opener.Reminders = casework.Reminders{14 * oneDay}
			d.see("192.0.2.10")
			d.open()
			d.send()
			d.now = d.now.Add(20 * oneDay)
			d.seeAgain("192.0.2.10")
			d.exec(`update cases set ` + change)
			d.remind()
			d.want(`select coalesce((select format('%s %s [%s]', state, reason, coalesce(hold_why->0->>'code', '')) from message where id = 2), '')`, want)
		})
	}
	d := newDesk(t, nil)
	d.automatic()
	d.opener.Reminders = casework.Reminders{14 * oneDay}
	d.see("192.0.2.10")
	d.open()
	d.send()
	d.now = d.now.Add(20 * oneDay)
	d.seeAgain("192.0.2.10")
	d.exec(`insert into scanner (prefix, organisation, list, created_at) values ('192.0.2.10/32', 'Example Research Institute', 'test', $1)`, d.now)
	if n := d.remind(); n != 0 {
		t.Errorf("%d reminders of an acknowledged scanner", n)
	}
}

// TestCasesOfOtherKinds are opened only where an operator lists the kind, wait
// for an approval, and never name reflectors, spoofed addresses, or victims of
// nothing.
func TestCasesOfOtherKinds(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.see("192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15", "192.0.2.16", "192.0.2.17")
	for i, v := range []struct{ kind, rule, evidence string }{
		{"backscatter", "backscatter", `{"notes":["attack"]}`}, {"backscatter", "backscatter", `{"notes":[]}`}, {"misconfigured", "persistent", `{}`},
		{"scanner", "zmap", `{}`}, {"scanner", "zmap", `{"weak":true}`}, {"reflection", "reflection", `{}`}, {"spoofed", "bogon", `{}`}, {"unknown", "unknown", `{}`}} {
		verdict := casedb.Verdict{Kind: casedb.Kind(v.kind)}
		if err := verdict.Evidence.Scan(v.evidence); err != nil {
			t.Fatal(err)
		}
		d.exec(`update verdict set kind = $2, malware = '', rule = $3, evidence = $4, tell = $5 where source = $1`, fmt.Sprintf("192.0.2.%d", 10+i),
			v.kind, v.rule, v.evidence, attribution.MayTell(&verdict))
	}
	if n := d.open(); n != 0 {
		t.Fatalf("%d sources joined cases of kinds that nobody listed", n)
	}
	d.opener.Kinds = []casedb.Kind{casedb.KindInfected, casedb.KindBackscatter, casedb.KindMisconfigured, casedb.KindScanner,
		casedb.KindReflection, casedb.KindSpoofed, casedb.KindUnknown} // the last three are refused by the configuration, too
	d.open()
	d.want(`select string_agg(format('%s %s [%s]', c.kind, host(s.source), coalesce(m.hold_why->0->>'code', '')), E'\n' order by c.kind) from cases c
		join case_source s on s.case_id = c.id join message m on m.case_id = c.id`,
		"backscatter 192.0.2.10 [rule-holds]\nmisconfigured 192.0.2.12 [rule-holds]\nscanner 192.0.2.13 [rule-holds]")
	d.want(`select count(*)::text from message where state <> 'held'`, "0")
}

package casework_test

import (
	"testing"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/casework"
)

// silent is a desk with a case whose owner was told, and escalation in a mode.
func silent(t *testing.T, mode casedb.RuleMode) *desk {
	t.Helper()
	d := newDesk(t, nil)
	d.automatic()
	d.opener.Escalation = casework.Escalation{After: 14 * oneDay, NotTo: owner.DefaultContactConfig(), Own: []string{"@teiten.example"}}
	if mode != "" {
		if err := d.db.SetRulePolicy(t.Context(), casedb.RulePolicy{Rule: casedb.RuleEscalation, Mode: mode, ChangedAt: d.now, ChangedBy: "lead"}); err != nil {
			t.Fatal(err)
		}
	}
	d.see("192.0.2.10")
	d.open()
	d.send()
	return d
}

// contact adds a contact to the owner of the case, or of the network around.
func (d *desk) contact(owner, email string, rank int) {
	d.t.Helper()
	d.exec(`insert into contact (owner_id, email, provenance, gate, language, rank, created_at)
		select id, $2, 'abuse-role', 'auto', 'ja', $3, $4 from owner where key = $1 or $1 = '' and id = (select owner_id from cases limit 1)`, owner, email, rank, d.now)
}

// around makes a network of somebody else's around that of the case.
func (d *desk) around() {
	d.t.Helper()
	d.exec(`insert into owner (key, name, country, language, created_at) values ('upstream', 'Example Transit', 'JP', 'ja', $1)`, d.now)
	d.exec(`insert into network (owner_id, first_address, last_address, raw, fetched_at, expires_at)
		select id, '192.0.0.0', '192.0.3.255', '', $1::timestamptz, $1::timestamptz + interval '400 days' from owner where key = 'upstream'`, d.now)
	d.exec(`insert into network_prefix (network_id, prefix) select max(id), '192.0.0.0/22' from network`)
	d.contact("upstream", "abuse@transit.example", 0)
}

// national puts the country's contact into the directory.
func (d *desk) national(email string) {
	d.t.Helper()
	err := d.db.InTx(d.t.Context(), func(tx *casedb.Tx) error {
		if _, err := tx.PutDirectoryEntries(d.t.Context(), []casedb.DirectoryEntry{{Scope: "country", Target: "JP", Email: email,
			Name: "Example National CSIRT", Language: "ja"}}, "lead", d.now); err != nil {
			return err
		}
		return tx.ApplyDirectory(d.t.Context(), 0, d.now)
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// later lets days pass, with the source still seen.
func (d *desk) later(days int) {
	d.t.Helper()
	d.now = d.now.Add(time.Duration(days) * oneDay)
	d.seeAgain("192.0.2.10")
}

func (d *desk) escalate() int {
	d.t.Helper()
	n, err := d.opener.Escalate(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

const lastMessage = `select format('%s %s %s [%s]', state, reason, recipient, coalesce(hold_why->0->>'code', '')) from message order by id desc limit 1`

// TestEscalationGoesStepByStep: the owner's next contact, the network around,
// the country; one step in N days, the first mail to each approved; in the end
// a coordinator decides.
func TestEscalationGoesStepByStep(t *testing.T) {
	t.Parallel()
	d := silent(t, casedb.RuleAutomatic)
	d.contact("", "csirt@isp.example", 5)
	d.contact("", "hostmaster@nic.ad.jp", 6) // a registry's
	d.contact("", "desk@teiten.example", 7)  // ours
	d.contact("", "dead@isp.example", 8)
	d.exec(`insert into suppression (address, why, created_at) values ('dead@isp.example', '[{"code":"other","args":["bounced"]}]', $1)`, d.now)
	d.around()
	d.national("cert@national.example")
	first := d.row(`select recipient from message where id = 1`)
	d.later(13)
	if n := d.escalate(); n != 0 {
		t.Fatalf("%d steps after 13 days", n)
	}
	d.later(1)
	for i, want := range []string{
		"held escalated csirt@isp.example [contact-first]",
		"held escalated-provider abuse@transit.example [contact-first]",
		"held escalated-csirt cert@national.example ["} {
		if n := d.escalate(); n != 1 {
			t.Fatalf("step %d: %d written", i+1, n)
		}
		got := d.row(lastMessage)
		if len(got) < len(want) || got[:len(want)] != want {
			t.Errorf("step %d: %s, want %s", i+1, got, want)
		}
		d.want(`select waiting from cases`, "approval")
		d.want(`select host(source) from message_source where message_id = (select max(id) from message)`, "192.0.2.10")
		d.want(`select rules::text from message order by id desc limit 1`, "{worm445,escalation}")
		d.want(`select data->>'reason' from case_event where kind = 'escalated' order by id desc limit 1`, casedb.EscalationReasons[i])
		if n := d.escalate(); n != 0 {
			t.Errorf("step %d was written again", i+1)
		}
		var id int64
		if err := d.db.SQL().QueryRow(`select max(id) from message`).Scan(&id); err != nil {
			t.Fatal(err)
		}
		d.approve(id)
		d.later(13)
		if n := d.escalate(); n != 0 {
			t.Errorf("another step 13 days after step %d", i+1)
		}
		d.later(1)
	}
	// The owner's own contact is the case's, not the provider's or the country's.
	d.want(`select k.email from cases c join contact k on k.id = c.contact_id`, "csirt@isp.example")
	for range 2 {
		if n := d.escalate(); n != 0 {
			t.Error("somebody was written to when nobody was left")
		}
	}
	d.want(`select waiting from cases`, "attention")
	d.want(`select count(*) from case_event where kind = 'escalation-ended'`, "1")
	d.exec(`update cases set waiting = '', waiting_since = null`)
	d.escalate()
	d.want(`select waiting from cases`, "")
	d.want(`select count(*) from message where recipient = '`+first+`'`, "1")
}

// TestEscalationStops: nothing is written while it is off, after an answer, for
// what is not seen any more, in a pause, before all reminders were sent, and
// for other kinds; a step that a coordinator refused counts.
func TestEscalationStops(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mode   casedb.RuleMode
		change func(d *desk)
		want   int
	}{
		"nobody switched it on": {"", nil, 0},
		"off":                   {casedb.RuleOff, nil, 0},
		"on hold it is written": {casedb.RuleHold, nil, 1},
		"never":                 {casedb.RuleHold, func(d *desk) { d.opener.Escalation.After = 0 }, 0},
		"answered":              {casedb.RuleHold, func(d *desk) { d.exec(`update cases set state = 'answered'`) }, 0},
		"somebody is at it":     {casedb.RuleHold, func(d *desk) { d.exec(`update cases set waiting = 'reply', waiting_since = now()`) }, 0},
		"closed":                {casedb.RuleHold, func(d *desk) { d.exec(`update cases set state = 'closed', closed_at = now()`) }, 0},
		"not seen any more":     {casedb.RuleHold, func(d *desk) { d.exec(`update verdict set last_at = $1`, d.now.Add(-8*oneDay)) }, 0},
		"a pause":               {casedb.RuleHold, func(d *desk) { d.exec(`update cases set paused_until = $1`, d.now.Add(oneDay)) }, 0},
		"a reminder is to come": {casedb.RuleHold, func(d *desk) { d.opener.Reminders = casework.Reminders{14 * oneDay} }, 0},
		"a victim":              {casedb.RuleHold, func(d *desk) { d.exec(`update cases set kind = 'backscatter'`) }, 0},
		"acknowledged":          {casedb.RuleHold, func(d *desk) { d.exec(`update verdict set acknowledged = 'Example Research Institute', tell = false`) }, 0},
		"a step was refused": {casedb.RuleHold, func(d *desk) {
			d.escalate()
			d.exec(`update message set state = 'canceled' where state = 'held'`)
			d.exec(`update cases set waiting = '', waiting_since = null`)
			d.later(13)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := silent(t, test.mode)
			d.contact("", "csirt@isp.example", 5)
			d.later(15)
			if test.change != nil {
				test.change(d)
			}
			if n := d.escalate(); n != test.want {
				t.Errorf("%d steps, want %d: %s", n, test.want, d.row(lastMessage))
			}
			if test.want == 1 {
				d.want(lastMessage, "held escalated csirt@isp.example [rule-holds]")
			}
		})
	}
}

// TestTheProviderHoldsAllSources: a network around a part of what the owner was
// told of is nobody to tell about the rest.
func TestTheProviderHoldsAllSources(t *testing.T) {
	t.Parallel()
	d := silent(t, casedb.RuleHold)
	d.around()
	d.exec(`update network set first_address = '192.0.2.128' where owner_id = (select id from owner where key = 'upstream')`)
	d.later(15)
	d.exec(`update contact set retired_at = now() where owner_id = (select owner_id from cases) and lower(email) <> (select recipient from message)`)
	if n := d.escalate(); n != 0 {
		t.Errorf("%d steps: %s", n, d.row(lastMessage))
	}
	d.want(`select waiting from cases`, "attention")
}

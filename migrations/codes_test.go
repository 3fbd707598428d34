package migrations_test

import (
	"cmp"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"teiten/internal/locale"
	"teiten/internal/reason"
)

// carried is a database of commit e69e1b6 that is carried over.
type carried struct {
	t  *testing.T
	db *sql.DB
}

func newCarried(t *testing.T) *carried {
	t.Helper()
	db, _ := oldDatabase(t)
	c := &carried{t, db}
	c.exec(`insert into owner (key, name, country, language, created_at) values ('x', 'Example', 'JP', 'ja', now())`)
	c.exec(`insert into cases (number, owner_id, kind, state, language, created_at, updated_at) values ('TT-2026-000001', 1, 'infected', 'open', 'ja', now(), now())`)
	return c
}

// over carries it over.
func (c *carried) over() {
	c.t.Helper()
	if r := apply(c.t, c.db); !r.Carried {
		c.t.Fatalf("carried: %+v", r)
	}
}

func (c *carried) exec(query string, args ...any) {
	c.t.Helper()
	if _, err := c.db.Exec(query, args...); err != nil {
		c.t.Fatalf("%s: %v", query, err)
	}
}

// message adds one with the state and the sentences of the old columns.
func (c *carried) message(n int, state, hold, lastError string, approved bool) {
	c.t.Helper()
	c.exec(`insert into message (case_id, purpose, state, hold_reason, last_error, recipient, language, message_id, token, approved_at, created_at)
		values (1, 'answer', $1, $2, $3, 'a@isp.example', 'ja', 'm' || $4, 't' || $4, case when $5 then now() end, now())`, state, hold, lastError, fmt.Sprint(n), approved)
}

// want compares what a query gives for the row with reasons in the log's form.
func (c *carried) want(query string, id int, want string) {
	c.t.Helper()
	var got reason.List
	if err := c.db.QueryRow(query, id).Scan(&got); err != nil {
		c.t.Errorf("%s of %d: %v", query, id, err)
		return
	}
	if err := got.Check(); err != nil || got.String() != want {
		c.t.Errorf("%s of %d: got %s, want %s (%v)", query, id, got, want, err)
	}
}

// sentence is a message with what the old columns said, who said it (nobody: the
// program), and what becomes of it.
type sentence struct {
	state, hold, actor, lastError           string
	typed                                   string // what the event of the hold says; empty: the same
	wantHold, wantDelay, wantEnd, wantError string
}

// sentences are what the program and people wrote into messages.
func sentences() []sentence {
	return []sentence{
		{state: "held", hold: "acknowledged scanner: A Institute, B", wantHold: "acknowledged: A Institute, B"},
		{state: "held", hold: "acknowledged scanner: says taro", actor: "taro", wantHold: "person: acknowledged scanner: says taro"},
		{state: "held", hold: "contact replaced", wantHold: "contact-replaced"},
		{state: "held", hold: "contact replaced", actor: "taro", wantHold: "person: contact replaced"},
		{state: "held", hold: "contact changed", actor: "taro", wantHold: "contact-changed"},
		{state: "held", hold: "no source is judged so any more", wantHold: "none-left"},
		{state: "held", hold: "a source that the letter names is not judged so any more: 192.0.2.1, 2001:db8::1", wantHold: "source-lost: 192.0.2.1, 2001:db8::1"},
		{state: "held", hold: "the observations are gone", wantHold: "evidence-gone"},
		{state: "held", hold: "nothing was seen since it was held as a control", wantHold: "control-quiet"},
		{state: "held", hold: "rule holds", wantHold: "rule-holds"},
		{state: "held", hold: "first letter of the rule to the contact", wantHold: "rule-first"},
		{state: "held", hold: "first mail to the contact", wantHold: "contact-first"},
		{state: "held", hold: "contact needs approval", wantHold: "contact-approval"},
		{state: "held", hold: "contact by hand only", wantHold: "contact-by-hand"},
		{state: "held", hold: "contact is invalid", wantHold: "contact-invalid"},
		{state: "held", hold: "case waits for a coordinator", wantHold: "case-waits"},
		{state: "held", hold: "judged again", actor: "rule mirai", wantHold: "judged-again"},
		{state: "held", hold: "by hand", wantHold: "by-hand"},
		{state: "held", hold: "it may have arrived with a digest", wantHold: "in-doubt"},
		{state: "held", hold: "no mail can be made of it: compose message 7: key expired", wantHold: "no-mail: compose message 7: key expired"},
		{state: "held", hold: "no mail can be made of it: it was first tried without encryption, and its recipient has a PGP key by now: cancel it and write again", wantHold: "in-clear"},
		{state: "held", hold: "words of a version before all this", wantHold: "other: words of a version before all this"},
		{state: "held", hold: "rule holds", lastError: "put off: quiet hours", wantHold: "rule-holds"},
		{state: "held", hold: "acknowledged scanner: " + strings.Repeat("z", 2000-22), typed: "acknowledged scanner: " + strings.Repeat("z", 3000), actor: "taro",
			wantHold: "person: acknowledged scanner: " + strings.Repeat("z", 2000-22)},
		{state: "queued", hold: "acknowledged scanner: " + strings.Repeat("z", 2000-22), typed: "acknowledged scanner: " + strings.Repeat("z", 3000), actor: "taro",
			wantHold: "person: acknowledged scanner: " + strings.Repeat("z", 2000-22)},
		{state: "queued", hold: "acknowledged scanner: A Institute, B", wantHold: "acknowledged: A Institute, B"},
		{state: "queued", hold: "contact replaced", wantHold: "contact-replaced"},
		{state: "sent", hold: "nothing was seen since it was held as a control", wantHold: "control-quiet"},
		{state: "queued", lastError: "put off: quiet hours", wantDelay: "quiet-hours"},
		{state: "queued", lastError: "put off: paused by the owner", wantDelay: "paused"},
		{state: "queued", lastError: "put off: digest", wantDelay: "digest"},
		{state: "queued", lastError: "put off: control group", wantDelay: "control"},
		{state: "queued", lastError: "put off: the daily limit per recipient is reached", wantDelay: "limit-recipient"},
		{state: "queued", lastError: "put off: the daily limit per domain is reached", wantDelay: "limit-domain"},
		{state: "queued", lastError: "put off: the daily limit per AS is reached", wantDelay: "limit-as"},
		{state: "queued", lastError: "DATA: come back later", wantError: "DATA: come back later"},
		{state: "failed", lastError: "gave up after 8 tries", wantEnd: "gave-up: 8"},
		{state: "failed", lastError: "no mail to this address: mail bounced: user (x) unknown (5.1.1)", wantEnd: "suppressed; mail-bounced: user (x) unknown, 5.1.1"},
		{state: "failed", lastError: "no mail to this address: the server refused the address: no such user", wantEnd: "suppressed; address-refused: no such user"},
		{state: "failed", lastError: "no mail to this address: they asked", wantEnd: "suppressed; other: they asked"},
		{state: "failed", lastError: "RCPT: case closed", wantError: "RCPT: case closed"},
		{state: "bounced", lastError: "bounced: 5.1.1", wantEnd: "came-back: 5.1.1"},
		{state: "bounced", lastError: "bounced:", wantEnd: "came-back: 5.0.0"},
		{state: "canceled", lastError: "case closed", actor: "taro", wantEnd: "case-closed"},
		{state: "canceled", lastError: "case ignored", wantEnd: "case-ignored"},
		{state: "canceled", lastError: "not needed", actor: "taro", wantEnd: "person: not needed"},
		{state: "canceled", lastError: "put off: y", actor: "taro", wantEnd: "person: put off: y"},
		{state: "canceled", lastError: "rule holds", actor: "taro", wantEnd: "person: rule holds"},
		{state: "canceled", lastError: "message 12: acknowledged scanner: A", wantEnd: "digest-letter: 12; acknowledged: A"},
		{state: "canceled", lastError: "message 12: held", wantEnd: "digest-letter: 12; other: held"},
	}
}

// TestMessagesBecomeCodes converts what the program and people wrote into
// messages and their events.
func TestMessagesBecomeCodes(t *testing.T) {
	t.Parallel()
	c := newCarried(t)
	rows := sentences()
	for i, r := range rows {
		c.message(i+1, r.state, r.hold, r.lastError, true)
		actor := r.actor
		if actor == "" {
			actor = "teiten"
		}
		kind, text := "message-held", cmp.Or(r.typed, r.hold)
		if r.state == "canceled" {
			kind, text = "message-canceled", r.lastError
		}
		c.exec(`insert into case_event (case_id, at, kind, actor, message_id, text, data) values (1, now(), $1, $2, $3, $4, jsonb_build_object('reason', $4::text))`,
			kind, actor, i+1, text)
	}
	c.over()
	for i, r := range rows {
		c.want(`select hold_why from message where id = $1`, i+1, r.wantHold)
		c.want(`select delay_why from message where id = $1`, i+1, r.wantDelay)
		c.want(`select end_why from message where id = $1`, i+1, r.wantEnd)
		var lastError, overruled, text string
		if err := c.db.QueryRow(`select last_error, array_to_string(overruled, ' '), (select text from case_event e where e.message_id = m.id) from message m where id = $1`,
			i+1).Scan(&lastError, &overruled, &text); err != nil || lastError != r.wantError || text != "" {
			t.Errorf("message %d: last error %q, event %q, %v", i+1, lastError, text, err)
		}
		code, _, _ := strings.Cut(r.wantHold, ":")
		if code != "acknowledged" && code != "contact-replaced" && code != "control-quiet" || r.state == "held" {
			code = "" // what holds it now arose after the approval
		}
		if overruled != code {
			t.Errorf("message %d %s for %s: an approval overruled %q", i+1, r.state, r.wantHold, overruled)
		}
		want := r.wantHold
		if r.typed != "" {
			want = "person: " + r.typed
		}
		if r.state == "canceled" {
			want = r.wantEnd
		}
		c.want(`select why from case_event where message_id = $1`, i+1, want)
	}
}

// TestOtherReasonsBecomeCodes: of cases, controls and suppressions.
func TestOtherReasonsBecomeCodes(t *testing.T) {
	t.Parallel()
	c := newCarried(t)
	type event struct{ kind, actor, text, data, want, wantText string }
	events := []event{
		{kind: "ignored", actor: "teiten", text: "acknowledged scanner: Example, Inc.", want: "acknowledged: Example, Inc."},
		{kind: "ignored", actor: "teiten", text: "judged again by rule set 2026.11-7", want: "rejudged: 2026.11-7"},
		{kind: "ignored", actor: "taro", text: "acknowledged scanner: no", want: "person: acknowledged scanner: no"},
		{kind: "closed", actor: "taro", text: "cleaned", want: "person: cleaned"},
		{kind: "closed", actor: "teiten"},
		{kind: "note", actor: "teiten", text: "judged again by rule set 2026.11-7", want: "rejudged: 2026.11-7"},
		{kind: "note", actor: "taro", text: "judged again by rule set 2026.11-7", wantText: "judged again by rule set 2026.11-7"},
		{kind: "note", actor: "taro", text: "確認済み", want: "seen"},
		{kind: "acknowledged", actor: "teiten", text: "2001:db8::1: Example: Research", want: "acknowledged-source: 2001:db8::1, Example: Research"},
		{kind: "acknowledged", actor: "teiten", text: "Example Research", want: "acknowledged: Example Research"},
		{kind: "control-ended", actor: "teiten", text: "message 12", want: "control-mail: 12"},
		{kind: "control-ended", actor: "taro", text: "message 12", want: "person: message 12"},
		{kind: "suppressed", actor: "teiten", text: "the server refused the address: no (5.1.1)", want: "address-refused: no (5.1.1)"},
		{kind: "message-failed", actor: "teiten", text: "DATA: no", data: `{"reason":"gave up","count":8}`, want: "gave-up: 8", wantText: "DATA: no"},
		{kind: "message-failed", actor: "teiten", text: "gave up after 8 tries", want: "gave-up: 8"},
		{kind: "contact-changed", actor: "teiten", text: "abuse@isp.example bounced", want: "bounced: abuse@isp.example"},
		{kind: "contact-changed", actor: "taro", text: "abuse@isp.example bounced", want: "person: abuse@isp.example bounced"},
		{kind: "contact-changed", actor: "rule mirai", text: "A sentence of another time.", want: "other: A sentence of another time."},
		{kind: "reply", actor: "noc@isp.example", text: "rule holds", wantText: "rule holds"},
		{kind: "source-joined", actor: "rule mirai", text: "192.0.2.1", wantText: "192.0.2.1"},
		{kind: "ticket", actor: "taro", text: "[isp #1]", wantText: "[isp #1]"},
	}
	for _, e := range events {
		c.exec(`insert into case_event (case_id, at, kind, actor, text, data) values (1, now(), $1, $2, $3, coalesce(nullif($4, ''), '{}')::jsonb)`, e.kind, e.actor, e.text, e.data)
	}
	c.exec(`insert into control_draw (case_id, drawn_at, seed, drawn, share, arm, until, ended_at, end_kind, ended_by, end_reason)
		values (1, now(), 's', 0.1, 0.5, 'control', now(), now(), 'severe', 'teiten', 'judged with confidence 0.95 or more at 3 sensors or more')`)
	for i, said := range []string{"the owner gets another mail of ours", "not all rules are of low severity", "more than 5 sources", "asks for industrial control systems",
		"in a critical network", "no source is judged so any more", "mail bounced: user unknown (5.1.1)", "written by hand"} {
		c.exec(`insert into suppression (address, reason, created_at) values ($1, $2, now())`, fmt.Sprintf("a%d@isp.example", i), said)
	}
	c.over()
	for i, e := range events {
		c.want(`select why from case_event where id = $1`, i+1, e.want)
		var text string
		if err := c.db.QueryRow(`select text from case_event where id = $1`, i+1).Scan(&text); err != nil || text != e.wantText {
			t.Errorf("event %d: text %q, want %q (%v)", i+1, text, e.wantText, err)
		}
	}
	c.want(`select end_why from control_draw where case_id = $1`, 1, "control-sure: 0.95, 3")
	for i, want := range []string{"control-mailed", "control-rules", "control-sources: 5", "control-ics", "control-critical", "none-left", "mail-bounced: user unknown, 5.1.1",
		"other: written by hand"} {
		c.want(`select why from suppression where id = $1`, i+1, want)
	}
	for _, change := range []string{`update case_event set text = 'x'`, `update control_draw set ended_by = 'x'`,
		`insert into suppression (address, why, created_at) values ('x', '[]', now())`, `update contact set why = '{}'`,
		`insert into suppression (address, why, created_at) values ('x', '["x"]', now())`, `insert into suppression (address, why, created_at) values ('x', '[{"code":"Two words"}]', now())`} {
		if change == `update contact set why = '{}'` {
			c.exec(`insert into contact (owner_id, email, provenance, gate, language, created_at) values (1, 'x@isp.example', 'remark', 'approve', 'ja', now())`)
		}
		if _, err := c.db.Exec(change); err == nil {
			t.Errorf("%s went through", change)
		}
	}
}

// TestContactsBecomeCodes: every sentence about a contact, which the English
// catalogue says in the words that were stored, becomes what it says again.
func TestContactsBecomeCodes(t *testing.T) {
	t.Parallel()
	catalog, err := locale.Load()
	if err != nil {
		t.Fatal(err)
	}
	english := catalog.Printer(locale.English)
	hostile := "Desk for abuse, beside <b>, which is “x”. The registry has validated it; it is one of several addresses, by"
	argument := map[reason.Kind][]string{reason.Text: {"JPNIC"}, reason.Entity: {hostile}, reason.Roles: {"noc", "made-up"}, reason.Scope: {"as"},
		reason.Defect: {reason.MailMasked}}
	heads := []reason.Code{reason.NoAddress, reason.Redacted, reason.NoRange, reason.OtherRange, reason.AllRejected, reason.Named, reason.NamedBeside,
		reason.BeginsAbuseNoRole, reason.BeginsAbuse, reason.MarkedAbuseNoRole, reason.MarkedAbuse, reason.OtherNoRole, reason.OtherRole, reason.WhoisSection,
		reason.WhoisField, reason.WhoisBeginsAbuse, reason.WhoisOther, reason.Remark, reason.RemarkForbids, reason.NotMailable, reason.RegistrysOwn,
		reason.Placeholder}
	after := []reason.Code{reason.OfSeveralMarked, reason.OfSeveralPreferred, reason.OfSeveralBeginsAbuse, reason.OfSeveral, reason.Invalid, reason.ValidatedOn,
		reason.Validated, reason.NotValidated, reason.HasValidated, reason.WhoisNamesNone, reason.WhoisUnknown, reason.WhoisSilent}
	args := func(code reason.Code) (list []string) {
		for _, kind := range reason.Shape(code) {
			if code == reason.ValidatedOn {
				return []string{"2026-02-09"}
			}
			list = append(list, argument[kind]...)
		}
		return list
	}
	all := []reason.List{reason.Of(reason.Directory, "7", "organisation", "Example, by University", "taro"), reason.Of(reason.Bounced, "abuse@isp.example"),
		reason.Of(reason.OtherNoRole, ""), reason.Of(reason.Remark, hostile).And(reason.Invalid)}
	for _, head := range heads {
		all = append(all, reason.Of(head, args(head)...))
	}
	for _, defect := range reason.Words()[reason.Defect] {
		all = append(all, reason.Of(reason.NotMailable, defect))
	}
	for _, code := range after {
		all = append(all, reason.Of(reason.Named, "Desk").And(code, args(code)...), reason.Of(reason.Named, "Desk").And(reason.OfSeveral).And(code, args(code)...))
	}
	c := newCarried(t)
	add := func(provenance, why string) {
		c.exec(`insert into contact (owner_id, email, provenance, gate, why, language, created_at)
			values (1, (select count(*) from contact) || '@isp.example', $1, 'approve', $2, 'ja', now())`, provenance, why)
	}
	// The words that were stored differ in one from those that are said now.
	stored := func(why reason.List) string {
		return strings.ReplaceAll(english.Reasons(why), " for abuse, besides ", " for abuse, beside ")
	}
	for _, why := range all {
		add("remark", stored(why))
	}
	add("override", stored(all[0]))
	add("remark", "Somebody says. The registry has validated it.")
	add("remark", "")
	c.exec(`insert into network (owner_id, first_address, last_address, raw, fetched_at, expires_at, choice) select 1, '192.0.2.0', '192.0.2.255', '', now(), now(),
		jsonb_build_object('email', 'a', 'why', k.why, 'rejected', jsonb_build_array(jsonb_build_object('email', 'b', 'why', k.why))) from contact k where k.id = 5`)
	c.over()
	for i, why := range all {
		c.want(`select why from contact where id = $1`, i+1, why.String())
	}
	c.want(`select why from contact where id = $1`, len(all)+1, "person: "+stored(all[0]))
	c.want(`select why from contact where id = $1`, len(all)+2, "other: Somebody says. The registry has validated it.")
	c.want(`select why from contact where id = $1`, len(all)+3, "")
	c.want(`select choice->'why' from network where id = $1`, 1, all[4].String())
	c.want(`select choice->'rejected'->0->'why' from network where id = $1`, 1, all[4].String())
}

// TestVerdictsSayWhoMayBeTold: of the verdicts there were.
func TestVerdictsSayWhoMayBeTold(t *testing.T) {
	t.Parallel()
	c := newCarried(t)
	n := 0
	for _, kind := range []string{"scanner", "infected", "backscatter", "reflection", "spoofed", "misconfigured", "unknown"} {
		for _, more := range []string{`'', '', '{}'`, `'', '', '{"weak":true,"notes":["attack"]}'`, `'', '', '{"weak":false,"notes":["ics","attack"]}'`,
			`'Example', '', '{"notes":["attack"]}'`, `'', 'contradiction', '{"notes":["attack"]}'`} {
			n++
			c.exec(`insert into source (address, first_at, last_at) values (host('192.0.2.0'::inet + $1)::inet, now(), now())`, n)
			c.exec(`insert into verdict (source, kind, acknowledged, attention, evidence, confidence, rule, ruleset, first_at, last_at, created_at)
				values (host('192.0.2.0'::inet + $1)::inet, $2, `+more+`, 0.9, 'x', 'x', now(), now(), now())`, n, kind)
		}
	}
	c.over()
	var told string
	if err := c.db.QueryRow(`select string_agg(kind || ' ' || (evidence ? 'notes'), ', ' order by id) from verdict where tell`).Scan(&told); err != nil {
		t.Fatal(err)
	}
	if want := "scanner false, scanner true, infected false, infected true, backscatter true, misconfigured false, misconfigured true"; told != want {
		t.Errorf("may be told: %s, want %s", told, want)
	}
}

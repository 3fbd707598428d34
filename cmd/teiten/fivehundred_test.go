package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/pgtest"
	"teiten/internal/soak"
	"teiten/internal/synth"
)

// pfPerDay is how many mails a day go to one address in the Postfix test.
const pfPerDay = 2

type fate int

const (
	fateFine    fate = iota
	fateGrey         // the first mail is deferred
	fateUnknown      // no such mailbox: refused at RCPT
	fateLate         // taken, and bounced afterwards
	fateLarge        // the letter about infected hosts is larger than Postfix takes
)

func fateOf(owner int) fate {
	switch owner % 20 {
	case 1, 5, 9, 13:
		return fateGrey
	case 3:
		return fateUnknown
	case 7:
		return fateLate
	case 11:
		return fateLarge
	}
	return fateFine
}

func ownerMail(n int) string {
	if fateOf(n) == fateUnknown {
		return fmt.Sprintf("gone@owner%d.example", n)
	}
	return fmt.Sprintf("abuse@owner%d.example", n)
}

// postfixRun is the way of many cases through a real Postfix.
type postfixRun struct {
	t                 *testing.T
	owners, cases     int
	pf                *postfix
	policy            *policyServer
	line              *flakyProxy
	late              []int // owners whose mail comes back late
	db                *casedb.DB
	args              []string // of serve
	stopped, released time.Time
}

// TestSoakFiveHundredCasesThroughPostfix: 500 cases of 200 owners in two languages
// go out through a real Postfix that greylists, refuses, bounces late and
// limits sizes, over a line that breaks, while both programs are killed at
// random. Every message stands in the receiving mailbox once (or again with the
// same Message-ID, counted), none is lost, no limit is exceeded, and nothing
// goes out while the stop switch is on.
func TestSoakFiveHundredCasesThroughPostfix(t *testing.T) {
	soak.Start(t)
	t.Parallel()
	r := newPostfixRun(t, soak.Size(40, 200))
	const states = `select state, reason, coalesce(hold_why->0->>'code', ''), left(last_error, 60) as error, count(*) from message group by 1, 2, 3, 4 order by 5 desc limit 30`
	r.accidents(soak.Size(3, 10))
	r.days()
	logRows(t, r.db.SQL(), states)
	r.lateBounces()
	logRows(t, r.db.SQL(), states)
	r.check()
	t.Logf("%d lines broke; %d asks at RCPT", r.line.broken, len(r.policy.requests()))
}

// newPostfixRun starts all but teiten.
func newPostfixRun(t *testing.T, owners int) *postfixRun {
	t.Helper()
	r := &postfixRun{t: t, owners: owners}
	var grey []string
	crowded := map[int]bool{}
	for n := 1; n <= owners; n++ {
		switch fateOf(n) {
		case fateGrey:
			grey = append(grey, ownerMail(n))
		case fateLate:
			r.late = append(r.late, n)
		case fateLarge:
			crowded[n] = true
		}
	}
	inbound := freeAddress(t)
	r.policy = newPolicyServer(t, grey)
	r.pf = newPostfix(t, r.policy, inbound, r.late)
	r.line = newFlakyProxy(t, r.pf.address)
	registry := httptest.NewServer(http.HandlerFunc(owner48Registry))
	t.Cleanup(registry.Close)
	url := pgtest.New(t)
	var err error
	if r.db, err = casedb.Open(url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	for _, rule := range []string{"worm445", "tsubame", "broadcast"} {
		if err := r.db.SetRulePolicy(t.Context(), casedb.RulePolicy{Rule: rule, Mode: casedb.RuleAutomatic, ChangedAt: time.Now(),
			ChangedBy: "test", Reason: "Postfix test"}); err != nil {
			t.Fatal(err)
		}
	}
	r.args = []string{"--capture", r.writeCapture(crowded), "--set", "database.url=" + url, "--set", "web.listen=127.0.0.1:0", "--set", "log.level=warn",
		"--set", "mail.inbound_listen=" + inbound, "--set", "mail.transport=smtp", "--set", "mail.smarthost=" + r.line.address,
		"--set", "mail.tls=starttls", "--set", "mail.ca_file=" + r.pf.caFile, "--set", "mail.first_retry=4s",
		"--set", "mail.per_hour=100000", "--set", fmt.Sprintf("mail.per_contact_day=%d", pfPerDay), "--set", "mail.per_domain_day=0",
		"--set", "mail.per_as_day=0", "--set", "notify.kinds=infected,scanner,misconfigured", "--set", "notify.first_contact=gate",
		"--set", "constituency.countries=JP,NL", "--set", "rdap.mode=url", "--set", "rdap.url=" + registry.URL + "/"}
	return r
}

// writeCapture writes what the owners' hosts send, and counts their cases.
func (r *postfixRun) writeCapture(crowded map[int]bool) (file string) {
	r.t.Helper()
	owners := synth.Owners{Count: r.owners, Crowded: crowded, Seed: 1}
	for n := 1; n <= r.owners; n++ {
		scanner, misconfigured := owners.Kinds(n)
		for _, has := range []bool{true, scanner, misconfigured} {
			if has {
				r.cases++
			}
		}
	}
	var b bytes.Buffer
	// At midnight of the day that definitions of a scanner count ports by: a scan that
	// lies in two days is none.
	tokyo := 9 * time.Hour
	if err := owners.Write(&b, time.Now().UTC().Add(tokyo-30*time.Hour).Truncate(24*time.Hour).Add(-tokyo)); err != nil {
		r.t.Fatal(err)
	}
	file = filepath.Join(r.t.TempDir(), "owners.pcap")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return file
}

// accidents kills teiten at random moments, Postfix at some of them, and stops
// all mail for a while in between.
func (r *postfixRun) accidents(kills int) {
	r.t.Helper()
	for round := range kills {
		s := serveProcess(r.t, r.args...)
		if round == kills/2 {
			r.stopAllMail()
		}
		time.Sleep(time.Duration(1000+rand.IntN(3000)) * time.Millisecond) // any moment will do
		s.end()
		if strings.Contains(s.log.String(), "panic") {
			r.t.Fatalf("round %d:\n%s", round, s.log)
		}
		claimsEnd(r.t, r.db.SQL())
		if round%3 == 1 {
			r.pf.kill()
			r.pf.start()
		}
	}
}

// stopAllMail turns the stop switch on, lets what had begun end, and looks for
// four seconds at a line that must be silent.
func (r *postfixRun) stopAllMail() {
	r.t.Helper()
	switchSending(r.t, r.db, true)
	eventually(r.t, "mail under way has ended", func() bool {
		return count(r.t, r.db.SQL(), `select count(*) from message_attempt where outcome = 'delivering' and started_at > now() - interval '20 seconds'`) == 0
	})
	r.stopped = time.Now()
	time.Sleep(4 * time.Second)
	r.released = time.Now()
	switchSending(r.t, r.db, false)
}

// days lets teiten work without accidents. What the daily limit put off goes
// out the day after.
func (r *postfixRun) days() {
	r.t.Helper()
	for day := range 4 {
		s := serveProcess(r.t, r.args...)
		deadline := time.Now().Add(3 * time.Minute)
		for soon := -1; soon != 0 && time.Now().Before(deadline); time.Sleep(tick) {
			soon = count(r.t, r.db.SQL(), `select count(*) from message where state = 'queued' and next_attempt_at < now() + interval '1 hour'`)
			if count(r.t, r.db.SQL(), `select count(*) from cases`) < r.cases {
				soon = -1
			}
		}
		s.end()
		if count(r.t, r.db.SQL(), `select count(*) from message where state = 'queued' and reason <> 'soft-retry'`) == 0 {
			r.t.Logf("done on day %d", day+1)
			return
		}
		claimsEnd(r.t, r.db.SQL())
		dayPasses(r.t, r.db.SQL())
	}
}

// lateBounces waits for Postfix's own bounces, and for the last of its
// deliveries.
func (r *postfixRun) lateBounces() {
	r.t.Helper()
	s := serveProcess(r.t, r.args...)
	eventually(r.t, "late bounces are in", func() bool {
		return count(r.t, r.db.SQL(), `select count(*) from message where state = 'sent' and recipient in (select recipient from message
			where state = 'bounced')`) == 0 && count(r.t, r.db.SQL(), `select count(distinct recipient) from message where state = 'bounced'`) == len(r.late)
	})
	s.end()
}

// check looks at what came of every message.
func (r *postfixRun) check() {
	t, db := r.t, r.db.SQL()
	t.Helper()
	// A case that was opened when its owner's only address was known to be dead
	// waits for another contact.
	nobody := count(t, db, `select count(*) from cases c where c.waiting = 'contact' and not exists (select 1 from message m where m.case_id = c.id)
		and exists (select 1 from contact k join suppression s on s.address = lower(k.email) where k.owner_id = c.owner_id)`)
	for query, want := range map[string]int{
		`select count(*) from cases`:                            r.cases,
		`select count(distinct owner_id) from cases`:            r.owners,
		`select count(distinct language) from message`:          2,
		`select count(*) from message where reason = 'first'`:   r.cases - nobody,
		`select count(distinct case_id) from message`:           r.cases - nobody,
		`select count(*) from message where state = 'held'`:     0,
		`select count(*) from message where state = 'canceled'`: 0,
		// Refused: unknown recipient, or too large; and letters about sources that may not be told any more.
		`select count(*) from message where state = 'failed' and not (recipient like 'gone@%' or last_error like '%the server takes%' or end_why @> '[{"code":"suppressed"}]')`: 0,
		// The daily limit in any 24 hours.
		fmt.Sprintf(`select count(*) from message_attempt a join message m on m.id = a.message_id where a.outcome in ('sent','unknown')
			and (select count(*) from message_attempt b join message n on n.id = b.message_id where lower(n.recipient) = lower(m.recipient)
				and b.outcome in ('sent','unknown') and b.started_at > a.started_at - interval '24 hours' and b.started_at <= a.started_at) > %d`, pfPerDay): 0,
	} {
		if got := count(t, db, query); got != want {
			t.Errorf("%s\n  gives %d, want %d", query, got, want)
		}
	}
	rows, err := db.Query(`select message_id, state, recipient, attempts from message`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	arrived := r.pf.delivered()
	again, wanted := 0, 0
	for rows.Next() {
		var id, state, recipient string
		var attempts int
		if err := rows.Scan(&id, &state, &recipient, &attempts); err != nil {
			t.Fatal(err)
		}
		copies := arrived["<"+id+">"]
		delete(arrived, "<"+id+">")
		switch state {
		case "sent":
			wanted++
			if len(copies) == 0 {
				t.Errorf("lost: %s to %s", id, recipient)
			}
		case "failed", "bounced":
			if len(copies) > 0 && strings.HasPrefix(recipient, "gone@") {
				t.Errorf("%s is %s and arrived", id, state)
			}
		default:
			t.Errorf("%s to %s is %s after %d attempts", id, recipient, state, attempts)
		}
		for _, c := range copies[min(1, len(copies)):] {
			again++
			if !bytes.Equal(c, copies[0]) {
				t.Errorf("%s arrived in two forms", id)
			}
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(arrived) > 0 {
		t.Errorf("%d mails arrived that nobody sent", len(arrived))
	}
	for _, q := range r.policy.requests() {
		if q.at.After(r.stopped) && q.at.Before(r.released) {
			t.Errorf("mail to %s at %s, while the stop switch was on (%s to %s)", q.recipient, q.at, r.stopped, r.released)
		}
	}
	t.Logf("%d letters delivered once, %d of them again", wanted, again)
}

// switchSending turns the stop switch on or off, as a lead does.
func switchSending(t *testing.T, db *casedb.DB, stop bool) {
	t.Helper()
	if err := db.SetSendStopped(t.Context(), stop, "lead", "Postfix test", time.Now()); err != nil {
		t.Fatal(err)
	}
}

// claimsEnd gives back what a process had claimed when it died, other than mail.
func claimsEnd(t *testing.T, db *sql.DB) {
	t.Helper()
	for _, q := range []string{
		`update batch set next_attempt_at = now() where judged_at is null`,
		`update owner_lookup set next_attempt_at = now() where state = 'due'`,
		`update inbound set next_attempt_at = now() where state = 'received'`,
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// dayPasses moves everything that was done, and what is due, a day into the
// past.
func dayPasses(t *testing.T, db *sql.DB) {
	t.Helper()
	for _, q := range []string{
		`update message_attempt set started_at = started_at - interval '25 hours', finished_at = finished_at - interval '25 hours'`,
		`update message set next_attempt_at = next_attempt_at - interval '25 hours' where state = 'queued'`,
		`update message set sent_at = sent_at - interval '25 hours' where sent_at is not null`,
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// owner48Registry is a registry in which 2001:db8:N::/48 belongs to owner N,
// in Japan if N is even and in the Netherlands if it is odd.
func owner48Registry(w http.ResponseWriter, r *http.Request) {
	addr, err := netip.ParseAddr(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	if err != nil || !addr.Is6() {
		http.Error(w, "no such address", http.StatusNotFound)
		return
	}
	a := addr.As16()
	n := int(a[4])<<8 | int(a[5])
	country := "JP"
	if n%2 == 1 {
		country = "NL"
	}
	p := netip.PrefixFrom(addr, 48).Masked()
	last := p.Addr().As16()
	for i := 6; i < 16; i++ {
		last[i] = 0xff
	}
	w.Header().Set("Content-Type", "application/rdap+json")
	fmt.Fprintf(w, `{"rdapConformance":["rdap_level_0"],"objectClassName":"ip network","handle":"EX6-%[1]d","name":"EXAMPLE-%[1]d",
		"startAddress":"%[2]s","endAddress":"%[3]s","ipVersion":"v6","country":"%[4]s","entities":[{"objectClassName":"entity","handle":"ORG-%[1]d",
		"roles":["registrant"],"vcardArray":["vcard",[["version",{},"text","4.0"],["fn",{},"text","Example Owner %[1]d"]]]},
		{"objectClassName":"entity","handle":"ABUSE-%[1]d","roles":["abuse"],"vcardArray":["vcard",[["version",{},"text","4.0"],
		["fn",{},"text","Abuse desk %[1]d"],["email",{},"text","%[5]s"]]]}]}`, n, p.Addr(), netip.AddrFrom16(last), country, ownerMail(n))
}

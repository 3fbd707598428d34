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
	"teiten/internal/synth"
)

// The owners of the Postfix test: what happens to their mail.
const (
	pfOwners    = 200
	pfCases     = 500
	pfPerDay    = 2 // mails a day to one address
	pfKills     = 10
	pfStopAfter = 5 // rounds; then the stop switch is on for a while
)

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

// TestFiveHundredCasesThroughPostfix: 500 cases of 200 owners in two languages
// go out through a real Postfix that greylists, refuses, bounces late and
// limits sizes, over a line that breaks, while both programs are killed at
// random. Every message stands in the receiving mailbox once (or again with the
// same Message-ID, counted), none is lost, no limit is exceeded, and nothing
// goes out while the stop switch is on.
func TestFiveHundredCasesThroughPostfix(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes minutes; run without -short")
	}
	var grey []string
	var late []int
	crowded := map[int]bool{}
	for n := 1; n <= pfOwners; n++ {
		switch fateOf(n) {
		case fateGrey:
			grey = append(grey, ownerMail(n))
		case fateLate:
			late = append(late, n)
		case fateLarge:
			crowded[n] = true
		}
	}
	inbound := freeAddress(t)
	policy := newPolicyServer(t, grey)
	pf := newPostfix(t, policy, inbound, late)
	line := newFlakyProxy(t, pf.address)
	registry := httptest.NewServer(http.HandlerFunc(owner48Registry))
	t.Cleanup(registry.Close)

	var b bytes.Buffer
	if err := (synth.Owners{Count: pfOwners, Crowded: crowded, Seed: 1}).Write(&b, time.Now().UTC().Truncate(time.Hour).Add(-30*time.Hour)); err != nil {
		t.Fatal(err)
	}
	capture := filepath.Join(t.TempDir(), "owners.pcap")
	if err := os.WriteFile(capture, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	url := pgtest.New(t)
	db, err := casedb.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, rule := range []string{"worm445", "tsubame", "broadcast"} {
		if err := db.SetRulePolicy(t.Context(), casedb.RulePolicy{Rule: rule, Mode: casedb.RuleAutomatic, ChangedAt: time.Now(),
			ChangedBy: "test", Reason: "Postfix test"}); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--capture", capture, "--set", "database.url=" + url, "--set", "web.listen=127.0.0.1:0", "--set", "log.level=warn",
		"--set", "mail.inbound_listen=" + inbound, "--set", "mail.transport=smtp", "--set", "mail.smarthost=" + line.address,
		"--set", "mail.tls=starttls", "--set", "mail.ca_file=" + pf.caFile, "--set", "mail.first_retry=4s",
		"--set", "mail.per_hour=100000", "--set", fmt.Sprintf("mail.per_contact_day=%d", pfPerDay), "--set", "mail.per_domain_day=0",
		"--set", "mail.per_as_day=0", "--set", "notify.kinds=infected,scanner,misconfigured", "--set", "notify.first_contact=gate",
		"--set", "constituency.countries=JP,NL", "--set", "rdap.mode=url", "--set", "rdap.url=" + registry.URL + "/"}

	var stopped, released time.Time
	for round := range pfKills {
		s := serve(t, args...)
		if round == pfStopAfter {
			switchSending(t, db, true)
			time.Sleep(5 * time.Second) // what had begun ends
			stopped = time.Now()
			time.Sleep(4 * time.Second)
			released = time.Now()
			switchSending(t, db, false)
		}
		time.Sleep(time.Duration(1000+rand.IntN(3000)) * time.Millisecond)
		_ = s.cmd.Process.Kill() // SIGKILL
		<-s.done
		if strings.Contains(s.log.String(), "panic") {
			t.Fatalf("round %d:\n%s", round, s.log)
		}
		claimsEnd(t, db.SQL())
		if round%3 == 1 {
			pf.kill()
			pf.start()
		}
	}
	// No more accidents. What the daily limit put off goes out the day after.
	for day := range 4 {
		s := serve(t, args...)
		deadline := time.Now().Add(3 * time.Minute)
		for soon := -1; soon != 0 && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			soon = count(t, db.SQL(), `select count(*) from message where state = 'queued' and next_attempt_at < now() + interval '1 hour'`)
			if count(t, db.SQL(), `select count(*) from cases`) < pfCases {
				soon = -1
			}
		}
		_ = s.cmd.Process.Kill()
		<-s.done
		if count(t, db.SQL(), `select count(*) from message where state = 'queued' and reason <> 'soft-retry'`) == 0 {
			t.Logf("done on day %d", day+1)
			break
		}
		claimsEnd(t, db.SQL())
		dayPasses(t, db.SQL())
	}
	const states = `select state, reason, coalesce(hold_why->0->>'code', ''), left(last_error, 60) as error, count(*) from message group by 1, 2, 3, 4 order by 5 desc limit 30`
	logRows(t, db.SQL(), states)
	// Postfix's own late bounces, and the last of its deliveries.
	s := serve(t, args...)
	eventually(t, "late bounces are in", func() bool {
		return count(t, db.SQL(), `select count(*) from message where state = 'sent' and recipient in (select recipient from message
			where state = 'bounced')`) == 0 && count(t, db.SQL(), `select count(distinct recipient) from message where state = 'bounced'`) == len(late)
	})
	_ = s.cmd.Process.Kill()
	<-s.done

	logRows(t, db.SQL(), states)
	checkFiveHundred(t, db.SQL(), pf, policy, stopped, released)
	t.Logf("%d lines broke; %d asks at RCPT", line.broken, len(policy.requests()))
}

func checkFiveHundred(t *testing.T, db *sql.DB, pf *postfix, policy *policyServer, stopped, released time.Time) {
	t.Helper()
	// A case that was opened when its owner's only address was known to be dead
	// waits for another contact.
	nobody := count(t, db, `select count(*) from cases c where c.waiting = 'contact' and not exists (select 1 from message m where m.case_id = c.id)
		and exists (select 1 from contact k join suppression s on s.address = lower(k.email) where k.owner_id = c.owner_id)`)
	for query, want := range map[string]int{
		`select count(*) from cases`:                            pfCases,
		`select count(distinct owner_id) from cases`:            pfOwners,
		`select count(distinct language) from message`:          2,
		`select count(*) from message where reason = 'first'`:   pfCases - nobody,
		`select count(distinct case_id) from message`:           pfCases - nobody,
		`select count(*) from message where state = 'held'`:     0,
		`select count(*) from message where state = 'canceled'`: 0,
		// Refused: nobody there, or too large; and what nobody may be written about any more.
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
	arrived := pf.delivered()
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
	for _, r := range policy.requests() {
		if r.at.After(stopped) && r.at.Before(released) {
			t.Errorf("mail to %s at %s, while the stop switch was on (%s to %s)", r.recipient, r.at, stopped, released)
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

package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net"
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

// TestKilled runs the whole line while the program is killed at random moments,
// and then counts: every observation once, one case and one message per owner,
// every message sent, none twice except in the moment between the server's 250
// and our commit, and then with the same Message-ID; every reply in its case.
func TestKilled(t *testing.T) {
	t.Parallel()
	killAndCount(t, 3, 24)
}

func TestSoakKilledThirtyTimes(t *testing.T) {
	soak.Start(t)
	t.Parallel()
	killAndCount(t, soak.Size(8, 30), 200)
}

// killRun is an outbreak and the servers around the program.
type killRun struct {
	t      *testing.T
	mx     *sink
	db     *casedb.DB
	owners *repliers
	args   []string // of serve
	begun  time.Time
	hosts  int
	blocks int
}

// killAndCount kills the program while it tells the owners of so many infected
// hosts, which are in blocks of eight addresses, each block with an owner of its
// own.
func killAndCount(t *testing.T, kills, hosts int) {
	r := newKillRun(t, hosts)
	r.kill(kills)
	for r.finish(); !r.done(); r.finish() {
		kills++
	}
	r.checkDatabase()
	r.checkMail(kills)
}

// finish lets the program live until everything is done, or for three seconds:
// what a dead one had claimed it finds when it starts, or half a minute later.
func (r *killRun) finish() {
	r.t.Helper()
	s := serveProcess(r.t, r.args...)
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end) && !r.done(); time.Sleep(tick) {
		r.owners.answer()
	}
	s.end()
	timePasses(r.t, r.db.SQL())
	if time.Since(r.begun) > 5*time.Minute {
		r.t.Fatal("not done after five minutes")
	}
}

func (r *killRun) done() bool {
	r.t.Helper()
	return count(r.t, r.db.SQL(), `select count(distinct case_id) from case_event where kind = 'message-sent'`) == r.blocks &&
		count(r.t, r.db.SQL(), `select count(*) from message where state = 'queued'`) == 0 &&
		count(r.t, r.db.SQL(), `select count(*) from inbound where state <> 'processed'`) == 0 &&
		count(r.t, r.db.SQL(), `select count(distinct case_id) from inbound where class = 'human'`) == r.blocks
}

// newKillRun starts all but teiten.
func newKillRun(t *testing.T, hosts int) *killRun {
	t.Helper()
	mx := newSink(t)
	mx.beforeOK = func() { time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) } // as long as a server takes
	capture := filepath.Join(t.TempDir(), "outbreak.pcap")
	var b bytes.Buffer
	start := time.Now().UTC().Truncate(time.Hour).Add(-30 * time.Hour)
	if err := synth.WriteOutbreak(&b, start, hosts, 1); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(capture, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := httptest.NewServer(http.HandlerFunc(blockRegistry))
	t.Cleanup(registry.Close)
	url := pgtest.New(t)
	db, err := casedb.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.SetRulePolicy(t.Context(), casedb.RulePolicy{Rule: "worm445", Mode: casedb.RuleAutomatic, ChangedAt: time.Now(),
		ChangedBy: "test", Reason: "kill test"}); err != nil {
		t.Fatal(err)
	}
	inbound := freeAddress(t)
	return &killRun{t: t, mx: mx, db: db, begun: time.Now(), hosts: hosts, blocks: hosts/8 + 1, // .0 is not a host, so the last block is begun
		owners: &repliers{t: t, mx: mx, inbound: inbound, answered: map[string]bool{}},
		args: []string{"--capture", capture, "--set", "database.url=" + url, "--set", "web.listen=127.0.0.1:0",
			"--set", "mail.inbound_listen=" + inbound, "--set", "mail.transport=smtp", "--set", "mail.smarthost=" + mx.addr,
			"--set", "mail.ca_file=" + mx.caFile, "--set", "mail.per_hour=10000", "--set", "mail.per_contact_day=100", "--set", "mail.per_domain_day=0", "--set", "mail.per_as_day=0", "--set", "notify.first_contact=gate",
			"--set", "rdap.mode=url", "--set", "rdap.url=" + registry.URL + "/", "--set", "log.level=warn"}}
}

// kill starts the program and kills it at a random moment, again and again.
func (r *killRun) kill(kills int) {
	r.t.Helper()
	for n := range kills {
		cmd := teiten(append([]string{"serve"}, r.args...)...)
		var log lockedBuffer
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			r.t.Fatal(err)
		}
		// Later rounds live longer, so that every stage gets its share of deaths.
		life := time.Duration(50+rand.IntN(400+2400*n/kills)) * time.Millisecond
		for end := time.Now().Add(life); time.Now().Before(end); time.Sleep(tick) {
			r.owners.answer()
		}
		_ = cmd.Process.Kill() // SIGKILL
		_ = cmd.Wait()
		if strings.Contains(log.String(), "panic") {
			r.t.Fatalf("round %d:\n%s", n, &log)
		}
		timePasses(r.t, r.db.SQL())
	}
}

// checkDatabase counts what the database holds.
func (r *killRun) checkDatabase() {
	r.t.Helper()
	for query, want := range map[string]int{
		`select sum(packets) from observation`: r.hosts * 12,
		`select sum(packets) from batch`:       r.hosts * 12,
		`select count(*) from (select 1 from observation group by window_start, source, proto, port, class having count(*) > 1) d`: 0,
		`select count(distinct source) from observation`:                                 r.hosts,
		`select count(*) from verdict where superseded_at is null and kind = 'infected'`: r.hosts,
		`select count(*) from cases`:                                                     r.blocks,
		`select count(distinct owner_id) from cases`:                                     r.blocks,
		`select count(*) from case_source`:                                               r.hosts,
		`select count(distinct source) from case_source`:                                 r.hosts,
		// A letter about sources that came after the owner answered waits until a coordinator reads the answer.
		`select count(*) from message where state <> 'sent' and not (state = 'held' and reason = 'new-sources'
			and coalesce(hold_why->0->>'code', '') = 'case-waits')`: 0,
		`select count(*) from (select 1 from message where reason = 'first' group by case_id having count(*) > 1) d`:            0,
		`select count(distinct case_id) from message where reason = 'first'`:                                                    r.blocks,
		`select count(*) from (select message_id from case_event where kind = 'message-sent' group by 1 having count(*) > 1) d`: 0,
		`select count(*) from cases where state <> 'answered' or waiting <> 'reply'`:                                            0,
		`select count(*) from inbound where state <> 'processed'`:                                                               0,
	} {
		if got := count(r.t, r.db.SQL(), query); got != want {
			r.t.Errorf("%s\n  gives %d, want %d", query, got, want)
		}
	}
}

// checkMail compares what arrived with what the database says was sent.
func (r *killRun) checkMail(kills int) {
	t := r.t
	t.Helper()
	logRows(t, r.db.SQL(), `select m.reason, m.state, coalesce(m.hold_why->0->>'code', ''), m.last_error, m.attempts, count(*) from message m group by 1, 2, 3, 4, 5`)
	byID := map[string][][]byte{}
	for _, m := range r.mx.got() {
		byID[m.msg.Header.Get("Message-ID")] = append(byID[m.msg.Header.Get("Message-ID")], m.raw)
	}
	if sent := count(t, r.db.SQL(), `select count(*) from message where state = 'sent'`); len(byID) != sent {
		t.Errorf("%d Message-IDs arrived, want %d", len(byID), sent)
	}
	repeated := 0
	for id, copies := range byID {
		repeated += len(copies) - 1
		for _, c := range copies[1:] {
			if !bytes.Equal(c, copies[0]) {
				t.Errorf("%s arrived in two forms", id)
			}
		}
	}
	// A repeat needs a death between the 250 and the commit; each death can hit
	// the few mails that are under way at once.
	if repeated > 4*kills {
		t.Errorf("%d mails came again", repeated)
	}
	t.Logf("%d mails, %d of them again after a death between 250 and commit", len(byID), repeated)
}

// repliers are the owners: each answers its first mail once, trying again until
// teiten has said 250, as a mail server would.
type repliers struct {
	t        *testing.T
	mx       *sink
	inbound  string
	answered map[string]bool
}

func (r *repliers) answer() {
	for _, m := range r.mx.got() {
		if r.answered[m.to] {
			continue
		}
		to := m.msg.Header.Get("Reply-To")
		if i := strings.LastIndexByte(to, '<'); i >= 0 {
			to = to[i+1:]
		}
		body := fmt.Sprintf("From: <%s>\nTo: %s\nSubject: Re: report\nMessage-ID: <re-%s>\nDate: %s\n\nCleaned.\n", m.to,
			m.msg.Header.Get("Reply-To"), m.to, time.Now().Format(time.RFC1123Z))
		if sendMail(r.t.Context(), r.inbound, m.to, strings.Trim(to, "<>"), body) == nil {
			r.answered[m.to] = true
		}
		return // one at a time: teiten may be dead
	}
}

// blockRegistry is a registry in which every eight addresses of 192.0.2.0/24
// have an owner in Japan with an abuse contact of its own.
func blockRegistry(w http.ResponseWriter, r *http.Request) {
	addr, err := netip.ParseAddr(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	if err != nil || !addr.Is4() {
		http.Error(w, "no such address", http.StatusNotFound)
		return
	}
	n := addr.As4()
	first, last, block := n, n, n[3]/8
	first[3], last[3] = block*8, block*8+7
	w.Header().Set("Content-Type", "application/rdap+json")
	fmt.Fprintf(w, `{"rdapConformance":["rdap_level_0"],"objectClassName":"ip network","handle":"EX-%[1]d","name":"EXAMPLE-%[1]d",
		"startAddress":"%[2]s","endAddress":"%[3]s","ipVersion":"v4","country":"JP","entities":[{"objectClassName":"entity","handle":"IRT-EX-%[1]d-JP",
		"roles":["abuse"],"vcardArray":["vcard",[["version",{},"text","4.0"],["fn",{},"text","IRT-EX-%[1]d-JP"],["email",{},"text","abuse@owner%[1]d.example"]]]}]}`,
		block, netip.AddrFrom4(first), netip.AddrFrom4(last))
}

// timePasses makes everything due that waits for a lease or a back-off to end.
func timePasses(t *testing.T, db *sql.DB) {
	t.Helper()
	for _, q := range []string{
		`update batch set next_attempt_at = next_attempt_at - interval '1 day' where judged_at is null`,
		`update owner_lookup set next_attempt_at = next_attempt_at - interval '1 day' where state = 'due'`,
		`update message set next_attempt_at = next_attempt_at - interval '1 day' where state = 'queued'`,
		`update message_attempt set started_at = started_at - interval '1 day' where outcome = 'delivering'`,
		`update inbound set next_attempt_at = next_attempt_at - interval '1 day' where state = 'received'`,
	} {
		_, err := db.Exec(q)
		for tries := 0; err != nil && strings.Contains(err.Error(), "deadlock detected") && tries < 10; tries++ {
			_, err = db.Exec(q) // the program works on the same rows, in an order of its own
		}
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// logRows shows the rows of a query to the reader of a failure.
func logRows(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		line := ""
		for i, v := range values {
			line += " " + names[i] + "=" + v.String
		}
		t.Log(line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *sql.DB, query string) int {
	t.Helper()
	var n sql.NullInt64
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return int(n.Int64)
}

// freeAddress is a loopback address with a port that no process uses now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

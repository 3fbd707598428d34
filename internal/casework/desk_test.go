package casework_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/pgtest"
	"teiten/internal/registrytest"
	"teiten/internal/synth"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// desk is a database with a worker and an opener on one clock.
type desk struct {
	t      *testing.T
	db     *casedb.DB
	worker *owner.Worker
	opener *casework.Opener
	tell   func(context.Context, int64) (bool, error) // of its follower
	now    time.Time
}

// newDesk asks lookup, or the recorded answers if that is nil.
func newDesk(t *testing.T, lookup owner.Lookup) *desk {
	t.Helper()
	db, err := casedb.Open(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	d := &desk{t: t, db: db, now: noon}
	clock := func() time.Time { return d.now }
	if lookup == nil {
		h, err := synth.RDAPHandler(synth.RDAPAnswers())
		if err != nil {
			t.Fatal(err)
		}
		lookup, _ = registrytest.RDAPServer(t, h.ServeHTTP)
	}
	d.worker = &owner.Worker{DB: db, Lookup: lookup, Config: owner.DefaultContactConfig(), Now: clock}
	d.opener = &casework.Opener{DB: db, MailDomain: "teiten.example", Countries: []string{"JP"}, Now: clock}
	return d
}

func (d *desk) exec(query string, args ...any) {
	d.t.Helper()
	if _, err := d.db.SQL().ExecContext(d.t.Context(), query, args...); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
}

// row returns the one row of a query as text.
func (d *desk) row(query string, args ...any) string {
	d.t.Helper()
	var s string
	if err := d.db.SQL().QueryRowContext(d.t.Context(), query, args...).Scan(&s); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return s
}

func (d *desk) want(query, want string) {
	d.t.Helper()
	if got := d.row(query); got != want {
		d.t.Errorf("%s:\ngot  %s\nwant %s", query, got, want)
	}
}

// see writes sources with an infected verdict, last seen now.
func (d *desk) see(addrs ...string) {
	d.t.Helper()
	for _, a := range addrs {
		d.exec(`insert into source (address, first_at, last_at) values ($1, $2, $2) on conflict (address) do update set last_at = $2`, a, d.now)
		d.exec(`update verdict set superseded_at = $2 where source = $1 and superseded_at is null`, a, d.now)
		d.exec(`insert into verdict (source, kind, malware, tell, confidence, rule, ruleset, evidence, first_at, last_at, created_at)
			values ($1, 'infected', 'ms17-010', true, 0.9, 'worm445', 'test', '{}', $2, $2, $2)`, a, d.now)
	}
}

// automatic lets mail go out on its own wherever the contact does.
func (d *desk) automatic() {
	d.t.Helper()
	d.mode(casedb.RuleAutomatic)
	d.opener.FirstContactByGate = true
}

func (d *desk) mode(m casedb.RuleMode) {
	d.t.Helper()
	if err := d.db.SetRulePolicy(d.t.Context(), casedb.RulePolicy{Rule: "worm445", Mode: m, ChangedAt: d.now, ChangedBy: "test"}); err != nil {
		d.t.Fatal(err)
	}
}

// open runs opener, worker, opener, as the loops would.
func (d *desk) open() (joined int) {
	d.t.Helper()
	for range 2 {
		n, err := d.opener.Do(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		joined += n
		d.work()
	}
	return joined
}

func (d *desk) work() int {
	d.t.Helper()
	n, err := d.worker.Do(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

const casesText = `select coalesce(string_agg(t, E'\n' order by t), '') from (select format('%s %s %s %s %s sources=%s', o.name, c.state, c.waiting,
	c.language, coalesce(k.email, '-'), (select count(*) from case_source s where s.case_id = c.id)) as t
	from cases c join owner o on o.id = c.owner_id left join contact k on k.id = c.contact_id) x`

const messagesText = `select coalesce(string_agg(format('%s %s %s [%s] %s', state, reason, recipient, coalesce(hold_why->0->>'code', ''), language), E'\n' order by id), '') from message`

func TestSampleBecomesCases(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.see("192.0.2.10", "192.0.2.11", "192.0.2.20", "192.0.2.70", "192.0.2.80", "192.0.2.140", "192.0.2.200", "2001:db8:1::5")
	if n := d.open(); n != 7 {
		t.Errorf("%d sources joined, want 7", n)
	}
	d.want(casesText, "Example IPv6 Network new approval ja abuse@v6.example sources=1\n"+
		"Example Internet Service (Japan) new approval ja abuse@isp.example sources=3\n"+
		"Example Trading new contact ja - sources=1\n"+
		"Example University new approval ja abuse@university.example sources=2")
	d.want(`select string_agg(format('%s %s %s [%s] %s', state, reason, recipient, coalesce(hold_why->0->>'code', ''), language), E'\n' order by recipient) from message`,
		"held first abuse@isp.example [rule-holds] ja\nheld first abuse@university.example [contact-approval] ja\nheld first abuse@v6.example [rule-holds] ja")
	d.want(`select count(*)::text from network`, "5")
	d.want(`select string_agg(distinct actor, ' ') from case_event`, "rule worm445")
	if n := d.open(); n != 0 {
		t.Errorf("%d sources joined again", n)
	}
	d.want(`select count(*)::text from cases`, "4")
}

func TestWorkerAsksOncePerRange(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	h, err := synth.RDAPHandler(synth.RDAPAnswers())
	if err != nil {
		t.Fatal(err)
	}
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); h.ServeHTTP(w, r) })
	d := newDesk(t, c)
	var addrs []netip.Addr
	for i := range 64 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	addrs = append(addrs, netip.MustParseAddr("192.0.2.64"), netip.MustParseAddr("198.51.100.1"))
	if err := d.db.RequestLookups(t.Context(), append(addrs, addrs...), d.now); err != nil {
		t.Fatal(err)
	}
	for d.work() > 0 {
	}
	if asked.Load() != 3 {
		t.Errorf("%d questions, want one for each range and one for the unknown", asked.Load())
	}
	d.want(`select format('%s %s %s', count(*) filter (where state = 'done'), count(*) filter (where state = 'failed'), count(distinct network_id)) from owner_lookup`, "65 1 2")
	// The unknown stays unknown for a week, the known ones are asked about again when they expire.
	d.now = d.now.Add(6 * 24 * time.Hour)
	if err := d.db.RequestLookups(t.Context(), addrs[65:], d.now); err != nil {
		t.Fatal(err)
	}
	if d.work() != 0 {
		t.Error("asked about the unknown again")
	}
	d.now = d.now.Add(2 * 24 * time.Hour)
	if err := d.db.RequestLookups(t.Context(), addrs, d.now); err != nil {
		t.Fatal(err)
	}
	for d.work() > 0 {
	}
	if asked.Load() != 6 {
		t.Errorf("%d questions after a week, want six", asked.Load())
	}
	d.want(`select format('%s %s', count(*), count(superseded_at)) from network`, "4 2")
	d.want(`select format('%s %s', count(*), count(retired_at)) from contact where email = 'abuse@isp.example'`, "1 0")
}

func TestWorkerKeepsApprovalAndRetiresContacts(t *testing.T) {
	t.Parallel()
	body := registrytest.Network(`,"country":"JP","remarks":[{"title":"remarks","description":["abuse: abuse@example.net"]}]` + registrytest.Entities(registrytest.Entity("T", `"technical"`, "old@example.net")))
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	d := newDesk(t, c)
	a := netip.MustParseAddr("192.0.2.5")
	ask := func() {
		if err := d.db.RequestLookups(t.Context(), []netip.Addr{a}, d.now); err != nil {
			t.Fatal(err)
		}
		d.work()
	}
	ask()
	d.exec(`update contact set approved_at = $1, approved_by = 'coordinator' where email = 'abuse@example.net'`, d.now)
	body = registrytest.Network(`,"country":"JP","remarks":[{"title":"remarks","description":["abuse: ABUSE@example.net"]}]` + registrytest.Entities(registrytest.Entity("T", `"technical"`, "new@example.net")))
	d.now = d.now.Add(8 * 24 * time.Hour)
	ask()
	d.want(`select string_agg(format('%s %s %s %s', email, gate, approved_by, retired_at is null), E'\n' order by email) from contact`,
		"abuse@example.net approve coordinator t\nnew@example.net human  t\nold@example.net human  f")
}

// lookupFunc is an OwnerLookup.
type lookupFunc func() error

func (f lookupFunc) Lookup(context.Context, netip.Addr) (owner.Answer, error) {
	return owner.Answer{}, f()
}

func TestWorkerRetries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		err             error
		state, attempts string
		min, max        time.Duration
	}{
		{"temporary", &owner.LookupError{Kind: owner.LookupTemporary, Asked: true}, "due", "1", 30 * time.Second, time.Minute},
		{"throttled", &owner.LookupError{Kind: owner.LookupThrottled, Asked: true, RetryAfter: time.Hour}, "due", "1", time.Hour, time.Hour},
		{"not asked", &owner.LookupError{Kind: owner.LookupThrottled, RetryAfter: time.Minute}, "due", "0", time.Minute, 2 * time.Minute},
		{"not found", &owner.LookupError{Kind: owner.LookupNotFound, Asked: true}, "failed", "1", 7 * 24 * time.Hour, 7 * 24 * time.Hour},
		{"too large", &owner.LookupError{Kind: owner.LookupTooLarge, Asked: true}, "failed", "1", 24 * time.Hour, 24 * time.Hour},
		{"strange", errors.New("strange\x00\nerror"), "due", "1", 30 * time.Second, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, lookupFunc(func() error { return tt.err }))
			a := netip.MustParseAddr("192.0.2.5")
			if err := d.db.RequestLookups(t.Context(), []netip.Addr{a}, d.now); err != nil {
				t.Fatal(err)
			}
			d.work()
			l, err := d.db.OwnerLookup(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			pause := l.NextAttemptAt.Sub(d.now)
			if string(l.State) != tt.state || fmt.Sprint(l.Attempts) != tt.attempts || pause < tt.min || pause > tt.max || l.LastError == "" {
				t.Errorf("got %+v after %v", l, pause)
			}
			if d.work() != 0 {
				t.Error("the row is due at once")
			}
		})
	}
}

func TestWorkerGivesUp(t *testing.T) {
	t.Parallel()
	asked := 0
	d := newDesk(t, lookupFunc(func() error { asked++; return &owner.LookupError{Kind: owner.LookupTemporary, Asked: true} }))
	if err := d.db.RequestLookups(t.Context(), []netip.Addr{netip.MustParseAddr("192.0.2.5")}, d.now); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		d.work()
		d.now = d.now.Add(13 * time.Hour)
	}
	if asked != 8 {
		t.Errorf("asked %d times, want 8", asked)
	}
	d.want(`select state from owner_lookup`, "failed")
}

func TestTwoOpenersOpenOneCase(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.see("192.0.2.10")
	if n, err := d.opener.Do(t.Context()); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	d.work() // the networks are known
	for i := 11; i < 40; i++ {
		d.see(fmt.Sprintf("192.0.2.%d", i))
	}
	if _, err := d.opener.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.exec(`update source set network_id = (select id from network)`)
	d.exec(`truncate case_event, message_attempt, case_source, message, inbound, suppression, cases cascade`)
	var wg sync.WaitGroup
	var total atomic.Int64
	for range 8 {
		wg.Go(func() {
			n, err := d.opener.Do(context.Background())
			if err != nil {
				t.Error(err)
			}
			total.Add(int64(n))
		})
	}
	wg.Wait()
	if total.Load() != 30 {
		t.Errorf("%d sources joined, want 30", total.Load())
	}
	d.want(casesText, "Example Internet Service (Japan) new approval ja abuse@isp.example sources=30")
	d.want(messagesText, "held first abuse@isp.example [rule-holds] ja")
	d.want(`select count(*)::text from case_event where kind = 'opened'`, "1")
}

func TestOpenerAutomatic(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.see("192.0.2.10", "192.0.2.70", "192.0.2.140")
	d.open()
	d.want(casesText, "Example Internet Service (Japan) open  ja abuse@isp.example sources=1\nExample Trading new contact ja - sources=1\n"+
		"Example University new approval ja abuse@university.example sources=1")
	d.want(`select string_agg(format('%s %s [%s] %s', state, recipient, coalesce(hold_why->0->>'code', ''), next_attempt_at is not null), E'\n' order by recipient) from message`,
		"queued abuse@isp.example [] t\nheld abuse@university.example [contact-approval] f")
	// Sent; the next day's second source waits for the day to end.
	d.exec(`update message set state = 'sent', sent_at = $1, next_attempt_at = null where state = 'queued'`, d.now)
	d.exec(`update cases set state = 'notified' where state = 'open'`)
	d.now = d.now.Add(2 * time.Hour)
	d.see("192.0.2.11")
	d.open()
	d.see("192.0.2.12")
	d.open()
	d.want(`select format('%s %s %s', state, reason, next_attempt_at - $$2026-11-20T12:00:00Z$$::timestamptz) from message where reason = 'new-sources'`,
		"queued new-sources 1 day")
	d.want(`select format('%s %s', state, waiting) from cases where state = 'notified'`, "notified ")
	d.want(`select count(*)::text from message`, "3")
}

func TestOpenerHoldsWhereACoordinatorIsAtIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.see("192.0.2.10")
	d.open()
	d.exec(`update message set state = 'sent', sent_at = $1, next_attempt_at = null`, d.now)
	d.exec(`update cases set state = 'answered', waiting = 'reply', waiting_since = $1`, d.now)
	d.see("192.0.2.11")
	d.open()
	d.want(messagesText, "sent first abuse@isp.example [] ja\nheld new-sources abuse@isp.example [case-waits] ja")
	d.want(`select format('%s %s', state, waiting) from cases`, "answered reply")
}

func TestOpenerSkipsSuppressedContact(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.exec(`insert into suppression (address, why, created_at) values ('abuse@isp.example', '[{"code":"other","args":["bounced"]}]', $1), ('abuse@v6.example', '[{"code":"other","args":["bounced"]}]', $1), ('ops@v6.example', '[{"code":"other","args":["bounced"]}]', $1)`, d.now)
	d.see("192.0.2.10", "2001:db8::1")
	d.open()
	d.want(casesText, "Example IPv6 Network new contact ja - sources=1\nExample Internet Service (Japan) new approval ja noc@isp.example sources=1")
	d.want(messagesText, "held first noc@isp.example [contact-by-hand] ja")
	// With an address again, the next source brings the case its message.
	d.exec(`update suppression set lifted_at = $1 where address = 'abuse@v6.example'`, d.now)
	d.see("2001:db8::2")
	d.open()
	d.want(`select format('%s %s', c.waiting, m.recipient) from cases c join message m on m.case_id = c.id where m.recipient = 'abuse@v6.example'`,
		"approval abuse@v6.example")
}

func TestOpenerAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		end   string
		later time.Duration
		want  string
	}{
		{"closed", 0, "1"}, {"closed", time.Hour, "2"},
		{"ignored", time.Hour, "1"}, {"ignored", 31 * 24 * time.Hour, "2"},
	} {
		t.Run(fmt.Sprint(tt.end, tt.later), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			d.see("192.0.2.10")
			d.open()
			err := d.db.InTx(t.Context(), func(tx *casedb.Tx) error {
				c, err := tx.LockCase(t.Context(), 1)
				if err != nil {
					return err
				}
				if tt.end == "closed" {
					return tx.CloseCase(t.Context(), &c, "test", nil, d.now)
				}
				return tx.IgnoreCase(t.Context(), &c, "test", nil, d.now)
			})
			if err != nil {
				t.Fatal(err)
			}
			d.now = d.now.Add(tt.later)
			d.see("192.0.2.10")
			d.open()
			d.want(`select count(*)::text from cases`, tt.want)
		})
	}
}

func TestOpenerLeavesOut(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"contradiction":        `update verdict set attention = 'mirai and acknowledged', tell = false`,
		"another kind":         `update verdict set kind = 'scanner'`,
		"superseded":           `update verdict set superseded_at = now()`,
		"seen long ago":        `update verdict set last_at = last_at - interval '15 days'`,
		"network expired":      `update network set expires_at = fetched_at - interval '1 day'`,
		"network superseded":   `update network set superseded_at = fetched_at`,
		"outside constituency": `update network set country = 'KR'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			d.see("192.0.2.10")
			if _, err := d.opener.Do(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.work()
			d.exec(spoil)
			if n, err := d.opener.Do(t.Context()); n != 0 || err != nil {
				t.Errorf("%d joined, %v", n, err)
			}
			d.want(`select count(*)::text from cases`, "0")
		})
	}
	t.Run("prefix inside", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, nil)
		d.opener.Countries, d.opener.Prefixes = nil, []netip.Prefix{netip.MustParsePrefix("192.0.2.192/27")}
		d.see("192.0.2.10", "192.0.2.200", "192.0.2.250")
		d.open()
		d.want(`select string_agg(host(source), ' ') from case_source`, "192.0.2.200")
	})
}

func TestOpenerIsAllOrNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.see("192.0.2.10")
	if _, err := d.opener.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.work()
	d.exec(`create function refuse() returns trigger language plpgsql as $f$ begin raise exception 'no'; end $f$`)
	d.exec(`create trigger refuse before insert on message for each row execute function refuse()`)
	if n, err := d.opener.Do(t.Context()); err == nil || n != 0 {
		t.Errorf("%d joined, error %v", n, err)
	}
	d.want(`select format('%s %s %s', (select count(*) from cases), (select count(*) from case_source), (select count(*) from case_event))`, "0 0 0")
	d.exec(`drop trigger refuse on message`)
	d.open()
	d.want(`select format('%s %s', (select number from cases), (select count(*) from message))`, "TT-2026-000001 1")
	if strings.Contains(d.row(`select message_id from message`), "@") != true {
		t.Error("no Message-ID")
	}
}

// TestSourcesThatJoinDuringRetriesAreTold: the words of a letter are settled
// by its first attempt, or by a coordinator; who joins later gets the next.
func TestSourcesThatJoinDuringRetriesAreTold(t *testing.T) {
	t.Parallel()
	for _, edited := range []bool{false, true} {
		t.Run(fmt.Sprint(edited), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			d.automatic()
			d.see("192.0.2.10")
			d.open()
			d.inTx(func(ctx context.Context, tx *casedb.Tx) error {
				if edited {
					return tx.EditMessage(ctx, 1, 1, "subject", "text", "test", d.now)
				}
				return d.attempt(ctx, tx, casedb.AttemptTemporary)
			})
			d.see("192.0.2.11")
			if n := d.open(); n != 1 {
				t.Errorf("%d sources joined, want 1", n)
			}
			d.now = d.now.Add(10 * time.Minute)
			d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return d.attempt(ctx, tx, casedb.AttemptSent) })
			d.want(`select string_agg(host(source), ' ') from message_source where message_id = 1`, "192.0.2.10")
			if n := d.open(); n != 0 {
				t.Errorf("%d sources joined again", n)
			}
			d.want(messagesText, "sent first abuse@isp.example [] ja\nqueued new-sources abuse@isp.example [] ja")
			d.now = d.now.Add(25 * time.Hour)
			d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return d.attempt(ctx, tx, casedb.AttemptSent) })
			d.want(`select string_agg(host(source), ' ' order by source) from message_source where message_id = 2`, "192.0.2.10 192.0.2.11")
			d.open()
			d.want(`select count(*)::text from message`, "2")
		})
	}
}

// TestCanceledMessagesAreNotWrittenAgain: a coordinator who cancels a message
// has decided about every source of the case.
func TestCanceledMessagesAreNotWrittenAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.see("192.0.2.10", "192.0.2.11")
	d.open()
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return tx.CancelMessage(ctx, 1, 1, "test", nil, d.now) })
	d.see("192.0.2.10")
	d.open()
	d.want(messagesText, "canceled first abuse@isp.example [rule-holds] ja")
	d.see("192.0.2.12")
	d.open()
	d.want(`select count(*)::text from message`, "2")
}

func (d *desk) inTx(f func(ctx context.Context, tx *casedb.Tx) error) {
	d.t.Helper()
	if err := d.db.InTx(d.t.Context(), func(tx *casedb.Tx) error { return f(d.t.Context(), tx) }); err != nil {
		d.t.Fatal(err)
	}
}

// attempt sends what is due, with the end.
func (d *desk) attempt(ctx context.Context, tx *casedb.Tx, end casedb.AttemptOutcome) error {
	due, err := tx.DueMessage(ctx, casedb.SendLimits{}, time.Minute, d.now)
	if err != nil {
		return err
	}
	m, _, err := tx.LockDueMessage(ctx, due.ID, d.now)
	if err != nil {
		return err
	}
	m.Raw = []byte("mail")
	if err := tx.BeginAttempt(ctx, &m, d.now.Add(time.Minute), d.now); err != nil {
		return err
	}
	return tx.FinishAttempt(ctx, m.ID, m.Attempts, casedb.AttemptEnd{Outcome: end}, d.now)
}

const oneDay = 24 * time.Hour

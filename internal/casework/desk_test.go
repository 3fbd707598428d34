package casework_test

import (
	"context"
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
	return tx.FinishAttempt(ctx, m.ID, m.Attempts, casedb.AttemptEnd{Outcome: end}, casework.AfterBounce, d.now)
}

const oneDay = 24 * time.Hour

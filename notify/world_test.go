package notify_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/pgtest"
	"teiten/notify"
)

// epoch is the present of the tests.
var epoch = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

const domain = "teiten.example"

var testConfig = notify.Config{OrganisationJA: "サンプル CSIRT", OrganisationEN: "Example CSIRT", Email: "csirt@teiten.example",
	Phone: "+81-3-0000-0000", URL: "https://teiten.example/", Register: "https://teiten.example/register",
	Pages: "https://teiten.example/o/", Domain: domain}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a case database with the made-up owners, and what works on it.
type world struct {
	t        *testing.T
	db       *casedb.DB
	composer *notify.Composer
	clock    *clock
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, pgtest.New(t))
}

func newWorldAt(t *testing.T, url string) *world {
	t.Helper()
	db, err := casedb.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	composer, err := notify.NewComposer(testConfig, bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, composer: composer, clock: &clock{at: epoch}}
	for d := range 3 {
		day := epoch.Add(-24 * time.Hour * time.Duration(d)).Truncate(24 * time.Hour)
		w.exec(fmt.Sprintf(`create table observation_%s partition of observation for values from ('%s') to ('%s')`,
			day.Format("20060102"), day.Format(time.DateOnly), day.Add(24*time.Hour).Format(time.DateOnly)))
	}
	w.exec(`insert into sensor (name, created_at) values ('sample', $1), ('other', $1)`, epoch)
	w.rule("worm445", casedb.RuleAutomatic)
	return w
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	if _, err := w.db.SQL().ExecContext(w.t.Context(), query, args...); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
}

func (w *world) scan(query string, dest any, args ...any) {
	w.t.Helper()
	if err := w.db.SQL().QueryRowContext(w.t.Context(), query, args...).Scan(dest); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
}

// rule sets a rule's mode.
func (w *world) rule(name string, mode casedb.RuleMode) {
	w.t.Helper()
	if err := w.db.SetRulePolicy(w.t.Context(), casedb.RulePolicy{Rule: name, Mode: mode, ChangedAt: w.clock.now(), ChangedBy: "test"}); err != nil {
		w.t.Fatal(err)
	}
}

// tx runs f in a transaction that must succeed.
func (w *world) tx(f func(ctx context.Context, tx *casedb.Tx) error) {
	w.t.Helper()
	ctx := w.t.Context()
	if err := w.db.InTx(ctx, func(tx *casedb.Tx) error { return f(ctx, tx) }); err != nil {
		w.t.Fatal(err)
	}
}

// spec is what openCase opens.
type spec struct {
	owner, country, language string
	email                    string
	kind                     casedb.Kind // empty: infected
	malware                  string
	rule                     string // empty: worm445
	sources                  []string
	gate                     casedb.Gate
}

var ispCase = spec{owner: "Example Internet Service (Japan)", country: "JP", language: "ja", email: "abuse@isp.example",
	malware: casedb.MalwareMS17010, sources: []string{"192.0.2.10", "192.0.2.11"}, gate: casedb.GateAuto}

var ports = map[string]struct{ proto, port int }{
	casedb.MalwareMS17010: {6, 445}, casedb.MalwareMirai: {6, 23}, casedb.MalwareSlammer: {17, 1434}, "": {6, 22},
}

// openCase opens a case with sources, verdicts and observations.
func (w *world) openCase(s spec) casedb.Case {
	w.t.Helper()
	var owner, contact int64
	w.scan(`insert into owner (key, name, country, language, created_at) values ($1, $1, $2, $3, $4) returning id`, &owner,
		s.owner, s.country, s.language, epoch)
	w.scan(`insert into contact (owner_id, email, provenance, gate, language, created_at) values ($1, $2, 'abuse-role', $3, $4, $5) returning id`,
		&contact, owner, s.email, s.gate, s.language, epoch)
	sources := w.see(s)
	var c casedb.Case
	w.tx(func(ctx context.Context, tx *casedb.Tx) (err error) {
		c, _, _, err = tx.OpenOrJoinCase(ctx, casedb.NewCase{OwnerID: owner, Kind: cmp.Or(s.kind, casedb.KindInfected), Malware: s.malware, ContactID: &contact,
			Language: s.language, Sources: sources, Waiting: casedb.WaitingApproval, Actor: "rule worm445"}, w.clock.now())
		return err
	})
	return c
}

// see writes infected sources with what was seen of them.
func (w *world) see(s spec) (sources []casedb.CaseSource) {
	w.t.Helper()
	p := ports[s.malware]
	class, rule, kind, evidence := "syn", "worm445", cmp.Or(s.kind, casedb.KindInfected), "{}"
	switch kind {
	case casedb.KindBackscatter:
		p.port, class, rule, evidence = 80, "synack", "backscatter", `{"notes":["attack"]}`
	case casedb.KindMisconfigured:
		p.proto, p.port, rule = 17, 514, "misconfigured"
	case casedb.KindScanner:
		rule = "zmap"
	}
	name := fmt.Sprintf("%d/TCP", p.port)
	if p.proto == 17 {
		class, name = "udp", fmt.Sprintf("%d/UDP", p.port)
	}
	if s.rule != "" {
		rule = s.rule
	}
	for i, a := range s.sources {
		if kind == casedb.KindBackscatter {
			w.exec(`insert into aggregate (kind, key, victim, ports, sources, packets, peak, first_at, last_at, confidence, evidence, ruleset, created_at, updated_at)
				values ('dos_victim', host($1::inet), $1::inet, '{80/TCP}', 1, 2400, 180, $2, $3, 0.9,
				'{"fixed":{"sequence":2300,"sequence_of":2400,"window":2400,"window_of":2400}}', '1', $3, $3)`,
				a, epoch.Add(-20*time.Hour), epoch.Add(-19*time.Hour))
		}
		first := epoch.Add(-20*time.Hour + time.Duration(i)*time.Minute)
		var verdict int64
		w.exec(`insert into source (address, first_at, last_at, country) values ($1, $2, $3, $4)`, a, first, first.Add(2*time.Hour), s.country)
		w.scan(`insert into verdict (source, kind, malware, tell, confidence, rule, ruleset, ports, evidence, first_at, last_at, created_at)
			values ($1, $8, $2, true, 0.9, $6, '1', array[$7], $9, $3, $4, $5) returning id`, &verdict, a, s.malware, first, first.Add(2*time.Hour), epoch, rule, name,
			kind, evidence)
		for h := range 2 {
			w.observe(a, p.proto, p.port, class, first.Add(time.Duration(h)*time.Hour))
		}
		sources = append(sources, casedb.CaseSource{Source: casedb.Addr{Addr: netip.MustParseAddr(a)}, VerdictID: verdict})
	}
	return sources
}

// observe writes what two sensors saw of a source in one window.
func (w *world) observe(a string, proto, port int, class string, at time.Time) {
	w.t.Helper()
	for sensor := 1; sensor <= 2; sensor++ {
		w.exec(`insert into observation (batch_id, sensor_id, window_start, source, proto, port, class, packets, bytes, destinations,
			destinations_exact, destination, peer_ports, first_at, last_at, marks, fingerprints, samples)
			values (1, $1, $2, $3, $4, $5, $6, 6, 360, 2, true, '198.51.100.7', 1, $7, $8, '{}', '[]',
			'[{"when":"2026-11-19T13:00:00Z","dst":"198.51.100.7","sport":40000,"dport":445,"ttl":110,"id":7,"seq":3325256711}]')`,
			sensor, at.Truncate(time.Hour), a, proto, port, class, at.Add(time.Second), at.Add(31*time.Second))
	}
}

// join brings more sources into a case.
func (w *world) join(c casedb.Case, s spec) {
	w.t.Helper()
	sources := w.see(s)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, _, _, err := tx.OpenOrJoinCase(ctx, casedb.NewCase{OwnerID: c.OwnerID, Kind: c.Kind, Sources: sources, Actor: "rule " + s.rule}, w.clock.now())
		return err
	})
}

// judge gives a source another verdict.
func (w *world) judge(a, kind, acknowledged string) {
	w.t.Helper()
	w.exec(`update verdict set superseded_at = $2 where source = $1 and superseded_at is null`, a, w.clock.now())
	w.exec(`insert into verdict (source, kind, acknowledged, tell, confidence, rule, ruleset, evidence, first_at, last_at, created_at)
		values ($1, $2, $3, $2 in ('infected','misconfigured','scanner') and $3 = '', 0.5, 'none', '1', '{}', $4, $4, $4)`, a, kind, acknowledged, w.clock.now())
}

// message writes a notification for a case, held or queued.
func (w *world) message(c casedb.Case, s spec, state casedb.MessageState) casedb.Message {
	w.t.Helper()
	now := w.clock.now()
	m := casedb.Message{CaseID: &c.ID, ContactID: c.ContactID, Purpose: casedb.PurposeNotification, State: state, Reason: "first",
		Recipient: s.email, Language: s.language, CreatedAt: now}
	if state == casedb.MessageQueued {
		m.NextAttemptAt = &now
	}
	m.HeaderID, m.Token = fmt.Sprintf("tt.token%d@%s", c.ID, domain), fmt.Sprintf("token%d", c.ID)
	w.tx(func(ctx context.Context, tx *casedb.Tx) (err error) {
		m, err = tx.InsertMessage(ctx, m, "rule worm445")
		return err
	})
	return m
}

// queued opens a case with a message that is due.
func (w *world) queued(s spec) (casedb.Case, casedb.Message) {
	w.t.Helper()
	c := w.openCase(s)
	return c, w.message(c, s, casedb.MessageQueued)
}

func (w *world) getMessage(id int64) casedb.Message {
	w.t.Helper()
	m, err := w.db.Message(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) getCase(id int64) casedb.Case {
	w.t.Helper()
	c, err := w.db.Case(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// events returns the kinds of a case's events in order.
func (w *world) events(id int64) []casedb.EventKind {
	w.t.Helper()
	all, err := w.db.CaseEvents(w.t.Context(), id, 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var kinds []casedb.EventKind
	for _, e := range all {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// sender returns a sender on the world's clock.
func (w *world) sender(tr notify.Transport) *notify.Sender {
	return &notify.Sender{DB: w.db, Composer: w.composer, Transport: tr, Now: w.clock.now}
}

// do runs Do until there is nothing to do.
func (w *world) do(f func(context.Context) (int, error)) int {
	w.t.Helper()
	total := 0
	for range 1000 {
		n, err := f(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if n == 0 {
			return total
		}
		total += n
	}
	w.t.Fatal("work without end")
	return total
}

func testComposer(t testing.TB) *notify.Composer {
	t.Helper()
	c, err := notify.NewComposer(testConfig, bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

package web_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/pgtest"
	"teiten/internal/reason"
	"teiten/notify"
	"teiten/web"
)

// start is the clock of the tests.
var start = time.Date(2026, 3, 10, 3, 0, 0, 0, time.UTC)

// bundle is a desk on a database of its own, with a browser.
type bundle struct {
	t    *testing.T
	db   *casedb.DB
	desk *web.Server
	srv  *httptest.Server
	http *http.Client
	now  time.Time
	woke int
}

func setup(t *testing.T, change ...func(*web.Config)) *bundle {
	t.Helper()
	db, err := casedb.Open(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := &bundle{t: t, db: db, now: start}
	cfg := web.Config{DB: db, Logger: logger(t), Now: func() time.Time { return b.now },
		Organisation: map[string]string{"ja": "Example CSIRT", "en": "Example CSIRT"}, Contact: "csirt@teiten.example",
		MailDomain: "teiten.example", Mailbox: true, Rules: []string{"mirai", "worm445"}, Version: "test", PasswordCost: cheap,
		NotAnOwner: notAnOwner, Registration: web.RegistrationLimits{AllowDocumentation: true}, Notify: func() { b.woke++ }}
	var err2 error
	cfg.BaseURL = "http://desk.example"
	cfg.Composer, err2 = notify.NewComposer(notify.Config{OrganisationJA: "Example CSIRT", OrganisationEN: "Example CSIRT",
		Email: "csirt@teiten.example", Domain: "teiten.example"}, make([]byte, 32))
	if err2 != nil {
		t.Fatal(err2)
	}
	cfg.Planner = &notify.Planner{DB: db}
	for _, f := range change {
		f(&cfg)
	}
	desk, err := web.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.desk, b.srv = desk, httptest.NewServer(desk)
	t.Cleanup(b.srv.Close)
	b.http = browser(t)
	return b
}

// browser is a client that keeps cookies and does not follow redirects.
func browser(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

const password = "correct horse battery"

// cheap is the cost of the tests' passwords: they are none of people.
var cheap = web.PasswordCost{Memory: 8, Passes: 1, Lanes: 1}

// user adds a user and logs the browser in.
func (b *bundle) user(name string, role casedb.Role, lang string) {
	b.t.Helper()
	hash, err := cheap.Hash(password)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.db.CreateUser(context.Background(), casedb.User{Name: name, PasswordHash: hash, Role: role, Language: lang}, b.now); err != nil {
		b.t.Fatal(err)
	}
	b.login(name)
}

func (b *bundle) login(name string) {
	b.t.Helper()
	status, _, h := b.post("/login", "name", name, "password", password)
	if status != http.StatusSeeOther || h.Get("Location") != "/cases" {
		b.t.Fatalf("login as %s: got %d to %q", name, status, h.Get("Location"))
	}
}

func (b *bundle) get(path string) (int, string, http.Header) {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.srv.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// page gets a page that must be there.
func (b *bundle) page(path string) string {
	b.t.Helper()
	status, body, _ := b.get(path)
	if status != http.StatusOK {
		b.t.Fatalf("GET %s: got %d\n%s", path, status, body)
	}
	return body
}

func (b *bundle) post(path string, pairs ...string) (int, string, http.Header) {
	b.t.Helper()
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	req, err := http.NewRequest(http.MethodPost, b.srv.URL+path, strings.NewReader(v.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

func (b *bundle) do(req *http.Request) (int, string, http.Header) {
	b.t.Helper()
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// exec runs statements that have no method because other parts of teiten
// write them in their own way.
func exec(t testing.TB, db *casedb.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.SQL().Exec(query, args...); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
}

func one[T any](t testing.TB, db *casedb.DB, query string, args ...any) T {
	t.Helper()
	var v T
	if err := db.SQL().QueryRow(query, args...).Scan(&v); err != nil && err != sql.ErrNoRows {
		t.Fatalf("%v\n%s", err, query)
	}
	return v
}

// sampleCase is a case of a made-up owner with three infected sources, its
// notification held.
type sampleCase struct {
	casedb.Case
	Message casedb.Message
	Sources []netip.Addr
}

// addCase writes a case with everything a page can show about it.
func addCase(t testing.TB, db *casedb.DB, n int, now time.Time) sampleCase {
	t.Helper()
	ctx := context.Background()
	base := netip.AddrFrom4([4]byte{192, 0, 2, byte(n * 8)})
	owner := one[int64](t, db, `insert into owner (key, name, country, language, created_at) values ($1, $2, 'JP', 'ja', $3) returning id`,
		fmt.Sprintf("TEST/EX-ISP-%d", n), fmt.Sprintf("Example Internet Service %d", n), now)
	network := one[int64](t, db, `insert into network (owner_id, first_address, last_address, handle, name, country, registry, raw, fetched_at, expires_at)
		values ($1, $2, $3, 'EX-ISP-JP', 'EX-ISP', 'JP', 'apnic', '', $4, $5) returning id`, owner, base.String(),
		netip.AddrFrom4([4]byte{192, 0, 2, byte(n*8 + 7)}).String(), now, now.Add(24*time.Hour))
	contact := one[int64](t, db, `insert into contact (owner_id, network_id, email, name, role, provenance, gate, valid, why, language, rank, created_at)
		values ($1, $2, $3, 'Abuse desk', 'abuse', 'abuse-role', 'auto', true, '[{"code":"named","args":["Abuse desk"]}]', 'ja', 0, $4) returning id`,
		owner, network, fmt.Sprintf("abuse%d@isp.example", n), now)
	exec(t, db, `insert into contact (owner_id, network_id, email, provenance, gate, why, language, rank, created_at)
		values ($1, $2, $3, 'remark', 'approve', '[{"code":"remark","args":["abuse: desk"]}]', 'ja', 1, $4)`, owner, network, fmt.Sprintf("noc%d@isp.example", n), now)
	c := sampleCase{}
	var join []casedb.CaseSource
	for i := range 3 {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(n*8 + 1 + i)})
		c.Sources = append(c.Sources, a)
		first, last := now.Add(-50*time.Hour), now.Add(-2*time.Hour)
		exec(t, db, `insert into source (address, first_at, last_at, country, network_id, judged_at) values ($1, $2, $3, 'JP', $4, $5)
			on conflict do nothing`, a.String(), first, last, network, now)
		exec(t, db, `insert into verdict (source, kind, tell, confidence, rule, ruleset, ports, evidence, first_at, last_at, created_at, superseded_at)
			values ($1, 'unknown', false, 0.2, 'unknown', '2026.1', '{445/TCP}', '{"packets": 2}', $2, $2, $2, $3)`, a.String(), first, now)
		v := one[int64](t, db, `insert into verdict (source, kind, malware, tell, confidence, rule, ruleset, ports, evidence, first_at, last_at, created_at)
			values ($1, 'infected', 'ms17-010', true, 0.97, 'worm445', '2026.1', '{445/TCP}',
			'{"packets": 1234, "hits": 1230, "of": 1234, "chance": 1e-9, "destinations": 254, "sensors": 1, "days": 3}', $2, $3, $4) returning id`,
			a.String(), first, last, now)
		join = append(join, casedb.CaseSource{Source: casedb.Addr{Addr: a}, VerdictID: v})
		addPackets(t, db, a, now)
	}
	err := db.InTx(ctx, func(tx *casedb.Tx) error {
		var err error
		c.Case, _, _, err = tx.OpenOrJoinCase(ctx, casedb.NewCase{OwnerID: owner, Kind: casedb.KindInfected, Malware: casedb.MalwareMS17010,
			ContactID: &contact, Language: "ja", Sources: join, Waiting: casedb.WaitingApproval, Actor: "rule worm445"}, now)
		if err != nil {
			return err
		}
		m := casedb.Message{CaseID: &c.ID, ContactID: &contact, Purpose: casedb.PurposeNotification, State: casedb.MessageHeld, Reason: "first",
			HoldWhy: reason.Of(reason.RuleHolds), Recipient: fmt.Sprintf("abuse%d@isp.example", n), Language: "ja",
			CreatedAt: now}
		m.HeaderID, m.Token = casedb.NewIdentity("teiten.example")
		c.Message, err = tx.InsertMessage(ctx, m, "rule worm445")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// addPackets writes observations of a source, a few hours of two days.
func addPackets(t testing.TB, db *casedb.DB, a netip.Addr, now time.Time) {
	t.Helper()
	exec(t, db, `insert into sensor (name, created_at) values ('sample', $1) on conflict do nothing`, now)
	for hour := 50; hour > 2; hour -= 1 + hour%5 {
		at := now.Add(-time.Duration(hour) * time.Hour).Truncate(time.Hour)
		day := at.Format("20060102")
		exec(t, db, `create table if not exists observation_`+day+` partition of observation for values from ('`+
			at.Format("2006-01-02")+` 00:00Z') to ('`+at.AddDate(0, 0, 1).Format("2006-01-02")+` 00:00Z')`)
		exec(t, db, `insert into observation (batch_id, sensor_id, window_start, source, proto, port, class, packets, bytes, destinations,
			destinations_exact, peer_ports, first_at, last_at) values (1, (select id from sensor where name = 'sample'), $1, $2, 6, 445, 'syn',
			$3, $4, 100, true, 20, $1, $5)`, at, a.String(), 10+hour*7%60, 600, at.Add(time.Hour-time.Second))
	}
}

// logger writes to the test's log.
// notAnOwner knows one registry's address, and ours.
func notAnOwner(address string) error {
	return owner.NotAnOwner(address, owner.ContactConfig{PlaceholderEmails: []string{"hostmaster@registry.example"}}, "teiten.example")
}

func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

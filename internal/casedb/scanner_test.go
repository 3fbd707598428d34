package casedb_test

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"testing"
	"time"

	"teiten/internal/casedb"
)

func entry(prefix, organisation string) casedb.Scanner {
	return casedb.Scanner{Prefix: casedb.Prefix{Prefix: netip.MustParsePrefix(prefix)}, Organisation: organisation}
}

// save judges sources: address to acknowledging organisation, "" for infected.
func save(t *testing.T, db *casedb.DB, sources map[string]string, at time.Time) (changed int) {
	t.Helper()
	version, err := db.ScannersVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changed, err = trySave(t, db, sources, version, at)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func trySave(t *testing.T, db *casedb.DB, sources map[string]string, version int64, at time.Time) (changed int, err error) {
	t.Helper()
	var list []casedb.Judgement
	for s, organisation := range sources {
		v := casedb.Verdict{Source: casedb.Addr{Addr: netip.MustParseAddr(s)}, Kind: casedb.KindInfected, Rule: "worm445",
			Malware: casedb.MalwareMS17010, Ruleset: "1", Confidence: 0.8, Tell: organisation == "", Ports: []string{"445/TCP"}, First: noon, Last: at}
		if organisation != "" {
			v.Kind, v.Malware, v.Rule, v.Acknowledged = casedb.KindScanner, "", "acknowledged", organisation
		}
		list = append(list, casedb.Judgement{Verdict: v, Country: "JP"})
	}
	err = db.InTx(t.Context(), func(tx *casedb.Tx) error {
		changed, err = tx.SaveVerdicts(t.Context(), list, version, at)
		return err
	})
	return changed, err
}

func due(t *testing.T, db *casedb.DB) []netip.Addr {
	t.Helper()
	list, err := db.SourcesDue(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestVerdictsAreSupersededOnlyWhenTheyDiffer(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	if n := save(t, db, map[string]string{"192.0.2.1": "", "2001:db8::1": ""}, noon); n != 2 {
		t.Errorf("got %d new verdicts, want 2", n)
	}
	if n := save(t, db, map[string]string{"192.0.2.1": ""}, noon.Add(time.Hour)); n != 0 {
		t.Errorf("the same again: got %d new verdicts, want none", n)
	}
	page, err := db.SourcePage(t.Context(), netip.MustParseAddr("192.0.2.1"))
	if err != nil || len(page.Verdicts) != 1 || !page.Verdicts[0].Last.Equal(noon.Add(time.Hour)) || page.Source.Country != "JP" {
		t.Errorf("got %+v, %v", page, err)
	}
	if n := save(t, db, map[string]string{"192.0.2.1": "Example Research"}, noon.Add(2*time.Hour)); n != 1 {
		t.Errorf("another verdict: got %d new, want 1", n)
	}
	page, err = db.SourcePage(t.Context(), netip.MustParseAddr("192.0.2.1"))
	if err != nil || len(page.Verdicts) != 2 || page.Verdicts[0].Acknowledged != "Example Research" ||
		page.Verdicts[1].SupersededAt == nil || page.Verdicts[0].SupersededAt != nil {
		t.Errorf("got %+v, %v", page.Verdicts, err)
	}
}

func TestVerdictsOfAnOldAllowlistAreNotSaved(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	version, err := db.ScannersVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
		_, err := tx.AddScanner(t.Context(), entry("192.0.2.0/24", "Example"), "tester", noon)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := trySave(t, db, map[string]string{"192.0.2.1": ""}, version, noon); !errors.Is(err, casedb.ErrStale) {
		t.Errorf("got %v, want ErrStale", err)
	}
}

func TestAddAndEndScannerMakeSourcesDue(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	save(t, db, map[string]string{"192.0.2.0": "", "192.0.2.63": "", "192.0.2.64": "", "2001:db8::1": "", "2001:db8:1::1": ""}, noon)
	var v4 casedb.Scanner
	err := db.InTx(t.Context(), func(tx *casedb.Tx) (err error) {
		e := entry("192.0.2.0/26", "Example Research")
		e.List, e.Purpose = casedb.ListManual, "research"
		if v4, err = tx.AddScanner(t.Context(), e, "tester", noon); err != nil {
			return err
		}
		e = entry("2001:db8::/48", "Example Research")
		e.List = casedb.ListManual
		_, err = tx.AddScanner(t.Context(), e, "tester", noon)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := due(t, db); len(got) != 3 || got[0].String() != "192.0.2.0" || got[1].String() != "192.0.2.63" || got[2].String() != "2001:db8::1" {
		t.Errorf("due: got %v", got)
	}
	err = db.InTx(t.Context(), func(tx *casedb.Tx) error {
		_, err := tx.AddScanner(t.Context(), v4, "tester", noon)
		return err
	})
	if !errors.Is(err, casedb.ErrConflict) {
		t.Errorf("the same entry: got %v, want ErrConflict", err)
	}
	if err := db.SettleSources(t.Context(), due(t, db), noon); err != nil {
		t.Fatal(err)
	}
	if got := due(t, db); len(got) != 0 {
		t.Errorf("due after settling: got %v", got)
	}
	for i, want := range []error{nil, casedb.ErrState} {
		err = db.InTx(t.Context(), func(tx *casedb.Tx) error {
			_, err := tx.EndScanner(t.Context(), v4.ID, "tester", noon.Add(time.Hour))
			return err
		})
		if !errors.Is(err, want) {
			t.Errorf("end %d: got %v, want %v", i, err, want)
		}
	}
	if got := due(t, db); len(got) != 2 {
		t.Errorf("due after the end: got %v", got)
	}
	list, more, err := db.ListScanners(t.Context(), casedb.ScannerFilter{Address: netip.MustParseAddr("192.0.2.1"), At: noon}, 0, 10)
	if err != nil || more || len(list) != 1 || list[0].Purpose != "research" {
		t.Errorf("in force at noon: got %+v, %v", list, err)
	}
	list, _, err = db.ListScanners(t.Context(), casedb.ScannerFilter{Organisation: "research", At: noon.Add(2 * time.Hour)}, 0, 10)
	if err != nil || len(list) != 1 || !list[0].Prefix.Addr().Is6() {
		t.Errorf("in force later: got %+v, %v", list, err)
	}
}

func TestImportScannersIsTheWholeList(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	run := func(at time.Time, entries ...casedb.Scanner) (r casedb.ScannerImport) {
		t.Helper()
		err := db.InTx(t.Context(), func(tx *casedb.Tx) (err error) {
			r, err = tx.ImportScanners(t.Context(), "example-list", entries, "tester", at)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b, c := entry("192.0.2.0/28", "A"), entry("198.51.100.0/28", "B"), entry("203.0.113.0/28", "C")
	if r := run(noon, a, b, a); r != (casedb.ScannerImport{Added: 2}) {
		t.Errorf("first: got %+v", r)
	}
	if r := run(noon, a, b); r != (casedb.ScannerImport{Same: 2}) {
		t.Errorf("again: got %+v", r)
	}
	b.Purpose = "research"
	if r := run(noon.Add(time.Hour), b, c); r != (casedb.ScannerImport{Added: 1, Changed: 1, Ended: 1}) {
		t.Errorf("third: got %+v", r)
	}
	if r := run(noon.Add(2*time.Hour), a, b, c); r.Changed != 1 || r.Ended != 0 {
		t.Errorf("back again: got %+v", r)
	}
	var got []string
	err := db.ExportScanners(t.Context(), noon.Add(3*time.Hour), func(s *casedb.Scanner) error {
		got = append(got, s.Organisation+" "+s.Prefix.String())
		return nil
	})
	if err != nil || len(got) != 3 || got[0] != "A 192.0.2.0/28" {
		t.Errorf("export: got %v, %v", got, err)
	}
	err = db.InTx(t.Context(), func(tx *casedb.Tx) error {
		_, err := tx.ImportScanners(t.Context(), casedb.ListRegistration, nil, "tester", noon)
		return err
	})
	if err == nil {
		t.Error("a list took the registrations' name")
	}
}

func register(t *testing.T, db *casedb.DB, token string, prefixes ...string) casedb.Registration {
	t.Helper()
	digest := sha256.Sum256([]byte(token))
	r, err := db.CreateRegistration(t.Context(), casedb.Registration{Organisation: "Example Research", Purpose: "counting",
		Email: "security@research.example", Language: "en", Prefixes: prefixes, ConfirmDigest: digest[:],
		ConfirmUntil: noon.Add(24 * time.Hour), CreatedAt: noon})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRegistrationGoesItsWay(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	save(t, db, map[string]string{"203.0.113.10": "", "203.0.113.70": ""}, noon)
	r := register(t, db, "token", "203.0.113.0/26")
	accept := func() (err error) {
		return db.InTx(t.Context(), func(tx *casedb.Tx) error {
			r, err = tx.AcceptRegistration(t.Context(), r.ID, "coordinator", "known", noon)
			return err
		})
	}
	if err := accept(); !errors.Is(err, casedb.ErrState) {
		t.Errorf("accept before it is confirmed: got %v, want ErrState", err)
	}
	digest, other := sha256.Sum256([]byte("token")), sha256.Sum256([]byte("other"))
	if _, err := db.ConfirmRegistration(t.Context(), other[:], noon); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("another's token: got %v, want ErrNotFound", err)
	}
	if _, err := db.ConfirmRegistration(t.Context(), digest[:], noon.Add(25*time.Hour)); !errors.Is(err, casedb.ErrState) {
		t.Errorf("too late: got %v, want ErrState", err)
	}
	for range 2 {
		if got, err := db.ConfirmRegistration(t.Context(), digest[:], noon); err != nil || got.State != casedb.RegistrationPending {
			t.Errorf("confirm: got %+v, %v", got, err)
		}
	}
	if list, _, err := db.ListRegistrations(t.Context(), casedb.RegistrationPending, 0, 10); err != nil || len(list) != 1 {
		t.Errorf("pending: got %+v, %v", list, err)
	}
	if err := accept(); err != nil || r.State != casedb.RegistrationAccepted || r.DecidedBy != "coordinator" {
		t.Fatalf("accept: got %+v, %v", r, err)
	}
	if got := due(t, db); len(got) != 1 || got[0].String() != "203.0.113.10" {
		t.Errorf("due: got %v", got)
	}
	list, _, err := db.ListScanners(t.Context(), casedb.ScannerFilter{List: casedb.ListRegistration, At: noon}, 0, 10)
	if err != nil || len(list) != 1 || list[0].RegistrationID == nil || *list[0].RegistrationID != r.ID {
		t.Errorf("entries: got %+v, %v", list, err)
	}
	// The same prefixes once more, after the entry was ended, are in force again.
	if err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
		_, err := tx.EndScanner(t.Context(), list[0].ID, "coordinator", noon.Add(time.Hour))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r = register(t, db, "second", "203.0.113.0/26")
	digest = sha256.Sum256([]byte("second"))
	if _, err := db.ConfirmRegistration(t.Context(), digest[:], noon); err != nil {
		t.Fatal(err)
	}
	if err := accept(); err != nil {
		t.Fatal(err)
	}
	if list, _, err = db.ListScanners(t.Context(), casedb.ScannerFilter{At: noon.Add(2 * time.Hour)}, 0, 10); err != nil || len(list) != 1 {
		t.Errorf("entries after the second: got %+v, %v", list, err)
	}
	if err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
		_, err := tx.RejectRegistration(t.Context(), r.ID, "coordinator", "no", noon)
		return err
	}); !errors.Is(err, casedb.ErrState) {
		t.Errorf("reject what is accepted: got %v, want ErrState", err)
	}
}

func TestCasesOfAcknowledgedSourcesAreSettled(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		notified bool
		all      bool
		state    casedb.CaseState
		waiting  casedb.Waiting
	}{
		{"all sources", false, true, casedb.CaseIgnored, casedb.WaitingNone},
		{"all sources, after the notification", true, true, casedb.CaseNotified, casedb.WaitingAttention},
		{"one of two sources", false, false, casedb.CaseNew, casedb.WaitingApproval},
	} {
		db := openTest(t)
		_, sources := seed(t, db, 2)
		c, _, _ := openCase(t, db, sources)
		if test.notified {
			if err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
				c, err := tx.LockCase(t.Context(), c.ID)
				if err != nil {
					return err
				}
				return tx.ChangeCase(t.Context(), &c, casedb.CaseChange{State: casedb.CaseNotified,
					Waiting: casedb.WaitFor(casedb.WaitingNone), Event: casedb.CaseEvent{Kind: casedb.EventSent}}, noon)
			}); err != nil {
				t.Fatal(err)
			}
		}
		acknowledged := map[string]string{sources[0].Source.String(): "Example Research"}
		if test.all {
			acknowledged[sources[1].Source.String()] = "Example Research"
		}
		save(t, db, acknowledged, noon.Add(time.Hour))
		got, err := db.Case(t.Context(), c.ID)
		if err != nil || got.State != test.state || got.Waiting != test.waiting {
			t.Errorf("%s: got %s waiting for %q, %v; want %s, %q", test.name, got.State, got.Waiting, err, test.state, test.waiting)
		}
	}
}

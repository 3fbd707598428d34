package casedb_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/pgtest"

	"teiten/internal/reason"
)

var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func openTest(t *testing.T) *casedb.DB {
	t.Helper()
	db, err := casedb.Open(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// exec runs a statement of the test's own.
func exec(t *testing.T, db *casedb.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.SQL().ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// seed makes an owner with a contact and n infected sources with verdicts.
func seed(t *testing.T, db *casedb.DB, n int) (contact int64, sources []casedb.CaseSource) {
	t.Helper()
	exec(t, db, `insert into owner (key, name, country, language, created_at) values ('test:EX', 'Example', 'JP', 'ja', $1)`, noon)
	exec(t, db, `insert into contact (owner_id, email, provenance, gate, language, created_at)
		values (1, 'abuse@isp.example', 'abuse-role', 'auto', 'ja', $1)`, noon)
	for i := range n {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		exec(t, db, `insert into source (address, first_at, last_at) values ($1, $2, $2)`, a.String(), noon)
		exec(t, db, `insert into verdict (source, kind, tell, confidence, rule, ruleset, evidence, first_at, last_at, created_at)
			values ($1, 'infected', true, 0.9, 'worm445', 'test', '{}', $2, $2, $2)`, a.String(), noon)
		sources = append(sources, casedb.CaseSource{Source: casedb.Addr{Addr: a}, VerdictID: int64(i + 1)})
	}
	return 1, sources
}

func openCase(t *testing.T, db *casedb.DB, sources []casedb.CaseSource) (c casedb.Case, opened bool, joined int) {
	t.Helper()
	contact := int64(1)
	err := db.InTx(t.Context(), func(tx *casedb.Tx) (err error) {
		c, opened, joined, err = tx.OpenOrJoinCase(t.Context(), casedb.NewCase{OwnerID: 1, Kind: casedb.KindInfected,
			ContactID: &contact, Language: "ja", Sources: sources, Waiting: casedb.WaitingApproval, Actor: "rule worm445"}, noon)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, opened, joined
}

func TestCaseOpensOnceAndSourcesJoin(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, sources := seed(t, db, 3)
	first, opened, joined := openCase(t, db, sources[:2])
	if !opened || joined != 2 || first.Number != "TT-2026-000001" || first.State != casedb.CaseNew {
		t.Errorf("first: %+v opened %v joined %d", first, opened, joined)
	}
	second, opened, joined := openCase(t, db, sources)
	if opened || joined != 1 || second.ID != first.ID || second.Version != first.Version+1 {
		t.Errorf("second: %+v opened %v joined %d", second, opened, joined)
	}
	events, err := db.CaseEvents(t.Context(), first.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 4 || events[0].Kind != casedb.EventOpened {
		t.Errorf("events: %+v", events)
	}
	got, err := db.CaseSources(t.Context(), first.ID, casedb.Addr{}, 2)
	if err != nil || len(got) != 2 {
		t.Fatalf("sources: %v %v", got, err)
	}
	got, err = db.CaseSources(t.Context(), first.ID, got[1].Source, 2)
	if err != nil || len(got) != 1 || got[0].Source != sources[2].Source {
		t.Errorf("second page: %v %v", got, err)
	}
}

func TestManyOpenersAtOnceMakeOneCase(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, sources := seed(t, db, 16)
	var wg sync.WaitGroup
	var mu sync.Mutex
	opened := 0
	for i := range sources {
		wg.Go(func() {
			err := db.InTx(context.Background(), func(tx *casedb.Tx) error {
				_, o, _, err := tx.OpenOrJoinCase(context.Background(), casedb.NewCase{OwnerID: 1, Kind: casedb.KindInfected,
					Language: "ja", Sources: sources[i : i+1], Waiting: casedb.WaitingContact, Actor: "rule worm445"}, noon)
				mu.Lock()
				defer mu.Unlock()
				if o {
					opened++
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if opened != 1 {
		t.Errorf("%d cases opened, want 1", opened)
	}
	if s, err := db.CaseSources(t.Context(), 1, casedb.Addr{}, 100); err != nil || len(s) != 16 {
		t.Errorf("%d sources, %v", len(s), err)
	}
}

func TestStateChanges(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, sources := seed(t, db, 1)
	c, _, _ := openCase(t, db, sources)
	change := func(f func(*casedb.Tx, *casedb.Case) error) (after casedb.Case, err error) {
		err = db.InTx(t.Context(), func(tx *casedb.Tx) error {
			after, err = tx.LockCase(t.Context(), c.ID)
			if err != nil {
				return err
			}
			return f(tx, &after)
		})
		return after, err
	}
	after, err := change(func(tx *casedb.Tx, c *casedb.Case) error {
		return tx.CloseCase(t.Context(), c, "hanako", reason.Typed("cleaned"), noon)
	})
	if err != nil || after.State != casedb.CaseClosed || after.ClosedAt == nil || after.Waiting != casedb.WaitingNone {
		t.Errorf("closed: %+v %v", after, err)
	}
	_, err = change(func(tx *casedb.Tx, c *casedb.Case) error {
		return tx.ChangeCase(t.Context(), c, casedb.CaseChange{State: casedb.CaseNotified,
			Event: casedb.CaseEvent{Kind: casedb.EventSent, Actor: casedb.ActorSystem}}, noon)
	})
	if !errors.Is(err, casedb.ErrState) {
		t.Errorf("closed to notified: %v, want ErrState", err)
	}
	// The owner's sources show up again: a second case opens, so the first
	// cannot be reopened in addition.
	if _, opened, _ := openCase(t, db, sources); !opened {
		t.Error("a closed case took new sources")
	}
	_, err = change(func(tx *casedb.Tx, c *casedb.Case) error {
		return tx.ReopenCase(t.Context(), c, "hanako", reason.Typed("again"), noon)
	})
	if !errors.Is(err, casedb.ErrConflict) {
		t.Errorf("reopen beside a live case: %v, want ErrConflict", err)
	}
	err = db.InTx(t.Context(), func(tx *casedb.Tx) error {
		_, err := tx.LockCaseVersion(t.Context(), c.ID, c.Version)
		return err
	})
	if !errors.Is(err, casedb.ErrStale) {
		t.Errorf("old version: %v, want ErrStale", err)
	}
}

func TestEventsCannotBeChanged(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, sources := seed(t, db, 1)
	openCase(t, db, sources)
	for _, q := range []string{`update case_event set text = 'x'`, `delete from case_event`} {
		if _, err := db.SQL().Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// The lists in Go and the CHECK constraints in SQL say the same.
func TestListsEqualConstraints(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	for _, c := range []struct {
		table, column string
		want          []string
	}{
		{"cases", "state", texts(casedb.CaseStates)},
		{"cases", "waiting", append([]string{""}, texts(casedb.WaitingReasons)...)},
		{"verdict", "kind", texts(casedb.Kinds)},
		{"message", "state", texts([]casedb.MessageState{casedb.MessageHeld, casedb.MessageQueued, casedb.MessageSent,
			casedb.MessageBounced, casedb.MessageCanceled, casedb.MessageFailed})},
		{"message", "purpose", texts([]casedb.Purpose{casedb.PurposeNotification, casedb.PurposeAnswer,
			casedb.PurposeConfirmation, casedb.PurposeDecision, casedb.PurposeDigest})},
		{"message_attempt", "outcome", texts([]casedb.AttemptOutcome{casedb.AttemptDelivering, casedb.AttemptSent,
			casedb.AttemptTemporary, casedb.AttemptPermanent, casedb.AttemptUnknown})},
		{"inbound", "class", append([]string{""}, texts([]casedb.InboundClass{casedb.InboundBounce, casedb.InboundDelay,
			casedb.InboundAutoReply, casedb.InboundFeedback, casedb.InboundChallenge, casedb.InboundHuman})...)},
		{"inbound", "state", texts([]casedb.InboundState{casedb.InboundReceived, casedb.InboundProcessed, casedb.InboundFailed, casedb.InboundPurged})},
		{"contact", "provenance", texts([]casedb.Provenance{casedb.FromAbuseRole, casedb.FromRemark, casedb.FromJPNICWhois,
			casedb.FromLocalPart, casedb.FromOverride, casedb.FromNone})},
		{"contact", "gate", texts([]casedb.Gate{casedb.GateAuto, casedb.GateApprove, casedb.GateHuman})},
		{"registration", "state", texts([]casedb.RegistrationState{casedb.RegistrationUnconfirmed, casedb.RegistrationPending,
			casedb.RegistrationAccepted, casedb.RegistrationRejected})},
		{"control_draw", "arm", texts([]casedb.Arm{casedb.ArmNotified, casedb.ArmControl})},
		{"control_draw", "end_kind", append([]string{""}, texts(casedb.ControlEnds)...)},
		{"rule_policy", "mode", texts(casedb.RuleModes)}, {"users", "role", texts(casedb.Roles)},
	} {
		var def string
		err := db.SQL().QueryRow(`select pg_get_constraintdef(oid) from pg_constraint where contype = 'c'
			and conrelid = $1::regclass and conname = $2`, c.table, c.table+"_"+c.column+"_check").Scan(&def)
		if err != nil {
			t.Errorf("%s.%s: %v", c.table, c.column, err)
			continue
		}
		var got []string
		for _, m := range regexp.MustCompile(`'([^']*)'`).FindAllStringSubmatch(def, -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s.%s: SQL has %q, Go has %q", c.table, c.column, got, c.want)
		}
	}
}

func texts[T ~string](in []T) (out []string) {
	for _, v := range in {
		out = append(out, string(v))
	}
	return out
}

func TestCleanTakesAwayWhatHurts(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                       "plain",
		"nul\x00bad\xff\x1b[31mred":   "nul\ufffdbad\ufffd[31mred",
		"two\nlines\tand a tab":       "two\nlines\tand a tab",
		"\u202egnp.exe":               "gnp.exe",
		"1\u200f\u061c\u200e-2\u2067": "1-2",
		"\u65e5\u672c\u8a9e\u2028ok":  "\u65e5\u672c\u8a9eok",
	} {
		if got := casedb.Clean(in, 0); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := casedb.Clean("\u65e5\u672c", 4); got != "\u65e5" {
		t.Errorf("cut in mid-rune: %q", got)
	}
	if got := casedb.CleanLine("a\r\nBcc: b\tc", 0); got != "a Bcc: b c" {
		t.Errorf("CleanLine: %q", got)
	}
}

func TestSettingsAndSecrets(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	if stopped, err := db.SendStopped(t.Context()); stopped || err != nil {
		t.Errorf("at first: %v %v", stopped, err)
	}
	if err := db.SetSendStopped(t.Context(), true, "hanako", "test", noon); err != nil {
		t.Fatal(err)
	}
	if stopped, err := db.SendStopped(t.Context()); !stopped || err != nil {
		t.Errorf("after: %v %v", stopped, err)
	}
	a, err := db.Secret(t.Context(), "envelope", noon)
	if err != nil || len(a) != 32 {
		t.Fatal(fmt.Sprint(a), err)
	}
	if b, err := db.Secret(t.Context(), "envelope", noon); err != nil || string(a) != string(b) {
		t.Error("a secret changed", err)
	}
}

package casedb_test

import (
	"context"
	"testing"
	"time"

	"teiten/internal/casedb"
)

func TestSwitchesKeepTheirHistory(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	ctx := t.Context()
	if stop, err := db.SendStop(ctx); stop != nil || err != nil {
		t.Fatalf("at first: %+v, %v", stop, err)
	}
	for i, stopped := range []bool{true, false, true} {
		if err := db.SetSendStopped(ctx, stopped, "hanako", "wrong letters", noon.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	for i, mode := range casedb.ModesOf("worm445") {
		p := casedb.RulePolicy{Rule: "mirai", Mode: mode, ChangedAt: noon.Add(time.Duration(i) * time.Hour), ChangedBy: "taro", Reason: "earned"}
		if err := db.SetRulePolicy(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	stop, err := db.SendStop(ctx)
	if err != nil || stop == nil || stop.Actor != "hanako" || stop.Reason != "wrong letters" || !stop.At.Equal(noon.Add(2*time.Minute)) {
		t.Errorf("stopped by %+v, %v", stop, err)
	}
	changes, err := db.SwitchChanges(ctx, 0, 4)
	if err != nil || len(changes) != 4 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	if c := changes[0]; c.Name != casedb.SwitchOfRule("mirai") || c.Value != string(casedb.RuleAutomatic) || c.Actor != "taro" || c.Reason != "earned" {
		t.Errorf("the newest change: %+v", c)
	}
	rest, err := db.SwitchChanges(ctx, changes[3].ID, 10)
	if err != nil || len(rest) != 2 || rest[1].Value != casedb.SendingStopped || rest[0].Value != casedb.SendingOn {
		t.Errorf("the oldest changes: %+v, %v", rest, err)
	}
	for _, query := range []string{`delete from switch_change`, `update switch_change set reason = ''`} {
		if _, err := db.SQL().ExecContext(ctx, query); err == nil {
			t.Errorf("%s is possible", query)
		}
	}
}

// TestWhatARuleHasEarned counts letters by what coordinators and owners made
// of them.
func TestWhatARuleHasEarned(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, sources := seed(t, db, 1)
	c, _, _ := openCase(t, db, sources)
	letter := func(state string, approved string, edited bool) (id int64) {
		t.Helper()
		err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
			header, token := casedb.NewIdentity("teiten.example")
			m, err := tx.InsertMessage(t.Context(), casedb.Message{CaseID: &c.ID, Purpose: casedb.PurposeNotification, State: casedb.MessageHeld,
				Reason: "first", Recipient: "abuse@isp.example", Language: "ja", HeaderID: header, Token: token, CreatedAt: noon}, "rule worm445")
			id = m.ID
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		exec(t, db, `update message set state = 'queued' where id = $1 and $2 not in ('held','canceled')`, id, state)
		exec(t, db, `update message set state = $2, approved_by = $3, edited = $4, sent_at = case when $2 = 'sent' then $5::timestamptz end where id = $1`,
			id, state, approved, edited, noon)
		return id
	}
	event := func(kind casedb.EventKind, actor string, message *int64, at time.Time) {
		t.Helper()
		err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
			return tx.AddEvent(t.Context(), casedb.CaseEvent{CaseID: c.ID, At: at, Kind: kind, Actor: actor, MessageID: message})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	letter("sent", "taro", false)
	letter("sent", "taro", true)
	letter("sent", "", false)
	byHand, byProgram := letter("canceled", "", false), letter("canceled", "", false)
	event(casedb.EventCanceled, "taro", &byHand, noon)
	event(casedb.EventCanceled, casedb.ActorSystem, &byProgram, noon)
	check := func(want casedb.RuleRecord) {
		t.Helper()
		want.Rule = "worm445"
		got, err := db.RuleRecords(context.Background(), noon.Add(-time.Hour))
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	check(casedb.RuleRecord{Approved: 1, Edited: 1, Canceled: 1, Alone: 1})
	event(casedb.EventReply, "noc@isp.example", nil, noon.Add(time.Hour))
	check(casedb.RuleRecord{Approved: 1, Edited: 1, Canceled: 1, Alone: 1})
	event(casedb.EventIgnored, "taro", nil, noon.Add(2*time.Hour))
	check(casedb.RuleRecord{Approved: 1, Edited: 1, Canceled: 1, Alone: 1, Wrong: 3})
	if got, err := db.RuleRecords(t.Context(), noon.Add(time.Hour)); err != nil || len(got) != 0 {
		t.Errorf("letters of later: %+v, %v", got, err)
	}
}

package casedb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"teiten/internal/casedb"
)

// TestInHotTx runs the same transaction again and again on one connection: the
// statements are prepared after the first, survive a transaction that fails and
// a change of the schema, and see what was changed.
func TestInHotTx(t *testing.T) {
	ctx := t.Context()
	db := openTest(t)
	db.SQL().SetMaxOpenConns(1) // to prepare needs no second one
	count := func(ctx context.Context, tx *casedb.Tx) int {
		n, err := tx.CountControls(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	gone := errors.New("gone")
	for round := range 20 {
		fails := round%5 == 4
		err := db.InHotTx(ctx, func(tx *casedb.Tx) error {
			if err := tx.SetSetting(ctx, "hot", round, "test", "", time.Now()); err != nil {
				return err
			}
			var now int
			if _, err := tx.Setting(ctx, "hot", &now); err != nil {
				return err
			}
			if now != round || count(ctx, tx) != 0 {
				t.Errorf("round %d: read %d", round, now)
			}
			if fails {
				return gone
			}
			return nil
		})
		if fails != errors.Is(err, gone) || (err != nil && !fails) {
			t.Fatalf("round %d: %v", round, err)
		}
		var kept int
		if err := db.SQL().QueryRowContext(ctx, `select count(*) from pg_prepared_statements`).Scan(&kept); err != nil {
			t.Fatal(err)
		}
		if kept != 3 {
			t.Fatalf("round %d: %d statements are prepared, want 3", round, kept)
		}
		if round == 10 {
			if _, err := db.SQL().ExecContext(ctx, `alter table setting add column later text not null default ''`); err != nil {
				t.Fatal(err)
			}
		}
	}
}

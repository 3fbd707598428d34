package casedb

import (
	"context"
	"time"
)

// settingRestored is when the database was last found to be restored.
const settingRestored = "restored-at"

// StopRestored is the reason of a stop of all mail that teiten made because the
// database was restored; its actor is ActorSystem.
const StopRestored = "restored"

// epochsKept is the number of marks of a host that are kept. A process reads its
// file again before it believes that its mark is gone.
const epochsKept = 20

// HasEpoch reports whether a mark was written into this database.
func (q *Queries) HasEpoch(ctx context.Context, mark string) (bool, error) {
	var there bool
	err := q.q.GetContext(ctx, &there, `select exists (select 1 from epoch where mark = $1)`, mark)
	return there, fail("look for epoch", err)
}

// AddEpoch writes a mark and forgets the old ones of the host.
func (t *Tx) AddEpoch(ctx context.Context, mark, host string, now time.Time) error {
	if _, err := t.q.ExecContext(ctx, `insert into epoch (mark, host, written_at) values ($1, $2, $3)`, mark, host, now); err != nil {
		return fail("add epoch", err)
	}
	_, err := t.q.ExecContext(ctx, `delete from epoch where mark in (select mark from epoch where host = $1 order by written_at desc, mark offset $2)`, host, epochsKept)
	return fail("forget epochs", err)
}

// RestoredAt is when the database was last found to be restored from a backup; the
// zero time: never.
func (q *Queries) RestoredAt(ctx context.Context) (at time.Time, err error) {
	_, err = q.Setting(ctx, settingRestored, &at)
	return at, err
}

// How far numbers are raised after a restore: past those that were given between
// the backup and its restore.
const (
	raiseNumbers = 1_000_000
	raiseCases   = 10_000
)

// NoteRestore stops all mail, notes the moment from which on older mail waits for a
// person, and raises every number that mail or people may have seen since the
// backup: those of rows, and those of cases.
func (d *DB) NoteRestore(ctx context.Context, now time.Time) error {
	return d.InTx(ctx, func(tx *Tx) error {
		if err := tx.LockSending(ctx); err != nil {
			return err
		}
		if err := tx.SetSetting(ctx, settingRestored, now, ActorSystem, StopRestored, now); err != nil {
			return err
		}
		if err := tx.setSendStopped(ctx, true, ActorSystem, StopRestored, now); err != nil {
			return err
		}
		// Sequences of whole tables are 64 bits wide; a hundred thousand restores fit.
		if _, err := tx.q.ExecContext(ctx, `select setval(format('%I.%I', schemaname, sequencename)::regclass, coalesce(last_value, 0) + $1)
			from pg_sequences where schemaname = current_schema() and data_type = 'bigint'::regtype and max_value - coalesce(last_value, 0) > $1`, raiseNumbers); err != nil {
			return fail("raise sequences", err)
		}
		_, err := tx.q.ExecContext(ctx, `update case_number set last = last + $1 where year >= $2`, raiseCases, now.UTC().Year()-1)
		return fail("raise case numbers", err)
	})
}

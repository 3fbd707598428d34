package casedb

import (
	"context"
	"strings"
	"time"

	"teiten/internal/reason"
)

// Suppression is an address we no longer write to, in base form (lower case).
type Suppression struct {
	ID        int64       `db:"id"`
	Address   string      `db:"address"`
	Why       reason.List `db:"why"`
	MessageID *int64      `db:"message_id"`
	CreatedAt time.Time   `db:"created_at"`
	Until     *time.Time  `db:"until"`
	LiftedAt  *time.Time  `db:"lifted_at"`
	LiftedBy  string      `db:"lifted_by"`
}

// BaseAddress is the form in which addresses are compared: without blanks, in
// lower case.
func BaseAddress(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

const suppressionColumns = `id, address, why, message_id, created_at, until, lifted_at, lifted_by`

// Suppression returns why we do not write to the address at the time;
// ErrNotFound: we may.
func (q *Queries) Suppression(ctx context.Context, address string, now time.Time) (Suppression, error) {
	var s Suppression
	err := q.q.GetContext(ctx, &s, `select `+suppressionColumns+` from suppression
		where address = $1 and lifted_at is null and (until is null or until > $2)`, BaseAddress(address), now)
	return s, fail("get suppression", err)
}

// Suppressions returns at most limit suppressions in force with ids below
// before (0: from the newest), newest first.
func (q *Queries) Suppressions(ctx context.Context, before int64, limit int, now time.Time) ([]Suppression, error) {
	var s []Suppression
	err := q.q.SelectContext(ctx, &s, `select `+suppressionColumns+` from suppression
		where lifted_at is null and (until is null or until > $3) and ($1::bigint = 0 or id < $1)
		order by id desc limit $2`, before, limit, now)
	return s, fail("list suppressions", err)
}

// Suppress stops all mail to an address, for good (until nil) or for a time. An
// address that is suppressed already keeps its first reasons; a time is
// lengthened, never shortened.
func (t *Tx) Suppress(ctx context.Context, s Suppression) error {
	_, err := t.q.ExecContext(ctx, `insert into suppression (address, why, message_id, created_at, until)
		values ($1, $2, $3, $4, $5)
		on conflict (address) where lifted_at is null do update set until =
			case when suppression.until is null or excluded.until is null then null
			else greatest(suppression.until, excluded.until) end`,
		BaseAddress(s.Address), cleaned(s.Why), s.MessageID, s.CreatedAt, s.Until)
	return fail("suppress", err)
}

// LiftSuppression lets mail go to an address again, and notes who did it in the
// history of the switches. ErrNotFound if the address was not suppressed.
func (t *Tx) LiftSuppression(ctx context.Context, address, by string, now time.Time) error {
	res, err := t.q.ExecContext(ctx, `update suppression set lifted_at = $2, lifted_by = $3
		where address = $1 and lifted_at is null`, BaseAddress(address), now, by)
	if err := fail("lift suppression", oneRow(res, err)); err != nil {
		return err
	}
	return t.addSwitchChange(ctx, SwitchChange{Name: switchSuppression + BaseAddress(address), Value: SuppressionLifted, At: now, Actor: by})
}

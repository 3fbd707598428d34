package casedb

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
)

// Setting reads the setting into dest and reports whether it is set.
func (q *Queries) Setting(ctx context.Context, name string, dest any) (bool, error) {
	var v []byte
	err := q.q.GetContext(ctx, &v, `select value from setting where name = $1`, name)
	if err = fail("get setting", err); err != nil {
		if isNotFound(err) {
			return false, nil
		}
		return false, err
	}
	if err := json.Unmarshal(v, dest); err != nil {
		return false, fmt.Errorf("setting %s: %w", name, err)
	}
	return true, nil
}

// SetSetting changes a setting, and records the user and the reason.
func (q *Queries) SetSetting(ctx context.Context, name string, value any, by, reason string, now time.Time) error {
	_, err := q.q.ExecContext(ctx, `insert into setting (name, value, changed_at, changed_by, reason) values ($1, $2, $3, $4, $5)
		on conflict (name) do update set value = excluded.value, changed_at = excluded.changed_at,
		changed_by = excluded.changed_by, reason = excluded.reason`, name, JSON[any]{value}, now, by, reason)
	return fail("set setting", err)
}

// Secret returns 32 random bytes that are made once per name and kept.
func (q *Queries) Secret(ctx context.Context, name string, now time.Time) ([]byte, error) {
	fresh := make([]byte, 32)
	if _, err := rand.Read(fresh); err != nil {
		return nil, fmt.Errorf("make secret: %w", err)
	}
	if _, err := q.q.ExecContext(ctx, `insert into secret (name, value, created_at) values ($1, $2, $3)
		on conflict (name) do nothing`, name, fresh, now); err != nil {
		return nil, fail("keep secret", err)
	}
	var v []byte
	err := q.q.GetContext(ctx, &v, `select value from secret where name = $1`, name)
	return v, fail("get secret", err)
}

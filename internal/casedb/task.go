package casedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Task is periodic work that one process at a time does.
type Task struct {
	Name      string     `db:"name"`
	NextRunAt time.Time  `db:"next_run_at"`
	LastRunAt *time.Time `db:"last_run_at"`
	Attempts  int        `db:"attempts"` // claims since the last success
	LastError string     `db:"last_error"`
}

const taskColumns = `name, next_run_at, last_run_at, attempts, last_error`

// EnsureTask makes the task, first due at next, unless it is there.
func (q *Queries) EnsureTask(ctx context.Context, name string, next time.Time) error {
	_, err := q.q.ExecContext(ctx, `insert into task (name, next_run_at) values ($1, $2) on conflict (name) do nothing`, name, next)
	return fail("ensure task", err)
}

// ClaimTask takes the task if it is due, and reports whether it did. Until
// now+lease no other process can take it; if the process dies, the task can be
// taken after that time.
func (q *Queries) ClaimTask(ctx context.Context, name string, now time.Time, lease time.Duration) (t Task, claimed bool, err error) {
	err = q.q.GetContext(ctx, &t, `update task set next_run_at = $3, attempts = attempts + 1
		where name = (select name from task where name = $1 and next_run_at <= $2 for update skip locked)
		returning `+taskColumns, name, now, now.Add(lease))
	if errors.Is(err, sql.ErrNoRows) {
		return t, false, nil
	}
	return t, err == nil, fail("claim task", err)
}

// FinishTask records that a claimed task is done, and when it is due again.
// ErrStale if another process has claimed it since.
func (q *Queries) FinishTask(ctx context.Context, t Task, next, now time.Time) error {
	return q.endTask(ctx, "finish task", `update task set next_run_at = $3, last_run_at = $4, attempts = 0, last_error = ''
		where name = $1 and attempts = $2 and next_run_at = $5`, t, next, now, t.NextRunAt)
}

// FailTask records why a claimed task failed, and when to try again. ErrStale
// if another process has claimed it since.
func (q *Queries) FailTask(ctx context.Context, t Task, reason string, next time.Time) error {
	return q.endTask(ctx, "fail task", `update task set next_run_at = $3, last_error = $4
		where name = $1 and attempts = $2 and next_run_at = $5`, t, next, CleanLine(reason, 1000), t.NextRunAt)
}

// endTask runs an update that is guarded by both the number of claims and the
// end of the lease: attempts starts again after each success.
func (q *Queries) endTask(ctx context.Context, op, query string, t Task, args ...any) error {
	res, err := q.q.ExecContext(ctx, query, append([]any{t.Name, t.Attempts}, args...)...)
	if err != nil {
		return fail(op, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return fmt.Errorf("%s %s: %w", op, t.Name, ErrStale)
	}
	return nil
}

// Tasks returns all tasks in the order of their names.
func (q *Queries) Tasks(ctx context.Context) ([]Task, error) {
	var t []Task
	err := q.q.SelectContext(ctx, &t, `select `+taskColumns+` from task order by name`)
	return t, fail("list tasks", err)
}

package casedb

import (
	"context"
	"time"
)

// FindSession returns the data of the session with the digest of a token, and
// false if there is none or it has expired.
func (q *Queries) FindSession(ctx context.Context, digest []byte, now time.Time) (data []byte, found bool, err error) {
	err = q.q.GetContext(ctx, &data, `select data from session where digest = $1 and expires_at > $2`, digest, now)
	if err = fail("find session", err); isNotFound(err) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// CommitSession writes a session's data, replacing the earlier data.
func (q *Queries) CommitSession(ctx context.Context, digest, data []byte, expires time.Time) error {
	_, err := q.q.ExecContext(ctx, `insert into session (digest, data, expires_at) values ($1, $2, $3)
		on conflict (digest) do update set data = excluded.data, expires_at = excluded.expires_at`, digest, data, expires)
	return fail("commit session", err)
}

// DeleteSession ends a session. One that is not there is no error.
func (q *Queries) DeleteSession(ctx context.Context, digest []byte) error {
	_, err := q.q.ExecContext(ctx, `delete from session where digest = $1`, digest)
	return fail("delete session", err)
}

// ExpireSessions deletes at most limit sessions that have expired and returns
// how many.
func (q *Queries) ExpireSessions(ctx context.Context, now time.Time, limit int) (int, error) {
	res, err := q.q.ExecContext(ctx, `delete from session where digest in
		(select digest from session where expires_at <= $1 limit $2)`, now, limit)
	if err != nil {
		return 0, fail("expire sessions", err)
	}
	n, err := res.RowsAffected()
	return int(n), fail("expire sessions", err)
}

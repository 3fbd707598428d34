package casedb

import (
	"context"
	"time"

	"github.com/lib/pq"

	"teiten/internal/reason"
)

// messageMove is a move of messages to another state, with what a message keeps
// of it.
type messageMove struct {
	To       MessageState
	Why      reason.List // held: what it waits for; canceled, failed and bounced: why it ended
	By       string      // queued: who approved it; empty: nobody had to
	Response *string     // sent and failed: what the last attempt met; nil: as it was
}

// moveMessages is the one statement that moves messages to another state. They
// are locked, and the database refuses a move that docs/states.md does not draw.
// Only a queued message is due at a time, and no reason of a delay outlives a
// move. An approval overrules the reasons of the hold that it ends; a letter that is
// queued without one overrules nothing.
func (t *Tx) moveMessages(ctx context.Context, op string, move messageMove, now time.Time, ids ...int64) error {
	_, err := t.q.ExecContext(ctx, `update message set state = $2::text, version = version + 1, delay_why = '[]',
		hold_why = case when $2 = 'held' then $3::jsonb else hold_why end,
		end_why = case when $2 in ('canceled','failed','bounced') then $3::jsonb else end_why end,
		last_error = coalesce($4, last_error),
		sent_at = case when $2 = 'sent' then $5::timestamptz else sent_at end,
		next_attempt_at = case when $2 = 'queued' then $5::timestamptz end,
		approved_at = case when $2 = 'queued' and $6 <> '' then $5::timestamptz else approved_at end,
		approved_by = case when $2 = 'queued' and $6 <> '' then $6 else approved_by end,
		overruled = case when $2 = 'queued' and $6 <> '' then array(select unnest(overruled) union
			select r->>'code' from jsonb_array_elements(hold_why) r order by 1) else overruled end
		where id = any($1)`, pq.Array(ids), move.To, move.Why, move.Response, now, move.By)
	return fail(op, err)
}

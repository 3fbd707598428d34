package casedb

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Snapshot runs f on the database as it is at one moment. The server refuses
// every change by it.
func (d *DB) Snapshot(ctx context.Context, f func(*Queries) error) error {
	tx, err := d.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin snapshot: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // there is nothing to keep
	return f(&Queries{q: tx})
}

// QueuedMail is a queued message as a forecast sees it.
type QueuedMail struct {
	Destination
	Due   time.Time `db:"next_attempt_at"`
	Alone bool      `db:"alone"` // it is a notification without an approval
	// Ready is when it was written or approved; it goes with the first digest
	// after that, if it waits for one.
	Ready  time.Time `db:"ready"`
	Digest bool      `db:"digest"`
	// Backoff is until when it waits because of another mail's failure; nil: it
	// does not.
	Backoff *time.Time `db:"backoff"`
}

// QueuedMails returns the queue in the order in which senders take it, at most
// limit.
func (q *Queries) QueuedMails(ctx context.Context, limit int, now time.Time) ([]QueuedMail, error) {
	var m []QueuedMail
	err := q.q.SelectContext(ctx, &m, `select `+destinationColumns+`, m.next_attempt_at,
		m.purpose = 'notification' and m.approved_by = '' as alone,
		greatest(m.created_at, m.approved_at) as ready, `+wantsDigest+` as digest,
		(select max(b.until) from mail_backoff b where b.until > $2 and b.domain in ('`+smarthostDomain+`', `+domainOf+`)) as backoff
		from message m where m.state = 'queued' and m.digest_id is null order by m.next_attempt_at, m.id limit $1`, limit, now)
	return m, fail("list the queue", err)
}

// HeldMessages returns messages that wait for a coordinator with ids above
// after, the oldest first, at most limit.
func (q *Queries) HeldMessages(ctx context.Context, after int64, limit int) ([]Message, error) {
	var m []Message
	err := q.q.SelectContext(ctx, &m, `select `+messageColumns+` from message where state = 'held' and id > $1
		order by id limit $2`, after, limit)
	return m, fail("list held messages", err)
}

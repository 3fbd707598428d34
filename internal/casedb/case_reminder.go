package casedb

import (
	"context"
	"fmt"
	"time"
)

// Why a notification is written, in message.reason.
const (
	ReasonFirst          = "first"
	ReasonNewSources     = "new-sources"
	ReasonStillActive    = "still-active"
	ReasonRecovered      = "recovered"
	ReasonAgain          = "again"
	ReasonContactChanged = "contact-changed"
)

// ToldCase is a live case whose owner was told, and that does not wait for a
// coordinator.
type ToldCase struct {
	ID         int64      `db:"id"`
	Kind       Kind       `db:"kind"`
	LastSent   time.Time  `db:"last_sent"`   // its last notification
	Reminders  int        `db:"reminders"`   // notifications that it is still active, sent or not
	LastActive *time.Time `db:"last_active"` // when a source that was told of was last seen doing it; nil: all are cleared
}

// toldCases selects the ToldCases whose last notification was sent at or before
// $1.
const toldCases = `select c.id, c.kind, n.last_sent, n.reminders, a.last_active
	from cases c
	join lateral (select max(m.sent_at) as last_sent, count(*) filter (where m.reason = 'still-active') as reminders,
			bool_or(m.state in ('held','queued')) as under_way
		from message m where m.case_id = c.id and m.purpose = 'notification') n on n.last_sent <= $1 and not n.under_way
	join lateral (select max(v.last_at) as last_active from case_source cs
		join verdict v on v.source = cs.source and v.kind = c.kind and ` + accused + `
		where cs.case_id = c.id and ` + wasTold + `) a on true
	where c.state in ('notified','answered') and c.waiting = ''`

// wasTold is the condition that a letter about source cs of case c was sent.
const wasTold = `exists (select 1 from message_source ms join message t on t.id = ms.message_id
	where t.case_id = cs.case_id and ms.source = cs.source and t.sent_at is not null)`

// ToldCases returns cases whose owner was last told at or before the time, with
// ids above after, at most limit.
func (q *Queries) ToldCases(ctx context.Context, sentBefore time.Time, after int64, limit int) ([]ToldCase, error) {
	var c []ToldCase
	err := q.q.SelectContext(ctx, &c, toldCases+` and c.id > $2 order by c.id limit $3`, sentBefore, after, limit)
	return c, fail("list cases that were told", err)
}

// LockToldCase locks a case and returns it as ToldCases would now; ErrNotFound
// if it would not any more.
func (t *Tx) LockToldCase(ctx context.Context, id int64, sentBefore time.Time) (ToldCase, Case, error) {
	c, err := t.LockCase(ctx, id)
	if err != nil {
		return ToldCase{}, c, err
	}
	var told ToldCase
	err = t.q.GetContext(ctx, &told, toldCases+` and c.id = $2`, sentBefore, id)
	return told, c, fail("look at a case that was told", err)
}

// InsertReminder writes a notification that sources are still active: of those
// that the owner was told about, the ones that may still be accused and were
// seen at or after since. What it tells about is settled from the start.
func (t *Tx) InsertReminder(ctx context.Context, m Message, since time.Time, actor string) (Message, error) {
	m, err := t.InsertMessage(ctx, m, actor)
	if err != nil {
		return m, err
	}
	s := LetterScope{CaseID: *m.CaseID, Now: m.CreatedAt}
	res, err := t.q.ExecContext(ctx, `insert into message_source (message_id, source)
		select $4, cs.source`+letterSources+` and v.last_at >= $5 and `+wasTold, s.args(m.ID, since)...)
	if err = oneRow(res, err); err != nil {
		return m, fmt.Errorf("write a reminder: %w", fail("note its sources", err))
	}
	return m, t.noteRules(ctx, m.ID, ScopeOf(m, m.CreatedAt))
}

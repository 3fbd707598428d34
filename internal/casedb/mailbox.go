package casedb

import (
	"context"
	"time"
)

// BoxMail is a mail in the built-in mailbox: where mail goes while no real
// SMTP server is configured.
type BoxMail struct {
	ID           int64      `db:"id"`
	ReceivedAt   time.Time  `db:"received_at"`
	EnvelopeFrom string     `db:"envelope_from"`
	EnvelopeTo   string     `db:"envelope_to"`
	Subject      string     `db:"subject"`
	Raw          []byte     `db:"raw"` // empty in lists
	AnsweredAt   *time.Time `db:"answered_at"`
}

// StoreBoxMail keeps a mail that arrived at the built-in mailbox.
func (q *Queries) StoreBoxMail(ctx context.Context, m BoxMail) (int64, error) {
	var id int64
	err := q.q.GetContext(ctx, &id, `insert into mailbox (received_at, envelope_from, envelope_to, subject, raw)
		values ($1, $2, $3, $4, $5) returning id`,
		m.ReceivedAt, CleanLine(m.EnvelopeFrom, 500), CleanLine(m.EnvelopeTo, 500), CleanLine(m.Subject, 500), m.Raw)
	return id, fail("store mail in the mailbox", err)
}

// BoxMails returns at most limit mails with ids below before (0: from the
// newest), newest first, without their contents.
func (q *Queries) BoxMails(ctx context.Context, before int64, limit int) ([]BoxMail, error) {
	var m []BoxMail
	err := q.q.SelectContext(ctx, &m, `select `+boxListed+`
		from mailbox where ($1::bigint = 0 or id < $1) order by id desc limit $2`, before, limit)
	return m, fail("list the mailbox", err)
}

// BoxMail returns one mail of the built-in mailbox.
func (q *Queries) BoxMail(ctx context.Context, id int64) (BoxMail, error) {
	var m BoxMail
	err := q.q.GetContext(ctx, &m, `select `+boxColumns+`
		from mailbox where id = $1`, id)
	return m, fail("get mail from the mailbox", err)
}

// BoxMailAnswered notes that a mail of the built-in mailbox was answered.
func (q *Queries) BoxMailAnswered(ctx context.Context, id int64, now time.Time) error {
	res, err := q.q.ExecContext(ctx, `update mailbox set answered_at = $2 where id = $1`, id, now)
	return fail("note the answer", oneRow(res, err))
}

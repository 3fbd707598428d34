package casedb

import (
	"context"
	"time"
)

// Blame is the party whose failure ended an attempt for now. Other mail to this
// party waits, too.
type Blame string

// The parties that can be blamed for an attempt's temporary end.
const (
	BlameMessage   Blame = ""          // this mail or its recipient alone
	BlameDomain    Blame = "domain"    // the recipient's domain
	BlameSmarthost Blame = "smarthost" // all mail waits
)

// smarthostDomain stands for the smarthost in table mail_backoff.
const smarthostDomain = "*"

// notBackedOff is the condition that neither the smarthost nor the domain of
// message m makes it wait at the time $1.
const notBackedOff = `not exists (select 1 from mail_backoff b where b.until > $1 and b.domain in ('` + smarthostDomain + `', ` + domainOf + `))`

// BackOff is how long a failure makes others wait: First, doubling with each
// failure that follows, up to Most.
type BackOff struct {
	Blame Blame
	First time.Duration
	Most  time.Duration
}

// backOff makes the mail of the domain of a message, or all mail, wait.
func (t *Tx) backOff(ctx context.Context, messageID int64, b BackOff, reason string, now time.Time) error {
	if b.Blame == BlameMessage {
		return nil
	}
	// Failures of attempts that ran side by side count once: the first moved
	// until past the others' end.
	_, err := t.q.ExecContext(ctx, `insert into mail_backoff as b (domain, failures, until, reason, changed_at)
		select case when $2 then '`+smarthostDomain+`' else `+domainOf+` end, 1, cast($3 as timestamptz) + cast($4 as interval), $6, cast($3 as timestamptz) from message m where m.id = $1
		on conflict (domain) do update set failures = b.failures + 1, reason = excluded.reason, changed_at = excluded.changed_at,
			until = cast($3 as timestamptz) + least(cast($4 as interval) * power(2, least(b.failures, 20)), cast($5 as interval))
		where b.until <= cast($3 as timestamptz)`,
		messageID, b.Blame == BlameSmarthost, now, interval(b.First), interval(b.Most), CleanLine(reason, 500))
	return fail("make a domain's mail wait", err)
}

// endBackOff notes that the smarthost works, and if delivered that the domain
// of a message does.
func (t *Tx) endBackOff(ctx context.Context, messageID int64, delivered bool) error {
	_, err := t.q.ExecContext(ctx, `delete from mail_backoff where domain = '`+smarthostDomain+`'
		or ($2 and domain = (select `+domainOf+` from message m where m.id = $1))`, messageID, delivered)
	return fail("end a domain's waiting", err)
}

// BackedOff is a domain whose mail waits; Domain is empty for the smarthost,
// for which all does.
type BackedOff struct {
	Domain   string    `db:"domain"`
	Failures int       `db:"failures"`
	Until    time.Time `db:"until"`
	Reason   string    `db:"reason"`
}

// BackedOff returns the domains with waiting mail, the smarthost first, at most limit.
func (q *Queries) BackedOff(ctx context.Context, limit int, now time.Time) ([]BackedOff, error) {
	var b []BackedOff
	err := q.q.SelectContext(ctx, &b, `select case when domain = '`+smarthostDomain+`' then '' else domain end as domain, failures, until, reason
		from mail_backoff where until > $1 order by 1 limit $2`, now, limit)
	return b, fail("list whose mail waits", err)
}

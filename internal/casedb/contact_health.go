package casedb

import (
	"context"
	"time"

	"github.com/lib/pq"

	"teiten/internal/reason"
)

// ContactHealth has the results of the mail to an address, in all cases.
type ContactHealth struct {
	Address      string      `db:"address" json:"-"`
	Sent         int         `db:"sent" json:"sent"` // letters and answers that a server took
	LastSent     *time.Time  `db:"last_sent" json:"last_sent"`
	Failed       int         `db:"failed" json:"failed"` // that no server took
	Hard         int         `db:"hard" json:"hard_bounces"`
	Soft         int         `db:"soft" json:"soft_bounces"`
	LastBounce   *time.Time  `db:"last_bounce" json:"last_bounce"`
	Answered     int         `db:"answered" json:"answered"` // mails that a person wrote
	LastAnswer   *time.Time  `db:"last_answer" json:"last_answer"`
	AutoReplies  int         `db:"auto_replies" json:"auto_replies"`
	Complaints   int         `db:"complaints" json:"complaints"`
	Suppressed   reason.List `db:"suppressed" json:"-"` // why we do not write there; empty: we may
	SuppressedTo *time.Time  `db:"suppressed_to" json:"-"`
}

// Untried reports whether nothing was ever sent there, or tried to.
func (h ContactHealth) Untried() bool { return h.Sent == 0 && h.Failed == 0 }

// ContactsHealth returns the health of mail addresses, by base address. What
// came back counts where it is tied to a mail of ours by more than its own word:
// forged bounces count for nothing.
func (q *Queries) ContactsHealth(ctx context.Context, addresses []string, now time.Time) (map[string]ContactHealth, error) {
	found := make(map[string]ContactHealth, len(addresses))
	if len(addresses) == 0 {
		return found, nil
	}
	base := make([]string, len(addresses))
	for i, a := range addresses {
		base[i] = BaseAddress(a)
	}
	var list []ContactHealth
	err := q.q.SelectContext(ctx, &list, `select a.address, m.*, i.*, s.why as suppressed, s.until as suppressed_to
		from (select distinct unnest($1::text[]) as address) a
		cross join lateral (select count(*) filter (where sent_at is not null) as sent, max(sent_at) as last_sent,
				count(*) filter (where state = 'failed' and sent_at is null) as failed
			from message where lower(recipient) = a.address and case_id is not null) m
		cross join lateral (select count(*) filter (where i.class = 'bounce' and i.hard) as hard,
				count(*) filter (where i.class = 'bounce' and not i.hard) as soft, max(i.received_at) filter (where i.class = 'bounce') as last_bounce,
				count(*) filter (where i.answers) as answered, max(i.received_at) filter (where i.answers) as last_answer,
				count(*) filter (where i.class = 'autoreply') as auto_replies, count(*) filter (where i.class = 'feedback') as complaints
			from message m join inbound i on i.message_id = m.id
			where lower(m.recipient) = a.address and (m.case_id is not null or m.purpose = 'digest') and i.state = 'processed' and (i.trusted or i.class in ('human','autoreply'))) i
		left join suppression s on s.address = a.address and s.lifted_at is null and (s.until is null or s.until > $2)`,
		pq.Array(base), now)
	for _, h := range list {
		found[h.Address] = h
	}
	return found, fail("health of contacts", err)
}

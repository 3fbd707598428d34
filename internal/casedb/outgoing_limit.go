package casedb

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"teiten/internal/reason"
)

// SendLimits bound how much mail leaves. They are kept by queries over the
// attempts, so that a restart forgets nothing and several processes share
// them. Zero means no limit.
//
// Confirmations of registrations have limits of their own and count for no
// other: a stranger types the address that they go to, so they must not use up
// what letters need (docs/decisions/0042-limits-for-strangers.md).
type SendLimits struct {
	PerHour         int // mails in any hour, to anybody
	PerRecipientDay int // mails in any 24 hours to one address
	PerDomainDay    int // to one recipient's domain
	PerASDay        int // about the networks of one AS

	ConfirmationsPerHour      int // confirmations in any hour, to anybody
	ConfirmationsPerDomainDay int // in any 24 hours to one recipient's domain
}

// confirmationsPerRecipientDay is how many confirmations go to one address in any
// 24 hours: perhaps the reader did not ask for them.
const confirmationsPerRecipientDay = 1

// The names of the limits, as messages that are put off and dry runs say them.
const (
	LimitHour      = reason.LimitHour
	LimitRecipient = reason.LimitRecipient
	LimitDomain    = reason.LimitDomain
	LimitAS        = reason.LimitAS

	LimitConfirmations = reason.LimitConfirmations
)

// Destination is where a message goes, as the limits and the recipient's night
// see it.
type Destination struct {
	MessageID int64  `db:"id"`
	Recipient string `db:"recipient"`
	Domain    string `db:"domain"`
	ASN       *int64 `db:"asn"`     // of the network of the case's first source; nil: not known
	Country   string `db:"country"` // of the case's owner; empty: not known
	// Confirmation: a stranger typed the address that it goes to.
	Confirmation bool `db:"confirmation"`
}

// destinationColumns select a Destination from message m.
const destinationColumns = `m.id, m.recipient, ` + domainOf + ` as domain, ` + asnOf + ` as asn,
	coalesce((select o.country from cases c join owner o on o.id = c.owner_id where c.id = m.case_id), '') as country,
	m.purpose = 'confirmation' as confirmation`

// asnOf is the AS that a message is about: that of the first of its case's
// sources whose network has one.
const asnOf = `(select n.asn from case_source cs join source s on s.address = cs.source join network n on n.id = s.network_id
	where cs.case_id = m.case_id and n.asn is not null order by cs.source limit 1)`

// Destination returns where a message goes.
func (q *Queries) Destination(ctx context.Context, messageID int64) (Destination, error) {
	var d Destination
	err := q.q.GetContext(ctx, &d, `select `+destinationColumns+` from message m where m.id = $1`, messageID)
	return d, fail("find a message's destination", err)
}

// limit is one of SendLimits as it meets one destination.
type limit struct {
	name reason.Code
	most int
	span time.Duration
	key  string // whom it counts; the same for all that share it
	// confirmations: it counts confirmations and nothing else.
	confirmations bool
}

// of returns the limits that a mail to the destination meets.
func (l SendLimits) of(d Destination) []limit {
	const day = 24 * time.Hour
	var out []limit
	add := func(name reason.Code, most int, span time.Duration, key string) {
		if most > 0 {
			out = append(out, limit{name, most, span, key, d.Confirmation})
		}
	}
	if d.Confirmation {
		add(LimitConfirmations, l.ConfirmationsPerHour, time.Hour, "")
		add(LimitRecipient, confirmationsPerRecipientDay, day, strings.ToLower(d.Recipient))
		add(LimitDomain, l.ConfirmationsPerDomainDay, day, d.Domain)
		return out
	}
	add(LimitHour, l.PerHour, time.Hour, "")
	add(LimitRecipient, l.PerRecipientDay, day, strings.ToLower(d.Recipient))
	if d.Domain != "" {
		add(LimitDomain, l.PerDomainDay, day, d.Domain)
	}
	if d.ASN != nil {
		add(LimitAS, l.PerASDay, day, strconv.FormatInt(*d.ASN, 10))
	}
	return out
}

// countedBy is where the attempts that a limit counts are found, with its key
// in $5, and in $6 whether it counts confirmations.
var countedBy = map[reason.Code]string{
	LimitHour:          `message_attempt a where $5 = '' and a.confirmation = $6`,
	LimitConfirmations: `message_attempt a where $5 = '' and a.confirmation = $6`,
	LimitRecipient:     `message m join message_attempt a on a.message_id = m.id where lower(m.recipient) = lower($5) and a.confirmation = $6`,
	LimitDomain:        `message_attempt a where a.domain = $5 and a.confirmation = $6`,
	LimitAS:            `message_attempt a where a.asn = cast($5 as bigint) and a.confirmation = $6`,
}

// lastButMost returns until when the mail may have arrived that is as many
// before the latest as the limit allows, if it still counts at the time now.
func (q *Queries) lastButMost(ctx context.Context, l limit, lease time.Duration, now time.Time) ([]time.Time, error) {
	var ends []time.Time
	from := now.Add(-l.span)
	// Most of the time there are fewer attempts than the limit, which is quickly
	// seen; their ends need not be sorted then.
	err := q.q.SelectContext(ctx, &ends, `select coalesce(a.finished_at, a.started_at + cast($3 as interval)) from `+countedBy[l.name]+`
		and a.started_at > $2 and `+mailed+`$1)
		and cast($4 as bigint) < (select count(*) from (select 1 from `+countedBy[l.name]+` and a.started_at > $2 limit cast($4 as bigint) + 1) few)
		order by 1 desc offset cast($4 as bigint) limit 1`,
		from, from.Add(-lease), interval(lease), l.most-1, l.key, l.confirmations)
	return ends, fail("count the mails of "+string(l.name), err)
}

// after returns from when on one more mail keeps the limit, if last are the
// latest mails that count, the latest first.
func (l limit) after(last []time.Time, now time.Time) time.Time {
	if len(last) < l.most {
		return now
	}
	// A second more, for times are rounded on their way to the database.
	return later(now, last[l.most-1].Add(l.span+time.Second))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// sendFree returns from when on a mail to the destination keeps all limits,
// and the limit that makes it wait longest.
func (q *Queries) sendFree(ctx context.Context, limits SendLimits, d Destination, lease time.Duration, now time.Time) (time.Time, reason.Code, error) {
	free, name := now, reason.Code("")
	for _, l := range limits.of(d) {
		nth, err := q.lastButMost(ctx, l, lease, now)
		if err != nil {
			return free, name, err
		}
		l.most = 1 // the others were skipped
		if at := l.after(nth, now); at.After(free) {
			free, name = at, l.name
		}
	}
	return free, name, nil
}

// SendLedger predicts when mails may go: it begins with the attempts on
// record and goes on with those it is asked to reserve, in rising order of
// time. It changes nothing.
type SendLedger struct {
	limits SendLimits
	ends   map[ledgerKey][]time.Time // of a limit, the latest first
}

// ledgerKey names a limit with what it counts.
type ledgerKey struct {
	name          reason.Code
	key           string
	confirmations bool
}

func (l limit) ledgerKey() ledgerKey { return ledgerKey{l.name, l.key, l.confirmations} }

// SendLedger returns the ledger of the attempts until now.
func (q *Queries) SendLedger(ctx context.Context, limits SendLimits, lease time.Duration, now time.Time) (*SendLedger, error) {
	s := &SendLedger{limits: limits, ends: make(map[ledgerKey][]time.Time)}
	var mails []struct {
		Destination
		End time.Time `db:"until"`
	}
	from := now.Add(-24 * time.Hour) // the longest span
	err := q.q.SelectContext(ctx, &mails, `select m.id, m.recipient, a.domain, a.asn, '' as country, a.confirmation,
			coalesce(a.finished_at, a.started_at + cast($3 as interval)) as until
		from message_attempt a join message m on m.id = a.message_id
		where a.started_at > $2 and `+mailed+`$1) order by until desc`, from, from.Add(-lease), interval(lease))
	if err != nil {
		return nil, fail("list the day's mails", err)
	}
	for _, m := range mails {
		for _, l := range limits.of(m.Destination) {
			if m.End.After(now.Add(-l.span)) {
				s.note(l, m.End)
			}
		}
	}
	return s, nil
}

// note counts a mail that arrived until end.
func (s *SendLedger) note(l limit, end time.Time) {
	key := l.ledgerKey()
	ends := s.ends[key]
	i, _ := slices.BinarySearchFunc(ends, end, func(e, t time.Time) int { return t.Compare(e) })
	ends = slices.Insert(ends, i, end)
	s.ends[key] = ends[:min(len(ends), l.most)]
}

// Reserve notes a mail to the destination at the time at if every limit is
// kept then, and returns at; else it notes nothing and returns from when on it
// may be asked again, and the limit that makes it wait longest.
func (s *SendLedger) Reserve(d Destination, at time.Time) (time.Time, reason.Code) {
	free, name := at, reason.Code("")
	limits := s.limits.of(d)
	for _, l := range limits {
		if t := l.after(s.ends[l.ledgerKey()], at); t.After(free) {
			free, name = t, l.name
		}
	}
	if name == "" {
		for _, l := range limits {
			s.note(l, at)
		}
	}
	return free, name
}

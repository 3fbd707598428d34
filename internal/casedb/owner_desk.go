package casedb

import (
	"context"
	"time"
)

// OwnerRow is an owner in a list.
type OwnerRow struct {
	Owner
	Open  int `db:"open"`  // cases that have not ended
	Cases int `db:"cases"` // all
}

// OwnerCursor is a place in the list of owners. The zero cursor is the start.
type OwnerCursor struct {
	Open int
	ID   int64
}

// ListOwners returns at most limit owners after the cursor, those with most
// open cases first. text is a part of the name or the key, or the whole of a
// contact's address.
func (q *Queries) ListOwners(ctx context.Context, text string, after OwnerCursor, limit int) ([]OwnerRow, error) {
	var w where
	if text != "" {
		w.add(`(strpos(lower(o.name), lower(?)) > 0 or strpos(lower(o.key), lower(?)) > 0
			or exists (select 1 from contact k where k.owner_id = o.id and lower(k.email) = lower(?)))`, text, text, text)
	}
	if after.ID != 0 {
		w.add(`(coalesce(c.open, 0), o.id) < (?, ?)`, after.Open, after.ID)
	}
	var list []OwnerRow
	err := q.q.SelectContext(ctx, &list, `select `+of("o", ownerColumns)+`, coalesce(c.open, 0) as open, coalesce(c.cases, 0) as cases
		from owner o left join (select owner_id, count(*) as cases, count(*) filter (where state not in ('closed','ignored')) as open
			from cases group by owner_id) c on c.owner_id = o.id`+w.sql()+`
		order by coalesce(c.open, 0) desc, o.id desc limit `+w.arg(limit), w.args...)
	return list, fail("list owners", err)
}

// OwnerDesk is the data about an owner on the coordinators' page.
type OwnerDesk struct {
	Owner    Owner
	Networks []Network // the newest answer first, superseded ones too
	Contacts []Contact // present ones in order of use, then retired ones
	Cases    []OwnerCase
	Mails    []OwnerMail // a page, the newest first
	More     bool        // there are older mails
}

// OwnerCase is a case of an owner.
type OwnerCase struct {
	Number    string     `db:"number"`
	Kind      Kind       `db:"kind"`
	Malware   string     `db:"malware"`
	State     CaseState  `db:"state"`
	Waiting   Waiting    `db:"waiting"`
	CreatedAt time.Time  `db:"created_at"`
	ClosedAt  *time.Time `db:"closed_at"`
}

// OwnerMail is a mail to or from an owner.
type OwnerMail struct {
	At      time.Time    `db:"at"`
	Number  string       `db:"number"` // of its case
	In      bool         `db:"incoming"`
	Address string       `db:"address"` // whom it went to, or who wrote it
	Subject string       `db:"subject"`
	State   MessageState `db:"state"` // of ours
	Class   InboundClass `db:"class"` // of theirs
	Key     int64        `db:"key"`   // tells mails of one time apart
}

// OwnerMailCursor is a place in the list of an owner's mails. The zero cursor is
// the newest.
type OwnerMailCursor struct {
	At  time.Time
	Key int64
}

// The bounds of OwnerDesk.
const (
	ownerNetworks = 50
	ownerContacts = 100
	ownerCases    = 100
)

// OwnerDesk returns an owner with at most limit mails behind the cursor, the
// newest first.
func (q *Queries) OwnerDesk(ctx context.Context, id int64, before OwnerMailCursor, limit int) (OwnerDesk, error) {
	var d OwnerDesk
	var err error
	if d.Owner, err = q.Owner(ctx, id); err != nil {
		return d, err
	}
	if err := q.q.SelectContext(ctx, &d.Networks, `select `+networkSummary+` from network n where n.owner_id = $1
		order by n.fetched_at desc, n.id desc limit $2`, id, ownerNetworks); err != nil {
		return d, fail("networks of owner", err)
	}
	if err := q.q.SelectContext(ctx, &d.Contacts, `select * from (select `+of("c", contactColumns)+` from contact c
		where c.owner_id = $1 and c.retired_at is null`+contactOrder+` limit $2) present
		union all select * from (select `+of("c", contactColumns)+` from contact c where c.owner_id = $1 and c.retired_at is not null
		order by c.retired_at desc, c.id desc limit $2) gone`, id, ownerContacts); err != nil {
		return d, fail("contacts of owner", err)
	}
	if err := q.q.SelectContext(ctx, &d.Cases, `select number, kind, malware, state, waiting, created_at, closed_at from cases
		where owner_id = $1 order by (state in ('closed','ignored')), id desc limit $2`, id, ownerCases); err != nil {
		return d, fail("cases of owner", err)
	}
	if before.At.IsZero() {
		before.At = maxTime
	}
	err = q.q.SelectContext(ctx, &d.Mails, `select * from (
			select coalesce(m.sent_at, m.created_at) as at, c.number, false as incoming, m.recipient as address, m.subject, m.state, '' as class, m.id * 2 as key
			from cases c join message m on m.case_id = c.id where c.owner_id = $1
			union all
			select i.received_at, c.number, true, i.sender, i.subject, '', i.class, i.id * 2 + 1
			from cases c join inbound i on i.case_id = c.id where c.owner_id = $1
		) x where (at, key) < ($2, $3) order by at desc, key desc limit $4`, id, before.At.UTC(), before.Key, limit+1)
	if len(d.Mails) > limit {
		d.Mails, d.More = d.Mails[:limit], true
	}
	return d, fail("mails of owner", err)
}

package casedb

import (
	"context"
	"strings"
	"time"

	"github.com/lib/pq"
)

// PutOwner stores the owner, or brings the one with the same key up to date.
func (t *Tx) PutOwner(ctx context.Context, o Owner) (Owner, error) {
	err := t.q.GetContext(ctx, &o, `insert into owner (key, name, country, language, created_at) values ($1, $2, $3, $4, $5)
		on conflict (key) do update set name = excluded.name, country = excluded.country, language = excluded.language
		returning `+ownerColumns, o.Key, o.Name, o.Country, o.Language, o.CreatedAt)
	return o, fail("put owner", err)
}

// Owner returns the owner with the id.
func (q *Queries) Owner(ctx context.Context, id int64) (Owner, error) {
	var o Owner
	err := q.q.GetContext(ctx, &o, `select `+ownerColumns+` from owner where id = $1`, id)
	return o, fail("get owner", err)
}

// contactOrder puts what coordinators decided before what registries say: the
// directory, its most specific entry first, other overrides, then approved
// contacts, then the choice and its alternatives. The directory's contact for a
// country is the last.
const contactOrder = ` order by (c.provenance = 'override' and c.rank < 1000) desc, (case when c.directory_id is null then 0 else c.rank end),
	(c.approved_at is not null) desc, c.rank, c.id`

// Contact returns the contact with the id, retired or not.
func (q *Queries) Contact(ctx context.Context, id int64) (Contact, error) {
	var c Contact
	err := q.q.GetContext(ctx, &c, `select `+of("c", contactColumns)+` from contact c where c.id = $1`, id)
	return c, fail("get contact", err)
}

// Contacts returns the present contacts of an owner, the one to write to
// first: overrides, approved ones, then by rank.
func (q *Queries) Contacts(ctx context.Context, ownerID int64) ([]Contact, error) {
	var c []Contact
	err := q.q.SelectContext(ctx, &c, `select `+of("c", contactColumns)+` from contact c
		where c.owner_id = $1 and c.retired_at is null`+contactOrder+` limit 200`, ownerID)
	return c, fail("list contacts", err)
}

// UsableContacts is Contacts without those whose address is suppressed at the
// time.
func (q *Queries) UsableContacts(ctx context.Context, ownerID int64, now time.Time) ([]Contact, error) {
	var c []Contact
	err := q.q.SelectContext(ctx, &c, `select `+of("c", contactColumns)+` from contact c
		where c.owner_id = $1 and c.retired_at is null and c.email <> '' and `+inForceOrRegistry+` and not exists (
			select 1 from suppression s where s.address = lower(c.email) and s.lifted_at is null
			and (s.until is null or s.until > $2))`+contactOrder+` limit 200`, ownerID, now)
	return c, fail("list usable contacts", err)
}

// ContactSince returns when a case got the contact that it has.
func (q *Queries) ContactSince(ctx context.Context, caseID int64) (time.Time, error) {
	var at time.Time
	err := q.q.GetContext(ctx, &at, `select coalesce((select max(e.at) from case_event e where e.case_id = c.id and e.kind = 'contact-changed'),
		c.created_at) from cases c where c.id = $1`, caseID)
	return at, fail("find since when a case has its contact", err)
}

// ContactWishes are the directory's settings for letters to a contact.
type ContactWishes struct {
	Format string `db:"format"`  // of the evidence; empty: as configured
	PGPKey string `db:"pgp_key"` // to encrypt to; empty: none

	Silent   bool `db:"silent"`   // a letter that a person approved does not say Auto-Submitted
	Networks bool `db:"networks"` // the letter names the networks of sensors where packets arrived
}

// ContactWishes returns the directory's settings for mail to a recipient about a
// case at the time. The format is that of the message's contact, else of its
// owner's contact in force with that address. The key is the address's own,
// whatever led to it: of an entry in force that has one, else, if there is none
// in force, of the contact's entry that has ended.
func (q *Queries) ContactWishes(ctx context.Context, m Message, now time.Time) (ContactWishes, error) {
	var w ContactWishes
	err := q.q.GetContext(ctx, &w, `with entry as (select d.* from contact c join directory_entry d on d.id = c.directory_id
			where c.id = $2 or ($2::bigint is null and c.owner_id = (select owner_id from cases where id = $3) and lower(c.email) = lower($4)
				and c.retired_at is null) order by c.id desc limit 1)
		select coalesce((select format from entry), '') as format, coalesce((select silent from entry), false) as silent,
		coalesce((select networks from entry), false) as networks,
		coalesce((select d.pgp_key from directory_entry d, lateral (select `+entryInForce+` as holds,
				d.id = (select directory_id from contact where id = $2) is true as own) x
			where lower(d.email) = lower($4) and (x.holds or x.own)
			order by x.holds desc, d.pgp_key <> '' desc, x.own desc, d.id desc limit 1), '') as pgp_key`, now, m.ContactID, m.CaseID, m.Recipient)
	return w, fail("get wishes of contact", err)
}

// KnownContact reports whether a coordinator approved the contact, or a mail
// to its owner at its address arrived before.
func (q *Queries) KnownContact(ctx context.Context, c Contact) (bool, error) {
	if c.ApprovedAt != nil {
		return true, nil
	}
	var known bool
	err := q.q.GetContext(ctx, &known, `select exists (select 1 from message m join cases c on c.id = m.case_id
		where lower(m.recipient) = lower($2) and c.owner_id = $1 and m.state = 'sent')`, c.OwnerID, c.Email)
	return known, fail("look whether the contact is known", err)
}

// PutContacts makes the contacts those that the answer for the network gives.
// One that is there already keeps its approval, and an override stays as a
// coordinator made it. Contacts that only the superseded networks gave are
// retired, unless a coordinator approved or made them.
func (t *Tx) PutContacts(ctx context.Context, n Network, contacts []Contact, superseded []int64, now time.Time) error {
	kept := make([]string, 0, len(contacts))
	for _, c := range contacts {
		kept = append(kept, strings.ToLower(c.Email))
		// An answer may write an address in other letters than the last one did.
		res, err := t.q.ExecContext(ctx, `update contact set network_id = $3, name = $4, role = $5, provenance = $6, gate = $7,
			valid = $8, why = $9, language = $10, rank = $11
			where owner_id = $1 and lower(email) = lower($2) and retired_at is null and provenance <> 'override'`,
			n.OwnerID, c.Email, n.ID, c.Name, c.Role, c.Provenance, c.Gate, c.Valid, cleaned(c.Why), c.Language, c.Rank)
		if err != nil {
			return fail("refresh contact", err)
		}
		if k, _ := res.RowsAffected(); k > 0 {
			continue
		}
		_, err = t.q.ExecContext(ctx, `insert into contact (owner_id, network_id, email, name, role, provenance, gate, valid, why,
			language, rank, created_at) select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
			where not exists (select 1 from contact where owner_id = $1 and lower(email) = lower($3) and retired_at is null
				and directory_id is null)
			on conflict (owner_id, email) where retired_at is null and directory_id is null do nothing`,
			n.OwnerID, n.ID, c.Email, c.Name, c.Role, c.Provenance, c.Gate, c.Valid, cleaned(c.Why), c.Language, c.Rank, now)
		if err != nil {
			return fail("add contact", err)
		}
	}
	_, err := t.q.ExecContext(ctx, `update contact set retired_at = $3 where network_id = any($1::bigint[])
		and retired_at is null and approved_at is null and provenance <> 'override'
		and not (owner_id = $4 and lower(email) = any($2::text[]))`, pq.Array(superseded), pq.Array(kept), now, n.OwnerID)
	if err != nil {
		return fail("retire contacts", err)
	}
	return t.ApplyDirectory(ctx, n.OwnerID, now)
}

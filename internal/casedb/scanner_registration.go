package casedb

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const registrationColumns = `id, organisation, purpose, url, email, language, prefixes, ports, state, confirm_digest, confirm_until,
	created_at, confirmed_at, decided_at, decided_by, reason`

// CreateRegistration writes a researcher's request, which waits until its
// e-mail address is confirmed. ConfirmDigest is the SHA-256 of the mailed token.
func (q *Queries) CreateRegistration(ctx context.Context, r Registration) (Registration, error) {
	prefixes, err := prefixStrings(r.Prefixes)
	if err != nil {
		return r, fmt.Errorf("create registration: %w", err)
	}
	if len(prefixes) == 0 {
		return r, errors.New("create registration: no prefixes")
	}
	err = q.q.GetContext(ctx, &r, `insert into registration (organisation, purpose, url, email, language, prefixes, ports, state,
			confirm_digest, confirm_until, created_at)
		values ($1, $2, $3, $4, $5, $6::cidr[], $7, 'unconfirmed', $8, $9, $10) returning `+registrationColumns,
		CleanLine(r.Organisation, 200), Clean(r.Purpose, 5000), CleanLine(r.URL, 500), CleanLine(r.Email, 254), r.Language,
		prefixes, r.Ports, r.ConfirmDigest, r.ConfirmUntil, r.CreatedAt)
	return r, fail("create registration", err)
}

// ConfirmationFits reports whether a confirmation that is queued now, to an address
// of a domain, would be sent within the time, as far as the confirmations before it
// are concerned. It bounds the queue that strangers can make.
func (q *Queries) ConfirmationFits(ctx context.Context, limits SendLimits, domain string, within time.Duration) (bool, error) {
	var waiting struct {
		All    int `db:"all_of_them"`
		Domain int `db:"of_domain"`
	}
	err := q.q.GetContext(ctx, &waiting, `select count(*) as all_of_them, count(*) filter (where `+domainOf+` = lower($1)) as of_domain
		from message m where m.state = 'queued' and m.purpose = 'confirmation'`, domain)
	fits := func(waiting, most int, span time.Duration) bool { return most <= 0 || waiting < most*int(within/span) }
	return fits(waiting.All, limits.ConfirmationsPerHour, time.Hour) &&
		fits(waiting.Domain, limits.ConfirmationsPerDomainDay, 24*time.Hour), fail("count the confirmations that wait", err)
}

// Registration returns the registration with the id.
func (q *Queries) Registration(ctx context.Context, id int64) (Registration, error) {
	var r Registration
	err := q.q.GetContext(ctx, &r, `select `+registrationColumns+` from registration where id = $1`, id)
	return r, fail("get registration", err)
}

// RegistrationByDigest returns the registration that a mailed token belongs to.
func (q *Queries) RegistrationByDigest(ctx context.Context, digest []byte) (Registration, error) {
	var r Registration
	err := q.q.GetContext(ctx, &r, `select `+registrationColumns+` from registration where confirm_digest = $1`, digest)
	return r, fail("get registration by token", err)
}

// ConfirmRegistration records that the link was followed: from now on the
// registration waits for a coordinator. A second time changes nothing.
// ErrNotFound if no registration has the token, ErrState if it came too late.
func (q *Queries) ConfirmRegistration(ctx context.Context, digest []byte, now time.Time) (Registration, error) {
	var r Registration
	err := q.q.GetContext(ctx, &r, `update registration set state = 'pending', confirmed_at = $2
		where confirm_digest = $1 and state = 'unconfirmed' and confirm_until > $2 returning `+registrationColumns, digest, now)
	if err = fail("confirm registration", err); !isNotFound(err) {
		return r, err
	}
	r, err = q.RegistrationByDigest(ctx, digest)
	if err == nil && r.State == RegistrationUnconfirmed {
		err = fmt.Errorf("confirm registration %d: %w", r.ID, ErrState)
	}
	return r, err
}

// ListRegistrations returns at most limit registrations in the state (empty:
// any) behind the one with the id after (0: from the start), the newest first,
// and whether there are more.
func (q *Queries) ListRegistrations(ctx context.Context, state RegistrationState, after int64, limit int) ([]Registration, bool, error) {
	w := where{}
	if state != "" {
		w.add(`state = ?`, state)
	}
	if after != 0 {
		w.add(`id < ?`, after)
	}
	var list []Registration
	err := q.q.SelectContext(ctx, &list, `select `+registrationColumns+` from registration`+w.sql()+
		` order by id desc limit `+w.arg(limit+1), w.args...)
	if err != nil {
		return nil, false, fail("list registrations", err)
	}
	if len(list) > limit {
		return list[:limit], true, nil
	}
	return list, false, nil
}

// AcceptRegistration makes the registration's prefixes entries of the
// allowlist, in the transaction, and the sources inside them due to be judged
// again. ErrState if it does not wait for a decision.
func (t *Tx) AcceptRegistration(ctx context.Context, id int64, by, reason string, now time.Time) (Registration, error) {
	if err := t.changeScanners(ctx, by, now); err != nil {
		return Registration{}, err
	}
	r, err := t.decideRegistration(ctx, id, RegistrationAccepted, by, reason, now)
	if err != nil {
		return r, err
	}
	// The same organisation may register the same prefix again: the entry is
	// then in force again. It has no first day, as packets that are judged
	// today were sent before.
	var prefixes []string
	err = t.q.SelectContext(ctx, &prefixes, `insert into scanner as s (prefix, organisation, list, purpose, url, ports,
			registration_id, created_at)
		select distinct p, $2, $3, $4, $5, $6, $7::bigint, $8::timestamptz from unnest($1::cidr[]) as p
		on conflict (list, prefix, organisation, coalesce(valid_from, '-infinity')) do update
			set purpose = excluded.purpose, url = excluded.url, ports = excluded.ports,
				registration_id = excluded.registration_id, valid_to = null
		returning prefix`, r.Prefixes, r.Organisation, ListRegistration, r.Purpose, r.URL, r.Ports, r.ID, now)
	if err != nil {
		return r, fail("allowlist registration", err)
	}
	return r, t.markSourcesDue(ctx, prefixes)
}

// RejectRegistration ends a registration with a reason, which the researcher
// is told. ErrState if it does not wait for a decision.
func (t *Tx) RejectRegistration(ctx context.Context, id int64, by, reason string, now time.Time) (Registration, error) {
	return t.decideRegistration(ctx, id, RegistrationRejected, by, reason, now)
}

func (t *Tx) decideRegistration(ctx context.Context, id int64, state RegistrationState, by, reason string, now time.Time) (Registration, error) {
	var r Registration
	err := t.q.GetContext(ctx, &r, `update registration set state = $2, decided_at = $3, decided_by = $4, reason = $5
		where id = $1 and state = 'pending' returning `+registrationColumns,
		id, state, now, CleanLine(by, 200), Clean(reason, 5000))
	if err = fail("decide registration", err); !isNotFound(err) {
		return r, err
	}
	if r, err = t.Registration(ctx, id); err == nil {
		err = fmt.Errorf("decide registration %d: %w", id, ErrState)
	}
	return r, err
}

// PurgeRegistrations deletes requests that were not confirmed in time and that no
// message names any more, and returns how many.
func (q *Queries) PurgeRegistrations(ctx context.Context, now time.Time) (int64, error) {
	res, err := q.q.ExecContext(ctx, `delete from registration r where r.state = 'unconfirmed' and r.confirm_until < $1
		and not exists (select 1 from message m where m.registration_id = r.id)`, now)
	if err != nil {
		return 0, fail("purge registrations", err)
	}
	n, _ := res.RowsAffected()
	return n, nil
}

package casedb_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/internal/casedb"
	"teiten/internal/reason"
	"teiten/internal/soak"
)

// mailed is a mail in the model: it arrived between start and end, or not yet.
type mailed struct {
	to         string
	asn        int
	start, end time.Time
	// confirmation: a stranger caused it, so it has limits of its own.
	confirmation bool
}

const lease = 7 * time.Minute

// asOfCase is the AS of the network of each case's source.
var asOfCase = []int{1, 2, 1, 2}

func domainOf(address string) string { return address[strings.IndexByte(address, '@')+1:] }

// tooMany returns the limits that one more mail at now would break, given the
// mails that may have arrived within the span before it.
func tooMany(all []mailed, l casedb.SendLimits, m mailed, now time.Time, slack time.Duration) (broken []reason.Code) {
	type limit struct {
		name reason.Code
		most int
		span time.Duration
		same func(mailed) bool
	}
	limits := []limit{
		{casedb.LimitHour, l.PerHour, time.Hour, func(mailed) bool { return true }},
		{casedb.LimitRecipient, l.PerRecipientDay, 24 * time.Hour, func(o mailed) bool { return o.to == m.to }},
		{casedb.LimitDomain, l.PerDomainDay, 24 * time.Hour, func(o mailed) bool { return domainOf(o.to) == domainOf(m.to) }},
		{casedb.LimitAS, l.PerASDay, 24 * time.Hour, func(o mailed) bool { return o.asn == m.asn }},
	}
	if m.confirmation {
		limits = []limit{
			{casedb.LimitConfirmations, l.ConfirmationsPerHour, time.Hour, func(mailed) bool { return true }},
			{casedb.LimitRecipient, 1, 24 * time.Hour, func(o mailed) bool { return o.to == m.to }},
			{casedb.LimitDomain, l.ConfirmationsPerDomainDay, 24 * time.Hour, func(o mailed) bool { return domainOf(o.to) == domainOf(m.to) }},
		}
	}
	for _, limit := range limits {
		n := 0
		for _, o := range all {
			if o.confirmation == m.confirmation && limit.same(o) && o.end.After(now.Add(-limit.span-slack)) {
				n++
			}
		}
		if limit.most > 0 && n >= limit.most {
			broken = append(broken, limit.name)
		}
	}
	return broken
}

// TestNoLimitIsExceededInAnyWindow plays random mails to a few recipients, with
// attempts that end well, badly, in doubt or never, against a model that
// remembers when each may have arrived. No mail may begin that exceeds a
// limit, none may wait without one, and the ledger must predict the same.
func TestNoLimitIsExceededInAnyWindow(t *testing.T) {
	t.Parallel()
	noLimitIsExceeded(t)
}

func TestSoakNoLimitIsExceededInAnyWindow(t *testing.T) {
	soak.Start(t)
	noLimitIsExceeded(t)
}

func noLimitIsExceeded(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	recipients := []string{"abuse@a.example", "noc@a.example", "abuse@b.example", "abuse@c.example"}
	limitCases(t, db)
	rapid.Check(t, func(r *rapid.T) {
		exec(t, db, `truncate message, message_attempt, message_source, case_event cascade`)
		l := someLimits(r)
		now := noon
		for i := range rapid.IntRange(2, 9).Draw(r, "messages") {
			k := rapid.IntRange(0, 3).Draw(r, "case")
			exec(t, db, `insert into message (case_id, purpose, state, recipient, language, message_id, token, next_attempt_at, created_at)
				values ($1, $5, 'queued', $2, 'ja', $3, $3, $4, $4)`, k+1, recipients[k], strconv.Itoa(i), now,
				rapid.SampledFrom([]string{"answer", "answer", "confirmation"}).Draw(r, "purpose"))
		}
		var all []mailed
		for range rapid.IntRange(3, 10).Draw(r, "steps") {
			// Most often the next step is when the next message is due.
			if wait := rapid.SampledFrom([]int{-1, -1, -1, 0, 20, 59, 300}).Draw(r, "minutes"); wait >= 0 {
				now = now.Add(time.Duration(wait) * time.Minute)
			} else {
				now = nextDue(t, r, db, now)
			}
			was := ids(t, r, db, now)
			var m casedb.Message
			var due casedb.Due
			err := db.InHotTx(ctx, func(tx *casedb.Tx) (err error) {
				if err := tx.LockSending(ctx); err != nil {
					return err
				}
				if due, err = tx.DueMessage(ctx, l, lease, now); err != nil || due.ID == 0 {
					return err
				}
				if m, _, err = tx.LockDueMessage(ctx, due.ID, now); err != nil {
					return err
				}
				d, err := tx.Destination(ctx, m.ID)
				if err != nil {
					return err
				}
				ledger, err := tx.SendLedger(ctx, l, lease, now)
				if err != nil {
					return err
				}
				if at, name := ledger.Reserve(d, now); name != "" || !at.Equal(now) {
					r.Fatalf("the ledger foretells %s because of %q", at, name)
				}
				return tx.BeginAttempt(ctx, &m, now.Add(10*time.Minute), now)
			})
			if err != nil {
				r.Fatal(err)
			}
			if due.ID == 0 {
				checkWait(t, r, db, all, l, was, due, now)
				continue
			}
			sent := mailed{to: m.Recipient, asn: asOfCase[*m.CaseID-1], start: now, end: now.Add(lease), confirmation: m.Purpose == casedb.PurposeConfirmation}
			if broken := tooMany(all, l, sent, now, 0); len(broken) > 0 {
				r.Fatalf("a mail to %s at %s exceeds %v of %+v", m.Recipient, now, broken, l)
			}
			outcome := rapid.SampledFrom([]casedb.AttemptOutcome{casedb.AttemptSent, casedb.AttemptSent, casedb.AttemptUnknown,
				casedb.AttemptTemporary, casedb.AttemptPermanent, ""}).Draw(r, "outcome")
			if outcome != "" { // else the process died
				now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(r, "seconds")) * time.Second)
				sent.end = now
				err := db.InHotTx(ctx, func(tx *casedb.Tx) error {
					return tx.FinishAttempt(ctx, m.ID, m.Attempts, casedb.AttemptEnd{Outcome: outcome}, nobodyAsked, now)
				})
				if err != nil {
					r.Fatal(err)
				}
			}
			if outcome != casedb.AttemptTemporary && outcome != casedb.AttemptPermanent {
				all = append(all, sent)
			}
		}
	})
}

func someLimits(r *rapid.T) casedb.SendLimits {
	most := rapid.IntRange(0, 3)
	return casedb.SendLimits{PerHour: most.Draw(r, "hour"), PerRecipientDay: most.Draw(r, "recipient"),
		PerDomainDay: most.Draw(r, "domain"), PerASDay: most.Draw(r, "as"),
		ConfirmationsPerHour: most.Draw(r, "confirmations"), ConfirmationsPerDomainDay: most.Draw(r, "confirmations of a domain")}
}

// limitCases writes a case for each recipient, each in an AS of asOfCase.
func limitCases(t *testing.T, db *casedb.DB) {
	t.Helper()
	exec(t, db, `insert into owner (key, name, country, language, created_at) values ('x', 'x', 'JP', 'ja', $1)`, noon)
	for i, asn := range asOfCase {
		a := fmt.Sprintf("192.0.2.%d", i+1)
		exec(t, db, `insert into network (owner_id, first_address, last_address, asn, raw, fetched_at, expires_at)
			values (1, $1::inet, $1::inet, $2, '', $3, $3)`, a, asn, noon)
		exec(t, db, `insert into source (address, first_at, last_at, network_id) values ($1, $2, $2, $3)`, a, noon, i+1)
		exec(t, db, `insert into verdict (source, kind, tell, confidence, rule, ruleset, evidence, first_at, last_at, created_at)
			values ($1, 'infected', true, 1, 'x', 'x', '{}', $2, $2, $2)`, a, noon)
		exec(t, db, `insert into cases (number, owner_id, kind, state, language, created_at, updated_at)
			values ('TT-2026-00000' || $1::text, 1, 'infected', $2, 'ja', $3, $3)`, strconv.Itoa(i+1), []string{"open", "closed", "closed", "closed"}[i], noon)
		exec(t, db, `insert into case_source (case_id, source, verdict_id, joined_at) values ($1, $2, $1, $3)`, i+1, a, noon)
	}
}

// checkWait checks that a mail waits for no other reason than a limit, and no
// longer than for that.
func checkWait(t *testing.T, r *rapid.T, db *casedb.DB, all []mailed, l casedb.SendLimits, was []int64, due casedb.Due, now time.Time) {
	t.Helper()
	if due.Limited {
		letters, confirmations := tooMany(all, l, mailed{}, now, time.Second), tooMany(all, l, mailed{confirmation: true}, now, time.Second)
		if !slices.Contains(letters, casedb.LimitHour) && !slices.Contains(confirmations, casedb.LimitConfirmations) {
			r.Fatalf("everything waits at %s, but not for the hour's limit: %+v", now, l)
		}
	}
	if !due.PutOff {
		return
	}
	for _, id := range was {
		m, err := db.Message(t.Context(), id)
		if err != nil {
			r.Fatal(err)
		}
		if !m.NextAttemptAt.After(now) {
			continue
		}
		one := mailed{to: m.Recipient, asn: asOfCase[*m.CaseID-1], confirmation: m.Purpose == casedb.PurposeConfirmation}
		if broken := tooMany(all, l, one, m.NextAttemptAt.Add(-2*time.Second), 0); len(broken) == 0 {
			r.Fatalf("put off until %s for nothing", m.NextAttemptAt)
		}
		d, err := db.Destination(t.Context(), id)
		if err != nil {
			r.Fatal(err)
		}
		ledger, err := db.SendLedger(t.Context(), l, lease, now)
		if err != nil {
			r.Fatal(err)
		}
		if at, name := ledger.Reserve(d, now); name == "" || at.Sub(*m.NextAttemptAt).Abs() > time.Millisecond {
			r.Fatalf("put off until %s; the ledger foretells %s because of %q", m.NextAttemptAt, at, name)
		}
		return
	}
	r.Fatal("no message was put off")
}

// nextDue returns when the next message is due.
func nextDue(t *testing.T, r *rapid.T, db *casedb.DB, now time.Time) time.Time {
	t.Helper()
	var next time.Time
	if err := db.SQL().QueryRowContext(t.Context(), `select coalesce(min(next_attempt_at), $1) from message where state = 'queued'`, now).Scan(&next); err != nil {
		r.Fatal(err)
	}
	if next.Before(now) {
		return now
	}
	return next
}

// ids returns the messages that are due.
func ids(t *testing.T, r *rapid.T, db *casedb.DB, now time.Time) (out []int64) {
	t.Helper()
	rows, err := db.SQL().QueryContext(t.Context(), `select id from message where state = 'queued' and next_attempt_at <= $1`, now)
	if err != nil {
		r.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			r.Fatal(err)
		}
		out = append(out, id)
	}
	if err := rows.Err(); err != nil {
		r.Fatal(err)
	}
	return out
}

// nobodyAsked is a plan with which nothing follows from a failed message.
func nobodyAsked(casedb.Bounce, time.Time) casedb.BounceStep { return casedb.BounceStep{} }

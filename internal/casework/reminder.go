package casework

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"teiten/internal/casedb"
)

// stillSeen is how long ago a source may have been seen last to be called
// still active.
const stillSeen = 7 * 24 * time.Hour

// toldBatch is how many cases are read at once.
const toldBatch = 200

// Reminders are the times after the last notification at which an owner is
// reminded of sources that are still seen: the first reminder after the first
// of them, and so on; after the last there is none. Few, because repeats do
// not help.
type Reminders []time.Duration

// due decides, as a pure function, whether the owner of a case should be
// reminded.
func (r Reminders) due(c casedb.ToldCase, now time.Time) bool {
	return c.Reminders < len(r) && now.Sub(c.LastSent) >= r[c.Reminders] &&
		c.LastActive != nil && !c.LastActive.Before(activeSince(c, now))
}

// activeSince is since when a source must have been seen to be still active.
func activeSince(c casedb.ToldCase, now time.Time) time.Time {
	if since := now.Add(-stillSeen); since.After(c.LastSent) {
		return since
	}
	return c.LastSent
}

// Remind writes the reminders that are due, and returns how many.
func (o *Opener) Remind(ctx context.Context) (int, error) {
	now := o.now()
	if len(o.Reminders) == 0 {
		return 0, nil
	}
	before := now.Add(-slices.Min(o.Reminders))
	return o.eachTold(ctx, before, "remind of", func(c casedb.ToldCase) (bool, error) {
		if !o.Reminders.due(c, now) {
			return false, nil
		}
		return o.remind(ctx, c.ID, before, now)
	})
}

// eachTold calls do for the cases whose owners were told before a time, and
// returns how many it did something for. A case that fails does not keep the
// others waiting; what says in its error what was tried.
func (o *Opener) eachTold(ctx context.Context, before time.Time, what string, do func(casedb.ToldCase) (bool, error)) (int, error) {
	total := 0
	var failures []error
	for after := int64(0); ; {
		told, err := o.DB.ToldCases(ctx, before, after, toldBatch)
		if err != nil {
			return total, err
		}
		for _, c := range told {
			after = c.ID
			done, err := do(c)
			if err != nil {
				if ctx.Err() != nil || casedb.IsUnavailable(err) {
					return total, err
				}
				failures = append(failures, fmt.Errorf("%s case %d: %w", what, c.ID, err))
			}
			if done {
				total++
			}
		}
		if len(told) < toldBatch {
			return total, errors.Join(failures...)
		}
	}
}

// remind writes the reminder of one case, if it is still due.
func (o *Opener) remind(ctx context.Context, id int64, before, now time.Time) (done bool, err error) {
	err = o.DB.InTx(ctx, func(tx *casedb.Tx) error {
		done = false
		told, c, err := tx.LockToldCase(ctx, id, before)
		if err != nil || !o.Reminders.due(told, now) {
			return err
		}
		done, err = o.tellAgain(ctx, tx, c, messagePlan{reason: casedb.ReasonStillActive, activeSince: activeSince(told, now)}, &told.LastSent, now)
		return err
	})
	if errors.Is(err, casedb.ErrNotFound) {
		return false, nil // it waits for a coordinator already, or those still active are acknowledged
	}
	return done && err == nil, err
}

// TellRecovered writes, once, to the owner of a case that its sources went
// quiet, where that was asked for. It reports whether a message was written.
func (o *Opener) TellRecovered(ctx context.Context, id int64) (done bool, err error) {
	now := o.now()
	err = o.DB.InTx(ctx, func(tx *casedb.Tx) error {
		done = false
		c, err := tx.LockCase(ctx, id)
		if err != nil || !o.Recovered && !c.TellRecovered {
			return err
		}
		state, err := tx.NotificationState(ctx, id)
		if err != nil || state.UnderWay || state.Recovered || state.LastSent == nil || !c.State.Live() || c.Waiting != casedb.WaitingNone {
			return err
		}
		done, err = o.tellAgain(ctx, tx, c, messagePlan{reason: casedb.ReasonRecovered}, state.LastSent, now)
		return err
	})
	return done && err == nil, err
}

// tellAgain writes a message about a locked case whose owner was told before.
// what says why.
func (o *Opener) tellAgain(ctx context.Context, tx *casedb.Tx, c casedb.Case, what messagePlan, lastSent *time.Time, now time.Time) (bool, error) {
	contacts, err := tx.UsableContacts(ctx, c.OwnerID, now)
	if err != nil {
		return false, err
	}
	contact, ok, err := contactOf(ctx, tx, c, contacts)
	if err != nil {
		return false, err
	}
	if what.reason == casedb.ReasonRecovered && (!ok || c.ContactID == nil || contact.ID != *c.ContactID) {
		return false, nil // good news only for owners who had the bad news
	}
	groups, err := tx.LetterGroups(ctx, casedb.LetterScope{CaseID: c.ID, Now: now})
	if err != nil || len(groups) == 0 {
		return false, err
	}
	var g grouped
	for _, group := range groups {
		g.rules = append(g.rules, group.Rule)
	}
	hold, err := o.holds(ctx, tx, c.OwnerID, contact, g)
	if err != nil {
		return false, err
	}
	plan := planMessage(c, false, casedb.NotificationState{LastSent: lastSent}, contact, ok, hold, now)
	plan.reason, plan.activeSince = what.reason, what.activeSince
	return plan.state != "", o.write(ctx, tx, &c, plan, contact, casedb.ActorSystem, now)
}

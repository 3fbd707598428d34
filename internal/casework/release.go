package casework

import (
	"context"
	"errors"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// releaseBatch is how many held letters one release looks at.
const releaseBatch = 500

// Releaser decides again about letters that were held only because their rules
// held them, after a lead has made the rules automatic.
type Releaser struct {
	DB                 *casedb.DB
	FirstContactByGate bool // as Opener's
}

// Released is what became of the letters that waited for a rule.
type Released struct {
	Released int // queued
	Kept     int // held on, for another reason
	Left     int // not looked at yet
}

// Release queues the letters of a rule that no other reason holds. They count as
// sent without an approval, so the sender looks at each once more, under the
// same limits as any other letter. A letter with another reason stays held for
// that. by is the user who asked for it.
func (r *Releaser) Release(ctx context.Context, rule, by string, now time.Time) (Released, error) {
	var n Released
	ids, err := r.DB.HeldForRule(ctx, rule, releaseBatch)
	if err != nil {
		return n, err
	}
	for _, id := range ids {
		released, err := r.one(ctx, id, by, now)
		if errors.Is(err, casedb.ErrState) {
			continue // a coordinator has decided about it meanwhile
		}
		if err != nil {
			return n, err
		}
		if released {
			n.Released++
		} else {
			n.Kept++
		}
	}
	waiting, err := r.DB.CountHeldForRules(ctx)
	n.Left = waiting[rule]
	return n, err
}

// one decides about one letter, in a transaction of its own.
func (r *Releaser) one(ctx context.Context, id int64, by string, now time.Time) (released bool, err error) {
	err = r.DB.InTx(ctx, func(tx *casedb.Tx) error {
		m, c, err := tx.LockHeldForRule(ctx, id)
		if err != nil {
			return err
		}
		f, err := r.facts(ctx, tx, m, c, now)
		if err != nil {
			return err
		}
		why := stillHeld(f)
		if released = len(why) == 0; !released {
			return tx.KeepHeld(ctx, m, why, now)
		}
		return tx.ReleaseMessage(ctx, m, &c, releaseAt(f, now), by, now)
	})
	return released && err == nil, err
}

// heldLetter is everything that decides about a letter that was held for its rule.
type heldLetter struct {
	message  casedb.Message
	state    casedb.CaseState
	waiting  casedb.Waiting
	rules    reason.List // why its rules hold it now
	contact  *casedb.Contact
	known    bool // the contact had a letter before
	byGate   bool // the first letter to a contact needs no approval
	lastSent *time.Time
}

func (r *Releaser) facts(ctx context.Context, tx *casedb.Tx, m casedb.Message, c casedb.Case, now time.Time) (heldLetter, error) {
	f := heldLetter{message: m, state: c.State, waiting: c.Waiting, byGate: r.FirstContactByGate && !casedb.IsEscalation(m.Reason)}
	contacts, err := tx.UsableContacts(ctx, c.OwnerID, now)
	if err != nil {
		return f, err
	}
	for i := range contacts {
		if m.ContactID != nil && contacts[i].ID == *m.ContactID {
			f.contact = &contacts[i]
		}
	}
	if f.contact == nil {
		return f, nil
	}
	if f.known, err = tx.KnownContact(ctx, *f.contact); err != nil {
		return f, err
	}
	groups, err := tx.LetterGroups(ctx, casedb.ScopeOf(m, now))
	if err != nil {
		return f, err
	}
	var rules []string
	if casedb.IsEscalation(m.Reason) {
		rules = append(rules, casedb.RuleEscalation)
	}
	for _, g := range groups {
		rules = append(rules, g.Rule)
	}
	leave, err := tx.RuleLeave(ctx, c.OwnerID, f.contact.Email)
	if err != nil {
		return f, err
	}
	f.rules = leave.Holds(rules...)
	state, err := tx.NotificationState(ctx, c.ID)
	f.lastSent = state.LastSent
	return f, err
}

// stillHeld says, as a pure function, why a letter stays held although its rule is
// automatic now; nothing: it may go. These are the opener's reasons, of which a
// held letter names only the first.
func stillHeld(f heldLetter) reason.List {
	switch {
	case f.contact == nil:
		return reason.Of(reason.ContactReplaced)
	case len(contactHolds(*f.contact)) > 0:
		return contactHolds(*f.contact)
	case len(f.rules) > 0:
		return f.rules
	case !f.byGate && !f.known:
		return reason.Of(reason.ContactFirst)
	case f.waiting != casedb.WaitingNone && f.waiting != casedb.WaitingApproval || f.state == casedb.CaseAnswered:
		return reason.Of(reason.CaseWaits)
	}
	return nil
}

// releaseAt is when a released letter is due: as any other, not within a day of
// the case's last one, unless it goes to another contact than that.
func releaseAt(f heldLetter, now time.Time) time.Time {
	if f.lastSent == nil || casedb.IsEscalation(f.message.Reason) {
		return now
	}
	if at := f.lastSent.Add(repeatAfter); at.After(now) {
		return at
	}
	return now
}

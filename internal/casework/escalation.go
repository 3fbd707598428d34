package casework

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// Escalation says when the next contact is written to because an owner is silent.
type Escalation struct {
	After time.Duration // since the last letter or step; zero: never
	// NotTo are addresses and domains ("@nic.example") that are never a contact:
	// ours, and registries'.
	NotTo owner.ContactConfig
	Own   []string
}

// due decides, as a pure function, whether the next step of a case is due: its
// owner was told and reminded as often as he ever is, has said nothing, wants
// no pause, and what he was told of goes on.
func (e Escalation) due(told casedb.ToldCase, c casedb.Case, s casedb.EscalationState, reminders int, now time.Time) bool {
	switch {
	case e.After <= 0, c.Kind != casedb.KindInfected, c.State != casedb.CaseNotified, c.Waiting != casedb.WaitingNone, s.Ended:
		return false
	case told.Reminders < reminders, now.Sub(told.LastSent) < e.After, s.LastStep != nil && now.Sub(*s.LastStep) < e.After:
		return false
	case c.PausedUntil != nil && c.PausedUntil.After(now):
		return false
	}
	return told.LastActive != nil && !told.LastActive.Before(activeSince(told, now))
}

// may reports whether an address may be written to in a step. Contacts by hand
// only are there for other purposes: a person finds them on the page of the
// case.
func (e Escalation) may(c casedb.Contact, tried []string) bool {
	address := casedb.BaseAddress(c.Email)
	at := strings.LastIndexByte(address, '@')
	return at > 0 && !slices.Contains(tried, address) && !e.NotTo.IsPlaceholderEmail(address) && !owner.ContainsFold(e.Own, address) &&
		!owner.ContainsFold(e.Own, address[at:]) && (c.Valid == nil || *c.Valid) && c.Gate != casedb.GateHuman
}

// Escalate writes the steps that are due, if a lead has switched that on, and
// returns how many.
func (o *Opener) Escalate(ctx context.Context) (int, error) {
	now := o.now()
	modes, err := o.DB.PolicyModes(ctx)
	if err != nil || o.Escalation.After <= 0 || modes[casedb.RuleEscalation] == "" || modes[casedb.RuleEscalation] == casedb.RuleOff {
		return 0, err
	}
	before := now.Add(-o.Escalation.After)
	return o.eachTold(ctx, before, "escalate", func(c casedb.ToldCase) (bool, error) {
		return o.escalate(ctx, c.ID, before, now)
	})
}

// escalate writes the next step of one case, if it is still due.
func (o *Opener) escalate(ctx context.Context, id int64, before, now time.Time) (done bool, err error) {
	err = o.DB.InTx(ctx, func(tx *casedb.Tx) error {
		done = false
		told, c, err := tx.LockToldCase(ctx, id, before)
		if err != nil {
			return err
		}
		state, err := tx.EscalationState(ctx, id)
		if err != nil || !o.Escalation.due(told, c, state, len(o.Reminders), now) {
			return err
		}
		const actor = "rule " + casedb.RuleEscalation
		contact, step, err := o.nextStep(ctx, tx, c, state.Tried, now)
		if err != nil {
			return err
		}
		if step == "" {
			return tx.EndEscalation(ctx, &c, actor, now)
		}
		m := casedb.Message{CaseID: &c.ID, ContactID: &contact.ID, Purpose: casedb.PurposeNotification, State: casedb.MessageQueued, Reason: step,
			Recipient: contact.Email, Language: contact.Language, CreatedAt: now, NextAttemptAt: &now}
		m.HeaderID, m.Token = casedb.NewIdentity(o.MailDomain)
		if m.HoldWhy, err = o.holdsStep(ctx, tx, c, contact); err != nil {
			return err
		}
		waiting := casedb.WaitingNone
		if len(m.HoldWhy) > 0 {
			m.State, m.NextAttemptAt, waiting = casedb.MessageHeld, nil, casedb.WaitingApproval
		}
		if step == casedb.ReasonEscalated {
			if err := tx.SetCaseContact(ctx, &c, contact, actor, contact.Why, now); err != nil {
				return err
			}
		}
		if _, err := tx.Escalate(ctx, m, activeSince(told, now), actor); err != nil {
			return err
		}
		done = true
		return tx.MoveCase(ctx, &c, c.State, waiting, now)
	})
	if errors.Is(err, casedb.ErrNotFound) {
		return false, nil // it waits for a coordinator already, or nothing may be told any more
	}
	return done && err == nil, err
}

// nextStep returns the contact that comes next, and the reason of its letter:
// another one of the owner, then of the network around, then the directory's
// for the country. No reason: no contact is left.
func (o *Opener) nextStep(ctx context.Context, tx *casedb.Tx, c casedb.Case, tried []string, now time.Time) (casedb.Contact, string, error) {
	own, err := tx.UsableContacts(ctx, c.OwnerID, now)
	if err != nil {
		return casedb.Contact{}, "", err
	}
	first := func(list []casedb.Contact, country bool) (casedb.Contact, bool) {
		i := slices.IndexFunc(list, func(k casedb.Contact) bool { return k.ForCountry() == country && o.Escalation.may(k, tried) })
		if i < 0 {
			return casedb.Contact{}, false
		}
		return list[i], true
	}
	if k, ok := first(own, false); ok {
		return k, casedb.ReasonEscalated, nil
	}
	provider, err := tx.Provider(ctx, c, now)
	if err == nil {
		around, err := tx.UsableContacts(ctx, provider, now)
		if err != nil {
			return casedb.Contact{}, "", err
		}
		if k, ok := first(around, false); ok {
			return k, casedb.ReasonProvider, nil
		}
	} else if !errors.Is(err, casedb.ErrNotFound) {
		return casedb.Contact{}, "", err
	}
	if k, ok := first(own, true); ok {
		return k, casedb.ReasonCSIRT, nil
	}
	return casedb.Contact{}, "", nil
}

// holdsStep returns why a step must not go to the contact on its own, or nothing:
// the first mail to anybody is approved, whatever the modes.
func (o *Opener) holdsStep(ctx context.Context, tx *casedb.Tx, c casedb.Case, contact casedb.Contact) (reason.List, error) {
	if !contact.MayAutomatic() {
		return reason.Of(reason.ContactApproval), nil
	}
	groups, err := tx.LetterGroups(ctx, casedb.LetterScope{CaseID: c.ID, Now: o.now()})
	if err != nil {
		return nil, err
	}
	rules := []string{casedb.RuleEscalation}
	for _, g := range groups {
		rules = append(rules, g.Rule)
	}
	leave, err := tx.RuleLeave(ctx, c.OwnerID, contact.Email)
	if err != nil {
		return nil, err
	}
	if why := leave.Holds(rules...); len(why) > 0 {
		return why, nil
	}
	known, err := tx.KnownContact(ctx, contact)
	if err != nil || known {
		return nil, err
	}
	return reason.Of(reason.ContactFirst), nil
}

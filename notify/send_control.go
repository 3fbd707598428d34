package notify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// Control says which first letters are drawn at random for a control group,
// whose owners are told later. The zero value draws none. docs/effect.md has
// the method.
type Control struct {
	Share    float64        // of the group, up to a half
	Days     int            // how long a control waits
	Rules    []string       // of low severity: cases of others are never drawn
	Critical []netip.Prefix // networks whose cases are never drawn
	Seed     string
}

// The bounds of low severity.
const (
	maxDrawnSources = 5 // of one case
	sureConfidence  = 0.95
	sureSensors     = 3
)

// severe returns why a case is not drawn for the control group, or nothing.
func (c Control) severe(f casedb.ControlFacts) reason.List {
	switch {
	case f.OwnerMailed:
		return reason.Of(reason.ControlMailed)
	case f.Sources == 0:
		return reason.Of(reason.NoneLeft)
	case slices.ContainsFunc(f.Rules, func(r string) bool { return !slices.Contains(c.Rules, r) }):
		return reason.Of(reason.ControlRules)
	case f.Sources > maxDrawnSources:
		return reason.Of(reason.ControlSources, strconv.Itoa(maxDrawnSources))
	case f.Sure > 0:
		return reason.Of(reason.ControlSure, strconv.FormatFloat(sureConfidence, 'f', 2, 64), strconv.Itoa(sureSensors))
	case f.ICS:
		return reason.Of(reason.ControlICS)
	case f.Critical:
		return reason.Of(reason.ControlCritical)
	}
	return nil
}

// gather asks for the draw of a message's case, and draws if that is to be
// done: for the first letter of a case of low severity, in our own words. It
// writes nothing.
func (c Control) gather(ctx context.Context, q *casedb.Queries, f *Facts) error {
	d, err := q.ControlDraw(ctx, f.Case.ID)
	if err == nil {
		f.Control = &d
	}
	if !errors.Is(err, casedb.ErrNotFound) || c.Share <= 0 || f.Message.Reason != casedb.ReasonFirst || f.Message.Edited || f.Message.Attempts > 0 {
		return ignoreNotFound(err)
	}
	state, err := q.NotificationState(ctx, f.Case.ID)
	if err != nil || state.LastSent != nil {
		return err
	}
	facts, err := c.facts(ctx, q, *f.Case, f.Now)
	if err != nil || len(c.severe(facts)) > 0 {
		return err
	}
	draw := casedb.NewControlDraw(*f.Case, c.Seed, c.Share, c.Days, f.Now)
	f.Draw = &draw
	return nil
}

func (c Control) facts(ctx context.Context, q *casedb.Queries, k casedb.Case, now time.Time) (casedb.ControlFacts, error) {
	return q.ControlFacts(ctx, k, casedb.LetterScope{CaseID: k.ID, Now: now}, sureConfidence, sureSensors, c.Critical)
}

func ignoreNotFound(err error) error {
	if errors.Is(err, casedb.ErrNotFound) {
		return nil
	}
	return err
}

// control decides about a notification that would be sent now, as far as the
// control group is concerned.
func control(f Facts, send Decision) Decision {
	switch {
	case f.Control.Holds(f.Now):
		return Decision{Action: ActionDelay, Why: reason.Of(reason.Control), Until: *f.Control.Until}
	case wasQuiet(f) && open(f.Message, reason.Of(reason.ControlQuiet)):
		return hold(f, guards(f))
	case f.Draw != nil && f.Draw.Arm == casedb.ArmControl:
		return Decision{Action: ActionDelay, Why: reason.Of(reason.Control), Until: *f.Draw.Until, Draw: f.Draw}
	case f.Draw != nil:
		send.Draw = f.Draw
	}
	return send
}

// wasQuiet reports whether a message is the first letter of a case that was held
// as a control, and whose sources were not seen since: it would be news of the
// day before yesterday.
func wasQuiet(f Facts) bool {
	return f.Control != nil && f.Control.Arm == casedb.ArmControl && !f.Control.Holds(f.Now) && f.Message.Attempts == 0 &&
		f.Message.Reason == casedb.ReasonFirst && !seenSince(f.Accused, f.Control.DrawnAt)
}

func seenSince(groups []casedb.LetterGroup, at time.Time) bool {
	return slices.ContainsFunc(groups, func(g casedb.LetterGroup) bool { return g.Last.After(at) })
}

// Keep ends the time of controls that is over, and that of cases which are not
// of low severity any more. It returns how many it ended.
func (c Control) Keep(ctx context.Context, db *casedb.DB, now time.Time) (ended int, err error) {
	const batch = 200
	for after := int64(0); ; {
		ids, err := db.HeldControls(ctx, after, batch)
		if err != nil {
			return ended, err
		}
		for _, id := range ids {
			after = id
			done := false
			if err := db.InTx(ctx, func(tx *casedb.Tx) (err error) {
				done, err = c.keep(ctx, tx, id, now)
				return err
			}); err != nil {
				return ended, fmt.Errorf("look at the control %d: %w", id, err)
			}
			if done {
				ended++
			}
		}
		if len(ids) < batch {
			return ended, nil
		}
	}
}

func (c Control) keep(ctx context.Context, tx *casedb.Tx, id int64, now time.Time) (ended bool, err error) {
	k, err := tx.LockCase(ctx, id)
	if err != nil {
		return false, err
	}
	d, err := tx.ControlDraw(ctx, id)
	if err != nil || d.EndedAt != nil {
		return false, err
	}
	if !d.Holds(now) {
		return true, tx.EndControl(ctx, &k, casedb.ControlOver, casedb.ActorSystem, nil, now)
	}
	facts, err := c.facts(ctx, &tx.Queries, k, now)
	if err != nil {
		return false, err
	}
	facts.OwnerMailed = false // a mail that leaves ends the control by itself
	why := c.severe(facts)
	if len(why) == 0 || facts.Sources == 0 {
		return false, nil // cleared by now: nobody would be told
	}
	return true, tx.EndControl(ctx, &k, casedb.ControlSevere, casedb.ActorSystem, why, now)
}

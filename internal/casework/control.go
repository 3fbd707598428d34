package casework

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
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

// Severe returns why a case is not drawn for the control group, or nothing.
func (c Control) Severe(f casedb.ControlFacts) reason.List {
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

// DrawNumber is the number between 0 and 1 that is drawn for a case: the first
// 53 bits of SHA-256 over the seed, a line feed and the number of the case.
// Anybody who knows the seed can draw it again.
func DrawNumber(seed, number string) float64 {
	sum := sha256.Sum256([]byte(seed + "\n" + number))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

// Draw draws for a case.
func (c Control) Draw(k casedb.Case, now time.Time) casedb.ControlDraw {
	d := casedb.ControlDraw{CaseID: k.ID, Number: k.Number, DrawnAt: now, Seed: c.Seed, Share: c.Share, Drawn: DrawNumber(c.Seed, k.Number),
		Arm: casedb.ArmNotified}
	if d.Drawn < c.Share {
		until := now.Add(time.Duration(c.Days) * 24 * time.Hour)
		d.Arm, d.Until = casedb.ArmControl, &until
	}
	return d
}

// DrawOf returns the draw that was made for the case of a message, or the one to
// be made now: for the first letter of a case of low severity, in our own words.
// It writes nothing.
func (c Control) DrawOf(ctx context.Context, q *casedb.Queries, m casedb.Message, k casedb.Case, now time.Time) (made, due *casedb.ControlDraw, err error) {
	d, err := q.ControlDraw(ctx, k.ID)
	switch {
	case err == nil:
		return &d, nil, nil
	case !errors.Is(err, casedb.ErrNotFound):
		return nil, nil, err
	}
	if c.Share <= 0 || m.Reason != casedb.ReasonFirst || m.Edited || m.Attempts > 0 {
		return nil, nil, nil
	}
	state, err := q.NotificationState(ctx, k.ID)
	if err != nil || state.LastSent != nil {
		return nil, nil, err
	}
	facts, err := c.facts(ctx, q, k, now)
	if err != nil || len(c.Severe(facts)) > 0 {
		return nil, nil, err
	}
	d = c.Draw(k, now)
	return nil, &d, nil
}

func (c Control) facts(ctx context.Context, q *casedb.Queries, k casedb.Case, now time.Time) (casedb.ControlFacts, error) {
	return q.ControlFacts(ctx, k, casedb.LetterScope{CaseID: k.ID, Now: now}, sureConfidence, sureSensors, c.Critical)
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
	why := c.Severe(facts)
	if len(why) == 0 || facts.Sources == 0 {
		return false, nil // cleared meanwhile: no owner would be told
	}
	return true, tx.EndControl(ctx, &k, casedb.ControlSevere, casedb.ActorSystem, why, now)
}

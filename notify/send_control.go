package notify

import (
	"slices"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

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

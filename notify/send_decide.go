package notify

import (
	"slices"
	"strconv"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// Action is the decision of Decide about a due message.
type Action string

// The actions.
const (
	ActionSend   Action = "send"
	ActionHold   Action = "hold"   // a coordinator has to look
	ActionCancel Action = "cancel" // there is no need any more
	ActionFail   Action = "fail"   // it must not be sent, and a coordinator has to act
	ActionDelay  Action = "delay"  // not now
)

// Facts are the input of Decide.
type Facts struct {
	Message        casedb.Message
	Case           *casedb.Case        // nil: a message about a registration
	Suppression    *casedb.Suppression // nil: we may write to the recipient
	ContactRetired bool                // a later answer of the registry, or the directory, names another contact
	Acknowledged   []string            // organisations that acknowledge sources of the case now
	// Accused is what the letter says at present; of a notification without any
	// nothing is left to tell.
	Accused []casedb.LetterGroup
	// Lost are sources that a letter whose words are settled names, and that
	// are not judged so any more.
	Lost    []string
	Expired bool // it is a confirmation whose link does not work any more
	Gone    bool // the observations that the letter would show are past their retention
	// Leave says which rules' letters may go to the contact on their own.
	Leave   casedb.RuleLeave
	Country string // of the case's owner
	Quiet   QuietHours
	// Digest: the contact asks for one mail a day, and DigestAt is when.
	Digest   bool
	DigestAt DigestTime
	// Control is the draw of the case, nil if there was none; Draw the one to be
	// made if the message is to be sent now, nil if there is to be none.
	Control, Draw *casedb.ControlDraw
	// Restored is when the database was last found to be restored from a backup. What
	// was on its way before may have left already.
	Restored time.Time
	Now      time.Time
}

// Decision is the action for a message, with the reason.
type Decision struct {
	Action  Action
	Why     reason.List         // of everything but ActionSend
	Waiting casedb.Waiting      // what the case waits for after ActionFail
	Until   time.Time           // with ActionDelay
	Draw    *casedb.ControlDraw // to be kept, nil: none
}

// overrulable are the guards that a coordinator overrules by approving a
// message that was held for them. Of all others the letter would be wrong, or
// the approval itself answers them.
var overrulable = []reason.Code{reason.Acknowledged, reason.ContactReplaced, reason.ControlQuiet}

// Decide says, at the last moment, whether a due message is still right to
// send. It asks nothing and changes nothing. The control group comes last: what
// it holds would be sent otherwise.
func Decide(f Facts) Decision {
	d := decide(f)
	if d.Action != ActionSend || f.Message.Purpose != casedb.PurposeNotification {
		return d
	}
	// A message that was attempted before goes on.
	if f.Digest && f.Message.Attempts == 0 {
		if until := f.DigestAt.After(readyAt(f.Message), f.Country); until.After(f.Now) {
			return Decision{Action: ActionDelay, Why: reason.Of(reason.Digest), Until: until}
		}
	}
	return control(f, d)
}

func decide(f Facts) Decision {
	m, c := f.Message, f.Case
	if m.Attempts >= maxTries {
		return Decision{Action: ActionFail, Why: reason.Of(reason.GaveUp, strconv.Itoa(m.Attempts)), Waiting: casedb.WaitingFailed}
	}
	if c != nil && !c.State.Live() && m.Purpose == casedb.PurposeNotification {
		code := reason.CaseClosed
		if c.State == casedb.CaseIgnored {
			code = reason.CaseIgnored
		}
		return Decision{Action: ActionCancel, Why: reason.Of(code)}
	}
	if f.Expired {
		return Decision{Action: ActionCancel, Why: reason.Of(reason.LinkExpired)}
	}
	if f.Suppression != nil {
		return Decision{Action: ActionFail, Why: append(reason.Of(reason.Suppressed), f.Suppression.Why...), Waiting: casedb.WaitingBounce}
	}
	if m.Purpose == casedb.PurposeAnswer && mayHaveLeft(f) {
		return hold(f, reason.Of(reason.Restored))
	}
	if m.Purpose != casedb.PurposeNotification {
		return Decision{Action: ActionSend}
	}
	if found := guards(f); open(m, found) {
		return hold(f, found)
	}
	if m.ApprovedBy != "" {
		return Decision{Action: ActionSend} // a person chose the hour, too
	}
	if c != nil && c.PausedUntil != nil && c.PausedUntil.After(f.Now) {
		return Decision{Action: ActionDelay, Why: reason.Of(reason.Paused), Until: *c.PausedUntil}
	}
	if until := f.Quiet.Until(f.Now, f.Country); until.After(f.Now) {
		return Decision{Action: ActionDelay, Why: reason.Of(reason.QuietHours), Until: until}
	}
	return Decision{Action: ActionSend}
}

// guards are the present reasons to hold a notification, including those that a
// coordinator has overruled.
func guards(f Facts) reason.List {
	var found reason.List
	if mayHaveLeft(f) {
		found = found.And(reason.Restored)
	}
	if len(f.Acknowledged) > 0 {
		found = found.And(reason.Acknowledged, f.Acknowledged...)
	}
	if f.ContactRetired {
		found = found.And(reason.ContactReplaced)
	}
	switch {
	case len(f.Accused) == 0:
		found = found.And(reason.NoneLeft)
	case len(f.Lost) > 0:
		found = found.And(reason.SourceLost, f.Lost...)
	case f.Gone:
		found = found.And(reason.EvidenceGone)
	}
	if f.Message.ApprovedBy != "" || len(f.Accused) == 0 {
		return found
	}
	rules := make([]string, len(f.Accused))
	for i, g := range f.Accused {
		rules[i] = g.Rule
	}
	if casedb.IsEscalation(f.Message.Reason) {
		rules = append(rules, casedb.RuleEscalation)
	}
	return append(found, f.Leave.Holds(rules...)...)
}

// mayHaveLeft reports whether the message may have been sent between a backup and
// its restore: it was written before the restore, and no person has decided since.
func mayHaveLeft(f Facts) bool {
	m := f.Message
	return m.CreatedAt.Before(f.Restored) && (m.ApprovedAt == nil || m.ApprovedAt.Before(f.Restored))
}

// open reports whether one of the guards holds the message, because no approval
// has overruled it.
func open(m casedb.Message, found reason.List) bool {
	return slices.ContainsFunc(found, func(r reason.Reason) bool {
		return !slices.Contains(overrulable, r.Code) || m.ApprovedAt == nil || !slices.Contains(m.Overruled, string(r.Code))
	})
}

// hold names every guard that there is now, so that an approval overrules all of
// them at once.
func hold(f Facts, found reason.List) Decision {
	if wasQuiet(f) {
		found = found.And(reason.ControlQuiet)
	}
	return Decision{Action: ActionHold, Why: found}
}

package notify

import (
	"fmt"
	"strings"
	"time"

	"teiten/internal/casedb"
)

// Action is what Decide says to do with a message that is due.
type Action string

// The actions.
const (
	ActionSend   Action = "send"
	ActionHold   Action = "hold"   // a coordinator has to look
	ActionCancel Action = "cancel" // there is no need any more
	ActionFail   Action = "fail"   // it must not be sent, and somebody has to do something else
	ActionDelay  Action = "delay"  // not now
)

// Facts are what Decide looks at.
type Facts struct {
	Message        casedb.Message
	Case           *casedb.Case        // nil: a message about a registration
	Suppression    *casedb.Suppression // nil: we may write to the recipient
	ContactRetired bool                // a later answer of the registry, or the directory, names somebody else
	Acknowledged   []string            // organisations that acknowledge sources of the case by now
	// Accused is what the letter says at present; of a notification without any
	// nothing is left to tell.
	Accused []casedb.LetterGroup
	// Lost are sources that a letter whose words are settled names, and that
	// are not judged so any more.
	Lost []string
	Gone bool // the observations that the letter would show are past their retention
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
	Now           time.Time
}

// Decision is what to do with a message, and why.
type Decision struct {
	Action  Action
	Reason  string
	Waiting casedb.Waiting      // what the case waits for after ActionFail
	Until   time.Time           // with ActionDelay
	Draw    *casedb.ControlDraw // to be kept, nil: none
}

// The beginnings of reasons. A coordinator who approves a message held for one
// of them overrules it.
const (
	reasonAcknowledged = "acknowledged scanner"
	reasonRetired      = "contact replaced"
)

// The reasons, or their beginnings, that an approval does not overrule: the
// letter would be wrong.
const (
	reasonNobody = "no source is judged so any more"
	reasonLost   = "a source that the letter names is not judged so any more"
	reasonGone   = "the observations are gone"
)

// reasonQuiet delays what nobody approved while the recipient sleeps.
const reasonQuiet = "quiet hours"

// reasonPaused delays what nobody approved while the owner wants no mail.
const reasonPaused = "paused by the owner"

// reasonDigest delays what goes with the day's digest.
const reasonDigest = "digest"

// Decide says, at the last moment, whether a due message is still right to
// send. It asks nothing and changes nothing. The control group comes last: what
// it holds would be sent otherwise.
func Decide(f Facts) Decision {
	d := decide(f)
	if d.Action != ActionSend || f.Message.Purpose != casedb.PurposeNotification {
		return d
	}
	// What was under way once goes on.
	if f.Digest && f.Message.Attempts == 0 {
		if until := f.DigestAt.After(readyAt(f.Message), f.Country); until.After(f.Now) {
			return Decision{Action: ActionDelay, Reason: reasonDigest, Until: until}
		}
	}
	return control(f, d)
}

func decide(f Facts) Decision {
	m, c := f.Message, f.Case
	if m.Attempts >= maxTries {
		return Decision{Action: ActionFail, Reason: fmt.Sprintf("gave up after %d tries", m.Attempts), Waiting: casedb.WaitingFailed}
	}
	if c != nil && !c.State.Live() && m.Purpose == casedb.PurposeNotification {
		return Decision{Action: ActionCancel, Reason: "case " + string(c.State)}
	}
	if f.Suppression != nil {
		return Decision{Action: ActionFail, Reason: "no mail to this address: " + f.Suppression.Reason, Waiting: casedb.WaitingBounce}
	}
	if m.Purpose != casedb.PurposeNotification {
		return Decision{Action: ActionSend, Reason: m.Reason}
	}
	hold := func(reason string) Decision { return Decision{Action: ActionHold, Reason: reason} }
	overruled := func(reason string) bool {
		return m.ApprovedAt != nil && strings.HasPrefix(m.HoldReason, reason)
	}
	if len(f.Acknowledged) > 0 && !overruled(reasonAcknowledged) {
		return hold(reasonAcknowledged + ": " + strings.Join(f.Acknowledged, ", "))
	}
	if f.ContactRetired && !overruled(reasonRetired) {
		return hold(reasonRetired)
	}
	switch {
	case len(f.Accused) == 0:
		return hold(reasonNobody)
	case len(f.Lost) > 0:
		return hold(reasonLost + ": " + strings.Join(f.Lost, ", "))
	case f.Gone:
		return hold(reasonGone)
	}
	if m.ApprovedBy != "" {
		return Decision{Action: ActionSend, Reason: m.Reason} // a person chose the hour, too
	}
	rules := make([]string, len(f.Accused))
	for i, g := range f.Accused {
		rules[i] = g.Rule
	}
	if casedb.IsEscalation(m.Reason) {
		rules = append(rules, casedb.RuleEscalation)
	}
	if reason := f.Leave.Holds(rules...); reason != "" {
		return hold(reason)
	}
	if c != nil && c.PausedUntil != nil && c.PausedUntil.After(f.Now) {
		return Decision{Action: ActionDelay, Reason: reasonPaused, Until: *c.PausedUntil}
	}
	if until := f.Quiet.Until(f.Now, f.Country); until.After(f.Now) {
		return Decision{Action: ActionDelay, Reason: reasonQuiet, Until: until}
	}
	return Decision{Action: ActionSend, Reason: m.Reason}
}

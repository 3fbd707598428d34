package notify

import (
	"strings"

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
)

// Facts are what Decide looks at.
type Facts struct {
	Message        casedb.Message
	Case           *casedb.Case        // nil: a message about a registration
	Suppression    *casedb.Suppression // nil: we may write to the recipient
	ContactRetired bool                // a later answer of the registry names somebody else
	Acknowledged   []string            // organisations that acknowledge sources of the case by now
	// Accused is what the letter says at present; of a notification without any
	// nothing is left to tell.
	Accused []casedb.LetterGroup
	// Lost are sources that a letter whose words are settled names, and that
	// are not judged so any more.
	Lost  []string
	Modes map[string]casedb.RuleMode // of rules; those that are missing hold
}

// Decision is what to do with a message, and why.
type Decision struct {
	Action Action
	Reason string
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
	reasonNobody = "no source is infected any more"
	reasonLost   = "a source that the letter names is not infected any more"
)

// reasonRule holds what nobody approved and a rule does not let go out on its
// own.
const reasonRule = "rule holds"

// Decide says, at the last moment, whether a due message is still right to
// send. It asks nothing and changes nothing.
func Decide(f Facts) Decision {
	m, c := f.Message, f.Case
	if c != nil && !c.State.Live() && m.Purpose == casedb.PurposeNotification {
		return Decision{ActionCancel, "case " + string(c.State)}
	}
	if f.Suppression != nil {
		return Decision{ActionFail, "no mail to this address: " + f.Suppression.Reason}
	}
	if m.Purpose != casedb.PurposeNotification {
		return Decision{ActionSend, m.Reason}
	}
	overruled := func(reason string) bool {
		return m.ApprovedAt != nil && strings.HasPrefix(m.HoldReason, reason)
	}
	if len(f.Acknowledged) > 0 && !overruled(reasonAcknowledged) {
		return Decision{ActionHold, reasonAcknowledged + ": " + strings.Join(f.Acknowledged, ", ")}
	}
	if f.ContactRetired && !overruled(reasonRetired) {
		return Decision{ActionHold, reasonRetired}
	}
	switch {
	case len(f.Accused) == 0:
		return Decision{ActionHold, reasonNobody}
	case len(f.Lost) > 0:
		return Decision{ActionHold, reasonLost + ": " + strings.Join(f.Lost, ", ")}
	case m.ApprovedBy == "" && !f.automatic():
		return Decision{ActionHold, reasonRule}
	}
	return Decision{ActionSend, m.Reason}
}

// automatic reports whether the rules of all that the letter says let it go
// out on its own.
func (f Facts) automatic() bool {
	for _, g := range f.Accused {
		if f.Modes[g.Rule] != casedb.RuleAutomatic {
			return false
		}
	}
	return true
}

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
	return Decision{ActionSend, m.Reason}
}

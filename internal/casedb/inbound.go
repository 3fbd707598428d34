package casedb

import "time"

// InboundClass is what a mail that came to us is.
type InboundClass string

// The classes, as in the CHECK constraint of table inbound.
const (
	InboundBounce    InboundClass = "bounce"
	InboundDelay     InboundClass = "delay"
	InboundAutoReply InboundClass = "autoreply"
	InboundFeedback  InboundClass = "feedback" // RFC 5965 complaint
	InboundHuman     InboundClass = "human"
)

// InboundState is how far an inbound mail has got.
type InboundState string

// The states, as in the CHECK constraint of table inbound.
const (
	InboundReceived  InboundState = "received"
	InboundProcessed InboundState = "processed"
	InboundFailed    InboundState = "failed" // could not be read; raw stays
)

// Inbound is a mail that came to us, stored raw before anything is made of it.
type Inbound struct {
	ID            int64        `db:"id"`
	ReceivedAt    time.Time    `db:"received_at"`
	EnvelopeFrom  string       `db:"envelope_from"`
	EnvelopeTo    string       `db:"envelope_to"`
	Raw           []byte       `db:"raw"`
	State         InboundState `db:"state"`
	Attempts      int          `db:"attempts"`
	NextAttemptAt time.Time    `db:"next_attempt_at"`
	LastError     string       `db:"last_error"`
	Class         InboundClass `db:"class"`
	Hard          bool         `db:"hard"`
	Status        string       `db:"status"`    // RFC 3463, of the bounce
	Recipient     string       `db:"recipient"` // whom the bounce is about
	Trusted       bool         `db:"trusted"`   // the envelope token's HMAC is ours
	MatchedBy     string       `db:"matched_by"`
	CaseID        *int64       `db:"case_id"`
	MessageID     *int64       `db:"message_id"`
	RemoteTicket  string       `db:"remote_ticket"`
	Sender        string       `db:"sender"`
	Subject       string       `db:"subject"`
	Text          string       `db:"text"`
	HeaderID      string       `db:"header_id"`
	ProcessedAt   *time.Time   `db:"processed_at"`
}

// Suppression is an address we no longer write to, in base form (lower case).
type Suppression struct {
	ID        int64      `db:"id"`
	Address   string     `db:"address"`
	Reason    string     `db:"reason"`
	MessageID *int64     `db:"message_id"`
	CreatedAt time.Time  `db:"created_at"`
	Until     *time.Time `db:"until"`
	LiftedAt  *time.Time `db:"lifted_at"`
	LiftedBy  string     `db:"lifted_by"`
}

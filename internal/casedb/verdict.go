package casedb

import (
	"time"

	"github.com/lib/pq"
)

// Kind is the kind of a source.
type Kind string

// The kinds, as in the CHECK constraint of table verdict.
const (
	KindScanner       Kind = "scanner"
	KindInfected      Kind = "infected"
	KindBackscatter   Kind = "backscatter"
	KindReflection    Kind = "reflection"
	KindSpoofed       Kind = "spoofed"
	KindMisconfigured Kind = "misconfigured"
	KindUnknown       Kind = "unknown"
)

// Kinds lists every kind.
var Kinds = []Kind{KindScanner, KindInfected, KindBackscatter, KindReflection, KindSpoofed, KindMisconfigured, KindUnknown}

// The malware families a verdict may name.
const (
	MalwareMS17010 = "ms17-010"
	MalwareMirai   = "mirai"
	MalwareSlammer = "slammer"
)

// Evidence is the basis of a verdict: Hits of Of packets obey the rule, which
// unrelated packets would do by chance with probability Chance.
type Evidence struct {
	Packets      uint64  `json:"packets"`
	Hits         uint64  `json:"hits"`
	Of           uint64  `json:"of"`
	Chance       float64 `json:"chance"`
	Weak         bool    `json:"weak,omitempty"` // one packet only, or auxiliary fields only
	Destinations uint32  `json:"destinations"`
	Sensors      int     `json:"sensors"`
	Days         int     `json:"days"`
	Definition   string  `json:"definition,omitempty"` // the scanner definition used
	List         string  `json:"list,omitempty"`       // the allowlist that matched
	// Undeclared is what an acknowledged scanner sent to ports that its entry
	// does not declare.
	Undeclared *Undeclared `json:"undeclared,omitempty"`
	// Fixed is how alike the packets of an attack were, as its victim's answers
	// tell.
	Fixed *Fixed   `json:"fixed,omitempty"`
	Notes []string `json:"notes,omitempty"` // short codes, explained by the locale catalogue
	// Payloads say in a few words what the first packets asked for.
	Payloads []string `json:"payloads,omitempty"`
	// Also are weaker or contradicting findings kept with the verdict, as
	// rule names ("zmap" on an infected host).
	Also []string `json:"also,omitempty"`
}

// Undeclared are the Packets of Of probes that went to other ports than those
// Declared, and the first of these ports, most packets first.
type Undeclared struct {
	Packets  uint64   `json:"packets"`
	Of       uint64   `json:"of"`
	Ports    []string `json:"ports"`
	More     int      `json:"more,omitempty"` // ports beyond those named
	Declared string   `json:"declared"`
}

// Fixed counts answers of a victim: Sequence of SequenceOf answer the same
// sequence number as another one, Window of WindowOf have the same TCP window.
// The numbers themselves are left out, because some tools derive them from the
// sensor's address.
type Fixed struct {
	Sequence   uint64 `json:"sequence"`
	SequenceOf uint64 `json:"sequence_of"`
	Window     uint64 `json:"window"`
	WindowOf   uint64 `json:"window_of"`
}

// Verdict is the judgement of one source. It is never overwritten, only
// superseded.
type Verdict struct {
	ID           int64  `db:"id"`
	Source       Addr   `db:"source"`
	Kind         Kind   `db:"kind"`
	Tool         string `db:"tool"`
	Malware      string `db:"malware"`
	Acknowledged string `db:"acknowledged"`
	Attention    string `db:"attention"` // a contradiction a coordinator must look at, else empty
	// Tell says that the owner of the source may be told. Package attribution
	// decides it when the verdict is saved; nothing else does.
	Tell         bool           `db:"tell"`
	Confidence   float64        `db:"confidence"`
	Rule         string         `db:"rule"`
	Ruleset      string         `db:"ruleset"`
	Ports        pq.StringArray `db:"ports"` // "445/TCP", most packets first
	Evidence     JSON[Evidence] `db:"evidence"`
	First        time.Time      `db:"first_at"`
	Last         time.Time      `db:"last_at"`
	CreatedAt    time.Time      `db:"created_at"`
	SupersededAt *time.Time     `db:"superseded_at"`
}

// Source is an address that sent us packets.
type Source struct {
	Address   Addr       `db:"address"`
	First     time.Time  `db:"first_at"`
	Last      time.Time  `db:"last_at"`
	Country   string     `db:"country"`
	NetworkID *int64     `db:"network_id"`
	JudgedAt  *time.Time `db:"judged_at"`
}

// Scanner is one allowlist entry: packets from Prefix between ValidFrom and
// ValidTo (nil: open) come from an acknowledged scanner of Organisation.
type Scanner struct {
	ID             int64      `db:"id"`
	Prefix         Prefix     `db:"prefix"`
	Organisation   string     `db:"organisation"`
	List           string     `db:"list"` // where the entry comes from
	Purpose        string     `db:"purpose"`
	URL            string     `db:"url"`
	Ports          PortSet    `db:"ports"` // what its operator says it probes; empty: not declared
	RegistrationID *int64     `db:"registration_id"`
	ValidFrom      *time.Time `db:"valid_from"`
	ValidTo        *time.Time `db:"valid_to"`
	CreatedAt      time.Time  `db:"created_at"`
}

// InForce reports whether the entry holds at the time.
func (s *Scanner) InForce(at time.Time) bool {
	return (s.ValidFrom == nil || !at.Before(*s.ValidFrom)) && (s.ValidTo == nil || at.Before(*s.ValidTo))
}

// RegistrationState is the state of a researcher's request.
type RegistrationState string

// The states, as in the CHECK constraint of table registration.
const (
	RegistrationUnconfirmed RegistrationState = "unconfirmed" // the e-mail address is not confirmed yet
	RegistrationPending     RegistrationState = "pending"     // waits for a coordinator
	RegistrationAccepted    RegistrationState = "accepted"
	RegistrationRejected    RegistrationState = "rejected"
)

// Registration is a researcher's request to be allowlisted.
type Registration struct {
	ID            int64             `db:"id"`
	Organisation  string            `db:"organisation"`
	Purpose       string            `db:"purpose"`
	URL           string            `db:"url"`
	Email         string            `db:"email"`
	Language      string            `db:"language"`
	Prefixes      pq.StringArray    `db:"prefixes"`
	Ports         PortSet           `db:"ports"` // empty: not declared
	State         RegistrationState `db:"state"`
	ConfirmDigest []byte            `db:"confirm_digest"` // SHA-256 of the mailed token
	ConfirmUntil  time.Time         `db:"confirm_until"`
	CreatedAt     time.Time         `db:"created_at"`
	ConfirmedAt   *time.Time        `db:"confirmed_at"`
	DecidedAt     *time.Time        `db:"decided_at"`
	DecidedBy     string            `db:"decided_by"`
	Reason        string            `db:"reason"`
}

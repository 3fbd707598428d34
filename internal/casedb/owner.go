package casedb

import (
	"time"

	"teiten/internal/reason"
)

// Provenance says where we learned a contact.
type Provenance string

// The provenances, as in the CHECK constraint of table contact.
const (
	FromAbuseRole  Provenance = "abuse-role"
	FromRemark     Provenance = "remark"
	FromJPNICWhois Provenance = "jpnic-whois"
	FromLocalPart  Provenance = "local-part"
	FromOverride   Provenance = "override"
	FromNone       Provenance = "none"
)

// Gate is the rule for releasing mail to a contact.
type Gate string

// The gates, as in the CHECK constraint of table contact.
const (
	GateAuto    Gate = "auto"    // mail may go out on its own
	GateApprove Gate = "approve" // a coordinator approves the contact once
	GateHuman   Gate = "human"   // every mail by hand
)

// Owner is the organisation registered for a network.
type Owner struct {
	ID        int64     `db:"id"`
	Key       string    `db:"key"` // registry and handle, stable over answers
	Name      string    `db:"name"`
	Country   string    `db:"country"`
	Language  string    `db:"language"`
	CreatedAt time.Time `db:"created_at"`
}

// Network is one answer of a registry about a range of addresses.
type Network struct {
	ID        int64  `db:"id"`
	OwnerID   int64  `db:"owner_id"`
	First     Addr   `db:"first_address"`
	Last      Addr   `db:"last_address"`
	Handle    string `db:"handle"`
	Name      string `db:"name"`
	Country   string `db:"country"`
	Registry  string `db:"registry"`
	ASN       *int64 `db:"asn"`
	ASName    string `db:"as_name"`
	OwnerName string `db:"owner_name"` // of then; empty in rows older than the column
	Raw       []byte `db:"raw"`
	Whois     []byte `db:"whois"` // the answer of a national registry; nil: not asked
	// Choice is what was chosen from the answer then.
	Choice       JSON[NetworkChoice] `db:"choice"`
	FetchedAt    time.Time           `db:"fetched_at"`
	ExpiresAt    time.Time           `db:"expires_at"`
	SupersededAt *time.Time          `db:"superseded_at"`
}

// NetworkChoice is the record of which address was chosen from an answer, and
// why others were not. The contacts themselves are rows of their own.
type NetworkChoice struct {
	Email      string      `json:"email"`
	Provenance Provenance  `json:"provenance"`
	Gate       Gate        `json:"gate"`
	Valid      *bool       `json:"valid"`
	Why        reason.List `json:"why"`
	Rejected   []Rejected  `json:"rejected,omitempty"`
}

// Rejected is an address in an answer that must not be written to.
type Rejected struct {
	Email string      `json:"email"`
	Why   reason.List `json:"why"`
}

// Contact is an address to write to for an owner.
type Contact struct {
	ID         int64       `db:"id"`
	OwnerID    int64       `db:"owner_id"`
	NetworkID  *int64      `db:"network_id"`
	Email      string      `db:"email"`
	Name       string      `db:"name"`
	Role       string      `db:"role"`
	Provenance Provenance  `db:"provenance"`
	Gate       Gate        `db:"gate"`
	Valid      *bool       `db:"valid"` // what the registry says of it; nil: nothing
	Why        reason.List `db:"why"`   // for the coordinator
	Language   string      `db:"language"`
	Rank       int         `db:"rank"` // 0: the choice; alternatives count up
	ApprovedAt *time.Time  `db:"approved_at"`
	ApprovedBy string      `db:"approved_by"`
	CreatedAt  time.Time   `db:"created_at"`
	RetiredAt  *time.Time  `db:"retired_at"`
	// DirectoryID is the entry of the directory that it comes from.
	DirectoryID *int64 `db:"directory_id"`
}

// MayAutomatic reports whether mail to the contact may go out without a
// coordinator, as far as the contact is concerned.
func (c *Contact) MayAutomatic() bool {
	if c.Email == "" || c.RetiredAt != nil || (c.Valid != nil && !*c.Valid) {
		return false
	}
	return c.Gate == GateAuto || (c.Gate == GateApprove && c.ApprovedAt != nil)
}

package owner

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// Lookup asks for the owner of an address. The error of a failed lookup is
// a *LookupError, which says whether another try can help. It must be safe for
// concurrent use.
type Lookup interface {
	Lookup(ctx context.Context, addr netip.Addr) (RegistryAnswer, error)
}

// LookupResult is the output of `teiten lookup`.
type LookupResult struct {
	Address      string           `json:"address"`
	Network      LookupNetwork    `json:"network"`
	Owner        string           `json:"owner"`
	Contact      LookupContact    `json:"contact"`
	Alternatives []LookupContact  `json:"alternatives"`
	Rejected     []LookupRejected `json:"rejected"`
	Language     string           `json:"language"`
	// History lists the owners of the address with their times, as far as the
	// database knows; the newest first.
	History []LookupPast `json:"history,omitempty"`
}

// LookupPast is a network that the address was in for a time. Where several
// were at one time, the narrowest was the address's.
type LookupPast struct {
	From     time.Time  `json:"from"`
	Until    *time.Time `json:"until"` // null: still
	Range    string     `json:"range"`
	Handle   string     `json:"handle"`
	Name     string     `json:"name"`
	Owner    string     `json:"owner"`
	Country  string     `json:"country"`
	Registry string     `json:"registry"`
	ASN      *int64     `json:"asn"`
	Email    string     `json:"email"` // chosen then; empty: none
}

// LookupNetwork is the network in a LookupResult.
type LookupNetwork struct {
	Range    string `json:"range"`
	Handle   string `json:"handle"`
	Name     string `json:"name"`
	Country  string `json:"country"`
	Registry string `json:"registry"`
	ASN      *int64 `json:"asn"` // null: not known
	ASName   string `json:"as_name"`
}

// LookupContact is a contact in a LookupResult. Valid is null where the
// registry says nothing about the address.
type LookupContact struct {
	Email      string            `json:"email"`
	Provenance casedb.Provenance `json:"provenance"`
	Gate       casedb.Gate       `json:"gate"`
	Valid      *bool             `json:"valid"`
	Why        string            `json:"why"`
	Role       string            `json:"role"`
}

// LookupRejected is an address in a LookupResult that must not be written to.
type LookupRejected struct {
	Email string `json:"email"`
	Why   string `json:"why"`
}

// Sayer says reasons in words. It is of one language's catalogue.
type Sayer func(reason.List) string

// Result turns a choice into the output of `teiten lookup`, with the AS that
// announces the address, or the one that the registry names.
func (c *Choice) Result(addr netip.Addr, table *ASTable, say Sayer) LookupResult {
	r := LookupResult{
		Address: addr.Unmap().String(),
		Network: LookupNetwork{Range: c.Network.Range, Handle: c.Network.Handle, Name: c.Network.Name,
			Country: c.Network.Country, Registry: c.Network.Registry},
		Owner:        c.OwnerName,
		Contact:      c.Contact.result(say),
		Alternatives: make([]LookupContact, 0, len(c.Alternatives)), // [] and not null
		Rejected:     make([]LookupRejected, 0, len(c.Rejected)),
		Language:     c.Language,
	}
	as, ok := table.Address(addr)
	if !ok {
		as = c.Network.AS
	}
	if as.Number != 0 {
		r.Network.ASN, r.Network.ASName = &as.Number, as.Name
	}
	for _, a := range c.Alternatives {
		r.Alternatives = append(r.Alternatives, a.result(say))
	}
	for _, x := range c.Rejected {
		r.Rejected = append(r.Rejected, LookupRejected{Email: x.Email, Why: say(x.Why)})
	}
	return r
}

func (c *ChosenContact) result(say Sayer) LookupContact {
	return LookupContact{Email: c.Email, Provenance: c.Provenance, Gate: c.Gate, Valid: c.Valid, Why: say(c.Why), Role: c.Role}
}

// LookupFile makes the result for an address from a recorded answer, without
// asking anybody. The error wraps ErrNotRDAP or ErrAnswerTooLarge if the file
// is not an answer.
func LookupFile(r io.Reader, addr netip.Addr, cfg ContactConfig, table *ASTable, say Sayer) (LookupResult, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxAnswerBytes+1))
	if err != nil {
		return LookupResult{}, fmt.Errorf("read answer: %w", err)
	}
	answer, err := ParseAnswer(raw)
	if err != nil {
		return LookupResult{}, err
	}
	choice := ChooseContact(answer, addr, cfg)
	return choice.Result(addr, table, say), nil
}

// StoredAnswer is the answer from which a network was stored, to choose again.
func StoredAnswer(n casedb.Network, addr netip.Addr) (RegistryAnswer, error) {
	answer, err := ParseAnswer(n.Raw)
	if err != nil || n.Whois == nil {
		return answer, err
	}
	if national, ok := nationalRegistryOf(&answer); ok {
		if w, err := readWhois(n.Whois, national, addr.Unmap()); err == nil {
			answer.Whois = &w
		}
	}
	return answer, nil
}

// LookupHistory turns the networks of an address, the newest first, into what
// `teiten lookup` prints.
func LookupHistory(networks []casedb.Network) []LookupPast {
	past := make([]LookupPast, 0, len(networks))
	for _, n := range networks {
		past = append(past, LookupPast{From: n.FetchedAt.UTC(), Until: utc(n.SupersededAt), Range: rangeText(n.First.Addr, n.Last.Addr), Handle: n.Handle,
			Name: n.Name, Owner: n.OwnerName, Country: n.Country, Registry: n.Registry, ASN: n.ASN, Email: n.Choice.V.Email})
	}
	return past
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// WriteJSON writes the result on one line.
func (r *LookupResult) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

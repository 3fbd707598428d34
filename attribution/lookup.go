package attribution

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"

	"teiten/internal/casedb"
)

// OwnerLookup asks who an address belongs to. The error of a failed lookup is
// a *LookupError, which says whether another try can help. It must be safe for
// concurrent use.
type OwnerLookup interface {
	Lookup(ctx context.Context, addr netip.Addr) (Answer, error)
}

// LookupResult is what `teiten lookup` prints.
type LookupResult struct {
	Address      string            `json:"address"`
	Network      LookupNetwork     `json:"network"`
	Owner        string            `json:"owner"`
	Contact      LookupContact     `json:"contact"`
	Alternatives []LookupContact   `json:"alternatives"`
	Rejected     []RejectedContact `json:"rejected"`
	Language     string            `json:"language"`
}

// LookupNetwork is the network in a LookupResult.
type LookupNetwork struct {
	Range    string `json:"range"`
	Handle   string `json:"handle"`
	Name     string `json:"name"`
	Country  string `json:"country"`
	Registry string `json:"registry"`
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

// Result turns a choice into what `teiten lookup` prints.
func (c *Choice) Result(addr netip.Addr) LookupResult {
	r := LookupResult{
		Address: addr.Unmap().String(),
		Network: LookupNetwork{Range: c.Network.Range, Handle: c.Network.Handle, Name: c.Network.Name,
			Country: c.Network.Country, Registry: c.Network.Registry},
		Owner:        c.OwnerName,
		Contact:      c.Contact.result(),
		Alternatives: make([]LookupContact, 0, len(c.Alternatives)), // [] and not null
		Rejected:     append(make([]RejectedContact, 0, len(c.Rejected)), c.Rejected...),
		Language:     c.Language,
	}
	for _, a := range c.Alternatives {
		r.Alternatives = append(r.Alternatives, a.result())
	}
	return r
}

func (c *ChosenContact) result() LookupContact {
	return LookupContact{Email: c.Email, Provenance: c.Provenance, Gate: c.Gate, Valid: c.Valid, Why: c.Why, Role: c.Role}
}

// LookupFile makes the result for an address from a recorded answer, without
// asking anybody. The error wraps ErrNotRDAP or ErrAnswerTooLarge if the file
// is not an answer.
func LookupFile(r io.Reader, addr netip.Addr, cfg ContactConfig) (LookupResult, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxAnswerBytes+1))
	if err != nil {
		return LookupResult{}, fmt.Errorf("read answer: %w", err)
	}
	answer, err := ParseAnswer(raw)
	if err != nil {
		return LookupResult{}, err
	}
	choice := ChooseContact(answer, addr, cfg)
	return choice.Result(addr), nil
}

// WriteJSON writes the result on one line.
func (r *LookupResult) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

package owner

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/gaissmai/bart"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

const (
	// holdFor is how long an RDAP answer is remembered that is of no use without
	// a national registry's: while that one is slow or down, RDAP servers are
	// not asked again.
	holdFor = time.Hour
	maxHeld = 10_000
)

// Registries is a Lookup that asks over RDAP and, where the answer names
// only a national registry in the owner's place, asks that one over WHOIS. If
// only the second question fails, Lookup returns the RDAP answer together with
// the error.
type Registries struct {
	rdap   Lookup
	whois  *whoisClient
	config ContactConfig
	now    func() time.Time

	mu   sync.Mutex // guards held
	held bart.Table[heldAnswer]
}

type heldAnswer struct {
	answer RegistryAnswer
	until  time.Time
}

// NewRegistries returns rdap with the national registries of the configuration
// behind it.
func NewRegistries(rdap Lookup, whois WhoisConfig, contacts ContactConfig) *Registries {
	client := newWhoisClient(whois)
	return &Registries{rdap: rdap, whois: client, config: contacts, now: client.cfg.Now}
}

// Lookup asks for the owner of the address.
func (r *Registries) Lookup(ctx context.Context, addr netip.Addr) (RegistryAnswer, error) {
	addr = addr.Unmap().WithZone("")
	answer, ok := r.remembered(addr)
	if !ok {
		var err error
		if answer, err = r.rdap.Lookup(ctx, addr); err != nil {
			return answer, err
		}
	}
	choice := ChooseContact(answer, addr, r.config)
	national, ok := nationalRegistryOf(&answer)
	if !ok || r.whois.server(national) == "" || !choice.needsMore() {
		return answer, nil
	}
	r.remember(answer)
	found, err := r.whois.ask(ctx, national, addr)
	var failed *LookupError
	switch {
	case err == nil:
		answer.Whois = &found
	case errors.As(err, &failed) && failed.Kind == LookupNotFound:
		answer.WhoisNote = reason.Of(reason.WhoisUnknown, national.source)
	default:
		answer.WhoisNote = reason.Of(reason.WhoisSilent, national.source)
		return answer, err
	}
	return answer, nil
}

// needsMore reports whether the answer names no contact for abuse.
func (c *Choice) needsMore() bool {
	return c.Network.First.IsValid() && (c.Contact.Email == "" || c.Contact.Provenance == casedb.FromNone || c.Contact.Valid != nil && !*c.Contact.Valid)
}

func (r *Registries) remembered(addr netip.Addr) (RegistryAnswer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.held.Lookup(addr)
	return h.answer, ok && h.until.After(r.now())
}

// remember keeps an answer for its range. One that is kept already stays until
// its time.
func (r *Registries) remember(a RegistryAnswer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if h, ok := r.held.Lookup(a.First); ok && h.until.After(now) && h.answer.Last == a.Last {
		return
	}
	if r.held.Size() >= maxHeld {
		r.held = bart.Table[heldAnswer]{} // forgotten, and asked for again
	}
	for _, p := range coveringPrefixes(a.First, a.Last) {
		r.held.Insert(p, heldAnswer{answer: a, until: now.Add(holdFor)})
	}
}

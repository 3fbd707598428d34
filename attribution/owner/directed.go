package owner

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// NotAnOwner reports why no owner of a source can be reached at a mail
// address: it is a registry's own, or ours.
func NotAnOwner(address string, cfg ContactConfig, ownDomain string) error {
	_, domain, _ := strings.Cut(address, "@")
	switch {
	case ownDomain != "" && strings.EqualFold(domain, ownDomain):
		return fmt.Errorf("%s is an address of our own", address)
	case cfg.IsPlaceholderEmail(address):
		return fmt.Errorf("%s is a registry's own address, not an owner's", address)
	}
	return nil
}

// directoryContact is an entry's contact as `teiten lookup` prints it.
func directoryContact(e *casedb.DirectoryEntry, say Sayer) LookupContact {
	return LookupContact{Email: e.Email, Provenance: casedb.FromOverride, Gate: casedb.GateApprove,
		Why: say(reason.Of(reason.Directory, strconv.FormatInt(e.ID, 10), string(e.Scope), e.Target, e.CreatedBy))}
}

// DirectoryResult is the output of `teiten lookup` for an address that the
// directory has a prefix for.
func DirectoryResult(addr netip.Addr, e casedb.DirectoryEntry, say Sayer) LookupResult {
	return LookupResult{Address: addr.Unmap().String(), Owner: cmp.Or(e.Name, e.Target), Contact: directoryContact(&e, say),
		Network:      LookupNetwork{Range: e.Target, Name: e.Name, Country: e.Country, Registry: "directory"},
		Alternatives: []LookupContact{}, Rejected: []LookupRejected{}, Language: e.Language}
}

// Direct puts the contacts of directory entries, the most specific first,
// before those that registries gave, and one for a country after them.
func (r *LookupResult) Direct(entries []casedb.DirectoryEntry, say Sayer) {
	var first, last []LookupContact
	for i := range entries {
		if entries[i].Scope == casedb.ScopeCountry {
			last = append(last, directoryContact(&entries[i], say))
		} else {
			first = append(first, directoryContact(&entries[i], say))
		}
	}
	all := first
	if r.Contact.Email != "" {
		all = append(all, r.Contact)
	}
	all = append(append(all, r.Alternatives...), last...)
	if len(all) > 0 && len(first)+len(last) > 0 {
		r.Contact, r.Alternatives = all[0], append([]LookupContact{}, all[1:]...)
		if len(first) > 0 || r.Contact.Provenance == casedb.FromOverride {
			r.Language = entries[0].Language
		}
	}
}

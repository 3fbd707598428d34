package attribution

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"teiten/internal/casedb"
)

// Match is the allowlist's answer about an address at a time.
type Match struct {
	Prefix       netip.Prefix
	Organisation string
	List         string
	// Ports are those that the entry declares, empty if none.
	Ports casedb.PortSet
	// Conflicts are other organisations that lists in force name for the address.
	Conflicts []string
}

// Allowlist knows the acknowledged scanners: entries with a prefix, an
// organisation, a list they come from, and dates between which they hold. It
// is not changed after its making and safe for concurrent use.
type Allowlist struct {
	table bart.Table[[]casedb.Scanner]
	size  int
}

// NewAllowlist makes an allowlist of the entries. Entries without a valid
// prefix are left out.
func NewAllowlist(entries []casedb.Scanner) *Allowlist {
	a := &Allowlist{}
	for _, e := range entries {
		if !e.Prefix.IsValid() {
			continue
		}
		e.Prefix.Prefix = e.Prefix.Masked()
		a.table.Modify(e.Prefix.Prefix, func(old []casedb.Scanner, _ bool) ([]casedb.Scanner, bool) {
			return append(old, e), false
		})
		a.size++
	}
	return a
}

// Len returns the number of entries.
func (a *Allowlist) Len() int { return a.size }

// Lookup returns what the longest prefix with an entry in force at the time
// says of the address. Entries in force that name another organisation, for
// the same prefix or a shorter one, are conflicts: lists disagree and age, so
// they are kept and shown.
func (a *Allowlist) Lookup(addr netip.Addr, at time.Time) (Match, bool) {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return Match{}, false
	}
	if _, ok := a.table.Lookup(addr); !ok {
		return Match{}, false
	}
	var m Match
	found := false
	for prefix, entries := range a.table.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		for _, e := range inForce(entries, at) {
			switch {
			case !found:
				found = true
				m = Match{Prefix: prefix, Organisation: e.Organisation, List: e.List, Ports: e.Ports}
			case !sameOrganisation(e.Organisation, m.Organisation) && !slices.Contains(m.Conflicts, e.Organisation):
				m.Conflicts = append(m.Conflicts, e.Organisation)
			}
		}
	}
	return m, found
}

// inForce returns the entries that hold at the time, registrations first.
func inForce(entries []casedb.Scanner, at time.Time) []casedb.Scanner {
	var list []casedb.Scanner
	for i := range entries {
		if entries[i].InForce(at) {
			list = append(list, entries[i])
		}
	}
	slices.SortStableFunc(list, func(x, y casedb.Scanner) int {
		return cmp.Or(boolOrder(x.List == casedb.ListRegistration, y.List == casedb.ListRegistration),
			cmp.Compare(x.List, y.List), cmp.Compare(x.Organisation, y.Organisation))
	})
	return list
}

func boolOrder(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return -1
	}
	return 1
}

// sameOrganisation compares names as lists write them: "Shodan", "shodan.io"
// and "SHODAN" are one.
func sameOrganisation(a, b string) bool {
	a, b = plainName(a), plainName(b)
	return a == b || a != "" && b != "" && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
}

// plainName keeps the letters and digits of a name, without a last label such
// as "io".
func plainName(s string) string {
	s = strings.ToLower(s)
	if i := strings.IndexAny(s, "("); i > 0 {
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '.'); i > 0 && !strings.Contains(s, " ") {
		s = s[:i]
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127 {
			return r
		}
		return -1
	}, s)
}

package attribution

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/phuslu/iploc"
)

// Constituency is whom we speak for: the sources whose owners are told. The
// zero Constituency covers nobody.
type Constituency struct {
	// Countries are ISO 3166 codes of two letters.
	Countries []string
	// Prefixes are covered whatever their country.
	Prefixes []netip.Prefix
}

// Covers reports whether the constituency holds the address, whose country is
// known to be country ("" covers by prefix only).
func (c *Constituency) Covers(addr netip.Addr, country string) bool {
	addr = addr.Unmap()
	for _, p := range c.Prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return country != "" && slices.ContainsFunc(c.Countries, func(s string) bool { return strings.EqualFold(s, country) })
}

// MayCover is Covers for an address of which a registry has not been asked: an
// unknown country may turn out to be covered.
func (c *Constituency) MayCover(addr netip.Addr, country string) bool {
	if c.Covers(addr, country) {
		return true
	}
	return country == "" && len(c.Countries) > 0
}

// Country returns the two-letter code of the country that the address is
// registered in, "" if that is unknown. The data (github.com/phuslu/iploc) is
// built into the program and as old as its build.
func Country(addr netip.Addr) string {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.IsPrivate() || !addr.IsGlobalUnicast() || documentation(addr) {
		return ""
	}
	c := iploc.IPCountry(addr)
	if len(c) != 2 || c == "ZZ" {
		return ""
	}
	return c
}

// documentation reports whether the address is kept for documents (RFC 5737,
// RFC 3849): data sets give such ranges to somebody now and then.
func documentation(a netip.Addr) bool {
	if a.Is4() {
		switch b := a.As4(); [3]byte(b[:3]) {
		case [3]byte{192, 0, 2}, [3]byte{198, 51, 100}, [3]byte{203, 0, 113}:
			return true
		}
		return false
	}
	b := a.As16()
	return b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8
}

package owner

import (
	"net/netip"

	"github.com/phuslu/iploc"
)

// CountryData names the data that Country answers from.
const CountryData = "phuslu/iploc " + iploc.Version

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
// RFC 3849): data sets sometimes give such ranges to a country.
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

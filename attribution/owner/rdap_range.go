package owner

import (
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// Widest ranges that are taken at their word: the widest block a registry
// gives to one owner is a /8 or a /12. Wider answers are registries speaking of
// what they do not manage; they hold for the one address only.
const (
	widestIPv4 = 8
	widestIPv6 = 12
)

// parseRange reads the range of a network: startAddress and endAddress, else
// cidr0_cidrs, else the handle. Where the range is but the queried address (LACNIC) and the
// prefixes are wider, the prefixes count.
func parseRange(top map[string]any) (first, last netip.Addr, cidrs []netip.Prefix) {
	for _, item := range list(top["cidr0_cidrs"]) {
		if len(cidrs) == maxPrefixes {
			break
		}
		m, ok := item.(map[string]any)
		if !ok {
			continue
		}
		base := text(m["v4prefix"])
		if base == "" {
			base = text(m["v6prefix"])
		}
		addr, ok := parseLooseAddr(base)
		length, err := strconv.Atoi(text(m["length"]))
		if !ok || err != nil {
			continue
		}
		if p, err := addr.Prefix(length); err == nil {
			cidrs = append(cidrs, p)
		}
	}
	first, okFirst := parseLooseAddr(text(top["startAddress"]))
	last, okLast := parseLooseAddr(text(top["endAddress"]))
	if !okFirst || !okLast || first.BitLen() != last.BitLen() || last.Less(first) {
		first, last = netip.Addr{}, netip.Addr{}
	}
	cFirst, cLast, ok := span(cidrs)
	if ok && (!first.IsValid() || first == last && cFirst.BitLen() == first.BitLen() && cFirst.Compare(first) <= 0 && first.Compare(cLast) <= 0) {
		return cFirst, cLast, cidrs
	}
	if !first.IsValid() {
		// RIPE, APNIC and LACNIC name networks by their range.
		if f, l, ok := parseWhoisRange(text(top["handle"])); ok && f != l {
			return f, l, cidrs
		}
	}
	return first, last, cidrs
}

// span is the range of prefixes that follow each other without a gap.
func span(prefixes []netip.Prefix) (first, last netip.Addr, ok bool) {
	for i, p := range prefixes {
		switch {
		case i == 0:
			first = p.Addr()
		case last.Next() != p.Addr():
			return netip.Addr{}, netip.Addr{}, false
		}
		last = lastOf(p)
	}
	return first, last, len(prefixes) > 0
}

// parseLooseAddr reads an address as registries write it: with a prefix length
// behind it, "192.0.2.0/32", or with octets padded with zeros, "192.000.002.000",
// which are decimal.
func parseLooseAddr(s string) (netip.Addr, bool) {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "/")
	if len(s) > 64 {
		return netip.Addr{}, false
	}
	if strings.Count(s, ".") == 3 && !strings.Contains(s, ":") {
		parts := strings.Split(s, ".")
		for i, p := range parts {
			if len(p) > 1 && len(p) <= 3 {
				if p = strings.TrimLeft(p, "0"); p == "" {
					p = "0"
				}
				parts[i] = p
			}
		}
		s = strings.Join(parts, ".")
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// coveringPrefixes splits a range into the fewest prefixes that cover exactly
// it; at most two for each bit of an address.
func coveringPrefixes(first, last netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for a := first; a.IsValid() && a.Compare(last) <= 0 && a.BitLen() == last.BitLen(); {
		n := a.BitLen() - trailingZeros(a)
		for n < a.BitLen() && lastOf(netip.PrefixFrom(a, n)).Compare(last) > 0 {
			n++
		}
		p := netip.PrefixFrom(a, n)
		out = append(out, p)
		a = lastOf(p).Next() // the zero Addr after the very last one
	}
	return out
}

func trailingZeros(a netip.Addr) int {
	b, n := a.AsSlice(), 0
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0 {
			return n + bits.TrailingZeros8(b[i])
		}
		n += 8
	}
	return n
}

// tooWide reports whether a range is wider than any owner's.
func tooWide(first, last netip.Addr) bool {
	widest := widestIPv4
	if first.Is6() {
		widest = widestIPv6
	}
	p, err := first.Prefix(widest)
	return err != nil || !p.Contains(last)
}

// rangeText is a range for people: one prefix where that says it, else both
// ends.
func rangeText(first, last netip.Addr) string {
	if !first.IsValid() {
		return ""
	}
	if p := coveringPrefixes(first, last); len(p) == 1 {
		return p[0].String()
	}
	return first.String() + " - " + last.String()
}

package casedb

import (
	"cmp"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// PortRange is the ports First to Last of an IP protocol. Protocols without
// ports have First and Last zero.
type PortRange struct {
	Proto       uint8
	First, Last uint16
}

// PortSet is a set of ports in order, ranges that touch joined. The empty set
// means that nothing is declared, so that no port is outside of it.
type PortSet []PortRange

// Bounds of a port set as it is written.
const (
	maxPortText   = 5000
	maxPortRanges = 200 // so that what is written can be read again
)

// ErrPorts says that a text is no set of ports.
var ErrPorts = errors.New("not a set of ports")

// The IP protocols that have names of their own in a port set.
const (
	portsICMP   = 1
	portsTCP    = 6
	portsUDP    = 17
	portsICMPv6 = 58
)

// ParsePorts reads a set of ports as people write it: "80/TCP, 53/UDP, ICMP,
// 8000-8100/TCP", separated by commas, semicolons or blanks. Nothing, or "all",
// is the empty set. The error, an ErrPorts, names the part that is wrong.
func ParsePorts(text string) (PortSet, error) {
	if len(text) > maxPortText {
		return nil, fmt.Errorf("%w: too long", ErrPorts)
	}
	words := strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || r == ',' || r == ';' || r == '、' || r == '，'
	})
	if len(words) == 1 && strings.EqualFold(words[0], "all") {
		return nil, nil
	}
	var s PortSet
	for _, w := range words {
		r, ok := parsePortRange(strings.ToUpper(w))
		if !ok {
			return nil, fmt.Errorf("%w: %q", ErrPorts, CleanLine(w, 40))
		}
		s = append(s, r)
	}
	if s = s.joined(); len(s) > maxPortRanges {
		return nil, fmt.Errorf("%w: more than %d ranges", ErrPorts, maxPortRanges)
	}
	return s, nil
}

// parsePortRange reads "80/TCP", "8000-8100/UDP", "ICMP", "ICMPV6" or "IP/47".
func parsePortRange(w string) (r PortRange, ok bool) {
	switch w {
	case "ICMP":
		return PortRange{Proto: portsICMP}, true
	case "ICMPV6":
		return PortRange{Proto: portsICMPv6}, true
	}
	ports, proto, _ := strings.Cut(w, "/")
	if ports == "IP" {
		n, ok := parseDigits(proto, 255)
		return PortRange{Proto: uint8(n)}, ok && n != portsTCP && n != portsUDP
	}
	switch proto {
	case "TCP":
		r.Proto = portsTCP
	case "UDP":
		r.Proto = portsUDP
	default: // a port by itself could be meant as either
		return r, false
	}
	first, last, isRange := strings.Cut(ports, "-")
	n, ok := parseDigits(first, 65535)
	m := n
	if ok && isRange {
		m, ok = parseDigits(last, 65535)
	}
	r.First, r.Last = uint16(n), uint16(m)
	return r, ok && n <= m
}

// parseDigits reads a decimal number without sign.
func parseDigits(s string, most uint64) (uint64, bool) {
	if s == "" || len(s) > 5 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return n, err == nil && n <= most
}

// joined returns the set in order, with ranges that overlap or touch as one.
func (s PortSet) joined() PortSet {
	slices.SortFunc(s, func(a, b PortRange) int {
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	var out PortSet
	for _, r := range s {
		if n := len(out) - 1; n >= 0 && out[n].Proto == r.Proto && int(r.First) <= int(out[n].Last)+1 {
			out[n].Last = max(out[n].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Declared reports whether the set names ports at all.
func (s PortSet) Declared() bool { return len(s) > 0 }

// Contains reports whether the set has the port; of protocols without ports
// the number does not matter. The empty set has every port.
func (s PortSet) Contains(proto uint8, port uint16) bool {
	if len(s) == 0 {
		return true
	}
	if proto != portsTCP && proto != portsUDP {
		port = 0
	}
	i, found := slices.BinarySearchFunc(s, PortRange{Proto: proto, First: port}, func(r, t PortRange) int {
		return cmp.Or(cmp.Compare(r.Proto, t.Proto), cmp.Compare(r.First, t.First))
	})
	return found || i > 0 && s[i-1].Proto == proto && port <= s[i-1].Last
}

// Names writes each range: "80/TCP", "8000-8100/TCP", "ICMP", "IP/47".
func (s PortSet) Names() []string {
	names := make([]string, len(s))
	for i, r := range s {
		switch {
		case r.Proto == portsICMP:
			names[i] = "ICMP"
		case r.Proto == portsICMPv6:
			names[i] = "ICMPv6"
		case r.Proto != portsTCP && r.Proto != portsUDP:
			names[i] = fmt.Sprintf("IP/%d", r.Proto)
		default:
			names[i] = strconv.Itoa(int(r.First))
			if r.Last > r.First {
				names[i] += "-" + strconv.Itoa(int(r.Last))
			}
			names[i] += map[uint8]string{portsTCP: "/TCP", portsUDP: "/UDP"}[r.Proto]
		}
	}
	return names
}

// String writes the set as ParsePorts reads it.
func (s PortSet) String() string { return strings.Join(s.Names(), ", ") }

// Value implements driver.Valuer.
func (s PortSet) Value() (driver.Value, error) { return s.String(), nil }

// Scan implements sql.Scanner.
func (s *PortSet) Scan(src any) error {
	text, err := scanText(src)
	if err == nil {
		*s, err = ParsePorts(text)
	}
	return err
}

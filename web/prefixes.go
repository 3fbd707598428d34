package web

import (
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"teiten/internal/casedb"
)

// RegistrationLimits bounds what researchers may register; the zero value
// stands for the defaults.
type RegistrationLimits struct {
	MinBits4    int // shortest IPv4 prefix, default 16
	MinBits6    int // shortest IPv6 prefix, default 32
	MaxPrefixes int // default 256
	// AllowDocumentation lets prefixes of the documentation ranges (RFC 5737,
	// RFC 3849, RFC 9637) pass, for the sample.
	AllowDocumentation bool
	// Closed takes the registration pages away.
	Closed bool
}

func (l RegistrationLimits) withDefaults() RegistrationLimits {
	if l.MinBits4 == 0 {
		l.MinBits4 = 16
	}
	if l.MinBits6 == 0 {
		l.MinBits6 = 32
	}
	if l.MaxPrefixes == 0 {
		l.MaxPrefixes = 256
	}
	return l
}

// prefixProblem is an entry of a list that cannot be registered.
type prefixProblem struct {
	Entry string
	Key   string // of the line that says why
	Hint  string // what may have been meant
}

// maxPrefixText bounds the text of a prefix list.
const maxPrefixText = 20_000

// parsePrefixes reads a list of addresses and prefixes as people write them:
// separated by blanks, commas or lines, with comments from # to the end of the
// line. It returns the prefixes in order, each once, and what is wrong with
// the others.
func parsePrefixes(text string, limits RegistrationLimits) (prefixes []netip.Prefix, problems []prefixProblem) {
	if len(text) > maxPrefixText {
		return nil, []prefixProblem{{Key: "prefix.toolong"}}
	}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for _, entry := range strings.FieldsFunc(line, func(r rune) bool {
			return unicode.IsSpace(r) || r == ',' || r == ';' || r == '、' || r == '，'
		}) {
			p, problem := parsePrefix(entry, limits)
			if problem != nil {
				if len(problems) < 20 {
					problems = append(problems, *problem)
				}
				continue
			}
			prefixes = append(prefixes, p)
		}
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	prefixes = slices.Compact(prefixes)
	switch {
	case len(prefixes) == 0 && len(problems) == 0:
		problems = append(problems, prefixProblem{Key: "prefix.none"})
	case len(prefixes) > limits.MaxPrefixes:
		problems = append(problems, prefixProblem{Key: "prefix.toomany"})
	}
	return prefixes, problems
}

// parsePrefix reads one entry.
func parsePrefix(entry string, limits RegistrationLimits) (netip.Prefix, *prefixProblem) {
	shown := casedb.CleanLine(entry, 60)
	bad := func(key, hint string) (netip.Prefix, *prefixProblem) {
		return netip.Prefix{}, &prefixProblem{Entry: shown, Key: key, Hint: hint}
	}
	var p netip.Prefix
	if a, err := netip.ParseAddr(entry); err == nil && a.Zone() == "" {
		a = a.Unmap()
		p = netip.PrefixFrom(a, a.BitLen())
	} else if p, err = netip.ParsePrefix(entry); err != nil {
		return bad("prefix.syntax", "")
	}
	if p.Addr().Is4In6() {
		return bad("prefix.syntax", "")
	}
	if p != p.Masked() {
		return bad("prefix.hostbits", p.Masked().String())
	}
	if minimum := limits.minBits(p); p.Bits() < minimum {
		return bad("prefix.tooshort", "")
	}
	if !limits.AllowDocumentation && overlapsAny(p, documentation()) {
		return bad("prefix.bogon", "")
	}
	if p.Addr().Is6() && !globalUnicast6().Overlaps(p) || overlapsAny(p, bogons()) {
		return bad("prefix.bogon", "")
	}
	return p, nil
}

func (l RegistrationLimits) minBits(p netip.Prefix) int {
	if p.Addr().Is4() {
		return l.MinBits4
	}
	return l.MinBits6
}

func overlapsAny(p netip.Prefix, list []netip.Prefix) bool {
	return slices.ContainsFunc(list, p.Overlaps)
}

// documentation are the ranges for examples: RFC 5737, RFC 3849, RFC 9637.
func documentation() []netip.Prefix {
	return mustPrefixes("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
}

// globalUnicast6 is what is given out of IPv6 (RFC 4291, 2.4).
func globalUnicast6() netip.Prefix { return netip.MustParsePrefix("2000::/3") }

// bogons are ranges that no packet on the Internet comes from (RFC 6890).
func bogons() []netip.Prefix {
	return mustPrefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3", "2001::/32", "2001:2::/48",
		"2001:10::/28", "2002::/16")
}

func mustPrefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		list[i] = netip.MustParsePrefix(t)
	}
	return list
}

// parseEmail reads a bare mail address of printable ASCII without quoted parts:
// what package notify can write into an envelope without SMTPUTF8 (RFC 5321,
// 4.1.2; RFC 6531).
func parseEmail(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 254 {
		return "", false
	}
	for _, r := range s {
		if r <= ' ' || r > '~' || strings.ContainsRune(`<>()[]\,;:"`, r) {
			return "", false
		}
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || len(local) > 64 || strings.Contains(domain, "@") || !strings.Contains(domain, ".") {
		return "", false
	}
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s || a.Name != "" {
		return "", false
	}
	return s, true
}

// maxOrganisation bounds the name of an organisation, in characters.
const maxOrganisation = 100

// linkPattern matches what mail programs make a link of: URLs and names of
// hosts.
var linkPattern = regexp.MustCompile(`(?i)://|www\.|mailto:|@|[\pL\pN]\.[a-z]{2,}`)

// parseOrganisation reads the name of an organisation, or returns the key of
// the line that says why it is none. The name goes into mails to addresses
// that are not confirmed yet, so it must not carry a message.
func parseOrganisation(s string) (name, problem string) {
	s = strings.TrimSpace(s)
	name = casedb.CleanLine(s, 0)
	switch {
	case name == "":
		return "", "invalid.empty"
	case utf8.RuneCountInString(name) > maxOrganisation:
		return "", "invalid.organisationlong"
	case strings.ContainsAny(s, "\r\n\v\f\u0085\u2028\u2029") || linkPattern.MatchString(norm.NFKC.String(name)):
		return "", "invalid.organisation"
	}
	return name, ""
}

// parseWebsite reads the address of a page; the empty text is no page.
func parseWebsite(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", true
	}
	u, err := url.Parse(s)
	if err != nil || len(s) > 500 || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		casedb.CleanLine(s, 0) != s {
		return "", false
	}
	return u.String(), true
}

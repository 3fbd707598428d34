package owner

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"teiten/internal/casedb"
)

var (
	// krnicSection is a heading, "[ Network Information ]".
	krnicSection = regexp.MustCompile(`^\s*\[\s*(.{1,100}?)\s*\]\s*$`)
	// krnicFooter is the last line, "- KISA/KRNIC WHOIS Service -".
	krnicFooter = regexp.MustCompile(`(?i)^\s*-\s.*whois service\s+-\s*$`)
)

// parseKRNIC reads an answer of KRNIC's WHOIS about an address. It says
// everything twice, in Korean and in English, each from the provider's
// allocation to the assignment inside it; the English half is read. A contact
// belongs to the network above it. Without the last line it is half an answer.
func parseKRNIC(text string, addr netip.Addr) (WhoisAnswer, error) {
	var networks []WhoisAnswer
	english, complete, about := false, false, false
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if krnicFooter.MatchString(line) {
			complete = true
		}
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			english = strings.Contains(strings.ToUpper(line), "ENGLISH")
			continue
		}
		if !english {
			continue
		}
		if m := krnicSection.FindStringSubmatch(line); m != nil {
			section = casedb.CleanLine(m[1], 100)
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		written := strings.TrimSpace(value)
		key, value = strings.ToLower(strings.TrimSpace(key)), casedb.CleanLine(value, maxNameBytes)
		if key == "ipv4 address" || key == "ipv6 address" {
			about = true
			var n WhoisAnswer
			n.First, n.Last, _ = parseWhoisRange(value)
			networks = append(networks, n)
			continue
		}
		if len(networks) == 0 {
			continue
		}
		n := &networks[len(networks)-1]
		switch key {
		case "organization name":
			n.Organisation = value
		case "service name", "network name":
			n.Name = value
		case "e-mail":
			for _, e := range emailsIn(written) {
				n.addContact(WhoisContact{Email: e, Label: section, Abuse: strings.Contains(strings.ToLower(section), "abuse")})
			}
		}
	}
	switch {
	case !complete:
		return WhoisAnswer{}, fmt.Errorf("%w: it is cut short", errNotWhois)
	case !about:
		return WhoisAnswer{}, errNoMatch
	}
	if found, ok := narrowest(networks, addr); ok {
		return found, nil
	}
	return WhoisAnswer{}, fmt.Errorf("%w: it is about other addresses", errNotWhois)
}

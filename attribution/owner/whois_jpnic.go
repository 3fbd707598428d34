package owner

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"teiten/internal/casedb"
)

// jpnicField is a line of a record: "a. [Network Number]   192.0.2.0/24". The
// letters in front change now and then; the labels count.
var jpnicField = regexp.MustCompile(`^\s*(?:[a-z]{1,2}\.\s*)?\[([^\]]{1,80})\]\s*(.*)$`)

// jpnicLabels are the labels in English, which "/e" asks for, and in Japanese.
var jpnicLabels = map[string]string{
	"network number": "network", "ipネットワークアドレス": "network",
	"network name": "name", "ネットワーク名": "name",
	"organization":  "organisation", // there is one in the Japanese record, too
	"組織名":           "organisationJA",
	"abuse":         "abuse", // since 2022-08
	"abuse contact": "abuse",
	"last update":   "end", "最終更新": "end",
}

// parseJPNIC reads an answer of JPNIC's WHOIS about an address: one record or
// more, each from its network number to the date of its last change. A record
// that does not come to its end is half an answer.
func parseJPNIC(text string, addr netip.Addr) (WhoisAnswer, error) {
	var complete []WhoisAnswer
	var record *WhoisAnswer
	var label string
	for line := range strings.Lines(text) {
		m := jpnicField.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			// A second value of a field stands below the first.
			if value := strings.TrimSpace(line); record != nil && label == "abuse" && strings.Contains(value, "@") {
				record.addAbuse(value)
			} else {
				label = ""
			}
			continue
		}
		label = jpnicLabels[strings.ToLower(casedb.CleanLine(m[1], 80))]
		value := casedb.CleanLine(m[2], maxNameBytes)
		if label == "network" {
			record = &WhoisAnswer{}
			record.First, record.Last, _ = parseWhoisRange(value)
		}
		if record == nil {
			continue // the greeting is in brackets, too
		}
		switch label {
		case "name":
			record.Name = value
		case "organisation":
			record.Organisation = value
		case "organisationJA":
			if record.Organisation == "" {
				record.Organisation = value
			}
		case "abuse":
			record.addAbuse(m[2])
		case "end":
			complete = append(complete, *record)
			record = nil
		}
	}
	if found, ok := narrowest(complete, addr); ok {
		return found, nil
	}
	switch {
	case record != nil:
		return WhoisAnswer{}, fmt.Errorf("%w: it is cut short", errNotWhois)
	case len(complete) > 0:
		return WhoisAnswer{}, fmt.Errorf("%w: it is about other addresses", errNotWhois)
	case strings.Contains(strings.ToLower(text), "no match"):
		return WhoisAnswer{}, errNoMatch
	}
	return WhoisAnswer{}, errNotWhois
}

func (w *WhoisAnswer) addAbuse(value string) {
	for _, e := range emailsIn(strings.TrimSpace(value)) {
		w.addContact(WhoisContact{Email: e, Label: "[Abuse]", Abuse: true})
	}
}

func (w *WhoisAnswer) addContact(c WhoisContact) {
	if len(w.Contacts) < maxEmailsPerCard {
		w.Contacts = append(w.Contacts, c)
	}
}

package owner

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// Limits for reading a registry's answer, which is hostile input.
const (
	// MaxAnswerBytes is the size of the largest answer that is read.
	MaxAnswerBytes = 4 << 20

	maxEntities       = 10_000
	maxEntityDepth    = 16
	maxRoles          = 20
	maxEmailsPerCard  = 20
	maxCardProperties = 1_000
	maxRemarks        = 100
	maxRemarkLines    = 500
	maxPrefixes       = 64
	maxNameBytes      = 300
)

// ErrNotRDAP says that an answer is not an RDAP "ip network" object: HTML, cut
// short, another class of object.
var ErrNotRDAP = errors.New("not an RDAP answer about a network")

// ErrAnswerTooLarge says that an answer is larger than MaxAnswerBytes or has
// more parts than are read.
var ErrAnswerTooLarge = errors.New("RDAP answer too large")

// RegistryAnswer is an RDAP "ip network" object (RFC 9083, 5.4), as far as teiten reads
// it. All texts are free of control characters.
type RegistryAnswer struct {
	Handle   string
	Name     string
	Type     string
	Country  string // as answered; most registries give none or two letters
	Port43   string
	Source   string // the database named in a notice, "JPNIC", else empty
	SelfURL  string
	First    netip.Addr // the zero Addr: no range that can be read
	Last     netip.Addr
	CIDRs    []netip.Prefix
	Remarks  []AnswerRemark
	Entities []AnswerEntity // at any depth, in document order
	Origins  []int64        // AS numbers that the answer names (ARIN)
	Redacted bool           // the answer says that parts are left out (RFC 9537)
	Raw      []byte

	// Whois is what a national registry's WHOIS adds; nil: nothing. WhoisNote
	// says why, if it was asked.
	Whois     *WhoisAnswer
	WhoisNote reason.List
}

// AnswerRemark is a remark (RFC 9083, 4.3).
type AnswerRemark struct {
	Title string
	Lines []string
}

// AnswerEntity is an entity (RFC 9083, 5.1) and what its jCard says.
type AnswerEntity struct {
	Handle  string
	Roles   []string // lower case
	Status  []string // lower case
	Depth   int      // 0: directly on the network
	Remarks []AnswerRemark
	Name    string // fn, else org
	Kind    string // org, group, individual
	Country string // two letters, where the address gives one
	Emails  []CardEmail
	// Ended is the status or event by which the entity is not in use any more, as the
	// registry wrote it in lower case, its own or that of the entity around it.
	Ended   string
	SelfURL string
	hasCard bool
}

// CardEmail is an e-mail property of a jCard (RFC 7095), not yet checked.
type CardEmail struct {
	Address string
	Types   []string // lower case
	Pref    int      // 1 is the most preferred, 0: none given
}

// ParseAnswer reads an RDAP answer about a network. It forgives members of the
// wrong type and refuses what is no such answer with ErrNotRDAP or
// ErrAnswerTooLarge.
func ParseAnswer(raw []byte) (RegistryAnswer, error) {
	if len(raw) > MaxAnswerBytes {
		return RegistryAnswer{}, fmt.Errorf("%d bytes: %w", len(raw), ErrAnswerTooLarge)
	}
	var top map[string]any
	if err := json.Unmarshal(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), &top); err != nil {
		return RegistryAnswer{}, fmt.Errorf("%w: %w", ErrNotRDAP, err)
	}
	class := text(top["objectClassName"])
	if class == "" && top["startAddress"] == nil && top["handle"] == nil || class != "" && class != "ip network" {
		return RegistryAnswer{}, fmt.Errorf("%w: object class %q", ErrNotRDAP, class)
	}
	a := RegistryAnswer{
		Handle:   text(top["handle"]),
		Name:     text(top["name"]),
		Type:     text(top["type"]),
		Country:  text(top["country"]),
		Port43:   strings.ToLower(text(top["port43"])),
		Source:   noticeSource(top["notices"]),
		SelfURL:  selfURL(top["links"]),
		Remarks:  parseRemarks(top["remarks"]),
		Origins:  originASNs(top["arin_originas0_originautnums"]),
		Redacted: len(list(top["redacted"])) > 0,
		Raw:      raw,
	}
	a.First, a.Last, a.CIDRs = parseRange(top)
	w := entityWalk{}
	if err := w.walk(top["entities"], 0, ""); err != nil {
		return RegistryAnswer{}, err
	}
	w.fillCards()
	a.Entities = w.found
	return a, nil
}

// Contains reports whether the answer is about the address.
func (a *RegistryAnswer) Contains(addr netip.Addr) bool {
	addr = addr.Unmap()
	return a.First.IsValid() && a.First.BitLen() == addr.BitLen() && a.First.Compare(addr) <= 0 && addr.Compare(a.Last) <= 0
}

// entityWalk collects entities; an answer without cycles is all that JSON can
// say, but it can nest the same entity again and again.
type entityWalk struct{ found []AnswerEntity }

func (w *entityWalk) walk(v any, depth int, ended string) error {
	if depth > maxEntityDepth {
		return fmt.Errorf("entities nested %d deep: %w", depth, ErrAnswerTooLarge)
	}
	for _, item := range list(v) {
		m, ok := item.(map[string]any)
		if !ok {
			continue
		}
		if len(w.found) == maxEntities {
			return fmt.Errorf("more than %d entities: %w", maxEntities, ErrAnswerTooLarge)
		}
		e := AnswerEntity{
			Handle:  text(m["handle"]),
			Roles:   words(m["roles"]),
			Status:  words(m["status"]),
			Depth:   depth,
			Remarks: parseRemarks(m["remarks"]),
			SelfURL: selfURL(m["links"]),
		}
		e.Ended = cmp.Or(endedBy(&e, m["events"]), ended)
		e.readCards(m)
		w.found = append(w.found, e)
		if err := w.walk(m["entities"], depth+1, e.Ended); err != nil {
			return err
		}
	}
	return nil
}

// fillCards gives entities that are only named (RIPE nests handles without
// jCard) the card of the same handle elsewhere in the answer.
func (w *entityWalk) fillCards() {
	cards := make(map[string]int)
	for i, e := range w.found {
		if _, seen := cards[e.Handle]; e.hasCard && e.Handle != "" && !seen {
			cards[e.Handle] = i
		}
	}
	for i := range w.found {
		e := &w.found[i]
		if at, ok := cards[e.Handle]; ok && !e.hasCard && e.Handle != "" {
			card := w.found[at]
			e.Name, e.Kind, e.Country, e.Emails = card.Name, card.Kind, card.Country, card.Emails
			e.Ended = cmp.Or(e.Ended, card.Ended)
			if len(e.Remarks) == 0 {
				e.Remarks = card.Remarks
			}
			if len(e.Status) == 0 {
				e.Status = card.Status
			}
		}
	}
}

// endedBy returns the status (RFC 9083, 10.2.2) or event (10.2.3) by which an entity
// is not in use any more.
func endedBy(e *AnswerEntity, events any) string {
	for _, s := range e.Status {
		switch s {
		case "inactive", "removed", "deleted", "disabled", "invalid", "terminated", "revoked", "expired", "closed":
			return s
		}
	}
	for _, item := range list(events) {
		if m, ok := item.(map[string]any); ok && strings.EqualFold(text(m["eventAction"]), "deletion") {
			return "deletion"
		}
	}
	return ""
}

// readCard reads the jCard ["vcard", [[name, parameters, type, value...]...]].
func (e *AnswerEntity) readCard(v any) {
	parts := list(v)
	if len(parts) < 2 {
		return
	}
	properties := list(parts[1])
	e.hasCard = len(properties) > 0
	var organisation string
	for _, p := range properties[:min(len(properties), maxCardProperties)] {
		fields := list(p)
		if len(fields) < 4 {
			continue
		}
		parameters, _ := fields[1].(map[string]any)
		switch strings.ToLower(text(fields[0])) {
		case "fn":
			if e.Name == "" {
				e.Name = text(fields[3])
			}
		case "org":
			if organisation == "" {
				organisation = text(first(fields[3]))
			}
		case "kind":
			e.Kind = strings.ToLower(text(fields[3]))
		case "adr":
			if e.Country == "" {
				e.Country = cardCountry(parameters, fields[3])
			}
		case "email":
			for _, value := range fields[3:] {
				for _, item := range listOf(value) {
					// Not cleaned: an address with control characters is refused, not mended.
					if s, ok := item.(string); ok {
						e.addEmail(s, words(parameters["type"]), preference(parameters["pref"]))
					}
				}
			}
		}
	}
	if e.Name == "" {
		e.Name = organisation
	}
}

func preference(v any) int {
	n, err := strconv.Atoi(text(first(v)))
	if f, ok := v.(float64); ok {
		n, err = int(f), nil
	}
	if err != nil || n < 1 || n > 100 { // RFC 6350, 5.3
		return 0
	}
	return n
}

// cardCountry reads the country from the seventh part of an address, else from
// the last line of its label.
func cardCountry(parameters map[string]any, value any) string {
	if parts := list(value); len(parts) >= 7 {
		if c := countryCode(text(parts[6])); c != "" {
			return c
		}
	}
	label, _ := parameters["label"].(string)
	label = strings.ReplaceAll(label, `\n`, "\n")
	lines := strings.FieldsFunc(label, func(r rune) bool { return r == '\n' || r == '\r' || r == ',' })
	if len(lines) == 0 {
		return ""
	}
	return countryCode(lines[len(lines)-1])
}

// countryNames are the names that ARIN, which gives no country codes, and the
// most usual of the others write.
var countryNames = map[string]string{
	"united states": "US", "united states of america": "US", "usa": "US", "canada": "CA", "japan": "JP",
	"korea": "KR", "republic of korea": "KR", "south korea": "KR", "china": "CN", "taiwan": "TW", "hong kong": "HK",
	"singapore": "SG", "australia": "AU", "new zealand": "NZ", "india": "IN", "united kingdom": "GB", "germany": "DE",
	"france": "FR", "netherlands": "NL", "the netherlands": "NL", "ireland": "IE", "brazil": "BR", "mexico": "MX",
	"south africa": "ZA", "puerto rico": "PR", "jamaica": "JM", "bahamas": "BS", "barbados": "BB", "bermuda": "BM",
}

// countryCode turns what an answer says of a country into ISO 3166's two
// capitals, or nothing.
func countryCode(s string) string {
	s = strings.TrimSpace(s)
	if len(s) == 2 && isLetter(s[0]) && isLetter(s[1]) {
		return strings.ToUpper(s)
	}
	return countryNames[strings.ToLower(s)]
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

func parseRemarks(v any) []AnswerRemark {
	var remarks []AnswerRemark
	lines := 0
	items := listOf(v)
	for _, item := range items[:min(len(items), maxRemarks)] {
		m, ok := item.(map[string]any)
		if !ok {
			continue
		}
		r := AnswerRemark{Title: strings.ToLower(text(m["title"]))}
		for _, d := range listOf(m["description"]) {
			s, ok := d.(string)
			if !ok {
				continue
			}
			for l := range strings.Lines(s) {
				if lines++; lines > maxRemarkLines {
					return append(remarks, r)
				}
				if l = casedb.CleanLine(l, 2000); l != "" {
					r.Lines = append(r.Lines, l)
				}
			}
		}
		remarks = append(remarks, r)
	}
	return remarks
}

// noticeSource reads the notice "Objects returned came from source", "JPNIC".
func noticeSource(v any) string {
	for _, r := range parseRemarks(v) {
		if r.Title == "source" && len(r.Lines) > 1 {
			return r.Lines[len(r.Lines)-1]
		}
	}
	return ""
}

// originASNs reads the AS numbers of ARIN's extension originas0.
func originASNs(v any) []int64 {
	items := list(v)
	var numbers []int64
	for _, item := range items[:min(len(items), maxPrefixes)] {
		if as, err := parseASN(text(item)); err == nil && as.Number > 0 {
			numbers = append(numbers, as.Number)
		}
	}
	return numbers
}

func selfURL(v any) string {
	for _, item := range list(v) {
		if m, ok := item.(map[string]any); ok && strings.EqualFold(text(m["rel"]), "self") {
			return text(m["href"])
		}
	}
	return ""
}

// text is a string or number as one clean line, else empty.
func text(v any) string {
	switch s := v.(type) {
	case string:
		return casedb.CleanLine(s, maxNameBytes)
	case float64:
		return strconv.FormatFloat(s, 'f', -1, 64)
	case json.Number:
		return casedb.CleanLine(s.String(), maxNameBytes)
	}
	return ""
}

// list is an array, else nothing.
func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// listOf is an array, or the value itself as the only item; nothing for null.
func listOf(v any) []any {
	if l, ok := v.([]any); ok || v == nil {
		return l
	}
	return []any{v}
}

// first is the first item of an array, or the value itself.
func first(v any) any {
	if l, ok := v.([]any); ok {
		if len(l) == 0 {
			return nil
		}
		return l[0]
	}
	return v
}

// words are the strings of an array, or the one string, in lower case.
func words(v any) []string {
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
	}
	var out []string
	for _, item := range items[:min(len(items), maxRoles)] {
		if s := strings.ToLower(text(item)); s != "" {
			out = append(out, s)
		}
	}
	return out
}

package owner

import (
	"regexp"
	"strings"

	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/width"
)

// addressInText finds e-mail addresses in a line.
var addressInText = regexp.MustCompile(`[A-Za-z0-9.!#$%&'*+=?^_{|}~-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)

// The pieces of addresses that are written so that harvesters do not find them.
var (
	atInBrackets  = regexp.MustCompile(`(?i)\s*` + openBracket + `\s*` + atWords + `\s*` + closeBracket + `$|\s+at$`)
	dotInBrackets = regexp.MustCompile(`(?i)\s*` + openBracket + `\s*` + dotWords + `\s*` + closeBracket + `\s*|\s+dot\s+`)
)

// narrow writes full-width forms as the usual ones (Unicode UAX 11): ＠ is what a
// Japanese keyboard gives for @.
func narrow(s string) string { return width.Fold.String(s) }

// plainAddresses writes obfuscated addresses as they are meant.
func plainAddresses(line string) string {
	line = spelled.ReplaceAllStringFunc(narrow(line), func(s string) string {
		m := spelled.FindStringSubmatch(s)
		return m[1] + "@" + dotInBrackets.ReplaceAllString(m[2], ".")
	})
	return obfuscated.ReplaceAllStringFunc(line, func(s string) string {
		m := obfuscated.FindStringSubmatch(s)
		return atInBrackets.ReplaceAllString(m[1], "") + "@" + dotInBrackets.ReplaceAllString(m[2], ".")
	})
}

// listSeparator stands between the items of a list in one value.
var listSeparator = regexp.MustCompile(`[,;|\s/]+|\b(?:mailto|smtp):`)

// betweenMailboxes separates mailboxes that may have names.
var betweenMailboxes = regexp.MustCompile(`[,;|]|\s/\s`)

// inBrackets is an address with a name in front of it, as RFC 5322, 3.4, writes a
// mailbox.
var inBrackets = regexp.MustCompile(`<\s*(?:mailto:)?([^<>\s]+@[^<>\s]+)\s*>`)

// splitAddresses returns the addresses that one value of a card names: RFC 6350,
// 6.4.2, allows one, but registries hold lists, names in front of addresses and
// addresses written against harvesters. A value in which none can be found is
// returned as it is, and so is one with control characters.
func splitAddresses(value string) []string {
	if _, defect := MailAddress(value); defect == "" || strings.ContainsFunc(value, isControl) {
		return []string{value}
	}
	text := plainAddresses(value)
	var found []string
	add := func(s string) {
		if _, defect := MailAddress(s); defect == "" && len(found) < maxEmailsPerCard && !ContainsFold(found, s) {
			found = append(found, s)
		}
	}
	// What a name says in front of the brackets is no address, even if it looks like one.
	if named := inBrackets.FindAllStringSubmatch(text, maxEmailsPerCard); named != nil {
		for _, part := range betweenMailboxes.Split(text, 200) {
			if m := inBrackets.FindStringSubmatch(part); m != nil {
				add(m[1])
			} else {
				addTokens(part, add)
			}
		}
	} else {
		addTokens(text, add)
	}
	if len(found) == 0 {
		return []string{value}
	}
	return found
}

// addTokens adds the items of a list that are addresses.
func addTokens(text string, add func(string)) {
	for _, token := range listSeparator.Split(text, 200) {
		token = strings.Trim(token, `.:'"()[]{}<>`)
		if strings.Count(token, "@") == 1 {
			token, _, _ = strings.Cut(token, "?") // of a mailto
			add(token)
		}
	}
}

// isControl reports whether a rune has no place in an address, in any writing.
func isControl(r rune) bool {
	return r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

// organisationalDomain is the part of an address's domain that one organisation
// registered, by the Public Suffix List.
func organisationalDomain(address string) string {
	domain := strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
	if d, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return d
	}
	return domain
}

// hasNoReader reports whether an address says itself that nobody reads what is
// sent to it.
func hasNoReader(address string) bool { return readerless.MatchString(localPart(address)) }

// isDesk reports whether an address is that of a function and not of a person
// (RFC 2142 and usual names).
func isDesk(address string) bool { return deskWords.MatchString(localPart(address)) }

// personsName is the form of many a person's address.
var personsName = regexp.MustCompile(`^[a-z]+[._-][a-z]{2,}$|^[a-z]\.[a-z]+`)

// isPersons reports whether an address of an entity is most likely a person's.
func isPersons(e *AnswerEntity, address string) bool {
	return !isDesk(address) && (e.Kind == "individual" || personsName.MatchString(localPart(address)))
}

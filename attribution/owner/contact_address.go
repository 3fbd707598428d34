package owner

import (
	"net/mail"
	"strings"

	"golang.org/x/net/idna"

	"teiten/internal/reason"
)

// MailAddress checks an e-mail address from a registry or a form and returns it
// as it is written to: without blanks, brackets and mailto:, its domain in
// ASCII and lower case where it was not ASCII. The defect is a code of package
// reason that says why an address is none; it is empty for a good one.
func MailAddress(s string) (address, defect string) {
	if strings.ContainsFunc(s, isControl) {
		return "", reason.MailControl
	}
	s = strings.TrimSpace(narrow(s))
	if len(s) > 7 && strings.EqualFold(s[:7], "mailto:") {
		s, _, _ = strings.Cut(s[7:], "?")
	}
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
		s = s[1 : len(s)-1]
	}
	if len(s) > 254 { // RFC 5321, 4.5.3.1.3
		return "", reason.MailTooLong
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 {
		return "", reason.MailNone
	}
	local, domain := s[:at], s[at+1:]
	if len(local) > 64 {
		return "", reason.MailTooLong
	}
	if strings.Contains(local, "*") || len(local) >= 3 && strings.Trim(strings.ToLower(local), "x") == "" {
		return "", reason.MailMasked // RFC 9537, 4.2: a part of the value is redacted
	}
	for i := range len(local) {
		if c := local[i]; c >= 0x80 || !isAtomOrDot(c) {
			return "", reason.MailLocal
		}
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(domain, "."))
	if err != nil || len(ascii) > 253 {
		return "", reason.MailNoName
	}
	if strings.EqualFold(ascii, domain) {
		ascii = domain // in the letters that the registry wrote
	}
	top := ascii[strings.LastIndexByte(ascii, '.')+1:]
	if top == ascii || strings.Trim(top, "0123456789") == "" || strings.EqualFold(top, "invalid") || strings.EqualFold(top, "localhost") { // RFC 2606, 2
		return "", reason.MailNotInDNS
	}
	address = local + "@" + ascii
	// The library's parser has the last word on dots and lengths.
	if parsed, err := mail.ParseAddress(address); err != nil || parsed.Address != address {
		return "", reason.MailNone
	}
	return address, ""
}

// isAtomOrDot reports whether the byte may stand in a dot-atom (RFC 5322, 3.2.3).
func isAtomOrDot(c byte) bool {
	return c >= '0' && c <= '9' || isLetter(c) || strings.IndexByte(".!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func localPart(address string) string {
	local, _, _ := strings.Cut(address, "@")
	return strings.ToLower(local)
}

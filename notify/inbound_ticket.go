package notify

import (
	"cmp"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"teiten/internal/casedb"
)

// ticket is what the other side's ticket system calls our mails.
type ticket struct {
	number string // as people name it: "12345"
	tag    string // as it stands in subjects: "[isp.example #12345]"
}

const (
	maxTicketText = 4000 // bytes of a mail's text that are searched
	maxTicketTag  = 80
)

// ticketForm is one way of ticket systems to write a number.
type ticketForm struct {
	name, example string
	// pattern has the number as its last group.
	pattern *regexp.Regexp
	// weak is what means something else outside a subject.
	weak bool
	// word is a word, as the first group, and what follows it, which may be anything.
	word bool
	// tag makes a tag of a number that has none; nil: the match itself is it.
	tag func(match []string) string
}

// The ways to write a number, the most telling first.
var ticketForms = []ticketForm{
	{name: "Request Tracker, OTRS, Znuny, Freshdesk, osTicket, Kayako", example: "[isp.example #12345]",
		pattern: regexp.MustCompile(`(?i)\[(?:[^\[\]#\n]{0,60}#[:=]? ?)([a-z0-9][a-z0-9_-]{0,39})\]`)},
	{name: "Zendesk", example: "[ABC123-4567]", pattern: regexp.MustCompile(`\[([A-Z0-9]{6}-[A-Z0-9]{4})\]`)},
	{name: "Zendesk, number", example: "(#12345)", pattern: regexp.MustCompile(`\(#(\d{2,14})\)`)},
	{name: "Jira", example: "(ABC-123)", pattern: regexp.MustCompile(`[\[(]([A-Z][A-Z0-9]{1,9}-\d{1,10})[\])]`)},
	{name: "Salesforce", example: "ref:_00D20abc._50020def:ref", pattern: regexp.MustCompile(`\b(ref:[A-Za-z0-9._!-]{6,60}:ref)\b`)},
	{name: "Dynamics", example: "CRM:0012345", pattern: regexp.MustCompile(`\b(CRM:\d{5,15})\b`)},
	{name: "ManageEngine", example: "##RE-12345##", pattern: regexp.MustCompile(`##([A-Z]{2,6}-?\d{1,12})##`)},
	{name: "ServiceNow", example: "INC0012345",
		pattern: regexp.MustCompile(`\b((?:INC|REQ|RITM|S?CTASK|TASK|CHG|PRB|CASE|CS|SIR|SR)\d{5,12})\b`)},
	{name: "words of Japan, China, Korea and Germany", example: "受付番号: 12345", pattern: ticketWords, word: true,
		tag: func(m []string) string { return "[" + m[1] + ": " + m[2] + "]" }},
	{name: "English words", example: "Ticket ID: 12345", pattern: ticketWordsEnglish, word: true, tag: wordTag},
	{name: "English words, bare", example: "ticket 12345", pattern: regexp.MustCompile(`(?i)\b(ticket|request|incident) \(?#?(\d{4,14})\b`),
		tag: wordTag},
	{name: "Amazon, Google", example: "[12345678901-1]", pattern: regexp.MustCompile(`\[(\d{6,20}-\d{1,8})\]`)},
	{name: "number in brackets", example: "[12345]", weak: true, pattern: regexp.MustCompile(`[\[(](\d{4,20})[\])]`)},
	{name: "number sign", example: "Infected host #12345", weak: true, pattern: regexp.MustCompile(`(?:^|\s)#(\d{3,14})\b`)},
	{name: "Jira's key before the summary", example: "Re: ABC-123 Infected host", weak: true, pattern: regexp.MustCompile(
		`(?i:^\s*(?:(?:-|re|fwd?|aw|sv|\[jira\]|auto(?:matic)?[- ]?(?:reply|response))[:：]?\s*)*)([A-Z][A-Z0-9]{1,9}-\d{1,10})\b`)},
}

// wordTag makes a tag of an English word and a number. One with letters, such
// as INC0012345, says itself what it is; "Ticket#1" and "Ticket ID: 1" are
// forms that a system may look for.
func wordTag(m []string) string {
	switch {
	case !wholeNumber.MatchString(m[2]):
		return m[2]
	case strings.ContainsAny(m[0], "#:") && !strings.ContainsAny(m[0], "[(\""):
		return "[" + m[0] + "]"
	}
	return "[" + strings.ToUpper(m[1][:1]) + strings.ToLower(m[1][1:]) + " #" + m[2] + "]"
}

// ticketHeaders are the headers in which ticket systems name their number, and
// what stands around it in their subjects.
var ticketHeaders = []struct{ name, before, after string }{
	{"Rt-Ticket", "[", "]"}, {"X-Otrs-Ticketnumber", "[Ticket#", "]"}, {"X-Znuny-Ticketnumber", "[Ticket#", "]"},
	{"X-Jira-Issue", "", ""}, {"X-Zendesk-Ticket-Id", "(#", ")"}, {"X-Ticket-Id", "[#", "]"},
}

var headerTicket = regexp.MustCompile(`^(?:[A-Za-z0-9._ -]{1,60} ?#)?([A-Za-z0-9][A-Za-z0-9_-]{0,39})$`)

// remoteTicket finds the number that the other side's ticket system gave: in
// the subject, where its next mail from us must have it, in a header, or in
// the text.
func remoteTicket(p *Mail) ticket {
	subject := withoutOurs(p.subject)
	if t := findTicket(subject, true); t.number != "" {
		return t
	}
	for _, h := range ticketHeaders {
		v := casedb.CleanLine(decodeHeader(p.header.Get(h.name)), maxTicketTag)
		if m := headerTicket.FindStringSubmatch(v); m != nil && plausibleTicket(m[1]) {
			return ticket{m[1], TicketTag(h.before + v + h.after)}
		}
	}
	own := unquoted(explanation(p.text))
	return findTicket(withoutOurs(own[:min(len(own), maxTicketText)]), false)
}

// notTickets is what carries numbers of other kinds: our own tags and tokens,
// addresses, links.
var notTickets = regexp.MustCompile(`(?i)\[?\bTT-\d{4}-\d{6,9}\b\]?|https?://\S{1,1000}|[^\s<>@]{1,300}@[^\s<>@]{1,300}`)

// withoutOurs folds full-width letters and digits, which Japanese systems
// write, and takes out what is no ticket of theirs.
func withoutOurs(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= '！' && r <= '～':
			return r - '！' + '!'
		case r == '\u3000':
			return ' '
		}
		return r
	}, s)
	return notTickets.ReplaceAllString(s, "-")
}

// plain leaves a match without what stands around and in it.
var plain = strings.NewReplacer("[", "", "(", "", "#", "", ":", "", " ", "")

// findTicket finds the most telling number of a text.
func findTicket(s string, subject bool) ticket {
	for _, f := range ticketForms {
		if f.weak && !subject {
			continue
		}
		for _, at := range f.pattern.FindAllStringSubmatchIndex(s, 10) {
			var m []string
			for i := 0; i < len(at); i += 2 {
				m = append(m, s[at[i]:at[i+1]])
			}
			number, begin, end := m[len(m)-1], at[len(at)-2], at[len(at)-1]
			if !plausibleTicket(number) || otherNumbers.MatchString(plain.Replace(m[0])) || goesOn(s, at[0], begin, end) || f.word && notTheirNumber(s, at[0], m) {
				continue
			}
			tag := strings.TrimSpace(m[0])
			if f.tag != nil {
				tag = cmp.Or(inBrackets(s, at[0], at[1]), f.tag(m))
			}
			if tag = TicketTag(tag); tag != "" {
				return ticket{number, tag}
			}
		}
	}
	return ticket{}
}

// inBrackets returns the brackets around a match with all that is in them, if
// it stands in a short pair of them.
func inBrackets(s string, begin, end int) string {
	for _, pair := range [][2]string{{"[", "]"}, {"【", "】"}} {
		left, right := pair[0], pair[1]
		i := strings.LastIndex(s[:begin], left)
		j := strings.Index(s[end:], right)
		if i < 0 || j < 0 {
			continue
		}
		if inner := s[i+len(left) : end+j]; len(inner) < maxTicketTag && !strings.ContainsAny(inner, "[]【】\n") {
			return s[i : end+j+len(right)]
		}
	}
	return ""
}

// goesOn reports whether the number is a piece of something longer, such as an
// address, a version or a port with its protocol. What the form has in front of the
// number is none of it: "No.12345".
func goesOn(s string, form, begin, end int) bool {
	if begin > 0 && (s[begin-1] == '.' && form == begin || isWord(s[begin-1])) {
		return true
	}
	if end == len(s) || !isWord(s[end]) && !strings.ContainsRune("-./:%,", rune(s[end])) {
		return false
	}
	return isWord(s[end]) || end+1 < len(s) && isWord(s[end+1])
}

var (
	// keyPattern is a number with letters as ticket systems make them: letters in
	// front, then digits and hyphens, three digits at least where nothing parts them.
	keyPattern = regexp.MustCompile(`^\d{2,}$|^(?:[A-Za-z]{0,8}[-_]?\d{3,}|[A-Za-z]{1,10}[-_]\d+|\d+[-_]\d+)(?:[-_][A-Za-z0-9]+)*$|^[A-Z]{1,6}\d{4}-\d+$`)
	// issueKey is the key of an issue; people write about issues, too.
	issueKey = regexp.MustCompile(`^[A-Z]{2,10}-\d{1,10}$`)
	// ownNumber is in front of a word that counts things of the writer or of us.
	ownNumber = regexp.MustCompile(`(?:弊社|当社|当方|貴社|弊所|当センター|案件|お?問い?合わ?せ|受付|チケット|インシデント|事案|通報|ケース|対応|[のはが本新、。的您贵貴])$`)
)

// notTheirNumber reports whether a word with what follows it is something else: the
// name of a thing ("Issue: SMBv1"), or the number of a thing that is longer than
// the word (資産管理番号, of a device).
func notTheirNumber(s string, at int, m []string) bool {
	if number := m[len(m)-1]; !keyPattern.MatchString(number) ||
		strings.EqualFold(m[1], "issue") && !wholeNumber.MatchString(number) && !issueKey.MatchString(number) {
		return true
	}
	if before, _ := utf8.DecodeLastRuneInString(s[:at]); unicode.In(before, unicode.Han, unicode.Katakana) {
		return !ownNumber.MatchString(s[:at])
	}
	return false
}

func isWord(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

var (
	dayPattern  = regexp.MustCompile(`^(?:\d{4}[-_]\d{1,2}(?:[-_]\d{1,2})?|\d{1,2}[-_]\d{1,2}[-_](?:\d{2}|\d{4})|(?:19|20)\d\d)$`)
	wholeNumber = regexp.MustCompile(`^\d+$`)
)

// plausibleTicket reports whether a number can be a ticket's: it has a digit,
// and is no date and no other number that people write about.
func plausibleTicket(number string) bool {
	if !strings.ContainsAny(number, "0123456789") || otherNumbers.MatchString(number) || dayPattern.MatchString(number) {
		return false
	}
	if wholeNumber.MatchString(number) && len(number) == 8 {
		if day, err := time.Parse("20060102", number); err == nil && day.Year() >= 1990 && day.Year() < 2100 {
			return false
		}
	}
	return true
}

// TicketTag returns what a stranger, or a coordinator, says a tag is as it can
// stand in a subject of ours; "" if it cannot. It never passes for our own tag,
// nor for an encoded word (RFC 2047).
func TicketTag(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) { // invisible marks
			return -1
		}
		return r
	}, casedb.CleanLine(s, 0))
	if len(s) > maxTicketTag || !strings.ContainsAny(s, "0123456789") || strings.Contains(s, "=?") || ourNumber.MatchString(s) {
		return ""
	}
	return s
}

var ourNumber = regexp.MustCompile(`(?i)TT-\d{4}-\d{6,9}`)

// withTicket puts the other side's tag behind ours, unless the subject names
// the ticket already.
func withTicket(subject, tag string) string {
	if tag == "" || strings.Contains(strings.ToLower(subject), strings.ToLower(tag)) {
		return subject
	}
	if t := findTicket(withoutOurs(tag), true); t.number != "" && findTicket(withoutOurs(subject), true).number == t.number {
		return subject
	}
	if loc := tagPattern.FindStringIndex(subject); loc != nil {
		return subject[:loc[1]] + " " + tag + subject[loc[1]:]
	}
	return tag + " " + subject
}

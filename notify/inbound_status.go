package notify

import (
	"cmp"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"teiten/internal/casedb"
)

// recipientStatus is what a delivery status notification says about one
// recipient (RFC 3464, 2.3).
type recipientStatus struct {
	recipient  string // Final-Recipient
	original   string // Original-Recipient: what the sender wrote to, where it was kept (RFC 3461, 4.2)
	actual     string // X-Actual-Recipient: where sendmail's aliases led to
	action     string
	status     string
	diagnostic string
}

// readStatus reads the groups of fields of message/delivery-status parts. Some
// servers run the groups together or leave out Final-Recipient; a second
// Action starts another recipient.
func readStatus(b []byte) []recipientStatus {
	var all []recipientStatus
	var r recipientStatus
	flush := func() {
		if r.action != "" || r.status != "" || r.diagnostic != "" {
			all = append(all, r)
		}
		r = recipientStatus{}
	}
	text := strings.ReplaceAll(toUTF8(b, ""), "\r\n", "\n")
	for group := range strings.SplitSeq(text, "\n\n") {
		h := readHeader([]byte(group))
		flush()
		if len(all) >= 50 {
			break
		}
		r.original, r.actual = recipientField(h, "Original-Recipient"), recipientField(h, "X-Actual-Recipient")
		r.recipient = cmp.Or(recipientField(h, "Final-Recipient"), r.original, r.actual)
		action, _, _ := strings.Cut(h.Get("Action"), " ")
		r.action = strings.ToLower(strings.TrimSpace(action))
		r.status = statusPattern.FindString(h.Get("Status"))
		r.diagnostic = h.Get("Diagnostic-Code")
	}
	flush()
	return all
}

// xtext is a character as ORCPT has it (RFC 3461, 4): "+2B" for "+".
var xtext = regexp.MustCompile(`\+(?:2B|3D|2b|3d)`)

func recipientField(h textproto.MIMEHeader, name string) string {
	v := h.Get(name)
	if kind, rest, ok := strings.Cut(v, ";"); ok && !strings.Contains(kind, "@") {
		v = rest
	}
	v = strings.Trim(strings.TrimSpace(xtext.ReplaceAllStringFunc(v, func(c string) string { return string(decodeWord("q", "="+c[1:])) })), "<>")
	if a := addressPattern.FindString(v); a != "" {
		return a
	}
	return ""
}

// classifyStatus classifies a mail with a delivery status part.
func classifyStatus(c classification, p *Mail) classification {
	all := readStatus(p.status)
	above := explanation(p.text)
	// The first failed recipient says what the mail is; then the first delayed.
	rank := map[string]int{"failed": 3, "failure": 3, "fail": 3, "error": 3, "delayed": 2, "": 1}
	var best *recipientStatus
	for i := range all {
		if best == nil || rank[all[i].action] > rank[best.action] {
			best = &all[i]
		}
	}
	c.class = casedb.InboundBounce
	switch {
	case best == nil:
		if delayWords.MatchString(p.subject) && !finalWords.MatchString(above) {
			c.class = casedb.InboundDelay
		}
	case best.action == "delayed":
		c.class = casedb.InboundDelay
	case best.action == "delivered" || best.action == "relayed" || best.action == "expanded":
		c.class = casedb.InboundAutoReply // good news changes nothing either
		c.recipient, c.status = best.recipient, best.status
		return c
	}
	if best == nil {
		c.judge(p, above)
	} else {
		c.recipient = best.recipient
		c.take(judgeReport(*best, above))
		if c.recipient == "" {
			c.recipient = findRecipient(p, above)
		}
		if c.hard && (behindAlias(*best) || !c.ofRecipient(p, above)) {
			c.hard, c.dead = false, false
		}
	}
	if c.class == casedb.InboundDelay {
		c.hard, c.dead = false, false
	}
	return c
}

// judgeReport judges what a report says about a recipient. Where its code says
// nothing more than that delivery failed, its words count, then those around it.
func judgeReport(r recipientStatus, above string) judgement {
	status := r.status
	if status == "4.0.0" && strings.HasPrefix(r.action, "fail") {
		// Given up for good, whatever the first digit says (RFC 3464, 2.3.3).
		said := strings.ReplaceAll(r.diagnostic, status, "")
		if v := judgeWords("", said); said != "" && !v.vague && !passing.MatchString(said) {
			return v
		}
		if v := judgeWords("", above); r.diagnostic == "" && !v.vague && !passing.MatchString(above) {
			return v
		}
	}
	v := judgeWords(status, r.diagnostic)
	if v.vague || r.diagnostic == "" {
		if w := judgeWords(v.status, r.diagnostic+"\n"+above); !w.vague {
			return w
		}
	}
	return v
}

// behindAlias reports whether a report is about another mailbox than the one that was
// written to: a member of a list or an alias, which lives on without him.
func behindAlias(r recipientStatus) bool {
	return r.original != "" && !sameMailbox(r.recipient, r.original) || r.actual != "" && !sameMailbox(r.recipient, r.actual)
}

// sameMailbox reports whether two addresses name one mailbox: letter case, the
// detail behind "+" and the host of a domain do not count.
func sameMailbox(a, b string) bool {
	localA, domainA, _ := cutAddress(strings.ToLower(a))
	localB, domainB, _ := cutAddress(strings.ToLower(b))
	if localA != localB && casedb.BaseAddress(a) != casedb.BaseAddress(b) {
		localA, _, _ = strings.Cut(localA, "+")
		localB, _, _ = strings.Cut(localB, "+")
	}
	return localA == localB && (domainA == domainB || strings.HasSuffix(domainA, "."+domainB) || strings.HasSuffix(domainB, "."+domainA))
}

// expanded says in a report's text that an address stands for another.
var expanded = regexp.MustCompile(`(?i)\((?:ultimately )?(?:expanded|generated|forwarded) from:? `)

// ofRecipient reports whether a bounce is about the address that our mail went to,
// as far as the mail that comes back shows it.
func (c *classification) ofRecipient(p *Mail, above string) bool {
	if expanded.MatchString(above) {
		return false
	}
	to := returnedTo(p)
	return len(to) == 0 || c.recipient == "" || slices.ContainsFunc(to, func(a string) bool { return sameMailbox(c.recipient, a) })
}

// returnedTo are the recipients that the mail names that comes back.
func returnedTo(p *Mail) []string {
	return addressPattern.FindAllString(p.returned.Get("To")+" "+p.returned.Get("Cc"), 20)
}

// judge fills in recipient and status from a bounce that has no status part.
func (c *classification) judge(p *Mail, above string) {
	reported := false
	if reportAction.MatchString(above) {
		for _, r := range readStatus([]byte(above)) {
			if !reported && r.recipient != "" && (r.action == "failed" || r.action == "failure") {
				reported = true
				c.recipient = r.recipient
				c.take(judgeReport(r, above))
				c.hard = c.hard && !behindAlias(r)
			}
		}
	}
	if !reported {
		c.recipient = findRecipient(p, above)
		c.take(judgeWords("", p.subject+"\n"+above))
	}
	c.hard = c.hard && c.ofRecipient(p, above)
	c.dead = c.dead && c.hard
}

func (c *classification) take(v judgement) {
	c.hard, c.dead, c.status, c.reason = v.dead, v.dead, v.status, v.reason
}

// judgement is what a status means for an address.
type judgement struct {
	status string // RFC 3463
	reason string // why, a word
	dead   bool   // the address will never take mail
	vague  bool   // neither code nor words say more than "failed"
}

var (
	statusPattern = regexp.MustCompile(`\b[245]\.\d{1,3}\.\d{1,3}\b`)
	// A status in free text stands after a reply code, in brackets, after a
	// colon or at the start of a line; version numbers and addresses do not.
	statusInText = regexp.MustCompile(`(?m)(?:[45]\d\d[ \-]+#?|\(#?|#|status:?\s*|:\s+#?|^[\s-]*)([45]\.\d{1,3}\.\d{1,3})(?:[^\d.]|\.\D|\.?$)`)
	codePattern  = regexp.MustCompile(`(?m)(?:^|[^\d.@\[])([45][0-5]\d)(?:[ \-](?:[^\d\s]|[45]\.\d)|$)`)
)

// findStatus returns the most telling status in free text: the first that says
// more than class and subject.
func findStatus(s string) string {
	found := ""
	for _, m := range statusInText.FindAllStringSubmatch(s[:min(len(s), 20_000)], 20) {
		if found == "" || isVague(found) {
			found = m[1]
		}
		if !isVague(found) {
			break
		}
	}
	return found
}

func isVague(status string) bool { return status == "" || strings.HasSuffix(status, ".0") }

// judgeWords says what a status code, as far as there is one, and the words
// around it mean. A telling code is believed over the words, except where a filter
// or a relay's limit uses the code of an unknown mailbox; the words over a vague
// code.
func judgeWords(status, words string) judgement {
	words = words[:min(len(words), 20_000)]
	if isVague(status) {
		if s := findStatus(words); s != "" && (status == "" || !isVague(s)) {
			status = s
		}
	}
	v := judgement{status: status}
	flat := strings.Join(strings.Fields(words), " ")
	switch {
	case strings.HasPrefix(status, "4."):
		v.reason = "temporary"
		v.vague = isVague(status)
		return v
	case deadStatus(status):
		v.reason, v.dead = deadWords(flat)
		if v.reason == "full" {
			v.status = "5.2.2"
		}
		return v
	case status == "5.1.7" || status == "5.1.8" || strings.HasPrefix(status, "5.7."):
		v.reason = "policy" // a filter's decision, whatever the words; it can be asked to change its mind
		return v
	case status == "5.2.2" || status == "5.2.3" || status == "5.3.4":
		v.reason = "full"
		return v
	}
	return judgeVague(v, status, words, flat)
}

// deadStatus reports whether a code says that an address never takes mail (RFC
// 3463, 3.2): no such mailbox, no such host, no address, moved, a host without mail
// (RFC 7505). What else begins with 5.1 is about the sender, or a relay's own.
func deadStatus(status string) bool {
	switch status {
	case "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10":
		return true
	}
	return false
}

// deadWords says what the words around such a code mean. A filter's words without
// those of an unknown user contradict the code.
func deadWords(flat string) (reason string, dead bool) {
	switch {
	case limitWords.MatchString(flat), aboutSender.MatchString(flat):
		return "policy", false
	case unknownWords.MatchString(flat), hostWords.MatchString(flat), movedWords.MatchString(flat), disabledWords.MatchString(flat):
		return "unknown", true
	case fullWords.MatchString(flat):
		return "full", false
	case filterWords.MatchString(flat):
		return "policy", false
	}
	return "unknown", true
}

// judgeVague judges by the words.
func judgeVague(v judgement, status, words, flat string) judgement {
	// What is left is vague, or used for many things: 5.0.0, 5.2.1, 5.4.1, 5.5.0.
	for _, r := range wordRules {
		if !r.words.MatchString(flat) {
			continue
		}
		v.reason, v.dead = r.reason, r.dead
		// Words of refusal do not make a dead address; words of an unknown user
		// count against any code but those that say "temporary".
		if r.dead && r.reason != "disabled" && aboutSender.MatchString(flat) {
			v.reason, v.dead = "policy", false
		}
		switch {
		case status == "" && v.reason == "policy":
			v.status = "5.7.1"
		case status == "" || isVague(status) && v.reason == "full":
			v.status = r.status
		}
		break
	}
	if v.status == "" {
		v.status = "5.0.0"
		if m := codePattern.FindStringSubmatch(words); m != nil && m[1][0] == '4' {
			v.status, v.dead = "4.0.0", false
		}
	} else if status == "" && !v.dead {
		if m := codePattern.FindStringSubmatch(words); m != nil && m[1][0] == '5' && v.status[0] == '4' {
			v.status = "5" + v.status[1:]
		}
	}
	if status == "5.2.1" && v.reason == "" {
		v.reason, v.dead = "disabled", true
	}
	v.vague = v.reason == "" && isVague(v.status)
	return v
}

// judgeReply judges a server's answer in our own dialogue.
func judgeReply(code int, enhanced, response string) judgement {
	if code/100 != 5 {
		return judgement{status: enhanced, reason: "temporary"}
	}
	return judgeWords(enhanced, response)
}

// recipientLine is a line that begins with an address.
var recipientLine = regexp.MustCompile(`(?m)^[ \t>*-]{0,12}<?` + addressGroup + `>?(?:\s|:|$|,|\.\.\.)`)

func ofMachine(address string) bool {
	local, _, _ := strings.Cut(address, "@")
	return daemonLocal.MatchString(local) || sharedLocal.MatchString(local)
}

// findRecipient finds whom a bounce without a status part is about.
func findRecipient(p *Mail, above string) string {
	for _, name := range []string{"X-Failed-Recipients", "X-Mailer-Daemon-Recipients", "X-Actual-Recipient"} {
		if a := addressPattern.FindString(p.header.Get(name)); a != "" {
			return a
		}
	}
	ours, _ := readAddress(p.header.Get("To"))
	notOurs := func(a string) bool {
		return !strings.EqualFold(a, ours) && !strings.EqualFold(a, p.from) && !ofMachine(a)
	}
	first := ""
	for _, pattern := range []*regexp.Regexp{recipientLead, recipientLine} {
		for _, m := range pattern.FindAllStringSubmatch(above, 20) {
			if !notOurs(m[1]) {
				continue
			}
			// Of several the one that our mail went to.
			if slices.ContainsFunc(returnedTo(p), func(a string) bool { return sameMailbox(m[1], a) }) {
				return m[1]
			}
			first = cmp.Or(first, m[1])
		}
	}
	if first != "" {
		return first
	}
	if a, _ := readAddress(p.returned.Get("To")); a != "" {
		return a
	}
	for _, a := range addressPattern.FindAllString(above, 20) {
		if notOurs(a) {
			return a
		}
	}
	if _, below := splitReturned(p.text); below != "" {
		if i := strings.IndexByte(below, '\n'); i >= 0 {
			if a, _ := readAddress(readHeader([]byte(below[i+1:])).Get("To")); a != "" {
				return a
			}
		}
	}
	return ""
}

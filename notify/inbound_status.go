package notify

import (
	"net/textproto"
	"regexp"
	"strings"

	"teiten/internal/casedb"
)

// recipientStatus is what a delivery status notification says about one
// recipient (RFC 3464, 2.3).
type recipientStatus struct {
	recipient  string
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
		for _, name := range []string{"Final-Recipient", "Original-Recipient", "X-Actual-Recipient"} {
			if r.recipient == "" {
				r.recipient = recipientField(h, name)
			}
		}
		action, _, _ := strings.Cut(h.Get("Action"), " ")
		r.action = strings.ToLower(strings.TrimSpace(action))
		r.status = statusPattern.FindString(h.Get("Status"))
		r.diagnostic = h.Get("Diagnostic-Code")
	}
	flush()
	return all
}

func recipientField(h textproto.MIMEHeader, name string) string {
	v := h.Get(name)
	if kind, rest, ok := strings.Cut(v, ";"); ok && !strings.Contains(kind, "@") {
		v = rest
	}
	v = strings.Trim(strings.TrimSpace(v), "<>")
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
		v := judgeWords(best.status, best.diagnostic)
		if v.vague {
			if w := judgeWords(v.status, best.diagnostic+"\n"+above); !w.vague {
				v = w
			}
		}
		c.take(v)
		if c.recipient == "" {
			c.recipient = findRecipient(p, above)
		}
	}
	if c.class == casedb.InboundDelay {
		c.hard, c.dead = false, false
	}
	return c
}

// judge fills in recipient and status from a bounce that has no status part.
func (c *classification) judge(p *Mail, above string) {
	if reportAction.MatchString(above) {
		for _, r := range readStatus([]byte(above)) {
			if r.recipient != "" && (r.action == "failed" || r.action == "failure") {
				c.recipient = r.recipient
				c.take(judgeWords(r.status, r.diagnostic+"\n"+above))
				return
			}
		}
	}
	c.recipient = findRecipient(p, above)
	c.take(judgeWords("", p.subject+"\n"+above))
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
// around it mean. A telling code is believed over the words; the words over a
// vague code.
func judgeWords(status, words string) judgement {
	words = words[:min(len(words), 20_000)]
	if isVague(status) {
		if s := findStatus(words); s != "" && (status == "" || !isVague(s)) {
			status = s
		}
	}
	v := judgement{status: status}
	switch {
	case strings.HasPrefix(status, "4."):
		v.reason = "temporary"
		if isVague(status) {
			v.vague = true
		}
		return v
	case strings.HasPrefix(status, "5.1.") && status != "5.1.0" && status != "5.1.7" && status != "5.1.8" && status != "5.1.9":
		v.reason, v.dead = "unknown", true
		return v
	case strings.HasPrefix(status, "5.7."):
		v.reason = "policy" // a filter's decision, whatever the words; it can be asked to change its mind
		return v
	case status == "5.2.2" || status == "5.2.3" || status == "5.3.4":
		v.reason = "full"
		return v
	}
	// What is left is vague, or used for many things: 5.0.0, 5.2.1, 5.4.1, 5.5.0.
	flat := strings.Join(strings.Fields(words), " ")
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
		if status == "" {
			v.status = r.status
			if v.reason == "policy" {
				v.status = "5.7.1"
			}
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

// findRecipient finds whom a bounce without a status part is about.
func findRecipient(p *Mail, above string) string {
	for _, name := range []string{"X-Failed-Recipients", "X-Mailer-Daemon-Recipients", "X-Actual-Recipient"} {
		if a := addressPattern.FindString(p.header.Get(name)); a != "" {
			return a
		}
	}
	ours, _ := readAddress(p.header.Get("To"))
	notOurs := func(a string) bool {
		return !strings.EqualFold(a, ours) && !strings.EqualFold(a, p.from) && !daemonLocal.MatchString(strings.SplitN(a, "@", 2)[0])
	}
	for _, pattern := range []*regexp.Regexp{recipientLead, recipientLine} {
		for _, m := range pattern.FindAllStringSubmatch(above, 20) {
			if notOurs(m[1]) {
				return m[1]
			}
		}
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

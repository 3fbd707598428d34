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
func classifyStatus(c classification, p *parsed) classification {
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
func (c *classification) judge(p *parsed, above string) {
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

// wordRule says what words in a bounce mean.
type wordRule struct {
	reason string
	status string // for bounces without a code
	dead   bool
	words  *regexp.Regexp
}

// wordRules are tried in order: the first that matches decides. Refusals of
// content or sender come before unknown users, because a refusal often names
// the user too; a full mailbox proves that the user exists.
var wordRules = []wordRule{
	{"full", "5.2.2", false, regexp.MustCompile(`(?i)(mailbox|mail box|inbox|user|account|recipient|quota|storage|disk).{0,40}(is |are |has )?(full|over ?quota|exceed|over (the )?(limit|quota))|over ?quota|(exceed|out of).{0,30}(quota|storage|mailbox)|quota exceeded|insufficient (system )?(storage|disk)|メールボックス.{0,10}(一杯|いっぱい|容量)|容量.{0,10}(超|オーバー)`)},
	{"size", "5.3.4", false, regexp.MustCompile(`(?i)(message|mail).{0,20}(size|too (large|big|long))|size limit|too (large|big)|maximum.{0,15}size|サイズ.{0,10}(超|制限)`)},
	{"moved", "5.1.6", true, regexp.MustCompile(`(?i)(user|recipient|account|mailbox).{0,30}(has )?moved|new address is|has been replaced by`)},
	{"disabled", "5.2.1", true, regexp.MustCompile(`(?i)(account|mailbox|user|recipient|address)( \S+)?.{0,25}(disabled|suspended|inactive|locked|deactivated|expired|discontinued|closed|terminated|currently suspended|no longer (active|available|in use|on server|valid|exists?))|(disabled|suspended|inactive) (account|mailbox|user)|not accept.{0,20}any mail|no longer (employed|with|work)|utilisateur.{0,20}inactif`)},
	{"unknown", "5.1.1", true, regexp.MustCompile(`(?i)(user|recipient|mailbox|account|address|person|name|alias)( name)?[^\n]{0,60}?( is)? (unknown|not (be )?(found|recognized|recognised|listed|known|exist)|does ?n[o']t exist|does not exist|doesn't exist|doesn't have|nonexistent|undefined|invalid|not valid|possibly incorrect)|(unknown|invalid|unrecognized|nonexistent|non-existent|undeliverable|bad|no valid|illegal) (local |remote |destination )?(user|recipient|address|mailbox|account|alias|destination|login)|no (such|mailbox)\b|no mailbox here|not listed in|not our customer|user (not|doesn't|isn't)|unrouteable address|address (not found|error)|is not a (known|valid) (user|address|mailbox)|not a valid (mailbox|user|recipient)|recipient address(es)? rejected ?: ?(access denied|undeliverable|user)|recipient (rejected|not found|unknown)|check (the|if) .{0,25}address|(宛先|送信先|メールアドレス|ユーザー?|アカウント).{0,20}(見つかりま|存在し(ません|ない)|不明|間違)|不明な(宛先|ユーザ)|用户不存在`)},
	{"host", "5.1.2", true, regexp.MustCompile(`(?i)host( name)? (unknown|not found)|(domain|host)( name)?[^\n]{0,60}( is)? (not found|unknown|invalid|does ?n[o']t exist|couldn'?t be found|could not be found|cannot be found)|unknown (host|domain)|NXDOMAIN|no (mx|such)[^\n]{0,15}(record|domain|host)|(name service|dns) error.{0,60}(not found|nxdomain)|domain name not found|unrouteable (mail )?domain|had no relevant answers|no route to host|ドメイン.{0,15}(存在し|見つかりま)`)},
	{"route", "4.4.1", false, regexp.MustCompile(`(?i)(connection|operation) (timed out|refused|reset|dropped)|time(d)? ?out|retry time|hop count|too many hops|loop|could not (find a gateway|connect)|did not accept our requests|did not accept our|socket error|network (error|problem|failure|is)|unreachable|expired|too long|queue|aborted after|期限|時間切れ`)},
	{"policy", "5.7.1", false, regexp.MustCompile(`(?i)spam|blacklist|black list|block(ed|list)|blocked|denied|policy|not (permitted|allowed|authori[sz]ed|a member)|n.t sent|member|reject(ed|s)?|refused|prohibited|virus|reputation|dmarc|\bspf\b|\bdkim\b|relay|authenticat|bulk|content|forbidden|unsolicited|frequency limited|rate limit|受信拒否|拒否`)},
}

// aboutSender are words and codes that are about us, not about the recipient.
var aboutSender = regexp.MustCompile(`(?i)sender (address )?(rejected|denied|verify|not|unknown|is not|domain)|domain of sender|^5\.1\.[78]$|(in reply to|after|with|to) (a )?MAIL FROM|<<< ?5\d\d.*sender|invalid domain name|your (ip|server|host|domain)`)

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

var (
	recipientLead = regexp.MustCompile(`(?i)(?:RCPT TO:?|final-recipient:[^;\n]*;|recipient(?:s| address)?(?: is|:)?|delivered to:?|deliver (?:your |the |this )?(?:message|mail|e-?mail)? ?to:?|delivering your mail to|could not be delivered to:?|undeliverable to|addressed to:|delivery failed:|delivery to|message to:|failed (?:address|recipient)(?:es)?:?|user|sorry, .{0,80}address:?|following address(?:es)?[^\n]{0,40}:?|アドレス[^\n]{0,30}|宛先[^\n]{0,10})\s*[-:*>]*\s*[<\["'(]?([A-Za-z0-9!#$%&'*+/=?^_{|}~.-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,250}[A-Za-z0-9])`)
	recipientLine = regexp.MustCompile(`(?m)^[ \t>*-]{0,12}<?([A-Za-z0-9!#$%&'*+/=?^_{|}~.-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,250}[A-Za-z0-9])>?(?:\s|:|$|,|\.\.\.)`)
)

// findRecipient finds whom a bounce without a status part is about.
func findRecipient(p *parsed, above string) string {
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

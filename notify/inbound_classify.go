package notify

import (
	"regexp"
	"strings"

	"teiten/internal/casedb"
)

// Classified is the class of a mail, as far as its bytes show it; `teiten inbound` prints
// it. Whether a token is ours is not in it: that takes the key.
type Classified struct {
	File         string `json:"file"`
	Class        string `json:"class"`
	Hard         bool   `json:"hard"`
	Status       string `json:"status"`
	Recipient    string `json:"recipient"`
	Token        string `json:"token"`
	Case         string `json:"case"`
	RemoteTicket string `json:"remote_ticket"`
	TicketTag    string `json:"ticket_tag"`
	From         string `json:"from"`
	Subject      string `json:"subject"`
	Text         string `json:"text"`
}

// ClassifyMail reads a mail of which nothing is known but its bytes. It never
// fails.
func ClassifyMail(file string, raw []byte) Classified {
	p := ParseMail(raw)
	c := classify(p, "")
	r := Classified{File: file, Class: string(c.class), Hard: c.hard, Status: c.status, Recipient: c.recipient,
		Case: caseTag(p.subject), RemoteTicket: c.ticket.number, TicketTag: c.ticket.tag, From: p.from, Subject: p.subject, Text: c.text}
	if t, ok := findToken(p); ok {
		r.Token = t.String()
		if t.Case != "" {
			r.Case = t.Case
		}
	}
	for _, source := range []string{p.returned.Get("Subject"), p.text} {
		if r.Case == "" {
			r.Case = caseTag(decodeHeader(source))
		}
	}
	return r
}

// findToken looks for a token where a delivered mail may carry its envelope.
func findToken(p *Mail) (Token, bool) {
	for _, name := range []string{"X-Original-To", "Delivered-To", "Envelope-To", "X-Envelope-To", "To", "Cc", "X-Failed-Recipients"} {
		for _, v := range p.header[name] {
			for _, a := range addressPattern.FindAllString(unfold(v), 20) {
				if t, ok := ParseToken(a); ok {
					return t, true
				}
			}
		}
	}
	return Token{}, false
}

// classification is what a mail is.
type classification struct {
	class     casedb.InboundClass
	hard      bool
	dead      bool // the address does not exist any more
	status    string
	recipient string
	ticket    ticket
	text      string
	reason    string
}

// classify says what a mail is. sender is "null" if the envelope sender was
// empty, "" if it is not known, else the sender.
//
// The order matters: a mail that names its class in a machine-readable form is believed
// first. Other bounces are recognised by several weak signs together. No single
// sign is enough, because people also write about failed mail.
func classify(p *Mail, sender string) classification {
	c := classification{text: strings.TrimSpace(p.text)}
	switch {
	case isFeedback(p):
		c.class = casedb.InboundFeedback
		return c
	case p.receipt:
		c.class = casedb.InboundAutoReply
		return c
	case p.hasStatus:
		return classifyStatus(c, p)
	}
	above := explanation(p.text)
	s := bounceSigns(p, above, sender)
	if s.delay && s.machine {
		c.class = casedb.InboundDelay
		c.judge(p, above)
		c.hard = false
		return c
	}
	if s.isBounce() {
		c.class = casedb.InboundBounce
		c.judge(p, above)
		return c
	}
	c.class = casedb.InboundHuman
	if isAutomatic(p, sender) {
		c.class = casedb.InboundAutoReply
	}
	c.ticket = remoteTicket(p)
	return c
}

// signs are what speaks for a bounce.
type signs struct {
	score   int
	words   bool // subject or text speaks of failed delivery
	machine bool // sender or envelope is a machine's
	delay   bool
	certain bool
}

func (s signs) isBounce() bool { return s.certain || (s.words && s.score >= 3) }

var (
	replyStart = regexp.MustCompile(`(?i)^\s*((re|aw|sv|antw|fw|fwd|wg)(\[\d+\])?|返信)\s*[:：]`)
	// A report whose fields stand in the text, or a cloud service's notice.
	reportAction = regexp.MustCompile(`(?im)^action:[ \t]*(failed|failure)`)
	reportStatus = regexp.MustCompile(`(?im)^(status:[ \t]*[45]\.|final-recipient:|diagnostic-code:)`)
	jsonBounce   = regexp.MustCompile(`"(notificationType|eventType)":\s*"Bounce"`)
)

// isNullSender reports whether a mail came from <>, as bounces must (RFC 5321,
// 4.5.5) and automatic answers should.
func isNullSender(p *Mail, sender string) bool {
	if sender == "null" {
		return true
	}
	for _, v := range p.header["Return-Path"] {
		v = strings.ToLower(strings.Trim(strings.TrimSpace(v), "<> "))
		if v == "" || v == "null" || strings.HasPrefix(v, "mailer-daemon") {
			return true
		}
	}
	return false
}

func bounceSigns(p *Mail, above, sender string) signs {
	var s signs
	local, _, _ := cutAddress(p.from)
	noFrom := p.from == "" && p.header.Get("From") != ""
	daemon := noFrom || daemonLocal.MatchString(local) || daemonName.MatchString(p.fromName)
	null := isNullSender(p, sender)
	own := unquoted(above)
	reply := replyStart.MatchString(p.subject)
	subject := bounceSubject.MatchString(p.subject) && !(reply && !null && !daemon)
	text := bounceText.MatchString(own) || codeInText.MatchString(own)
	if daemon {
		s.score += 2
	}
	if null {
		s.score++
	}
	if subject {
		s.score += 2
	}
	if text {
		s.score += 2
	}
	// People quote what they answer.
	if (reply || len(p.inReplyTo) > 0) && !null && own != above {
		s.score -= 2
	}
	failed := p.header.Get("X-Failed-Recipients") != "" || p.header.Get("X-Mailer-Daemon-Recipients") != ""
	s.words = subject || text
	s.machine = daemon || null || failed
	// A mail with the words of an automatic answer is one, even if it also says
	// that a person cannot be reached.
	if autoSubject(p.subject) && !daemon && !failed {
		s.score, s.words = 0, false
	}
	s.certain = (failed && (s.words || null || daemon)) || jsonBounce.MatchString(own) ||
		(s.machine && reportAction.MatchString(own) && reportStatus.MatchString(own))
	s.delay = (delayWords.MatchString(p.subject) || delayWords.MatchString(own)) && !finalWords.MatchString(own) && s.words
	return s
}

// maxExplanation is how much of a mail's beginning is searched for what it is
// about. What machines have to say fits in far less.
const maxExplanation = 12_000

// explanation is the beginning of what a mail says before the mail that it
// returns.
func explanation(text string) string {
	above, _ := splitReturned(text[:min(len(text), 2*maxExplanation)])
	return above[:min(len(above), maxExplanation)]
}

// unquoted leaves out the lines that a mail quotes.
func unquoted(text string) string {
	if !strings.Contains(text, ">") {
		return text
	}
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\n") {
		t := strings.TrimLeft(line, " \t")
		if strings.HasPrefix(t, ">") && !strings.HasPrefix(t, ">>>") {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

var returnedHead = regexp.MustCompile(`(?m)^(Received: (from|by|\()|Return-Path: ?<|DKIM-Signature: |Delivered-To: ).*$`)

// splitReturned separates what a bounce says from the mail that it returns in
// its text.
func splitReturned(text string) (above, below string) {
	cut := len(text)
	if loc := returnedMark.FindStringIndex(text); loc != nil {
		cut = loc[0]
	}
	if loc := returnedHead.FindStringIndex(text); loc != nil && loc[0] < cut {
		cut = loc[0]
	}
	// A report that is nothing but the returned mail is looked at whole.
	if strings.TrimSpace(text[:cut]) == "" {
		return text, ""
	}
	return text[:cut], text[cut:]
}

var feedbackField = regexp.MustCompile(`(?im)^feedback-type:[ \t]*(abuse|fraud|opt-out|not-spam|virus|other|auth-failure)`)

// isFeedback recognises complaints (RFC 5965 and older forms): the recipient
// calls our mail abuse, or asks for no more mail.
func isFeedback(p *Mail) bool {
	if p.hasFeedback || strings.EqualFold(p.header.Get("X-Apple-Unsubscribe"), "true") {
		return true
	}
	if strings.EqualFold(p.header.Get("X-Xarf"), "plain") || strings.EqualFold(p.header.Get("X-Arf"), "yes") {
		return true
	}
	if replyStart.MatchString(p.subject) {
		return false
	}
	if feedbackSubject.MatchString(p.subject) && p.hasReturned {
		return true
	}
	if feedbackField.MatchString(explanation(p.text)) && (isNullSender(p, "") || p.hasReturned || feedbackSubject.MatchString(p.subject)) {
		return true
	}
	return p.hasReturned && feedbackText.MatchString(explanation(p.text))
}

// autoSubject reports whether a subject is that of an automatic answer.
func autoSubject(s string) bool { return autoStart.MatchString(s) || autoWords.MatchString(s) }

// isAutomatic tells automatic answers: by RFC 3834, by the headers that those
// carry who do not know it, by the null sender, or by their words.
func isAutomatic(p *Mail, sender string) bool {
	h := p.header
	// Request Tracker marks everything as bulk; what its people write has them
	// as originator.
	if o := h.Get("Rt-Originator"); o != "" && !strings.Contains(o, "RT_System") && autoSubmitted(h.Get("Auto-Submitted")) == "" {
		return autoSubject(p.subject)
	}
	if autoSubmitted(h.Get("Auto-Submitted")) != "" {
		return true
	}
	switch strings.ToLower(strings.TrimSpace(h.Get("Precedence"))) {
	case "auto_reply", "auto-reply", "autoreply", "bulk", "junk", "list":
		return true
	}
	for _, name := range []string{"X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Autoreply-From", "X-Autogenerated", "X-Mail-Autoreply", "Delivered-Autoresponder", "X-Vacation"} {
		if v := h.Get(name); v != "" && !strings.EqualFold(v, "no") && !strings.EqualFold(v, "false") {
			return true
		}
	}
	if v := strings.ToLower(strings.TrimSpace(h.Get("X-Auto-Response-Suppress"))); v != "" && v != "none" {
		return true
	}
	if isNullSender(p, sender) || autoSubject(p.subject) {
		return true
	}
	local, _, _ := cutAddress(strings.ToLower(p.from))
	machine := strings.HasPrefix(local, "no-reply") || strings.HasPrefix(local, "noreply") || strings.HasPrefix(local, "do-not-reply") || strings.HasPrefix(local, "donotreply") ||
		strings.Contains(strings.ToLower(h.Get("X-Mailer")+h.Get("User-Agent")), "vacation")
	own := unquoted(explanation(p.text))
	return machine || autoText.MatchString(own[:min(len(own), 2000)])
}

// autoSubmitted returns the keyword of an Auto-Submitted header that says the
// mail is a machine's, or "".
func autoSubmitted(v string) string {
	v, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(v)), ";")
	if v = strings.TrimSpace(v); v == "no" {
		return ""
	}
	return v
}

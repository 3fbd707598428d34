package notify

import (
	"regexp"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/casework"
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
	Answers      bool   `json:"answers"` // it counts as the owner's answer
	Waits        bool   `json:"waits"`   // a person must look
}

// ClassifyMail reads a mail of which nothing is known but its bytes. It never
// fails.
func ClassifyMail(file string, raw []byte) Classified {
	p := ParseMail(raw)
	t, found := findToken(p)
	c := classify(p, envelope{to: t.Kind})
	r := Classified{File: file, Class: string(c.class), Answers: c.answers, Waits: c.waits, Hard: c.hard, Status: c.status, Recipient: c.recipient,
		Case: caseTag(p.subject), RemoteTicket: c.ticket.number, TicketTag: c.ticket.tag, From: p.from, Subject: p.subject, Text: c.text}
	if found {
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
	if p.notice != nil {
		return ParseToken(p.notice.Mail.Source)
	}
	return Token{}, false
}

// classification is what a mail is.
type classification struct {
	class     casedb.InboundClass
	answers   bool // it counts as the owner's answer
	waits     bool // a person must look
	hard      bool
	dead      bool // the address does not exist any more
	status    string
	recipient string
	ticket    ticket
	text      string
	reason    string
}

// classify says what a mail is.
//
// The order matters: a mail that names its class in a machine-readable form is believed
// first. Other bounces are recognised by several signs together, one of
// which has to be a machine's. In doubt the mail is a person's, or waits for one.
func classify(p *Mail, e envelope) classification {
	c := classified(p, e)
	switch c.class {
	case casedb.InboundHuman:
		c.answers, c.waits = true, true
	case casedb.InboundFeedback, casedb.InboundChallenge:
		c.waits = true
	case casedb.InboundBounce: // another letter is written by itself only where the same address may take it
		c.waits = c.hard || !casework.Retryable(c.status)
	}
	return c
}

func classified(p *Mail, e envelope) classification {
	c := classification{text: strings.TrimSpace(p.text)}
	switch {
	case p.notice != nil:
		return classifyNotice(c, p.notice)
	case isFeedback(p):
		c.class = casedb.InboundFeedback
		return c
	case p.receipt:
		c.class = casedb.InboundAutoReply
		return c
	case p.hasStatus:
		return classifyStatus(c, p)
	case isChallenge(p):
		c.class = casedb.InboundChallenge
		return c
	}
	above := explanation(p.text)
	auto, doubt := automatic(p, e)
	s := bounceSigns(p, above, e)
	switch {
	case s.isDelay():
		c.class = casedb.InboundDelay
		c.judge(p, above)
		c.hard, c.dead = false, false
		return c
	case s.isBounce():
		c.class = casedb.InboundBounce
		c.judge(p, above)
		return c
	case auto:
		c.class, c.waits = casedb.InboundAutoReply, doubt
	default:
		c.class = casedb.InboundHuman
	}
	c.ticket = remoteTicket(p)
	return c
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
	if feedbackField.MatchString(explanation(p.text)) && (isNullSender(p, envelope{}) || p.hasReturned || feedbackSubject.MatchString(p.subject)) {
		return true
	}
	return p.hasReturned && feedbackText.MatchString(explanation(p.text))
}

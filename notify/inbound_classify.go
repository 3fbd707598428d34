package notify

import (
	"regexp"
	"strings"

	"teiten/internal/casedb"
)

// Result is what a mail is, as far as its bytes say; `teiten inbound` prints
// it. Whether a token is ours is not in it: that takes the key.
type Result struct {
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
func ClassifyMail(file string, raw []byte) Result {
	p := parseMail(raw)
	c := classify(p, "")
	r := Result{File: file, Class: string(c.class), Hard: c.hard, Status: c.status, Recipient: c.recipient,
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
func findToken(p *parsed) (Token, bool) {
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

// classify says what a mail is. nullSender is "null" if the envelope sender was
// empty, "" if it is not known, else the sender.
//
// The order matters: what names itself in a machine's words is believed first;
// bounces that do not are told by several weak signs together, none of which
// is enough, since people write about failed mail too.
func classify(p *parsed, sender string) classification {
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
	daemonLocal = regexp.MustCompile(`(?i)^(mailer[-_.]?daemon|post[-_]?master|mail[-_.]?er|mail[-_.]?daemon|po+stmaster|mail[-_.]delivery[-_.](sub)?system|mdaemon|twfpostmaster|mailadmin|mail-?system|majordomo|noreply-maildelivery|bounces?|bounce-.*|delivery-?(failure|status|report).*)$`)
	daemonName  = regexp.MustCompile(`(?i)mailer[- ]?daemon|mail deliver(y|er)? ?(sub)?system|delivery subsystem|mail delivery|system administrator|mail administrator|postmaster|interscan|ndr administrator|microsoft (outlook|exchange)|content[- ]filter|e-?mail interconnect|配信システム`)
	replyStart  = regexp.MustCompile(`(?i)^\s*((re|aw|sv|antw|fw|fwd|wg)(\[\d+\])?|返信)\s*[:：]`)

	bounceSubject = regexp.MustCompile(`(?i)undeliver|returned mail|return(ed)? to sender|delivery (status|fail|error|problem|notice|notification|report|has)|failure (notice|notification|delivery)|deliver\w* (failed|failure|error|unsuccess)|(mail|message|e-?mail)( delivery)? (failure|error|failed|status)|(could|can) ?not (be )?deliver|(was|were|wasn'?t|not) (been )?deliver|non.?deliver|unable to deliver|mail system error|error sending your (mail|message)|reject(ed|ion)|failed delivery|blocked by|MTA-BLOCKED|bounced?\b|not? (a )?member|NOT MEMBER|user unknown|unknown (user|recipient|address)|mailbox (is )?full|quota exceeded|` +
		`配信(不能|不可|でき|エラー|に失敗|失敗)|送信(不能|でき|エラー|に失敗|失敗)|不達|未達|エラーメール|宛先(不明|エラー)|受信拒否|` +
		`unzustellbar|nicht zugestellt|zustellung|fehlgeschlagen|non remis|échec|no (se )?(ha )?(podido|puede|entreg)|no entregad|mancata consegna|non recapitabile|недоставлен|не доставлен|сообщение не|退信|退件|无法投递|無法(傳|投)遞|반송|전송 실패`)
	bounceText = regexp.MustCompile(`(?i)(could|can|did|was|were|wasn'?t|has|have|had)( ?not|n't)?( be(en)?)? (delivered|reach(ed)?|relayed|sent to)\b|unable to (deliver|relay|send)|undeliver(able|ed)|delivery (to|of|for|has|attempt|failed|failure|error|problem|status)|deliv?e?r?y? .{0,80}(failed|aborted)|following (address|recipient|user|domain)|fatal errors?|permanent(ly)? (error|fail)|returned (to|mail|message|as)|(user|recipient|mailbox|account|address|host|domain)( name)?( is)? (unknown|not (found|recognized|listed|known|exist)|does ?n.t exist|unavailable|disabled|rejected|inactive|full)|unknown (user|recipient|address|host|mailbox)|no such (user|mailbox|address|recipient|domain|person)|not listed in|over ?quota|quota exceeded|rejected (your|the|by|recipient|address)|access denied|not a member|members? only|giving up|given up|no valid recipients?|remote (host|server) said|smtp error|transcript of session|failure reasons?|too large|size limit|while talking to|trouble delivering|"notificationtype":\s*"bounce"|` +
		`送信できま|配信できま|お届けでき|届けること|配送でき|送信に失敗|配信に失敗|送信失敗|配信失敗|見つかりません|存在しません|存在しない|受信(が)?(拒否|を拒否)|エラーのため|不達|宛先不明|未送信|送れません|容量(を|が)?(超|オーバー)|エラー(メール|により|が発生)`)
	codeInText = regexp.MustCompile(`(?:^|[^\d.])[45][0-5]\d[ \-]+#?[45]\.\d{1,3}\.\d{1,3}\b|(?m:(?:said|response|reply|error|with|<<<|because|>)\W{0,12}[45][0-5]\d[ \-])|\(#?[45]\.\d{1,3}\.\d{1,3}\b|(?m:^\s{0,8}[45][0-5]\d[ \-]\S)`)
	delayWords = regexp.MustCompile(`(?i)delivery (status notification \(delay|delayed|is delayed|temporarily|has been delayed|delay)|\bdelayed\b.{0,40}(mail|message|delivery)|(mail|message|delivery).{0,40}\bdelayed\b|warning: (could not|message|your|mail)|not yet been delivered|still (trying|being retried|in the queue)|will (be retried|(keep|continue) (on )?(trying|retrying)|try again)|no action is required on your part|delivery attempts will continue|配信(が)?(遅延|遅れ)|再送(を)?(試み|信を続け)|まだ(配信|送信)されて`)
	// A report whose fields stand in the text, or a cloud service's notice.
	reportAction = regexp.MustCompile(`(?im)^action:[ \t]*(failed|failure)`)
	reportStatus = regexp.MustCompile(`(?im)^(status:[ \t]*[45]\.|final-recipient:|diagnostic-code:)`)
	jsonBounce   = regexp.MustCompile(`"(notificationType|eventType)":\s*"Bounce"`)
	finalWords   = regexp.MustCompile(`(?i)permanent(ly)? (error|fatal|fail)|given up|giving up|no further|will not (be )?(tried|try)|not going to try|fatal errors|delivery (has )?failed permanently`)
)

// isNullSender reports whether a mail came from <>, as bounces must (RFC 5321,
// 4.5.5) and automatic answers should.
func isNullSender(p *parsed, sender string) bool {
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

func bounceSigns(p *parsed, above, sender string) signs {
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
	// An automatic answer with the words of one is one, even if it also tells
	// that somebody cannot be reached.
	if autoSubject.MatchString(p.subject) && !daemon && !failed {
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

var returnedMark = regexp.MustCompile(`(?im)^[ \t]*[-=*_#+]{0,40}[ \t]*(below this line is a copy|this is a copy of (the|your)|original message\b|original mail info|(the )?headers? of the original|included is a copy|returned message|unsent message|undelivered message|(the )?(original )?message headers? follow|message header follows|the original message (is|was) (attached|included|follows)|your (original )?message follows|body of (the )?(original )?message|returned mail follows|---- ?returned|元のメール|オリジナルメッセージ|以下は(元|送信)).*$`)

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

var (
	feedbackText    = regexp.MustCompile(`(?i)email abuse report for an? e?-?mail|this is an? .{0,40}abuse report|feedback-type:|"notificationtype":\s*"complaint"|spam complaint`)
	feedbackField   = regexp.MustCompile(`(?im)^feedback-type:[ \t]*(abuse|fraud|opt-out|not-spam|virus|other|auth-failure)`)
	feedbackSubject = regexp.MustCompile(`(?i)^(complaint about message from|abuse report|email feedback report|fbl report|spam (complaint|report)|\[?feedback[- ]loop)`)
)

// isFeedback tells complaints (RFC 5965 and those who came before it): somebody
// calls our mail abuse, or asks for no more.
func isFeedback(p *parsed) bool {
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

var (
	autoSubject = regexp.MustCompile(`(?i)^\s*(auto(matic(ally)?|mated)?[-_: ]*(re|reply|response|respon|answer|generated|submitted|antwort|message|away|mail)|out[- ]of[- ](the[- ])?office|ooo\b|vacation|away (until|from)|on (vacation|leave|holiday)|i am (away|out|on)|currently (away|out)|abwesen|automatische|réponse auto|absence|risposta auto|respuesta auto|自動(返信|応答|配信|送信)|不在|休暇)|自動(返信|応答)|受付(完了|いたしました|しました)|(ticket|request|case|incident|report|inquiry|message|mail|e-?mail).{0,30}(received|created|opened|registered|logged|acknowledg)|(received|acknowledg\w*) .{0,20}(ticket|request|report|inquiry)|we (have )?received your|thank you for (contacting|your (e-?mail|message|report|inquiry|enquiry))|自动回复|自動回覆|자동 ?응답`)
	autoText    = regexp.MustCompile(`(?i)this is an auto(mated|matic)( \w+)? (re|mess|mail|e-?mail|acknow)|auto(matically)?[- ]generated (mail|e-?mail|message|re)|do not (reply|respond) to this (mail|e-?mail|message)|(i am|i'm|i will be) (currently )?(out of|away|on (vacation|leave|holiday))|このメールは(、)?(自動|システム)|自動(返信|応答|配信|送信)(メール|して|にて|いたし)|返信(は|いただいても).{0,20}(できません|お受け)`)
)

// isAutomatic tells automatic answers: by RFC 3834, by the headers that those
// carry who do not know it, by the null sender, or by their words.
func isAutomatic(p *parsed, sender string) bool {
	h := p.header
	// Request Tracker marks everything as bulk; what its people write has them
	// as originator.
	if o := h.Get("Rt-Originator"); o != "" && !strings.Contains(o, "RT_System") && autoSubmitted(h.Get("Auto-Submitted")) == "" {
		return autoSubject.MatchString(p.subject)
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
	if isNullSender(p, sender) || autoSubject.MatchString(p.subject) {
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

package notify

import (
	"regexp"
	"strings"

	"teiten/internal/phrase"
)

// envelope is what the dialogue in which a mail came says about it, as far as it
// is known.
type envelope struct {
	sender string    // "null" if it was empty, "" if it is not known, else the address
	to     TokenKind // of the token that it came to; "" if to another address
}

// signs are what speaks for and against a report of failed delivery. Words alone
// never make one: people write the same words about customers, and about mail. A
// machine has to show: by its name, by the null sender, by coming to the address
// that only envelopes have, or by bringing a mail back.
type signs struct {
	daemon   bool // the sender is a program that writes reports and nothing else
	shared   bool // programs and people share the sender: postmaster (RFC 5321, 4.5.1), no-reply
	null     bool
	toBounce bool // it came to the envelope sender of a mail of ours, which people do not see
	toReply  bool // it came to the address that people answer to
	failed   bool // a field names failed recipients
	returned bool // a mail comes back with it
	fields   bool // the fields of a report stand in the text
	subject  bool // the subject speaks of failed delivery
	text     bool // so does the text
	code     bool // the text has a server's answer
	reply    bool // an answer, by its subject or thread
	auto     bool // the words of an automatic answer
	delay    bool
}

var (
	replyStart = regexp.MustCompile(`(?i)^\s*((re|aw|sv|antw|fw|fwd|wg|odp|vs|rv|tr|回复|答复|回覆|转发)(\[\d+\])?|返信)\s*[:：]`)
	// A report whose fields stand in the text.
	reportAction = regexp.MustCompile(`(?im)^action:[ \t]*(failed|failure)`)
	reportStatus = regexp.MustCompile(`(?im)^(status:[ \t]*[45]\.|final-recipient:|diagnostic-code:)`)
	noReplyLocal = regexp.MustCompile(`(?i)^(no|do-?not|dont|donot)[-_.]?reply`)
)

// isNullSender reports whether a mail came from <>, as bounces must (RFC 5321,
// 4.5.5) and automatic answers should.
func isNullSender(p *Mail, e envelope) bool {
	if e.sender == "null" {
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

// bounceSigns collects the signs; above is what the mail says before a mail that
// it returns.
func bounceSigns(p *Mail, above string, e envelope) signs {
	local, _, _ := cutAddress(p.from)
	own := unquoted(above)
	_, below := splitReturned(p.text)
	s := signs{
		daemon: p.from == "" && p.header.Get("From") != "" || daemonLocal.MatchString(local) || daemonName.MatchString(p.fromName),
		shared: sharedLocal.MatchString(local) || sharedName.MatchString(p.fromName) || noReplyLocal.MatchString(local) ||
			p.header.Get("X-Mlserver") != "", // a list's program, which adds the field to people's mail too
		null:     isNullSender(p, e),
		toBounce: e.to == TokenBounce,
		toReply:  e.to == TokenReply,
		failed:   p.header.Get("X-Failed-Recipients") != "" || p.header.Get("X-Mailer-Daemon-Recipients") != "",
		returned: p.hasReturned || below != "",
		fields:   reportAction.MatchString(own) && reportStatus.MatchString(own),
		subject:  bounceSubject.MatchString(p.subject),
		text:     bounceText.MatchString(own),
		code:     codeInText.MatchString(own),
	}
	s.reply = replyStart.MatchString(p.subject) || len(p.inReplyTo) > 0 && own != above
	s.subject = s.subject && (!replyStart.MatchString(p.subject) || s.null || s.daemon)
	prefix, words := saysAutomatic(p)
	s.auto = prefix || words && !s.subject
	s.delay = s.words() && (delayWords.MatchString(p.subject) || delayWords.MatchString(own)) && !finalWords.MatchString(own)
	return s
}

func (s signs) words() bool { return s.subject || s.text || s.code }

// mayBeAnswer reports whether the mail may be a person's answer, so that a
// sender's name is not enough.
func (s signs) mayBeAnswer() bool { return s.reply || s.toReply }

// isDelay reports whether the mail is a machine's that a mail of ours is late.
func (s signs) isDelay() bool {
	return s.delay && !s.autoOnly() && (s.daemon || s.null || s.failed || s.toBounce || s.shared && !s.mayBeAnswer())
}

// autoOnly reports whether the words of an automatic answer count more: one may
// say that a person cannot be reached.
func (s signs) autoOnly() bool { return s.auto && !s.daemon && !s.failed && !s.returned && !s.code }

// isBounce weighs the signs.
func (s signs) isBounce() bool {
	machine := s.daemon || s.null || s.failed || s.toBounce
	switch {
	case s.autoOnly(), s.auto && !s.words():
		return false
	case s.fields && (machine || s.shared):
		return true
	case s.daemon:
		return true
	case s.failed:
		return s.words() || s.null || s.returned
	case s.null || s.toBounce:
		return s.words() || s.returned
	case s.reply, s.toReply && !(s.shared && s.returned && s.subject):
		return false
	case s.shared:
		return s.returned && s.words() || s.subject && (s.text || s.code)
	}
	// Lists and filters write from any address. Two kinds of words and the mail itself
	// are more than a person writes.
	return s.returned && s.subject && (s.text || s.code)
}

// The senders of reports.
var (
	// daemonLocal are the local parts of machines that write nothing but reports.
	daemonLocal = phrase.Any(`(?i)^(%s)$`, phrase.Table{
		{"mailer daemon", `mailer[-_.]?daemon`, "MAILER-DAEMON"},
		{"mail daemon", `mail[-_.]?daemon`, "mail-daemon"},
		{"delivery system", `mail[-_.]delivery[-_.](sub)?system`, "mail-delivery-subsystem"},
		{"MDaemon", `mdaemon`, "MDaemon"},
		{"Exchange", `noreply-maildelivery`, "noreply-maildelivery"},
		{"bounces", `bounces?`, "bounces"},
		{"bounces, with what they are about", `bounce-.*`, "bounce-1234"},
		{"delivery reports", `delivery-?(failure|status|report).*`, "delivery-status-notification"},
	})
	// sharedLocal are local parts from which programs and people write. Every
	// domain has to have a postmaster whom a person reads.
	sharedLocal = phrase.Any(`(?i)^(%s)$`, phrase.Table{
		{"postmaster", `post[-_]?master`, "postmaster"},
		{"misspelt postmaster", `po+stmaster`, "pooostmaster"},
		{"a provider's postmaster", `twfpostmaster`, "twfpostmaster"},
		{"mailer", `mail[-_.]?er`, "mailer"},
		{"mail administrator", `mailadmin`, "mailadmin"},
		{"mail system", `mail-?system`, "mail-system"},
		{"Majordomo", `majordomo`, "majordomo"},
	})
	// daemonName are the names of machines that write nothing but reports.
	daemonName = phrase.Any(`(?i)%s`, phrase.Table{
		{"mailer daemon", `mailer[- ]?daemon`, "Mailer-Daemon"},
		{"delivery system", `mail deliver(y|er)? ?(sub)?system`, "Mail Delivery Subsystem"},
		{"delivery subsystem", `delivery subsystem`, "Delivery Subsystem"},
		{"mail delivery", `^mail delivery`, "Mail Delivery Service"},
		{"NDR administrator", `ndr administrator`, "NDR Administrator"},
		{"a gateway", `e-?mail interconnect`, "E-Mail Interconnect"},
		{"ja: delivery system", `配信システム`, "メール配信システム"},
	})
	// sharedName are the names from which programs and people write.
	sharedName = phrase.Any(`(?i)%s`, phrase.Table{
		{"system administrator", `system administrator`, "System Administrator"},
		{"mail administrator", `mail administrator`, "Mail Administrator"},
		{"postmaster", `postmaster`, "The Postmaster"},
		{"InterScan", `interscan`, "InterScan MSS"},
		{"Microsoft", `microsoft (outlook|exchange)`, "Microsoft Outlook"},
		{"content filter", `content[- ]filter`, "Content-Filter at relay.example"},
	})
)

package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
	"teiten/notify"
)

// evil is the input of an attacker who wants a field to be more than text:
// every way out of HTML text, of attributes and of the templates, a picture
// elsewhere that tells that it was read, and marks that turn the rest around.
func evil(field string) string {
	return "pwn-" + field + `<x-pwn></x-pwn><script>window.pwned="` + field + `"</script><img src="http://203.0.113.9/` + field + `.png" onerror="window.pwned='` + field +
		`'">"'><svg onload="alert(1)"></svg></title></textarea></pre></script>{{.}}<!--` + marks
}

// marks change the order in which a line is read.
const marks = "\u202e\u2066\u200f\u061c"

// brief is evil in fewer letters, without blanks: for addresses and names.
func brief(field string) string {
	return `pwn-` + field + `<x-pwn/onclick=alert(1)>'`
}

func encoded(s string) string {
	var words []string
	for len(s) > 0 {
		n := min(len(s), 30)
		for n < len(s) && s[n]&0xc0 == 0x80 {
			n--
		}
		words = append(words, "=?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, "\n ")
}

// hostileMail is a mail with evil in every field. name tells its fields from
// those of others.
type hostileMail struct{ name, from, to, raw string }

// hostileMails are mails of every class, all about one case or about none: tag
// is what their subjects end with.
func hostileMails(kind, tag, reply, bounce string) []hostileMail {
	head := func(name string) string {
		f := func(field string) string { return kind + "-" + name + "-" + field }
		return "From: " + encoded(evil(f("fromname"))) + " <\"" + brief(f("from")) + "\"@isp.example>\n" +
			"To: \"" + brief(f("toname")) + "\" <\"" + brief(f("to")) + "\"@teiten.example>\n" +
			"Reply-To: <\"" + brief(f("replyto")) + "\"@isp.example>\n" +
			"Message-ID: <" + name + kind + "'onclick=alert(1)@isp.example>\nReferences: <'\"x-pwn=1@isp.example>\n" +
			"X-Mailer: " + evil(f("mailer")) + "\nSubject: " + encoded(evil(f("subject"))) + " [<x-pwn>#4711] " + tag + "\nMIME-Version: 1.0\n"
	}
	file := func(name, parameter string) string {
		return "--b\nContent-Type: text/html; x=\"" + brief(kind+name) + "\"\nContent-Disposition: attachment; filename" + parameter + "\n\n<script>window.pwned=1</script>\n"
	}
	field := func(name, f string) string { return evil(kind + "-" + name + "-" + f) }
	report := func(name, action, status string) string {
		return head(name) + "Auto-Submitted: auto-replied\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n" +
			"550 " + field(name, "explanation") + "\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; " + field(name, "mta") + "\nRemote-MTA: dns; " + field(name, "remotemta") +
			"\n\nFinal-Recipient: rfc822; \"" + brief(kind+"-"+name+"-recipient") + "\"@isp.example\nOriginal-Recipient: rfc822; " + field(name, "original") +
			"\nAction: " + action + "\nStatus: " + status + " (" + field(name, "status") + ")\nDiagnostic-Code: smtp; 550 5.1.1 " + field(name, "diagnostic") +
			"\n\n--b\nContent-Type: text/rfc822-headers\n\nSubject: " + field(name, "returned") + "\nTo: " + field(name, "returnedto") + "\n\n--b--\n"
	}
	person := "\"" + brief(kind+"-envelope") + "\"@isp.example"
	return []hostileMail{
		{"reply", person, reply, head("reply") + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=\"utf-8\"\n\n" + field("reply", "text") + "\n" +
			file("a", "=\""+brief(kind+"-reply-file")+".html\"") + file("b", "*=utf-8''pwn-"+kind+"-reply-rfc2231%3Cx-pwn%3E%22%27%E2%80%AE.html") +
			file("c", "=\"=?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(brief(kind+"-reply-word")))+"?=.svg\"") + "--b--\n"},
		{"html", person, reply, head("html") + "Content-Type: text/html; charset=utf-8\n\n<html><head><title>x</title><script>window.pwned=1</script></head><body onload=\"window.pwned=2\">" +
			"<p>pwn-" + kind + "-html-page &lt;script&gt;window.pwned=3&lt;/script&gt; &lt;x-pwn&gt;<img src=http://203.0.113.9/html.png onerror=window.pwned=4><iframe src=//203.0.113.9/></iframe></body></html>\n"},
		{"charset", person, reply, head("charset") + "Content-Type: text/plain; charset=\"x-" + brief("charset") + "\"\n\n" + field("charset", "text") + "\n"},
		{"utf7", person, reply, head("utf7") + "Content-Type: text/plain; charset=utf-7\n\npwn-" + kind + "-utf7-text +ADw-script+AD4-window.pwned+AD0-1+ADw-/script+AD4-\n"},
		{"jis", person, reply, head("jis") + "Content-Type: text/plain; charset=iso-2022-jp\n\npwn-" + kind + "-jis-text \x1b$B$F$9$H\x1b(B<script>window.pwned=1</script><x-pwn>\x1b$B\n"},
		{"auto", "", reply, head("auto") + "Auto-Submitted: auto-replied\n\n" + field("auto", "text") + "\n"},
		{"complaint", person, reply, head("complaint") + "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\nContent-Type: text/plain\n\n" + field("complaint", "text") +
			"\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: " + field("complaint", "agent") + "\nOriginal-Rcpt-To: " + field("complaint", "rcpt") +
			"\nReported-Domain: " + field("complaint", "domain") + "\nSource-IP: " + field("complaint", "ip") + "\n--b\nContent-Type: message/rfc822\n\nSubject: " + field("complaint", "inner") + "\n\nx\n--b--\n"},
		{"receipt", person, reply, head("receipt") + "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\n\n" + field("receipt", "text") +
			"\n--b\nContent-Type: message/disposition-notification\n\nReporting-UA: " + field("receipt", "ua") + "\nDisposition: manual-action; displayed\n--b--\n"},
		{"delay", "", bounce, report("delay", "delayed", "4.4.1")},
		{"forged", "", reply, report("forged", "failed", "5.1.1")},
		{"bounce", "", bounce, report("bounce", "failed", "5.1.1")},
	}
}

// receive lets the mails come in as mail does: over SMTP, then read.
func (b *bundle) receive(mails []hostileMail) {
	b.t.Helper()
	tokens := pageTokens(b.t)
	now := func() time.Time { return b.now }
	in := notify.NewInboundServer(b.db, notify.InboundConfig{Tokens: tokens, Accept: []string{"csirt"}, Now: now})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	go func() { _ = in.Serve(l) }()
	defer func() { _ = in.Close() }()
	for _, m := range mails {
		if err := smtp.SendMail(l.Addr().String(), nil, m.from, []string{m.to}, []byte(strings.ReplaceAll(m.raw, "\n", "\r\n"))); err != nil {
			b.t.Fatalf("%s: %v", m.name, err)
		}
	}
	worker := notify.InboundWorker{DB: b.db, Tokens: tokens, Now: now, Logger: logger(b.t)}
	for n := 1; n > 0; {
		if n, err = worker.Do(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
	}
	if n := one[int](b.t, b.db, `select count(*) from inbound where state <> 'processed'`); n != 0 {
		b.t.Fatalf("%d mails were not processed", n)
	}
}

// confirmToken is in the link that is mailed to a researcher who registers.
const confirmToken = "abcdefghijklmnopqrstuvwxyz"

// fillWithEvil fills a desk as fill does and puts evil wherever a stranger's
// words are kept.
func fillWithEvil(t *testing.T, b *bundle) sampleCase {
	t.Helper()
	c := fill(t, b)
	tokens := pageTokens(t)
	exec(t, b.db, `insert into message_source (message_id, source) select $1, source from case_source where case_id = $2`, c.Message.ID, c.ID)
	for _, name := range []string{"accepted", "unconfirmed"} {
		if status, body, _ := b.post("/register", "organisation", brief("organisation-"+name)+marks, "purpose", evil("purpose-"+name), "email", name+"@research.example",
			"url", "https://research.example/?'><x-pwn>", "prefixes", "203.0.113.64/26"); status != 303 {
			t.Fatalf("register: %d\n%s", status, body)
		}
	}
	sum := sha256.Sum256([]byte(confirmToken))
	exec(t, b.db, `update registration set confirm_digest = $1 where email = 'unconfirmed@research.example'`, sum[:])
	exec(t, b.db, `update registration set state = 'accepted', confirmed_at = $1 where email = 'accepted@research.example'`, b.now)
	b.receive(hostileMails("case", "["+c.Number+"]", tokens.Make(notify.TokenReply, c.Number, &c.Message), tokens.Make(notify.TokenBounce, c.Number, &c.Message)))
	b.receive(hostileMails("stray", "", "csirt@teiten.example", "csirt@teiten.example"))
	for _, pairs := range [][]string{{"act", "fixed", "comment", evil("comment")}, {"act", "contact", "email", "soc@isp.example", "comment", evil("contactcomment")}} {
		if status, body, _ := b.post("/o/"+tokens.PagePath(c.Number, &c.Message), pairs...); status != 303 {
			t.Fatalf("owner says: %d\n%s", status, body)
		}
	}
	if status, body, _ := b.post("/cases/"+c.Number+"/note", "version", version(t, b, c), "text", evil("note")); status != 303 {
		t.Fatalf("note: %d\n%s", status, body)
	}
	// The words of registries and mail servers are cleaned on their way in; here they come without it.
	plain := func(field string) string { return strings.TrimSuffix(evil(field), marks) }
	exec(t, b.db, `update message_attempt set response = $1`, plain("response"))
	exec(t, b.db, `update owner set name = $1`, plain("owner"))
	exec(t, b.db, `update network set name = $1, handle = $2`, plain("network"), brief("handle"))
	exec(t, b.db, `update contact set name = $1, why = $2`, plain("contactname"), reason.Of(reason.Remark, plain("why")))
	exec(t, b.db, `insert into case_ticket (case_id, address, tag, inbound_id, set_at) select $1, 'abuse1@isp.example', '[<x-pwn>#99]', min(id), $2 from inbound
		on conflict do nothing`, c.ID, b.now)
	raw := "From: " + encoded(evil("box-from")) + " <a@b.example>\r\nTo: \"" + brief("box-to") + "\" <x@y.example>\r\nSubject: " + encoded(evil("box-subject")) +
		"\r\nMessage-Id: <'onclick=alert(1)@x.example>\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + evil("box-body") +
		"\r\n--x\r\nContent-Type: text/csv; name=\"" + brief("box-name") + "\"\r\nContent-Disposition: attachment; filename=\"" + brief("box-file") + "\"\r\n\r\n" + evil("box-csv") +
		"\r\n--x\r\nContent-Type: text/html\r\nContent-Disposition: attachment\r\n\r\n<script>window.pwned=1</script>\r\n--x--\r\n"
	raw = strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\n", "\r\n")
	if _, err := b.db.StoreBoxMail(t.Context(), casedb.BoxMail{ReceivedAt: b.now, EnvelopeFrom: brief("box-envelopefrom") + marks,
		EnvelopeTo: brief("box-envelopeto") + marks, Subject: evil("box-listed"), Raw: []byte(raw)}); err != nil {
		t.Fatal(err)
	}
	return c
}

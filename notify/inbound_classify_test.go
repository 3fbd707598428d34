package notify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"

	"teiten/internal/casedb"
	"teiten/notify"
)

// mails are made up after the manners of mail systems and people.
var mails = []struct {
	name, raw string
	class     string
	hard      bool
	status    string // "": not looked at
	recipient string // "": not looked at
	ticket    string
}{
	{"qmail", `Return-Path: <>
From: MAILER-DAEMON@mx.example.org
Subject: failure notice

Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<abuse@isp.example>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 <abuse@isp.example>: Recipient address rejected: User unknown
Giving up on 192.0.2.1.

--- Below this line is a copy of the message.

Message-Id: <x@teiten.example>
`, "bounce", true, "5.1.1", "abuse@isp.example", ""},
	{"qmail without codes", `Return-Path: <>
From: MAILER-DAEMON@mx.example.org
Subject: failure notice

Hi. This is the qmail-send program at mx.example.org.

<abuse@isp.example>:
Sorry, no mailbox here by that name. (#5.1.1)
`, "bounce", true, "5.1.1", "abuse@isp.example", ""},
	{"exim warning", `From: Mail Delivery System <Mailer-Daemon@mx.example.org>
X-Failed-Recipients: abuse@isp.example
Auto-Submitted: auto-replied
Subject: Warning: message 1abc delayed 24 hours

This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mx.example.org.

No action is required on your part. Delivery attempts will continue for
some time, and this warning may be repeated at intervals.
`, "delay", false, "", "abuse@isp.example", ""},
	{"exim gives up", `From: Mail Delivery System <Mailer-Daemon@mx.example.org>
X-Failed-Recipients: abuse@isp.example
Subject: Mail delivery failed: returning message to sender

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  abuse@isp.example
    host mx.isp.example [192.0.2.1]: 452 4.2.2 mailbox full:
    retry timeout exceeded
`, "bounce", false, "4.2.2", "abuse@isp.example", ""},
	{"postfix delayed", `Return-Path: <>
From: MAILER-DAEMON@mx.example.org (Mail Delivery System)
Subject: Delayed Mail (still being retried)
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; abuse@isp.example
Action: delayed
Status: 4.4.1
--b--
`, "delay", false, "4.4.1", "abuse@isp.example", ""},
	{"delivered", `Return-Path: <>
From: MAILER-DAEMON@mx.example.org
Subject: Successful Mail Delivery Report
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; abuse@isp.example
Action: relayed
Status: 2.1.5
--b--
`, "autoreply", false, "2.1.5", "abuse@isp.example", ""},
	{"international", `Return-Path: <>
From: MAILER-DAEMON@mx.example.org
Subject: Delivery Status Notification
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: message/global-delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: utf-8; abuse@isp.example
Action: failed
Status: 5.1.1
--b--
`, "bounce", true, "5.1.1", "abuse@isp.example", ""},
	{"filter", `Return-Path: <>
From: postmaster@isp.example
Subject: Undeliverable: notification
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: message/delivery-status

Final-Recipient: rfc822;abuse@isp.example
Action: failed
Status: 5.7.1
Diagnostic-Code: smtp;550 5.7.1 Message rejected as spam by Content Filtering.
--b--
`, "bounce", false, "5.7.1", "abuse@isp.example", ""},
	{"full mailbox", `Return-Path: <>
From: MAILER-DAEMON
Subject: Returned mail: see transcript for details

   ----- The following addresses had permanent fatal errors -----
<abuse@isp.example>
    (reason: 552 5.2.2 Over quota)
`, "bounce", false, "5.2.2", "abuse@isp.example", ""},
	{"provider in Japanese", `Return-Path: <>
From: Postmaster@mail.isp.example
Subject: Mail System Error - Returned Mail
Content-Type: text/plain; charset=UTF-8

次のあて先へのメッセージはエラーのため送信できませんでした。

送信先メールアドレスが見つかりません。

  Recipient: <abuse@isp.example>
`, "bounce", true, "5.1.1", "abuse@isp.example", ""},
	{"gateway in Japanese", `Return-Path: <>
From: 配信システム <no-reply@isp.example>
Subject: 配信不能のお知らせ
Content-Type: text/plain; charset=UTF-8

以下のアドレスへ配信できませんでした。
abuse@isp.example
理由: メールボックスの容量を超えています。
`, "bounce", false, "5.2.2", "abuse@isp.example", ""},
	{"Domino", `From: Postmaster@isp.example
Subject: DELIVERY FAILURE: User abuse (abuse@isp.example) not listed in Domino Directory

Your message was not delivered to:
  abuse@isp.example
because:
  User abuse (abuse@isp.example) not listed in Domino Directory
`, "bounce", true, "5.1.1", "abuse@isp.example", ""},
	{"German", `From: "Mail Delivery System" <mailer-daemon@mx.isp.example>
Subject: Unzustellbare E-Mail

Die E-Mail konnte nicht zugestellt werden.
abuse@isp.example: 550 5.1.1 unknown
`, "bounce", true, "5.1.1", "abuse@isp.example", ""},
	{"no such domain", `Return-Path: <>
From: MAILER-DAEMON@mx.example.org
Subject: Failure Notice

Sorry, we were unable to deliver your message to the following address.

<abuse@isp.example>:
No mx record found for domain=isp.example
`, "bounce", true, "5.1.2", "abuse@isp.example", ""},
	{"truncated report", `Return-Path: <>
From: MAILER-DAEMON@mx.example.org
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

<abuse@isp.example>: host mx said: 550 5.1.1 User unk`, "bounce", true, "5.1.1", "abuse@isp.example", ""},

	{"vacation", "From: a@isp.example\nSubject: Out of Office: [TT-2026-000001]\n\nI am away until Monday.\n", "autoreply", false, "", "", ""},
	{"vacation in Japanese", "From: a@isp.example\nSubject: 【自動返信】お問い合わせありがとうございます\n\nこのメールは自動返信です。\n受付番号: AB-12345\n", "autoreply", false, "", "", "AB-12345"},
	{"vacation of a person who cannot be reached", "Return-Path: <>\nFrom: a@isp.example\nSubject: Automatic reply: your mail\n\nThis mailbox is no longer monitored; mail could not be delivered to me.\n", "autoreply", false, "", "", ""},
	{"ticket system", "From: abuse@isp.example\nPrecedence: bulk\nSubject: [isp.example #12345] AutoReply: [TT-2026-000001] x\n\nThis is an automatic reply.\n", "autoreply", false, "", "", "12345"},
	{"OTRS", "From: abuse@isp.example\nX-OTRS-Loop: yes\nSubject: [Ticket#2026112010000017] RE: x\n\nDear Sir\n", "autoreply", false, "", "", "2026112010000017"},
	{"OTRS, a person", "From: abuse@isp.example\nX-Auto-Response-Suppress: All\nSubject: [Ticket#2026112010000017] RE: x\n\nDear Sir\n", "human", false, "", "", "2026112010000017"},
	{"postmaster's automatic answer", "Return-Path: <>\nFrom: postmaster@isp.example\nSubject: Re: hello\nAuto-Submitted: auto-replied\n\nThank you. We read every mail.\n", "autoreply", false, "", "", ""},
	{"read receipt", "From: a@isp.example\nSubject: Read: x\nContent-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\nContent-Type: message/disposition-notification\n\nDisposition: manual-action; displayed\n--b--\n", "autoreply", false, "", "", ""},

	{"person", "From: A <a@isp.example>\nSubject: Re: [TT-2026-000001] x\nIn-Reply-To: <x@teiten.example>\n\nWe cleaned the host. Thank you.\n", "human", false, "", "", ""},
	{"person not automatic", "From: A <a@isp.example>\nAuto-Submitted: no\nSubject: Re: x\n\nHello.\n", "human", false, "", "", ""},
	{"person on a postmaster address", "From: postmaster@isp.example\nSubject: Re: [TT-2026-000001] Hosts in your network\n\nDone, we took it off the network.\n", "human", false, "", "", ""},
	{"person about a bounce", "From: a@isp.example\nSubject: Re: Undeliverable: your mail\nIn-Reply-To: <x@y>\n\nHi, your mail to the customer could not be delivered, we will phone.\n\n> 550 5.1.1 User unknown\n", "human", false, "", "", ""},
	{"person who forwards a mail", "From: a@isp.example\nSubject: Fwd: failure notice\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nDid you mean this?\n--b\nContent-Type: message/rfc822\n\nReturn-Path: <>\nSubject: failure notice\n\nUser unknown\n--b--\n", "human", false, "", "", ""},
	{"person through Request Tracker", "From: Abuse Desk via RT <abuse@isp.example>\nPrecedence: bulk\nRT-Ticket: isp.example #777\nRT-Originator: jane@isp.example\nSubject: [isp.example #777] x\n\nFixed.\n", "human", false, "", "", "777"},
	{"person in HTML only", "From: a@isp.example\nSubject: Re: x\nContent-Type: text/html; charset=utf-8\n\n<html><head><style>p{}</style></head><body><p>Thank you<br>very much</p><script>alert(1)</script></body></html>\n", "human", false, "", "", ""},

	{"complaint", "From: fbl@isp.example\nSubject: complaint about message from 192.0.2.1\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n--b--\n", "feedback", false, "", "", ""},
	{"empty", "", "human", false, "", "", ""},
	{"no header", "\n\n\x00\xff\xfe", "human", false, "", "", ""},
}

func TestClassifyMadeUpMails(t *testing.T) {
	t.Parallel()
	for _, test := range mails {
		for _, ends := range []string{"\n", "\r\n"} {
			r := notify.ClassifyMail(test.name, []byte(strings.ReplaceAll(test.raw, "\n", ends)))
			if r.Class != test.class || r.Hard != test.hard || (test.status != "" && r.Status != test.status) ||
				(test.recipient != "" && r.Recipient != test.recipient) || r.RemoteTicket != test.ticket {
				t.Errorf("%s: %s hard %v status %q recipient %q ticket %q,\n want %s hard %v status %q recipient %q ticket %q", test.name,
					r.Class, r.Hard, r.Status, r.Recipient, r.RemoteTicket, test.class, test.hard, test.status, test.recipient, test.ticket)
			}
		}
	}
}

func TestCharsets(t *testing.T) {
	t.Parallel()
	const words = "ご連絡ありがとうございます。対応しました。"
	encode := func(e encoding.Encoding) string {
		s, err := e.NewEncoder().String(words)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, test := range []struct{ header, body string }{
		{"text/plain; charset=utf-8", words},
		{"text/plain; charset=ISO-2022-JP", encode(japanese.ISO2022JP)},
		{"text/plain", encode(japanese.ISO2022JP)},
		{"text/plain; charset=us-ascii", encode(japanese.ISO2022JP)},
		{"text/plain; charset=Shift_JIS", encode(japanese.ShiftJIS)},
		{"text/plain", encode(japanese.ShiftJIS)},
		{"text/plain; charset=EUC-JP", encode(japanese.EUCJP)},
		{"text/plain; charset=utf-8", encode(japanese.EUCJP)},
		{"text/plain; charset=x-unheard-of", encode(japanese.EUCJP)},
		{"text/html; charset=Shift_JIS", "<p>" + encode(japanese.ShiftJIS) + "</p>"},
	} {
		r := notify.ClassifyMail("x", []byte("From: =?iso-2022-jp?B?GyRCO09AdRsoQg==?= <a@isp.example>\nSubject: Re: =?Shift_JIS?B?g2WDWIOn?=\nContent-Type: "+test.header+"\n\n"+test.body+"\n"))
		if r.Text != words || r.Class != "human" || !strings.HasPrefix(r.Subject, "Re: テス") {
			t.Errorf("%s: %q, subject %q", test.header, r.Text, r.Subject)
		}
	}
}

func TestHTMLIsTurnedToText(t *testing.T) {
	t.Parallel()
	r := notify.ClassifyMail("x", []byte("From: a@isp.example\nContent-Type: text/html\n\n<head><title>t</title></head><p>One &lt;two&gt;</p><script>three</script><div>four"))
	if r.Text != "One <two>\n\nfour" && r.Text != "One <two>\nfour" {
		t.Errorf("text %q", r.Text)
	}
}

func TestTokensInOfflineMails(t *testing.T) {
	t.Parallel()
	tokens, err := notify.NewTokens([]byte("0123456789abcdef0123456789abcdef"), domain)
	if err != nil {
		t.Fatal(err)
	}
	address := tokens.Make(notify.TokenBounce, "TT-2026-000123", &casedb.Message{ID: 45, Token: "x", TokenRule: 2})
	r := notify.ClassifyMail("x", []byte("Delivered-To: "+strings.ToUpper(address)+"\nFrom: a@isp.example\n\nx\n"))
	local, _, _ := strings.Cut(address, "@")
	if r.Token != local || r.Case != "TT-2026-000123" {
		t.Errorf("token %q case %q", r.Token, r.Case)
	}
	other, err := notify.NewTokens([]byte("another key of thirty-two bytes."), domain)
	if err != nil {
		t.Fatal(err)
	}
	token, ok := notify.ParseToken(address)
	if !ok || !tokens.Verify(token) || other.Verify(token) {
		t.Error("the token's HMAC does not decide")
	}
	for _, m := range []struct {
		m      casedb.Message
		proves bool
	}{
		{casedb.Message{ID: 45, Token: "x", TokenRule: 2}, true},
		{casedb.Message{ID: 45, Token: "y", TokenRule: 2}, false}, // another message has the number now
		{casedb.Message{ID: 46, Token: "x", TokenRule: 2}, false},
		{casedb.Message{ID: 45, Token: "x", TokenRule: 1}, false},
	} {
		if tokens.Proves(token, &m.m) != m.proves || other.Proves(token, &m.m) {
			t.Errorf("%+v: proves is not %v", m.m, m.proves)
		}
	}
	// Letters that were sent before random tokens counted have these addresses.
	old, ok := notify.ParseToken("b+tt-2026-000123.45." + oldProof("b|tt-2026-000123|45") + "@" + domain)
	if !ok || !tokens.Verify(old) || !tokens.Proves(old, &casedb.Message{ID: 45, Token: "x", TokenRule: 1}) || tokens.Proves(old, &casedb.Message{ID: 45, Token: "x", TokenRule: 2}) {
		t.Errorf("old token: %v", ok)
	}
}

// oldProof is the HMAC of a token under rule 1.
func oldProof(text string) string {
	h := hmac.New(sha256.New, []byte("0123456789abcdef0123456789abcdef"))
	h.Write([]byte(text))
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)))[:20]
}

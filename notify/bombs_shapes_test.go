package notify_test

import (
	"fmt"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/internal/soak"
	"teiten/notify"
)

// hostileShapes are mails that find what grows faster than their length: in
// parameters, encoded words, quotes, phrases, reports, line ends and JSON.
func hostileShapes() []mailBomb {
	const size = 1_900_000
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	numbered := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	head := "From: a@isp.example\nSubject: bomb\nMIME-Version: 1.0\n"
	daemon := "Return-Path: <>\nFrom: MAILER-DAEMON@isp.example\nSubject: Returned mail\nMIME-Version: 1.0\n"
	parts := "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
	return []mailBomb{
		{"100,000 parameters of RFC 2231 of a type", head + "Content-Type: text/plain" + numbered(";\n a*%d*=x", 100_000) + "\n\nx\n"},
		{"100,000 parameters of RFC 2231 of a file", head + "Content-Disposition: attachment" + numbered(";\n filename*%d*=x", 100_000) + "\n\nx\n"},
		{"100,000 parameters of a part", head + parts + "Content-Type: text/plain" + numbered(";\n name*%d*=x", 100_000) + "\n\nx\n--b--\n"},
		{"parameters on one line", head + "Content-Type: text/plain" + numbered(";a*%d=x", 150_000) + "\n\nx\n"},
		{"quotes in a type", head + "Content-Type: text/plain; name=" + fill(`"\";`) + "\n\nx\n"},
		{"one field without end", head + "X-A: " + fill("a") + "\n\nx\n"},
		{"field of blanks", head + "Content-Type: text/plain;" + fill(" \n\t") + "\n\nx\n"},
		{"comments in comments", head + "Auto-Submitted: " + fill("(") + "no\n\nx\n"},
		{"words without an end", "From: a@isp.example\nSubject: " + fill("=?utf-8?B?") + "\n\nx\n"},
		{"words in brackets", "From: a@isp.example\nSubject: " + fill("[[[【") + "\n\nx\n"},
		{"addresses in To", head + "To: " + fill("b+tt-2026-000001.5.aaaaaaaaaaaaaaaaaaaa@x,") + "\n\nx\n"},
		{"JSON in JSON", head + "\n" + fill(`{"Message":`) + "\n"},
		{"JSON with a million recipients", head + "\n" + `{"notificationType":"Bounce","bounce":{"bouncedRecipients":[` + fill(`{"status":"5.1.1"},`) + "\n"},
		{"groups of a report", daemon + "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n" +
			fill("Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 4.0.0\nDiagnostic-Code: smtp; 550\n\n") + "--b--\n"},
		{"sentences", head + "\n" + fill("We received your ticket, and then. ")},
		{"fields of quoted heads", head + "\n" + fill("From: a\n")},
		{"almost phrases", daemon + "\n" + fill("your account your mailbox user recipient address is not ") + "\n"},
		{"numbers", head + "\n" + fill("Ticket No.")},
		{"lines that end in CR", strings.ReplaceAll(head+parts+fill("--b\n\nx\n"), "\n", "\r")},
		{"bytes of no charset", head + "Content-Type: text/plain; charset=utf-8\n\n" + fill("\x80\xff\xa4\xb1a")},
		{"HTML that never closes", head + "Content-Type: text/html\n\n" + fill("<blockquote>")},
		{"named texts", head + parts + strings.Repeat("Content-Type: text/plain; name=a\n\nx\n--b\n", 40_000)},
	}
}

// TestHostileShapes reads a third of the shapes, as the worker and the list of
// files do, within the deadline of a mail.
func TestHostileShapes(t *testing.T) { explodeShapes(t, 3) }

// TestSoakHostileShapes reads all.
func TestSoakHostileShapes(t *testing.T) {
	soak.Start(t)
	explodeShapes(t, 1)
}

// explodeShapes reads every step-th shape.
func explodeShapes(t *testing.T, step int) {
	t.Helper()
	p := newPost(t, notify.InboundConfig{})
	shapes := hostileShapes()
	if len(shapes) < 20 {
		t.Fatalf("%d shapes", len(shapes))
	}
	for i := 0; i < len(shapes); i += step {
		p.explode(shapes[i])
	}
	if in := p.take("abuse@isp.example", "csirt@"+domain, "From: abuse@isp.example\nSubject: Re: x\n\nWe cleaned it.\n"); in.Class != casedb.InboundHuman {
		t.Errorf("behind them a person's mail is %s", in.Class)
	}
}

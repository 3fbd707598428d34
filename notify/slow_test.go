package notify_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"teiten/notify"
)

// TestHostileMailsAreReadQuickly reads the largest mails that are taken in,
// made to be slow.
func TestHostileMailsAreReadQuickly(t *testing.T) {
	var nested, many bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&nested, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	many.WriteString("Content-Type: multipart/mixed; boundary=b\n\n")
	for range 200_000 {
		many.WriteString("--b\nContent-Type: text/plain\n\nx\n")
	}
	word := func(s string, n int) string { return strings.Repeat(s, n/len(s)) }
	mails := map[string][]byte{
		"nested":  nested.Bytes(),
		"many":    many.Bytes(),
		"words":   []byte("Return-Path: <>\nSubject: failure\n\n" + word("user recipient mailbox address ", 9<<20)),
		"line":    []byte("Subject: " + word("[ticket case #", 1<<20) + "\n\n" + word("domain host name ", 9<<20)),
		"address": []byte("From: MAILER-DAEMON\nSubject: x\n\n" + word("recipient: a@b", 9<<20)),
		"headers": []byte(word("X-A: b\n", 9<<20)),
		"folded":  []byte("Subject: a\n" + word(" =?utf-8?q?=41?=\n", 9<<20)),
		"quotes":  []byte("Subject: Re: x\n\n" + word("> a\n", 9<<20)),
		"html":    []byte("Content-Type: text/html\n\n" + word("<p><b>user unknown", 9<<20)),
		"status":  []byte("Content-Type: message/delivery-status\n\n" + word("Action: failed\nStatus: 5.0.0\n\n", 9<<20)),
		"base64":  []byte("Content-Transfer-Encoding: base64\n\n" + word("dXNlciB1bmtub3duIA==\n", 9<<20)),
		"ids":     []byte("References: " + word("<a@b> ", 9<<20) + "\n\nx"),
	}
	for name, raw := range mails {
		start := time.Now()
		r := notify.ClassifyMail(name, raw)
		d := time.Since(start)
		t.Logf("%s: %d bytes, %s, %s", name, len(raw), d.Round(time.Millisecond), r.Class)
		if d > 30*time.Second {
			t.Errorf("%s took %s", name, d)
		}
	}
}

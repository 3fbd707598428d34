package notify_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"teiten/internal/soak"
	"teiten/notify"
)

// TestHostileMailsAreRead reads mails that are made to be slow.
func TestHostileMailsAreRead(t *testing.T) { readHostile(t, 1<<20) }

// TestSoakHostileMails reads the largest that are taken in.
func TestSoakHostileMails(t *testing.T) {
	soak.Start(t)
	readHostile(t, 9<<20)
}

func readHostile(t *testing.T, size int) {
	t.Helper()
	var nested, many bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&nested, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	many.WriteString("Content-Type: multipart/mixed; boundary=b\n\n")
	for range size / 48 {
		many.WriteString("--b\nContent-Type: text/plain\n\nx\n")
	}
	word := func(s string, n int) string { return strings.Repeat(s, n/len(s)) }
	mails := map[string][]byte{
		"nested":  nested.Bytes(),
		"many":    many.Bytes(),
		"words":   []byte("Return-Path: <>\nSubject: failure\n\n" + word("user recipient mailbox address ", size)),
		"line":    []byte("Subject: " + word("[ticket case #", size/9) + "\n\n" + word("domain host name ", size)),
		"address": []byte("From: MAILER-DAEMON\nSubject: x\n\n" + word("recipient: a@b", size)),
		"headers": []byte(word("X-A: b\n", size)),
		"folded":  []byte("Subject: a\n" + word(" =?utf-8?q?=41?=\n", size)),
		"quotes":  []byte("Subject: Re: x\n\n" + word("> a\n", size)),
		"html":    []byte("Content-Type: text/html\n\n" + word("<p><b>user unknown", size)),
		"status":  []byte("Content-Type: message/delivery-status\n\n" + word("Action: failed\nStatus: 5.0.0\n\n", size)),
		"base64":  []byte("Content-Transfer-Encoding: base64\n\n" + word("dXNlciB1bmtub3duIA==\n", size)),
		"ids":     []byte("References: " + word("<a@b> ", size) + "\n\nx"),
	}
	for name, raw := range mails {
		start := time.Now()
		r := notify.ClassifyMail(name, raw)
		d := time.Since(start)
		t.Logf("%s: %d bytes, %s, %s", name, len(raw), d.Round(time.Millisecond), r.Class)
	}
}

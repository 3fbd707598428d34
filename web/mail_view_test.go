package web

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"teiten/internal/casedb"
)

func FuzzReadMail(f *testing.F) {
	for _, seed := range []string{
		"From: a@isp.example\r\nTo: b@isp.example\r\nSubject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n\r\ntext",
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<script>\r\n--x\r\nContent-Disposition: attachment; filename=a.csv\r\nContent-Type: text/csv\r\n\r\na,b\r\n--x--\r\n",
		"Content-Type: text/plain; charset=nonsense\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!", "\r\n", "", "Content-Type: multipart/mixed\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, header, err := readMail(raw)
		if err != nil {
			return
		}
		for _, text := range []string{m.Body, m.From, m.To, m.Subject} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || len(text) > maxMailText {
				t.Fatalf("shown as %q", text)
			}
		}
		if len(m.Attachments) > maxParts {
			t.Fatalf("%d attachments", len(m.Attachments))
		}
		box := casedb.BoxMail{ID: 1, EnvelopeFrom: "b+1@teiten.example", EnvelopeTo: "abuse@isp.example"}
		to, reply, err := replyTo(&header, box, "text", time.Unix(0, 0))
		if err != nil || strings.ContainsAny(to, "\r\n") {
			t.Fatalf("reply to %q: %v", to, err)
		}
		if _, _, err := readMail(reply); err != nil {
			t.Fatalf("our own reply: %v\n%s", err, reply)
		}
		bounce, err := bounceOf(&header, box, true, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := readMail(bounce); err != nil {
			t.Fatalf("our own bounce: %v\n%s", err, bounce)
		}
	})
}

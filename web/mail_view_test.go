package web

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"teiten/notify"
)

func FuzzMailView(f *testing.F) {
	for _, seed := range []string{
		"From: a@isp.example\r\nTo: b@isp.example\r\nSubject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n\r\ntext",
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<script>\r\n--x\r\nContent-Disposition: attachment; filename=a.csv\r\nContent-Type: text/csv\r\n\r\na,b\r\n--x--\r\n",
		"Content-Type: text/plain; charset=nonsense\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!", "\r\n", "", "Content-Type: multipart/mixed\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := mailView(notify.ParseMail(raw))
		shown := []string{m.Body, m.From, m.To, m.Subject}
		for _, a := range m.Attachments {
			shown = append(shown, a.Name, a.Type, a.Text)
		}
		for _, text := range shown {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || len(text) > maxMailText {
				t.Fatalf("shown as %q", text)
			}
		}
		if len(m.Attachments) > maxParts {
			t.Fatalf("%d attachments", len(m.Attachments))
		}
	})
}

func TestMailView(t *testing.T) {
	t.Parallel()
	inner := "From: csirt@teiten.example\r\nSubject: =?utf-8?b?44GU6YCj57Wh?=\r\n\r\nfirst letter\r\n"
	raw := "From: =?utf-8?q?Example_CSIRT?= <csirt@teiten.example>\r\nTo: abuse@isp.example\r\nSubject: two\r\n letters\r\n" +
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n" +
		"--x\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B#A\x1b(B\r\nhello\r\n" +
		"--x\r\nContent-Type: text/html\r\n\r\n<p>never</p>\r\n" +
		"--x\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\nContent-Transfer-Encoding: base64\r\n\r\nYSxiCg==\r\n" +
		"--x\r\nContent-Type: message/rfc822\r\n\r\n" + inner + "--x\r\nContent-Type: text/plain\r\n\r\nsecond text\r\n--x--\r\n"
	m := mailView(notify.ParseMail([]byte(raw)))
	if d := cmp.Diff([]string{"Example CSIRT <csirt@teiten.example>", "abuse@isp.example", "two letters"}, []string{m.From, m.To, m.Subject}); d != "" {
		t.Errorf("header: %s", d)
	}
	if d := cmp.Diff("Ａ\nhello", m.Body); d != "" {
		t.Errorf("body: %s", d)
	}
	attachments := []Attachment{
		{Type: "text/html", SizeBytes: 12},
		{Name: "a.csv", Type: "text/csv", SizeBytes: 4, Text: "a,b\n"},
		{Type: "message/rfc822", SizeBytes: len(inner) - 2, Text: "ご連絡\n\nfirst letter"},
		{Type: "text/plain", SizeBytes: 11, Text: "second text"},
	}
	if d := cmp.Diff(attachments, m.Attachments); d != "" {
		t.Error(d)
	}
}

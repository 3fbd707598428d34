package notify

import (
	"bytes"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"teiten/internal/casedb"
)

func FuzzParseToken(f *testing.F) {
	tokens, err := NewTokens(bytes.Repeat([]byte("k"), 32), "teiten.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tokens.Make(TokenBounce, "TT-2026-000123", &casedb.Message{ID: 45}))
	f.Add(tokens.Make(TokenReply, "", &casedb.Message{ID: 9223372036854775807, Token: "x", TokenRule: 2}))
	f.Add("b+tt-2026-000123.99999999999999999999.aaaaaaaaaaaaaaaaaaaa@x")
	f.Fuzz(func(t *testing.T, s string) {
		token, ok := ParseToken(s)
		if !ok {
			return
		}
		again, ok := ParseToken(strings.ToUpper(token.String()) + "@teiten.example")
		if !ok || again != token {
			t.Errorf("%q gives %+v, then %+v", s, token, again)
		}
		m := &casedb.Message{ID: token.Message}
		if tokens.Proves(token, m) && (!tokens.Verify(token) || !strings.HasPrefix(tokens.Make(token.Kind, token.Case, m), token.String()+"@")) {
			t.Errorf("%q is verified but not what we make", s)
		}
	})
}

func FuzzClassifyMail(f *testing.F) {
	f.Add([]byte("From MAILER-DAEMON Thu Jan  1\nReturn-Path: <>\nFrom: MAILER-DAEMON\nSubject: failure notice\n\n<a@isp.example>:\n550 5.1.1 no such user\n"))
	f.Add([]byte("Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nAction: failed\nStatus: 5.1.1\n--b--"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\n"))
	f.Add([]byte("Subject: =?iso-2022-jp?B?GyRCJUYbKEI=?=\nContent-Type: text/html; charset=shift_jis\n\n<p>\x83e<script>x</script>"))
	f.Add([]byte("Subject: x\r\rFrom: a@b\r\r\n{\"Type\":\"Notification\",\"Message\":\"{\\\"eventType\\\":\\\"Bounce\\\"}\"}"))
	f.Add([]byte("Subject: =?utf-8?B?6Ieq\n\n##- Please type your reply above this line -##\n\nFrom: a\nSent: b\nTo: c\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		start := time.Now()
		r := ClassifyMail("x", raw)
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%d bytes took %s", len(raw), d)
		}
		switch casedb.InboundClass(r.Class) {
		case casedb.InboundBounce, casedb.InboundDelay, casedb.InboundAutoReply, casedb.InboundFeedback, casedb.InboundChallenge, casedb.InboundHuman:
		default:
			t.Errorf("class %q", r.Class)
		}
		for _, s := range []string{r.Subject, r.Text} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				t.Errorf("%q is unfit for the database", s)
			}
		}
		if len(r.Text) > maxText {
			t.Errorf("%d bytes of text", len(r.Text))
		}
	})
}

// FuzzHeaders looks for ways to bring a line of one's own into our header.
func FuzzHeaders(f *testing.F) {
	c, err := NewComposer(Config{OrganisationJA: "サンプル", OrganisationEN: "Example", Email: "csirt@teiten.example", Domain: "teiten.example"},
		bytes.Repeat([]byte("k"), 32))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("abuse@isp.example", "[TT-2026-000001] subject", "body\n.\n", "id@isp.example")
	f.Add("a@b.example>\r\nBcc: <x@y.example", "s\r\nBcc: x@y.example\r\n\r\n", "\r\n.\r\nMAIL FROM:<>", "a@b>\r\nBcc: x@y")
	f.Add("a@b.example", "=?utf-8?q?=0d=0aBcc:_x?=", "\x00\xff", "")
	f.Fuzz(func(t *testing.T, to, subject, body, id string) {
		for _, language := range []string{"ja", "en"} {
			m := casedb.Message{ID: 1, Recipient: to, Subject: subject, Body: body, Edited: true, Language: language, Purpose: casedb.PurposeDecision,
				HeaderID: "tt.x@teiten.example", Token: "x", InReplyTo: id}
			d := Draft{To: to, From: "csirt@teiten.example", Subject: subject, Body: body}
			if err := c.words(t.Context(), nil, &d, m, nil); err != nil {
				continue
			}
			d.CSVName, d.CSV = "TT-2026-000001.csv", []byte("a,b\r\n")
			if name := FileName(subject); name != "" {
				d.Files = []casedb.MessageFile{{Name: name, Type: "text/plain", Content: []byte(body)}}
			}
			if language == "en" {
				d.XARF = []byte("{}")
			}
			raw, err := c.encode(d, m, "TT-2026-000001", time.Unix(0, 0))
			if err != nil {
				continue
			}
			msg, err := mail.ReadMessage(bytes.NewReader(raw))
			if err != nil {
				t.Fatalf("our own mail cannot be read: %v\n%s", err, raw)
			}
			if len(msg.Header) != 11 {
				t.Errorf("%d headers: %v", len(msg.Header), msg.Header)
			}
			for name, values := range msg.Header {
				if len(values) != 1 {
					t.Errorf("%d headers %s", len(values), name)
				}
			}
			if list, err := msg.Header.AddressList("To"); err != nil || len(list) != 1 || list[0].Address != to {
				t.Errorf("To is %v, %v; want %q", list, err, to)
			}
			for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
				if bytes.ContainsAny(line, "\r\n") || len(line) > 998 {
					t.Errorf("line %q", line)
				}
			}
			if p := ParseMail(raw); strings.TrimSpace(p.text) != strings.TrimSpace(d.Body) {
				t.Errorf("the text arrives as %q, want %q", p.text, d.Body)
			}
		}
	})
}

package notify

import (
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
)

// FuzzMailboxAnswers answers mails of any kind: what comes of it is read as
// what it was meant for.
func FuzzMailboxAnswers(f *testing.F) {
	for _, seed := range []string{
		"From: a@isp.example\r\nReply-To: c+1.x@teiten.example\r\nMessage-Id: <1@teiten.example>\r\nSubject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n\r\ntext",
		"From: \"a\r\n b\" <x\"y@isp.example>\r\nMessage-Id: <<>\r\n\r\n", "Content-Type: multipart/mixed\r\n\r\n", "\r\n", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := casedb.BoxMail{ID: 1, EnvelopeFrom: "b+1@teiten.example", EnvelopeTo: "abuse@isp.example"}
		p, now := ParseMail(raw), time.Unix(1, 0)
		if strings.ContainsAny(p.replyTo, "\r\n") {
			t.Fatalf("a reply goes to %q", p.replyTo)
		}
		reply, err := replyMail(m, p, "b+1@teiten.example", "It was us.", now)
		if err != nil {
			t.Fatal(err)
		}
		if got := ParseMail(reply); got.from != m.EnvelopeTo || !strings.HasPrefix(got.text, "It was us.") || got.Unreadable() {
			t.Fatalf("our own reply is read as %+v:\n%s", got, reply)
		}
		for words, hard := range map[string]bool{"": true, SoftBounce: false} {
			bounce, err := bounceMail(m, p, words, now)
			if err != nil {
				t.Fatal(err)
			}
			if got := ClassifyMail("bounce", bounce); got.Class != string(casedb.InboundBounce) || got.Recipient != m.EnvelopeTo || (got.Status == "5.1.1") != hard {
				t.Fatalf("our own bounce is read as %+v:\n%s", got, bounce)
			}
		}
	})
}

package notify_test

import (
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/notify"
)

// TestNULInAMail: no text of the database holds a NUL, wherever a mail has one.
func TestNULInAMail(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	const b64 = "=?utf-8?b?AGEAYgA=?=" // NUL a NUL b NUL
	for name, header := range map[string]string{
		"raw":          "Content-Disposition: attachment; filename=\"a\x00b.txt\"\nContent-Type: application/x\x00y; name=\"c\x00d\"",
		"RFC 2231":     "Content-Disposition: attachment; filename*=utf-8''a%00b%00.txt\nContent-Type: application/octet-stream",
		"RFC 2047":     "Content-Disposition: attachment; filename=\"" + b64 + ".txt\"\nContent-Type: application/octet-stream",
		"Content-Type": "Content-Type: application/\x00; name*=utf-8''%00",
		"only NUL":     "Content-Disposition: attachment; filename*=utf-8''%00\nContent-Type: application/octet-stream",
	} {
		raw := "From: a\x00b@x.example\nReply-To: c\x00@x.example\nSubject: s\x00 " + b64 + " [Ticket#4\x0071]\nMessage-ID: <a\x00b@x.example>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=q\n\n" +
			"--q\nContent-Type: text/plain\n\nte\x00xt\n--q\n" + header + "\n\nfi\x00le\n--q--\n"
		in := p.take("a@x.example", "csirt@"+domain, raw)
		if in.State != casedb.InboundProcessed {
			t.Errorf("%s: the mail is %s: %s", name, in.State, in.LastError)
			continue
		}
		if n := len(in.Attachments.V.List); n != 1 {
			t.Errorf("%s: %d files are listed, want 1", name, n)
			continue
		}
		if f := in.Attachments.V.List[0]; strings.ContainsRune(f.Name+f.Type, 0) {
			t.Errorf("%s: the file is %q of type %q", name, f.Name, f.Type)
		}
	}
}

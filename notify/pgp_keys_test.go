package notify_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/gopenpgp/v3/crypto"
	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
	"teiten/notify"
)

// entry writes an entry of the directory, and makes it the contact's, if any.
func (w *world) entry(target, email, key string, contact *int64, ended bool) (id int64) {
	w.t.Helper()
	w.scan(`insert into directory_entry (scope, target, email, language, pgp_key, created_at, created_by, ended_at)
		values ('as', $1, $2, 'en', $3, $4, 'taro', case when $5 then $4::timestamptz end) returning id`, &id, target, email, key, epoch.Add(-time.Hour), ended)
	if contact != nil {
		w.exec(`update contact set directory_id = $2, retired_at = case when $3 then $4::timestamptz end where id = $1`, *contact, id, ended, epoch)
	}
	return id
}

// opens says which of the keys open a mail: "" if it is not encrypted.
func opens(t *testing.T, raw []byte, keys map[string]*crypto.Key) string {
	t.Helper()
	if !bytes.Contains(raw, []byte("multipart/encrypted")) {
		return ""
	}
	begin := bytes.Index(raw, []byte("-----BEGIN PGP MESSAGE-----"))
	for name, key := range keys {
		handle, err := crypto.PGP().Decryption().DecryptionKey(key).New()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := handle.Decrypt(raw[begin:], crypto.Armor); err == nil {
			return name
		}
	}
	return "nobody"
}

// TestKeyIsTheRecipients: a recipient can read each mail, and a recipient
// with a key gets none in clear, whatever the source of the address was.
func TestKeyIsTheRecipients(t *testing.T) {
	t.Parallel()
	one, onePublic := theirKey(t)
	two, twoPublic := theirKey(t)
	keys := map[string]*crypto.Key{"one": one, "two": two}
	for name, tt := range map[string]struct {
		prepare func(w *world, c casedb.Case)
		answer  string // who wrote the mail that is answered; empty: a notification
		want    string
	}{
		"contact of an entry": {want: "one", prepare: func(w *world, c casedb.Case) { w.entry("64500", "Abuse@isp.example", onePublic, c.ContactID, false) }},
		"registry's contact with an address of the directory": {want: "one", prepare: func(w *world, _ casedb.Case) {
			w.entry("64500", "abuse@isp.example", onePublic, nil, false)
		}},
		"two entries": {want: "one", prepare: func(w *world, c casedb.Case) {
			w.entry("64500", "abuse@isp.example", onePublic, nil, false)
			w.entry("64501", "abuse@isp.example", "", c.ContactID, false)
		}},
		"ended": {want: "one", prepare: func(w *world, c casedb.Case) { w.entry("64500", "abuse@isp.example", onePublic, c.ContactID, true) }},
		"replaced": {want: "two", prepare: func(w *world, c casedb.Case) {
			w.entry("64500", "abuse@isp.example", onePublic, c.ContactID, true)
			w.entry("64500", "abuse@isp.example", twoPublic, nil, false)
		}},
		"key taken away": {want: "", prepare: func(w *world, c casedb.Case) {
			w.entry("64500", "abuse@isp.example", onePublic, c.ContactID, true)
			w.entry("64500", "abuse@isp.example", "", nil, false)
		}},
		"somebody else's": {want: "", prepare: func(w *world, _ casedb.Case) { w.entry("64500", "noc@isp.example", onePublic, nil, false) }},
		"long ended":      {want: "", prepare: func(w *world, _ casedb.Case) { w.entry("64500", "abuse@isp.example", onePublic, nil, true) }},
		"answer to the contact": {answer: "abuse@isp.example", want: "one", prepare: func(w *world, c casedb.Case) {
			w.entry("64500", "abuse@isp.example", onePublic, c.ContactID, false)
		}},
		"answer to a colleague": {answer: "hanako@isp.example", want: "", prepare: func(w *world, c casedb.Case) {
			w.entry("64500", "abuse@isp.example", onePublic, c.ContactID, false)
		}},
		"answer to another contact": {answer: "noc@isp.example", want: "two", prepare: func(w *world, c casedb.Case) {
			w.entry("64500", "abuse@isp.example", onePublic, c.ContactID, false)
			w.entry("64501", "noc@isp.example", twoPublic, nil, false)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.openCase(ispCase)
			m := w.message(c, ispCase, casedb.MessageHeld)
			tt.prepare(w, c)
			if tt.answer != "" {
				var in int64
				w.scan(`insert into inbound (received_at, envelope_from, envelope_to, raw, state, next_attempt_at, class, trusted, matched_by, case_id, sender, subject)
					values ($1, $2, '', '', 'processed', $1, 'human', true, 'token', $3, $2, 'Re: x') returning id`, &in, epoch, tt.answer, c.ID)
				var err error
				if m, err = w.answer(c, casedb.Answer{InboundID: &in, Text: "The evidence.", Evidence: true}); err != nil {
					t.Fatal(err)
				}
			}
			d, err := w.composer.Preview(t.Context(), w.db, m, epoch)
			if err != nil {
				t.Fatal(err)
			}
			if got := opens(t, d.Raw, keys); got != tt.want || d.Encrypted() != (got != "") {
				t.Errorf("encrypted to %q, want %q; said so: %v", got, tt.want, d.Encrypted())
			}
		})
	}
}

// TestEncryptedSubjectTellsNothing: what stands in brackets may be an address.
func TestEncryptedSubjectTellsNothing(t *testing.T) {
	t.Parallel()
	_, public := theirKey(t)
	w := newWorld(t)
	c := w.openCase(ispCase)
	m := w.message(c, ispCase, casedb.MessageHeld)
	w.entry("64500", "abuse@isp.example", public, c.ContactID, false)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.EditMessage(ctx, m.ID, m.Version, "["+c.Number+"] infected [2001:db8::1]:445 [192.0.2.10] 【感染】", "x", "taro", epoch)
	})
	d, err := w.composer.Preview(t.Context(), w.db, w.getMessage(m.ID), epoch)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(d.Raw), "\r\n\r\n")
	if strings.Contains(head, "2001:db8") || strings.Contains(head, "192.0.2") || !strings.Contains(head, "\r\nSubject: ["+c.Number+"] ...\r\n") {
		t.Errorf("header:\n%s", head)
	}
	// The number of their ticket sorts it on their side.
	w.exec(`insert into case_ticket (case_id, address, tag, set_at) values ($1, 'abuse@isp.example', '[isp.example #12345]', $2)`, c.ID, epoch)
	if d, err = w.composer.Preview(t.Context(), w.db, w.getMessage(m.ID), epoch); err != nil {
		t.Fatal(err)
	}
	if head, _, _ = strings.Cut(string(d.Raw), "\r\n\r\n"); !strings.Contains(head, "\r\nSubject: ["+c.Number+"] [isp.example #12345] ...\r\n") {
		t.Errorf("header:\n%s", head)
	}
}

// TestKeyThatEndsBeforeSending: a letter to a key that has expired when its time
// comes is held, and nothing of it leaves.
func TestKeyThatEndsBeforeSending(t *testing.T) {
	t.Parallel()
	key, err := crypto.PGP().KeyGeneration().AddUserId("x", "abuse@isp.example").GenerationTime(epoch.Unix() - 3600).Lifetime(7200).New().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.GetArmoredPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	c, m := w.queued(ispCase)
	w.entry("64500", "abuse@isp.example", public, c.ContactID, false)
	if _, err := w.composer.Preview(t.Context(), w.db, m, epoch); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(2 * time.Hour)
	server := startServer(t, &testServer{})
	w.do(w.sender(server.transport()).Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageHeld || len(server.received()) != 0 || !strings.Contains(m.HoldWhy.String(), "expired") {
		t.Errorf("%s %q, %d mails", m.State, m.HoldWhy, len(server.received()))
	}
}

// TestEncryptedRetriesAndBounces: every attempt has the same bytes, with
// signatures that hold, and what comes back finds its case.
func TestEncryptedRetriesAndBounces(t *testing.T) {
	t.Parallel()
	key, public := theirKey(t)
	w := newWorld(t)
	c, m := w.queued(ispCase)
	w.entry("64500", "abuse@isp.example", public, c.ContactID, false)
	d, records := dkimKeys(t)
	n := 0
	var seen [][]byte
	server := startServer(t, &testServer{})
	server.data = func(mail receivedMail, _ net.Conn) error {
		seen = append(seen, mail.raw)
		if n++; n < 3 {
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
		}
		return nil
	}
	s := w.sender(server.transport())
	s.DKIM = d
	for range 3 {
		w.do(s.Do)
		w.clock.advance(24 * time.Hour)
	}
	if len(seen) != 3 || !bytes.Equal(seen[0], seen[1]) || !bytes.Equal(seen[1], seen[2]) {
		t.Fatalf("%d attempts, or of different bytes", len(seen))
	}
	if good, bad := verifyDKIM(t, seen[0], records); good != 2 || bad != 0 {
		t.Errorf("DKIM: %d good, %d bad", good, bad)
	}
	if got := opens(t, seen[0], map[string]*crypto.Key{"one": key}); got != "one" {
		t.Errorf("opened by %q", got)
	}
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent {
		t.Errorf("%s: %s", m.State, m.LastError)
	}
}

// TestRetryInClearIsHeld: a key that came after the first attempt counts, too.
func TestRetryInClearIsHeld(t *testing.T) {
	t.Parallel()
	_, public := theirKey(t)
	w := newWorld(t)
	_, m := w.queued(ispCase)
	server := startServer(t, &testServer{})
	server.rcpt = func(string) error {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
	}
	s := w.sender(server.transport())
	w.do(s.Do)
	server.rcpt = nil
	w.entry("64500", "abuse@isp.example", public, nil, false)
	for range 2 {
		w.clock.advance(24 * time.Hour)
		w.do(s.Do)
		if m = w.getMessage(m.ID); m.State != casedb.MessageHeld || m.Attempts != 1 || m.HoldWhy.String() != "in-clear" || len(server.received()) != 0 {
			t.Fatalf("%s %q after %d attempts", m.State, m.HoldWhy, m.Attempts)
		}
		w.approve(m) // overrules nothing
	}
}

// TestDigestRetryInClear: a digest is made again for a key that came meanwhile.
func TestDigestRetryInClear(t *testing.T) {
	t.Parallel()
	key, public := theirKey(t)
	d := newDesk(t, "en")
	d.server.answers = []error{later, nil}
	d.atNine()
	d.exec(`update directory_entry set pgp_key = $1`, public)
	d.atNine()
	if len(d.server.mails) != 2 || d.states() != "sent sent sent" {
		t.Fatalf("%d mails, %s", len(d.server.mails), d.states())
	}
	if got := opens(t, d.server.mails[1].raw, map[string]*crypto.Key{"one": key}); got != "one" {
		t.Errorf("opened by %q", got)
	}
}

// TestEncryptedLetterComesBack: a bounce of it finds its case.
func TestEncryptedLetterComesBack(t *testing.T) {
	t.Parallel()
	_, public := theirKey(t)
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	p.entry("64500", "abuse@isp.example", public, c.ContactID, false)
	p.bounce("550 5.1.1 <abuse@isp.example>: User unknown")
	if m = p.getMessage(m.ID); m.State != casedb.MessageBounced || !bytes.Contains(m.Raw, []byte("multipart/encrypted")) {
		t.Errorf("%s: %s", m.State, m.LastError)
	}
}

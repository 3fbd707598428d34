package notify_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/gopenpgp/v3/crypto"

	"teiten/internal/casedb"
	"teiten/notify"
)

// nine is when digests leave in the tests.
var nine = digestTime("09:00")

func digestTime(s string) notify.DigestTime {
	t, err := notify.ParseDigestTime(s)
	if err != nil {
		panic(err)
	}
	return t
}

// desk is a world with cases of three owners, whose letters go to one address
// that asks for one mail a day.
type desk struct {
	*world
	cases  []casedb.Case
	server *script
	sender *notify.Sender
}

// script is a transport that answers as it is told, the last answer again and
// again.
type script struct {
	answers []error
	mails   []sentMail
}

type sentMail struct {
	envelope notify.Envelope
	raw      []byte
}

func (s *script) Send(_ context.Context, e notify.Envelope, content io.Reader) (notify.Receipt, error) {
	raw, err := io.ReadAll(content)
	if err != nil {
		return notify.Receipt{}, err
	}
	s.mails = append(s.mails, sentMail{e, raw})
	if len(s.answers) == 0 {
		return notify.Receipt{Code: 250, Response: "2.0.0 Ok"}, nil
	}
	err = s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	if err != nil {
		return notify.Receipt{}, err
	}
	return notify.Receipt{Code: 250, Response: "2.0.0 Ok"}, nil
}

var later = &notify.SendError{Command: "DATA", Code: 451, Enhanced: "4.3.0", Response: "later"}

func specs(language string) []spec {
	a, b, c := ispCase, ispCase, ispCase
	b.owner, b.malware, b.sources = "Example Cable", casedb.MalwareMirai, []string{"192.0.2.30", "2001:db8::30"}
	c.owner, c.malware, c.kind, c.sources = "Example Works", "", casedb.KindMisconfigured, []string{"192.0.2.50"}
	for _, s := range []*spec{&a, &b, &c} {
		s.language = language
		if language == "en" {
			s.country = "NL"
		}
	}
	return []spec{a, b, c}
}

func newDesk(t *testing.T, language string) *desk {
	t.Helper()
	d := &desk{world: newWorld(t), server: &script{}}
	d.rule("mirai", casedb.RuleAutomatic)
	d.rule("misconfigured", casedb.RuleAutomatic)
	d.sender = d.world.sender(d.server)
	d.sender.DigestAt = nine
	for _, s := range specs(language) {
		c, _ := d.queued(s)
		d.cases = append(d.cases, c)
	}
	d.wish("")
	return d
}

// wish enters the desk's wish into the directory.
func (d *desk) wish(key string) {
	d.t.Helper()
	d.exec(`with e as (insert into directory_entry (scope, target, email, language, digest, pgp_key, created_at, created_by)
		values ('as', '64500', 'abuse@isp.example', 'en', true, $1, now(), 'taro') returning id)
		update contact set directory_id = e.id from e where email = 'abuse@isp.example'`, key)
}

// atNine moves the clock to the next time that a digest leaves in Japan and in
// the Netherlands.
func (d *desk) atNine() {
	d.clock.advance(25 * time.Hour)
	d.do(d.sender.Do)
}

func (d *desk) letters() (list []casedb.Message) {
	d.t.Helper()
	for _, c := range d.cases {
		all, err := d.db.CaseMessages(d.t.Context(), c.ID, 100)
		if err != nil {
			d.t.Fatal(err)
		}
		list = append(list, all...)
	}
	return list
}

func (d *desk) states() string {
	d.t.Helper()
	var s []string
	for _, m := range d.letters() {
		s = append(s, string(m.State))
	}
	return strings.Join(s, " ")
}

func (d *desk) digests() (list []casedb.Message) {
	d.t.Helper()
	var ids []int64
	rows, err := d.db.SQL().QueryContext(d.t.Context(), `select id from message where purpose = 'digest' order by id`)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			d.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	for _, id := range ids {
		list = append(list, d.getMessage(id))
	}
	return list
}

// inMail takes a digest apart: its text, its CSV and the letters in it.
func inMail(t *testing.T, raw []byte) (text, evidence string, letters []*mail.Message) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Fatalf("%s, %v", kind, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return text, evidence, letters
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case "text/plain":
			text = decoded(t, p.Header.Get("Content-Transfer-Encoding"), p)
		case "text/csv":
			evidence = decoded(t, p.Header.Get("Content-Transfer-Encoding"), p)
		case "multipart/digest": // RFC 2046, 5.1.5
			inner := multipart.NewReader(p, params["boundary"])
			for {
				part, err := inner.NextPart()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if k := part.Header.Get("Content-Type"); k != "message/rfc822" {
					t.Errorf("a part of the digest is %s", k)
				}
				content, err := io.ReadAll(part)
				if err != nil {
					t.Fatal(err)
				}
				letter, err := mail.ReadMessage(bytes.NewReader(content))
				if err != nil {
					t.Fatal(err)
				}
				letters = append(letters, letter)
			}
		default:
			t.Errorf("a part of type %s", kind)
		}
	}
}

// decoded reads a part's content out of its transfer encoding. The reader of
// parts has undone quoted-printable already.
func decoded(t *testing.T, encoding string, r io.Reader) string {
	t.Helper()
	if encoding == "base64" {
		r = base64.NewDecoder(base64.StdEncoding, r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// open decrypts what our key signed.
func open(t *testing.T, key, ours *crypto.Key, sealed []byte) []byte {
	t.Helper()
	handle, err := crypto.PGP().Decryption().DecryptionKey(key).VerificationKey(ours).VerifyTime(epoch.Unix() + 100_000).New()
	if err != nil {
		t.Fatal(err)
	}
	result, err := handle.Decrypt(sealed, crypto.Armor)
	if err != nil || result.SignatureError() != nil {
		t.Fatal(err, result.SignatureError())
	}
	return result.Bytes()
}

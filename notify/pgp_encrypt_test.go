package notify_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/gopenpgp/v3/crypto"
	"github.com/jhillyerd/enmime/v2"

	"teiten/internal/casedb"
	"teiten/notify"
)

// theirKey is a recipient's key, and its public half in ASCII armour.
func theirKey(t *testing.T) (*crypto.Key, string) {
	t.Helper()
	key, err := crypto.PGP().KeyGeneration().AddUserId("Abuse Desk", "abuse@isp.example").GenerationTime(epoch.Unix() - 3600).New().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.GetArmoredPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key, public
}

// TestEncryptedLetters: a contact with a key reads the whole letter; servers
// on the way read only the tags.
func TestEncryptedLetters(t *testing.T) {
	t.Parallel()
	key, public := theirKey(t)
	for _, language := range []string{"ja", "en"} {
		w := newWorld(t)
		signed, ours := w.signedComposer("")
		s := ispCase
		s.language, s.sources = language, []string{"192.0.2.10"}
		m := w.message(w.openCase(s), s, casedb.MessageHeld)
		w.exec(`with e as (insert into directory_entry (scope, target, email, language, pgp_key, created_at, created_by, ended_at)
			values ('as', '64500', 'abuse@isp.example', 'en', $2, now(), 'taro', now()) returning id)
			update contact set directory_id = e.id from e where contact.id = $1`, *m.ContactID, public)
		for _, c := range []*notify.Composer{w.composer, signed} {
			d, err := c.Preview(t.Context(), w.db, m, epoch)
			if err != nil {
				t.Fatal(err)
			}
			sealed := sealedPart(t, d.Raw)
			if bytes.Contains(d.Raw, []byte("192.0.2.10")) || !strings.Contains(d.Subject, "192.0.2.10") {
				t.Errorf("the address stands outside, or not in the subject %q", d.Subject)
			}
			decrypter := crypto.PGP().Decryption().DecryptionKey(key).VerifyTime(epoch.Unix() + 60)
			if c == signed {
				decrypter = decrypter.VerificationKey(ours)
			}
			handle, err := decrypter.New()
			if err != nil {
				t.Fatal(err)
			}
			result, err := handle.Decrypt(sealed, crypto.Armor)
			if err != nil {
				t.Fatal(err)
			}
			if c == signed && result.SignatureError() != nil {
				t.Errorf("the letter is not signed: %v", result.SignatureError())
			}
			e, err := enmime.ReadEnvelope(bytes.NewReader(result.Bytes()))
			if err != nil || strings.TrimSpace(strings.ReplaceAll(e.Text, "\r\n", "\n")) != strings.TrimSpace(d.Body) || len(e.Attachments) != 1 ||
				!bytes.Equal(e.Attachments[0].Content, d.CSV) || e.GetHeader("Subject") != d.Subject {
				t.Errorf("arrived: %q %q, %v", e.GetHeader("Subject"), e.Text, err)
			}
			gnuPGReads(t, key, ours, sealed, result.Bytes())
		}
	}
}

// sealedPart takes a multipart/encrypted apart (RFC 3156, 4).
func sealedPart(t *testing.T, raw []byte) []byte {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Header.Get("Subject"); s != "[TT-2026-000001] ..." {
		t.Errorf("outer subject %q", s)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/encrypted" || params["protocol"] != "application/pgp-encrypted" {
		t.Fatalf("%s %v, %v", kind, params, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	var content [][]byte
	for _, want := range []string{"application/pgp-encrypted", "application/octet-stream"} {
		p, err := parts.NextPart()
		if err != nil || !strings.HasPrefix(p.Header.Get("Content-Type"), want) {
			t.Fatalf("want %s: %v, %v", want, p, err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, b)
	}
	if _, err := parts.NextPart(); err != io.EOF || strings.TrimSpace(string(content[0])) != "Version: 1" {
		t.Errorf("%q, %v", content[0], err)
	}
	return content[1]
}

// gnuPGReads decrypts with GnuPG, where it is installed.
func gnuPGReads(t *testing.T, key, ours *crypto.Key, sealed, want []byte) {
	t.Helper()
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		t.Log("no gpg here")
		return
	}
	home, err := os.MkdirTemp("", "gpg") // sockets' paths are short
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Armor()
	if err != nil {
		t.Fatal(err)
	}
	public, err := ours.GetArmoredPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) []byte {
		cmd := exec.Command(gpg, append([]string{"--batch", "--trust-model", "always", "--pinentry-mode", "loopback"}, args...)...)
		cmd.Dir, cmd.Env = home, append(os.Environ(), "GNUPGHOME="+home)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("gpg %v: %v\n%s", args, err, out)
		}
		return out
	}
	t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--homedir", home, "--kill", "all")
		_ = cmd.Run() // there may be none
		os.RemoveAll(home)
	})
	for name, b := range map[string][]byte{"key.asc": []byte(private), "ours.asc": []byte(public), "sealed.asc": sealed} {
		if err := os.WriteFile(filepath.Join(home, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("--import", "key.asc", "ours.asc")
	if got := run("--decrypt", "sealed.asc"); !bytes.Equal(got, want) {
		t.Errorf("gpg reads %d bytes, want %d", len(got), len(want))
	}
}

// publicPrimary is the public half of a key with its secret subkeys.
func publicPrimary(t *testing.T, key *crypto.Key) string {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP PUBLIC KEY BLOCK", nil)
	if err != nil {
		t.Fatal(err)
	}
	e := key.GetEntity()
	errs := []error{e.PrimaryKey.Serialize(w)}
	for _, id := range e.Identities {
		errs = append(errs, id.Serialize(w))
	}
	for _, s := range e.Subkeys {
		errs = append(errs, s.PrivateKey.Serialize(w), s.Bindings[0].Packet.Serialize(w))
	}
	if err := errors.Join(append(errs, w.Close())...); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCheckPGPKey(t *testing.T) {
	t.Parallel()
	key, public := theirKey(t)
	private, err := key.Armor()
	if err != nil {
		t.Fatal(err)
	}
	expiring, err := crypto.PGP().KeyGeneration().AddUserId("x", "x@isp.example").GenerationTime(epoch.Unix() - 3600).Lifetime(1800).New().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	expired, err := expiring.GetArmoredPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key string
		ok  bool
	}{"none": {"", true}, "public": {public, true}, "private": {private, false}, "expired": {expired, false}, "half": {public[:len(public)/2], false}, "text": {"hello", false},
		"around": {"Our key:\n\n" + public + "\nRegards\n", true}, "both": {public + "\n" + private, false}, "two": {public + "\n" + public, false},
		"private subkey": {publicPrimary(t, key), false}} {
		if err := notify.CheckPGPKey(tt.key, epoch.Add(time.Hour)); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

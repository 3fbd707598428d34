package notify_test

import (
	"bytes"
	"mime"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/gopenpgp/v3/crypto"
	"github.com/jhillyerd/enmime/v2"
	"golang.org/x/sync/errgroup"

	"teiten/internal/casedb"
	"teiten/notify"
)

// signedComposer signs with a key of its own, which it returns.
func (w *world) signedComposer(format notify.Format) (*notify.Composer, *crypto.Key) {
	w.t.Helper()
	key, err := crypto.PGP().KeyGeneration().AddUserId("Example CSIRT", "csirt@teiten.example").GenerationTime(epoch.Unix() - 3600).New().GenerateKey()
	if err != nil {
		w.t.Fatal(err)
	}
	locked, err := crypto.PGP().LockKey(key, []byte("open sesame"))
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := locked.Armor()
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := notify.NewPGP(text, "something else"); err == nil {
		w.t.Error("any passphrase unlocks the key")
	}
	config := testConfig
	config.Format = format
	if config.PGP, err = notify.NewPGP(text, "open sesame"); err != nil {
		w.t.Fatal(err)
	}
	c, err := notify.NewComposer(config, bytes.Repeat([]byte("k"), 32))
	if err != nil {
		w.t.Fatal(err)
	}
	return c, key
}

// signedParts cuts a multipart/signed as RFC 3156, 5 says: what is signed ends
// before the line break that belongs to the boundary.
func signedParts(t *testing.T, raw []byte) (content, signature []byte, params map[string]string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/signed" || params["protocol"] != "application/pgp-signature" {
		t.Fatalf("%s %v, %v", kind, params, err)
	}
	parts := bytes.Split(raw, []byte("--"+params["boundary"]))
	if len(parts) != 4 || string(parts[3]) != "--\r\n" {
		t.Fatalf("%d parts", len(parts))
	}
	content = bytes.TrimSuffix(bytes.TrimPrefix(parts[1], []byte("\r\n")), []byte("\r\n"))
	_, signature, _ = bytes.Cut(parts[2], []byte("\r\n\r\n"))
	return content, signature, params
}

func TestPGPSignedLetters(t *testing.T) {
	t.Parallel()
	for _, format := range []notify.Format{notify.FormatCSV, notify.FormatXARF} {
		for _, language := range []string{"ja", "en"} {
			t.Run(string(format)+"."+language, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				c, key := w.signedComposer(format)
				s := ispCase
				s.language, s.sources = language, []string{"192.0.2.10"}
				d, err := c.Preview(t.Context(), w.db, w.message(w.openCase(s), s, casedb.MessageHeld), epoch)
				if err != nil {
					t.Fatal(err)
				}
				content, signature, params := signedParts(t, d.Raw)
				for line := range bytes.SplitSeq(content, []byte("\r\n")) {
					if bytes.ContainsAny(line, "\r\n") || bytes.HasSuffix(line, []byte(" ")) || bytes.HasSuffix(line, []byte("\t")) {
						t.Errorf("line %q does not stay as it is on the way", line)
					}
				}
				if params["micalg"] != "pgp-sha512" && params["micalg"] != "pgp-sha256" {
					t.Errorf("micalg %q", params["micalg"])
				}
				verify := func(content []byte) error {
					v, err := crypto.PGP().Verify().VerificationKey(key).VerifyTime(epoch.Unix() + 60).New()
					if err != nil {
						t.Fatal(err)
					}
					result, err := v.VerifyDetached(content, signature, crypto.Armor)
					if err != nil {
						t.Fatal(err)
					}
					return result.SignatureError()
				}
				if err := verify(content); err != nil {
					t.Error(err)
				}
				if verify(append(content, '\n')) == nil {
					t.Error("a changed text is signed, too")
				}
				checkGnuPG(t, key, content, signature)
				e, err := enmime.ReadEnvelope(bytes.NewReader(d.Raw))
				if err != nil || strings.TrimSpace(strings.ReplaceAll(e.Text, "\r\n", "\n")) != strings.TrimSpace(d.Body) {
					t.Errorf("the text arrives as %q, %v", e.Text, err)
				}
			})
		}
	}
}

// checkGnuPG verifies with GnuPG, where it is installed.
func checkGnuPG(t *testing.T, key *crypto.Key, content, signature []byte) {
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
	defer os.RemoveAll(home)
	public, err := key.GetArmoredPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"key.asc": []byte(public), "content": content, "signature.asc": signature} {
		if err := os.WriteFile(filepath.Join(home, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		cmd := exec.Command(gpg, append([]string{"--batch", "--no-autostart", "--trust-model", "always"}, args...)...)
		cmd.Dir, cmd.Env = home, append(os.Environ(), "GNUPGHOME="+home)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("gpg %v: %v\n%s", args, err, out)
		}
	}
	run("--import", "key.asc")
	run("--verify", "signature.asc", "content")
}

// TestLettersAreSignedAtOnce: the desk shows letters while others go out, all
// with one key. The race detector judges.
func TestLettersAreSignedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	signed, _ := w.signedComposer(notify.FormatCSV)
	m := w.message(w.openCase(ispCase), ispCase, casedb.MessageHeld)
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			_, err := signed.Preview(t.Context(), w.db, m, epoch)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

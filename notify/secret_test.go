package notify_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ProtonMail/gopenpgp/v3/crypto"

	"teiten/internal/casedb"
	"teiten/internal/observation"
	"teiten/notify"
)

// What the observations of the test know of a sensor. The numbers are such that
// nothing else in a letter looks like them.
const (
	secretAddress = "198.51.100.187"
	secretV6      = "2001:db8:5ec:7::bb"
	secretSeq     = 3141592653
	secretAck     = 2718281828
	secretID      = 57721
	secretSensor  = "kagami-dai-7"
)

// secrets are the ways to write them that a reader could turn back.
func secrets() []string {
	a := netip.MustParseAddr(secretAddress).As4()
	n := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	v6 := netip.MustParseAddr(secretV6)
	return []string{
		secretAddress, "187.100.51.198", "198-51-100-187", "187-100-51-198", "198.51.100.0", "198.51.100", "::ffff:c633:64bb", "c633:64bb",
		"c63364bb", "bb6433c6", "c6:33:64:bb", `\xc6\x33\x64\xbb`, "0xc6.0x33", fmt.Sprint(n), "0306.063.0144", string(a[:]),
		secretV6, v6.StringExpanded(), strings.ReplaceAll(v6.StringExpanded(), ":", ""),
		fmt.Sprint(secretSeq), fmt.Sprintf("%08x", secretSeq), fmt.Sprint(secretAck), fmt.Sprintf("%08x", secretAck),
		fmt.Sprint(secretID), fmt.Sprintf("%04x", secretID) + "\"", secretSensor,
	}
}

// sought are the secrets as noSecrets looks for them: in small letters, but for
// bytes that are no UTF-8, which all have one lower case.
var sought = sync.OnceValue(func() (all []secret) {
	for _, s := range secrets() {
		bytewise := !utf8.ValidString(s)
		find := []byte(s)
		if !bytewise {
			find = bytes.ToLower(find)
		}
		all = append(all, secret{s, find, bytewise})
	}
	return all
})

type secret struct {
	text     string
	find     []byte
	bytewise bool
}

// TestNothingOfASensorLeaves scans all that leaves in every letter, kind,
// language and format, signed or not, from our template and from one that says
// every field there is, for what the samples, notes, payloads and quotes of its
// case know of a sensor.
func TestNothingOfASensorLeaves(t *testing.T) {
	t.Parallel()
	key, public := theirKey(t)
	var composers []*notify.Composer
	for _, format := range []notify.Format{notify.FormatCSV, notify.FormatXARF} {
		signed, _ := (&world{t: t}).signedComposer(format)
		composers = append(composers, (&world{t: t}).formatted(format), signed)
	}
	for _, name := range notify.LetterNames() {
		key, err := key.Copy() // reading with a key changes it
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := specOf(name)
			c := w.openCase(s)
			w.betray()
			if name.Reason != casedb.ReasonFirst {
				w.told(c, s)
			}
			m := w.letter(c, s, name.Reason)
			noSecretsInMail(t, w.unsealed(m, s.email, key, public), 5)
			for version := range 2 {
				for _, composer := range composers {
					d, err := composer.Preview(t.Context(), w.db, m, epoch)
					if err != nil {
						t.Fatal(err)
					}
					if want := fmt.Sprintf("%s@%d", name, version); d.Template != want {
						t.Errorf("made from %s, want %s", d.Template, want)
					}
					noSecretsInMail(t, d.Raw, 5)
				}
				if version == 0 {
					w.sayEverything(name)
				}
			}
		})
	}
}

// unsealed returns what the recipient of an encrypted letter reads, and ends
// its encryption.
func (w *world) unsealed(m casedb.Message, address string, key *crypto.Key, public string) []byte {
	w.t.Helper()
	id := w.entry("64500", address, public, nil, false)
	d, err := w.composer.Preview(w.t.Context(), w.db, m, epoch)
	if err != nil {
		w.t.Fatal(err)
	}
	noSecretsInMail(w.t, d.Raw, 2)
	handle, err := crypto.PGP().Decryption().DecryptionKey(key).New()
	if err != nil {
		w.t.Fatal(err)
	}
	result, err := handle.Decrypt(sealedPart(w.t, d.Raw), crypto.Armor)
	if err != nil {
		w.t.Fatal(err)
	}
	w.exec(`update directory_entry set ended_at = $2 where id = $1`, id, epoch)
	return result.Bytes()
}

// TestNothingOfASensorLeavesInAnswers scans answers with the evidence and a
// quote, of every kind of case, signed or not.
func TestNothingOfASensorLeavesInAnswers(t *testing.T) {
	t.Parallel()
	signed, _ := (&world{t: t}).signedComposer(notify.FormatXARF)
	for _, name := range notify.LetterNames() {
		if name.Reason != casedb.ReasonFirst {
			continue
		}
		t.Run(name.About+"."+name.Language, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := specOf(name)
			c := w.openCase(s)
			w.betray()
			quote := notify.Quote(casedb.Inbound{Sender: s.email, ReceivedAt: epoch, Text: "Which host?"}, name.Language, s.country)
			m, err := w.answer(c, casedb.Answer{Text: "The evidence.\n\n" + quote, Evidence: true,
				Files: []casedb.MessageFile{{Name: "steps.txt", Type: "text/plain", Content: []byte("1. Look.")}}})
			if err != nil {
				t.Fatal(err)
			}
			for _, composer := range []*notify.Composer{w.composer, w.formatted(notify.FormatXARF), signed} {
				d, err := composer.Preview(t.Context(), w.db, m, epoch)
				if err != nil || bytes.Count(d.CSV, []byte("\r\n")) < 3 {
					t.Fatalf("evidence %q, %v", d.CSV, err)
				}
				noSecretsInMail(t, d.Raw, 7)
			}
		})
	}
}

// TestNothingOfASensorLeavesAboutRegistrations scans the mails to researchers.
func TestNothingOfASensorLeavesAboutRegistrations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.openCase(ispCase)
	w.betray()
	signed, _ := w.signedComposer(notify.FormatCSV)
	var id int64
	w.scan(`insert into registration (organisation, purpose, email, language, prefixes, state, confirm_digest, confirm_until, created_at)
		values ('x', 'y', 'r@research.example', 'en', '{192.0.2.0/28}', 'unconfirmed', '\x00', $1, $1) returning id`, &id, epoch)
	r := notify.Registration{Organisation: "Example Research Institute", Prefixes: []string{"192.0.2.0/28"}, Link: "https://teiten.example/register/confirm?token=abc",
		Valid: 48 * time.Hour, Reason: "An example of a reason."}
	for _, language := range []string{"ja", "en"} {
		for _, make := range []func(string, notify.Registration) (string, string, error){w.composer.Confirmation, w.composer.Decision} {
			subject, body, err := make(language, r)
			if err != nil {
				t.Fatal(err)
			}
			m := casedb.Message{ID: 7, RegistrationID: &id, Purpose: casedb.PurposeDecision, Recipient: "r@research.example", Language: language, Subject: subject,
				Body: body, HeaderID: "tt.r@" + domain, Token: "r"}
			for _, composer := range []*notify.Composer{w.composer, signed} {
				d, err := composer.Preview(t.Context(), w.db, m, epoch)
				if err != nil {
					t.Fatal(err)
				}
				noSecretsInMail(t, d.Raw, 2)
			}
		}
	}
}

// noSecretsInMail scans a mail as it goes out and each of its parts, headers
// and contents, of which there are some at least.
func noSecretsInMail(t *testing.T, raw []byte, some int) {
	t.Helper()
	noSecrets(t, "raw mail", raw, 0)
	parts, err := sentParts(raw)
	if err != nil || len(parts) < some {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	for _, p := range parts {
		noSecrets(t, p.Type, p.Content, 0)
	}
}

// formatted returns a composer that sends the evidence in the format.
func (w *world) formatted(format notify.Format) *notify.Composer {
	w.t.Helper()
	config := testConfig
	config.Format = format
	c, err := notify.NewComposer(config, bytes.Repeat([]byte("k"), 32))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// sayEverything puts a version of a letter in force that says every field that
// a template can name.
func (w *world) sayEverything(name notify.LetterName) {
	w.t.Helper()
	var all func(t reflect.Type) string
	all = func(t reflect.Type) string {
		var b strings.Builder
		for i := range t.NumField() {
			if f := t.Field(i); f.Type.Kind() == reflect.Slice {
				fmt.Fprintf(&b, "{{range .%s}}%s{{end}}\n", f.Name, all(f.Type.Elem()))
			} else {
				fmt.Fprintf(&b, "%s {{.%[1]s}}\n", f.Name)
			}
		}
		return b.String()
	}
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		l, err := tx.SaveLetterTemplate(ctx, name.String(), "[{{.Number}}] {{.Owner}}", all(reflect.TypeFor[notify.Fields]()), "coordinator", epoch)
		if err != nil {
			return err
		}
		return tx.ChooseLetterTemplate(ctx, casedb.LetterChoice{Name: name.String(), Version: l.Version, At: epoch, Actor: "coordinator", Reason: "test"})
	})
}

// betray puts what a sensor would be known by into everything that is kept of
// the world's sources.
func (w *world) betray() {
	w.t.Helper()
	w.exec(`update sensor set name = $1 || '-' || id`, secretSensor)
	all := strings.Join(secrets()[:15], " ")
	sample, err := json.Marshal([]observation.Sample{{When: epoch, Destination: netip.MustParseAddr(secretAddress), SourcePort: 40000, DestPort: 445,
		ID: secretID, Seq: secretSeq, Ack: secretAck, Payload: []byte("GET / HTTP/1.1\r\nHost: " + secretAddress),
		Quoted: &observation.Quote{Source: netip.MustParseAddr(secretAddress), Destination: netip.MustParseAddr(secretV6)}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.exec(`update observation set destination = $1, samples = $2, packed = null`, secretAddress, string(sample))
	note, err := json.Marshal(map[string]any{"payloads": []string{all}, "also": []string{all}, "definition": all, "list": all})
	if err != nil {
		w.t.Fatal(err)
	}
	w.exec(`update verdict set evidence = evidence || $1::jsonb, tool = $2`, string(note), all)
	w.exec(`update aggregate set destination = $1, evidence = evidence || $2::jsonb`, secretAddress, string(note))
}

// noSecrets looks into base64 and hexadecimal inside the content, too.
func noSecrets(t *testing.T, what string, content []byte, depth int) {
	t.Helper()
	lower := bytes.ToLower(content)
	for _, s := range sought() {
		in := lower
		if s.bytewise {
			in = content
		}
		if bytes.Contains(in, s.find) {
			t.Errorf("%s holds %q", what, s.text)
		}
	}
	if depth > 2 {
		return
	}
	for _, field := range strings.FieldsFunc(string(content), func(r rune) bool { return strings.ContainsRune("\" \r\n\t,:;<>()[]{}", r) }) {
		if len(field) < 8 {
			continue
		}
		if b, err := base64.StdEncoding.DecodeString(field); err == nil {
			noSecrets(t, what+" (base64)", b, depth+1)
		}
		if b, err := hex.DecodeString(field); err == nil {
			noSecrets(t, what+" (hex)", b, depth+1)
		}
	}
}

// TestTheSecretsWouldBeFound: the scan sees each of them, however deep.
func TestTheSecretsWouldBeFound(t *testing.T) {
	t.Parallel()
	for _, s := range secrets() {
		for _, text := range []string{s, base64.StdEncoding.EncodeToString([]byte("xx" + s)), hex.EncodeToString([]byte("xx" + s))} {
			if !holdsSecret([]byte("a " + text + " b")) {
				t.Errorf("%q in %q is not found", s, text)
			}
		}
	}
}

func holdsSecret(content []byte) bool {
	var probe testing.T
	done := make(chan struct{})
	go func() { defer close(done); noSecrets(&probe, "", content, 0) }()
	<-done
	return probe.Failed()
}

package notify_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"teiten/internal/casedb"
	"teiten/notify"
)

// dkimKeys makes both kinds of keys; the records are what the DNS would hold.
func dkimKeys(t *testing.T) (d *notify.DKIM, records map[string]string) {
	t.Helper()
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, short, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	records = map[string]string{}
	var settings []string
	for selector, key := range map[string]crypto.Signer{"s-rsa": long, "s-ed25519": short} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), selector+".pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		settings = append(settings, selector+"="+file)
		record, err := notify.DKIMRecord(domain, selector, key)
		if err != nil {
			t.Fatal(err)
		}
		name, value := readRecord(t, record)
		records[name] = value
	}
	if d, err = notify.LoadDKIM(domain, settings); err != nil {
		t.Fatal(err)
	}
	return d, records
}

// readRecord reads a record of a zone file: its name, and its strings joined.
func readRecord(t *testing.T, record string) (name, value string) {
	t.Helper()
	name, data, ok := strings.Cut(record, ". IN TXT ( ")
	if !ok || !strings.HasSuffix(data, " )") {
		t.Fatalf("record %q", record)
	}
	for _, s := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(data, -1) {
		if len(s[1]) > 255 {
			t.Errorf("a string of %d bytes in %q", len(s[1]), record)
		}
		value += s[1]
	}
	return name, value
}

// verifyDKIM returns how many signatures of a mail hold.
func verifyDKIM(t *testing.T, raw []byte, records map[string]string) (good, bad int) {
	t.Helper()
	all, err := dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if r, ok := records[name]; ok {
			return []string{r}, nil
		}
		return nil, errors.New("no such record: " + name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.Err != nil {
			bad++
			continue
		}
		good++
		if v.Domain != domain {
			t.Errorf("signed by %s", v.Domain)
		}
	}
	return good, bad
}

// TestSignedRetryIsTheSame sends a signed mail twice over a server that loses
// the first: both are the same bytes, and both signatures hold.
func TestSignedRetryIsTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d, records := dkimKeys(t)
	var seen [][]byte
	server := startServer(t, &testServer{data: func(m receivedMail, c net.Conn) error {
		if seen = append(seen, m.raw); len(seen) == 1 {
			return c.Close()
		}
		return nil
	}})
	_, m := w.queued(ispCase)
	sender := w.sender(server.transport())
	sender.DKIM = d
	w.do(sender.Do)
	w.clock.advance(time.Hour)
	w.do(sender.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent || len(seen) != 2 {
		t.Fatalf("message is %s after %d mails", m.State, len(seen))
	}
	if !bytes.Equal(seen[0], seen[1]) || !bytes.Equal(seen[1], m.Raw) {
		t.Error("the second mail, or what is kept, is not the first")
	}
	if good, bad := verifyDKIM(t, seen[1], records); good != 2 || bad != 0 {
		t.Errorf("%d signatures hold, %d do not", good, bad)
	}
	for _, change := range [][2]string{
		{"\r\nSubject:", "\r\nSubject: added\r\nSubject:"},
		{"\r\nFrom:", "\r\nFrom: a@b.example\r\nFrom:"},
		{"\r\nAuto-Submitted: auto-generated", "\r\nAuto-Submitted: no"},
		{"\r\nReply-To: <case", "\r\nReply-To: <other"},
		{"\r\nContent-Type: multipart/mixed", "\r\nContent-Type: multipart/other"},
	} {
		changed := bytes.Replace(seen[1], []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(changed, seen[1]) {
			t.Errorf("%q is not in the mail", change[0])
		}
		if good, _ := verifyDKIM(t, changed, records); good != 0 {
			t.Errorf("%d signatures hold after %q", good, change)
		}
	}
}

func TestDKIMKeysThatAreNone(t *testing.T) {
	t.Parallel()
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	write := func(b []byte) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, content := range [][]byte{nil, []byte("x"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(short)})} {
		write(content)
		if _, err := notify.LoadDKIM(domain, []string{"s=" + file}); err == nil {
			t.Errorf("taken: %.40q", content)
		}
	}
	for _, setting := range []string{"s", "=" + file, "s=", "s\r\n=" + file, "s=/nowhere/key.pem"} {
		if _, err := notify.LoadDKIM(domain, []string{setting}); err == nil {
			t.Errorf("%q is taken", setting)
		}
	}
	if notify.CheckAligned("teiten.example", "csirt@mail.Teiten.example") != nil || notify.CheckAligned("teiten.example", "csirt@notteiten.example") == nil {
		t.Error("alignment is judged wrongly")
	}
}

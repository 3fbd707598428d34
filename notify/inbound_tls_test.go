package notify_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/notify"
)

// writeCertificate writes a new certificate with its key, and returns it.
func writeCertificate(t *testing.T, cert, key string) *x509.Certificate {
	t.Helper()
	pair, _ := testCertificate(t)
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestIncomingMailIsEncrypted takes a mail over STARTTLS with a certificate from
// files.
func TestIncomingMailIsEncrypted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := writeCertificate(t, cert, key)
	config, err := notify.ServerTLS(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p := newPost(t, notify.InboundConfig{TLS: config})
	c, err := smtp.DialStartTLS(p.inbound, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	raw := "From: a@x.example\r\nSubject: x\r\n\r\nx\r\n"
	if err := c.SendMail("a@x.example", []string{"csirt@" + domain}, strings.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	state, _ := c.TLSConnectionState()
	if len(state.PeerCertificates) == 0 || !state.PeerCertificates[0].Equal(first) {
		t.Error("the server does not show the certificate of the file")
	}
	var stored int
	p.scan(`select count(*) from inbound`, &stored)
	if stored != 1 {
		t.Errorf("%d mails are stored, want 1", stored)
	}
	if _, err := notify.ServerTLS(filepath.Join(dir, "none"), key, nil); err == nil {
		t.Error("a certificate that is not there is taken")
	}
}

// TestCertificateIsReadAgain renews the files while the server runs, and then
// leaves them broken.
func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		old := writeCertificate(t, cert, key)
		config, err := notify.ServerTLS(cert, key, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		shows := func(want *x509.Certificate) {
			t.Helper()
			got, err := config.GetCertificate(nil)
			if err != nil || !bytes.Equal(got.Certificate[0], want.Raw) {
				t.Errorf("another certificate is shown, %v", err)
			}
		}
		shows(old)
		renewed := writeCertificate(t, cert, key)
		shows(old) // the files are looked at once a minute
		time.Sleep(time.Minute)
		shows(renewed)
		if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		shows(renewed)
		renewed = writeCertificate(t, cert, key)
		time.Sleep(time.Minute)
		shows(renewed)
	})
}

package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/gopenpgp/v3/crypto"

	"teiten/internal/casedb"
)

// TestKeysOfContacts: a letter to a key says that it is encrypted, and a private
// key is refused and kept nowhere.
func TestKeysOfContacts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("Taro", casedb.RoleCoordinator, "en")
	c := addCase(t, b.db, 1, b.now)
	key, err := crypto.PGP().KeyGeneration().AddUserId("x", "x@isp.example").GenerationTime(b.now.Add(-time.Hour).Unix()).New().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Armor()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.GetArmoredPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	save := func(key string) (int, string) {
		t.Helper()
		status, body, _ := b.post("/contacts", "scope", "as", "target", "64500", "email", c.Message.Recipient, "language", "en", "key", key)
		return status, body
	}
	for name, bad := range map[string]string{"private": private, "both": public + "\n" + private, "two": public + public, "large": public + strings.Repeat("x", 5<<20)} {
		if status, _ := save(bad); status < 400 || status >= 500 {
			t.Errorf("%s: got %d", name, status)
		}
	}
	if n := one[string](t, b.db, `select count(*)::text from directory_entry`); n != "0" {
		t.Errorf("%s entries", n)
	}
	path := "/cases/" + c.Number
	if body := b.page(path); strings.Contains(body, "PGP-encrypted") {
		t.Error("a letter without a key")
	}
	if status, body := save(strings.ReplaceAll(public, "\n", "\r\n")); status != http.StatusSeeOther {
		t.Fatalf("got %d: %s", status, body)
	}
	if body := b.page(path); !strings.Contains(body, "PGP-encrypted") {
		t.Error("the page does not say that the letter is encrypted")
	}
}

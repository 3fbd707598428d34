package casework_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/registrytest"
)

// registrant is a registry's answer about a network of an organisation.
func registrant(handle, name, email string) string {
	return registrytest.Network(`,"country":"JP"` + registrytest.Entities(fmt.Sprintf(`{"handle":%q,"roles":["registrant"],"vcardArray":["vcard",[["fn",{},"text",%q]]]}`, handle, name),
		registrytest.Entity("A", `"abuse"`, email)))
}

// A prefix that was entered before anybody was seen in it, by somebody who did not
// say where it is, is looked at like one that a registry knows.
func TestDirectoryPrefixWithoutCountry(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	nowhere, elsewhere := prefixEntry("192.0.2.0/28", "dept@example.net"), prefixEntry("192.0.2.16/28", "other@example.net")
	nowhere.Country, elsewhere.Country = "", ""
	d.enter(nowhere, elsewhere)
	d.see("192.0.2.10", "192.0.2.11", "192.0.2.20")
	d.exec(`update source set country = case address when '192.0.2.10' then 'JP' when '192.0.2.20' then 'KR' else '' end`)
	d.open()
	d.want(casesText, "Dept 192.0.2.0/28 new approval en dept@example.net sources=2")
}

// An owner whom a later answer gives another name or country is no more the one
// that an entry is for.
func TestDirectoryFollowsOwners(t *testing.T) {
	t.Parallel()
	var body atomic.Value
	body.Store(registrant("ORG1", "Old Name", "abuse@org.example"))
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body.Load().(string)) })
	d := newDesk(t, c)
	d.enter(casedb.DirectoryEntry{Scope: casedb.ScopeOrganisation, Target: "Old Name", Email: "old@directory.example"},
		casedb.DirectoryEntry{Scope: casedb.ScopeOrganisation, Target: "Über NETZ ＡＢＣ株式会社", Email: "new@directory.example"},
		casedb.DirectoryEntry{Scope: casedb.ScopeCountry, Target: "JP", Email: "jp@directory.example"})
	usable := `select string_agg(email, ' ' order by rank) from contact where retired_at is null`
	d.ask("192.0.2.5")
	d.want(usable, "old@directory.example abuse@org.example jp@directory.example")
	d.now = d.now.Add(8 * oneDay)
	body.Store(strings.Replace(registrant("ORG1", "Über Netz ＡＢＣ株式会社", "abuse@org.example"), `"JP"`, `"KR"`, 1))
	d.ask("192.0.2.5")
	d.want(usable, "new@directory.example abuse@org.example")
}

// As soon as one network of an owner is in another AS, an AS's entry is not for
// that owner.
func TestDirectoryOfAS(t *testing.T) {
	t.Parallel()
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, r *http.Request) {
		body := registrant("ORG1", "Example", "abuse@org.example")
		if strings.HasSuffix(r.URL.Path, "198.51.100.5") {
			body = strings.ReplaceAll(body, "192.0.2.", "198.51.100.")
		}
		_, _ = io.WriteString(w, body)
	})
	d := newDesk(t, c)
	file := filepath.Join(t.TempDir(), "as.tsv")
	if err := os.WriteFile(file, []byte("192.0.2.0/24 64500 Example Net\n198.51.100.0/24 64501 Other Net\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.worker.AS, err = owner.ReadASTable(file); err != nil {
		t.Fatal(err)
	}
	d.enter(casedb.DirectoryEntry{Scope: casedb.ScopeAS, Target: "64500", Email: "as@directory.example"})
	usable := `select string_agg(email, ' ' order by rank) from contact where retired_at is null`
	d.ask("192.0.2.5")
	d.want(usable, "as@directory.example abuse@org.example")
	d.ask("198.51.100.5")
	d.want(usable, "abuse@org.example")
}

// An entry that is newer than a live case's contact comes before it, and one that
// a coordinator chose after it does not.
func TestDirectoryAndLiveCases(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.see("192.0.2.10")
	d.open()
	sent := func() {
		d.exec(`update message set state = 'queued', next_attempt_at = $1 where state = 'held'`, d.now)
		d.exec(`update message set state = 'sent', sent_at = $1, next_attempt_at = null where state = 'queued'`, d.now)
	}
	sent()
	d.exec(`update cases set state = 'notified'`)
	d.now = d.now.Add(2 * oneDay)
	d.enter(casedb.DirectoryEntry{Scope: casedb.ScopeOrganisation, Target: "Example Internet Service (Japan)", Email: "csirt@directory.example"})
	d.see("192.0.2.11")
	d.open()
	d.want(messagesText, "sent first abuse@isp.example [] ja\nheld new-sources csirt@directory.example [contact-approval] en")
	sent()
	d.now = d.now.Add(2 * oneDay)
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error {
		c, err := tx.CaseByNumber(ctx, "TT-2026-000001")
		if err != nil {
			return err
		}
		contacts, err := tx.Contacts(ctx, c.OwnerID)
		if err != nil {
			return err
		}
		_, err = tx.ChangeContact(ctx, c.ID, c.Version, casedb.ContactChange{ContactID: contacts[1].ID, Why: "by phone"}, "teiten.example", "taro", d.now)
		return err
	})
	sent()
	d.exec(`update cases set waiting = ''`)
	d.now = d.now.Add(2 * oneDay)
	d.see("192.0.2.20")
	d.open()
	d.want(`select recipient from message order by id desc limit 1`, "abuse@isp.example")
}

// A country's entry is for the owners of the directory's prefixes, too: where
// nobody else can be written to.
func TestDirectoryLastResort(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.enter(prefixEntry("192.0.2.0/28", "dept@example.net"), casedb.DirectoryEntry{Scope: casedb.ScopeCountry, Target: "JP", Email: "cert@national.example"})
	d.exec(`insert into suppression (address, why, created_at) values ('dept@example.net', '[{"code":"other","args":["bounced"]}]', $1)`, d.now)
	d.see("192.0.2.10")
	d.open()
	d.want(casesText, "Dept 192.0.2.0/28 new approval en cert@national.example sources=1")
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return tx.EndDirectoryEntry(ctx, 1, "taro", d.now) })
	d.want(`select coalesce(string_agg(email, ' '), '') from contact k join owner o on o.id = k.owner_id where o.key like 'directory:%' and retired_at is null`, "")
}

// Who gets a prefix after somebody else is another owner: he reads of no case
// that the other one had, and gets no reminder of it.
func TestDirectoryPrefixPassesOn(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	entry := func(name, email string) casedb.DirectoryEntry {
		e := prefixEntry("192.0.2.0/28", email)
		e.Name = name
		return e
	}
	d.enter(entry("Customer A", "noc@a.example"))
	d.see("192.0.2.10")
	d.open()
	// The same under another name, and with another address, is the same.
	for _, e := range []casedb.DirectoryEntry{entry("Customer A Ltd", "noc@a.example"), entry("Customer A Ltd", "abuse@cloud.example")} {
		d.now = d.now.Add(time.Hour)
		d.enter(e)
	}
	d.want(`select count(*)::text from owner where key like 'directory:%'`, "1")
	d.now = d.now.Add(time.Hour)
	d.enter(entry("Customer B", "noc@b.example"))
	d.open()
	d.want(`select count(*)::text from cases`, "1")
	d.now = d.now.Add(time.Hour)
	d.see("192.0.2.10")
	d.open()
	d.want(casesText, "Customer A Ltd new approval en noc@a.example sources=1\nCustomer B new approval en noc@b.example sources=1")
	d.want(`select string_agg(distinct n.owner_name, ', ' order by n.owner_name) from network n where registry = 'directory'`, "Customer A, Customer A Ltd, Customer B")
}

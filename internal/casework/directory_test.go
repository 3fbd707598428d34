package casework_test

import (
	"context"
	"testing"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
)

// enter writes entries into the directory.
func (d *desk) enter(entries ...casedb.DirectoryEntry) {
	d.t.Helper()
	for i := range entries {
		if entries[i].Language == "" {
			entries[i].Language = "en"
		}
		if err := entries[i].Check(); err != nil {
			d.t.Fatal(err)
		}
	}
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.PutDirectoryEntries(ctx, entries, "taro", d.now)
		return err
	})
}

func prefixEntry(prefix, email string) casedb.DirectoryEntry {
	return casedb.DirectoryEntry{Scope: casedb.ScopePrefix, Target: prefix, Email: email, Name: "Dept " + prefix, Country: "JP"}
}

// A prefix of the directory is a network with an owner of its own: nobody is
// asked about it, the longest wins, and each owner hears of its sources only.
func TestDirectoryOfPrefixes(t *testing.T) {
	t.Parallel()
	asked := 0
	d := newDesk(t, lookupFunc(func() error { asked++; return &owner.LookupError{Kind: owner.LookupNotFound} }))
	d.automatic()
	d.enter(prefixEntry("192.0.2.0/24", "campus@example.net"), prefixEntry("192.0.2.64/26", "dept@example.net"))
	d.see("192.0.2.10", "192.0.2.70", "198.51.100.9")
	d.open()
	d.want(casesText, "Dept 192.0.2.0/24 new approval en campus@example.net sources=1\nDept 192.0.2.64/26 new approval en dept@example.net sources=1")
	d.want(messagesText, "held first campus@example.net [contact-approval] en\nheld first dept@example.net [contact-approval] en")
	if asked == 0 || asked > 2 {
		t.Errorf("asked %d times about the one address outside", asked)
	}
	// What is written down once more changes nothing.
	d.enter(prefixEntry("192.0.2.64/26", "dept@example.net"))
	d.want(`select count(*)::text from directory_entry`, "2")
}

// A change is a new entry: who is written to from then on is the new contact, and
// a letter that waits for the old one is not redirected but held when its time
// comes.
func TestDirectoryChanges(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.see("192.0.2.10")
	d.open()
	d.want(casesText, "Example Internet Service (Japan) open  ja abuse@isp.example sources=1")
	d.now = d.now.Add(time.Hour)
	d.enter(prefixEntry("192.0.2.0/28", "customer@example.net"))
	d.want(`select n.registry from source s join network n on n.id = s.network_id where s.address = '192.0.2.10'`, "directory")
	d.now = d.now.Add(time.Hour)
	d.see("192.0.2.10", "192.0.2.11")
	d.open()
	d.want(casesText, "Dept 192.0.2.0/28 new approval en customer@example.net sources=2\nExample Internet Service (Japan) open  ja abuse@isp.example sources=1")
	d.enter(prefixEntry("192.0.2.0/28", "other@example.net"))
	d.want(`select format('%s %s', email, retired_at is not null) from contact where email = 'customer@example.net'`, "customer@example.net t")
	d.want(`select recipient from message where recipient like '%@example.net'`, "customer@example.net") // not redirected
	d.want(`select string_agg(format('%s %s %s', email, replaces, ended_by), E'\n' order by id) from directory_entry`, "customer@example.net  taro\nother@example.net 1 ")
	// The end: the registry's word holds again.
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return tx.EndDirectoryEntry(ctx, 2, "taro", d.now) })
	d.want(`select count(*)::text from source where network_id is null`, "2")
	d.open()
	d.want(`select string_agg(distinct n.registry, ' ') from source s join network n on n.id = s.network_id`, "apnic")
}

// Entries of other scopes are contacts of the owners that registries name; a
// country's comes after everybody else.
func TestDirectoryOfOwners(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	day := d.now.Add(24 * time.Hour)
	d.enter(casedb.DirectoryEntry{Scope: casedb.ScopeOrganisation, Target: "Example University", Email: "csirt@university.example", Language: "ja", ValidUntil: &day},
		casedb.DirectoryEntry{Scope: casedb.ScopeCountry, Target: "JP", Email: "cert@national.example", Language: "ja"})
	d.see("192.0.2.10", "192.0.2.70", "192.0.2.140")
	d.open()
	d.want(casesText, "Example Internet Service (Japan) new approval ja abuse@isp.example sources=1\n"+
		"Example Trading new approval ja cert@national.example sources=1\nExample University new approval ja csirt@university.example sources=1")
	owner := d.row(`select id::text from owner where name = 'Example University'`)
	usable := func() string {
		contacts, err := d.db.UsableContacts(t.Context(), int64(owner[0]-'0'), d.now)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, c := range contacts {
			text += c.Email + " "
		}
		return text
	}
	if got := usable(); got != "csirt@university.example abuse@university.example cert@national.example " {
		t.Errorf("usable: %s", got)
	}
	// It stops with its last day, before anybody has tidied up.
	d.now = day
	if got := usable(); got != "abuse@university.example cert@national.example " {
		t.Errorf("usable after its end: %s", got)
	}
}

func TestNotAnOwner(t *testing.T) {
	t.Parallel()
	cfg := owner.DefaultContactConfig()
	for address, bad := range map[string]bool{"abuse@example.net": false, "x@teiten.example": true, "X@TEITEN.EXAMPLE": true, cfg.PlaceholderEmails[0]: true} {
		if address[0] == '@' {
			address = "x" + address
		}
		if err := owner.NotAnOwner(address, cfg, "teiten.example"); (err != nil) != bad {
			t.Errorf("%s: %v", address, err)
		}
	}
}

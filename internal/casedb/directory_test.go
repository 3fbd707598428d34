package casedb_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"teiten/internal/casedb"
)

// enter writes entries into the directory.
func enter(ctx context.Context, db *casedb.DB, entries ...casedb.DirectoryEntry) error {
	for i := range entries {
		if err := entries[i].Check(); err != nil {
			return err
		}
	}
	return db.InTx(ctx, func(tx *casedb.Tx) error {
		_, err := tx.PutDirectoryEntries(ctx, entries, "taro", noon)
		return err
	})
}

func prefixEntry(prefix, email string) casedb.DirectoryEntry {
	return casedb.DirectoryEntry{Scope: casedb.ScopePrefix, Target: prefix, Email: email, Language: "en", Country: "JP"}
}

// registered makes a registry's network of owner 1.
func registered(t *testing.T, db *casedb.DB, prefix string) {
	t.Helper()
	exec(t, db, `with n as (insert into network (owner_id, first_address, last_address, country, registry, raw, fetched_at, expires_at)
			values (1, host(network($1::cidr))::inet, host(broadcast($1::cidr))::inet, 'JP', 'apnic', '', $2, 'infinity') returning id)
		insert into network_prefix (network_id, prefix) select id, $1::cidr from n`, prefix, noon)
}

// Who is looking for the owner of an address while the directory is changed gets
// the directory's.
func TestDirectoryChangesDuringLookups(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	seed(t, db, 1)
	registered(t, db, "192.0.2.0/24")
	asked := make(chan error, 1)
	if err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
		if _, err := tx.PutDirectoryEntries(t.Context(), []casedb.DirectoryEntry{prefixEntry("192.0.2.0/28", "dept@example.net")}, "taro", noon); err != nil {
			return err
		}
		// Seen after the import has looked for what is in its prefixes.
		exec(t, db, `insert into source (address, first_at, last_at) values ('192.0.2.5', $1, $1)`, noon)
		go func() {
			asked <- db.RequestLookups(t.Context(), []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.5")}, noon)
		}()
		waitForLock(t, db, asked)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	var registries string
	if err := db.SQL().QueryRowContext(t.Context(), `select string_agg(n.registry, ' ') from source s join network n on n.id = s.network_id`).Scan(&registries); err != nil || registries != "directory directory" {
		t.Errorf("the sources are of %q, %v", registries, err)
	}
}

// A case whose contact has gone with its entry is not written to again before
// a coordinator chooses another.
func TestNoLetterToAnEndedEntry(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, sources := seed(t, db, 1)
	until := noon.Add(time.Hour)
	if err := enter(t.Context(), db, casedb.DirectoryEntry{Scope: casedb.ScopeOrganisation, Target: "Example", Email: "csirt@example.net", Language: "en", ValidUntil: &until}); err != nil {
		t.Fatal(err)
	}
	c, _, _ := openCase(t, db, sources)
	exec(t, db, `update cases set contact_id = (select id from contact where email = 'csirt@example.net')`)
	for _, tidy := range []bool{false, true} { // before and after the hourly task
		err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
			if tidy {
				if err := tx.ApplyDirectory(t.Context(), 0, until); err != nil {
					return err
				}
			}
			_, err := tx.SendAgain(t.Context(), c.ID, c.Version, "teiten.example", true, "taro", until)
			return err
		})
		if !errors.Is(err, casedb.ErrState) {
			t.Errorf("tidied up %v: got %v", tidy, err)
		}
	}
}

// Who changes only a wish or a note of an entry has not changed the contact: its
// approval, and what waits for it, stay. Another address is another contact.
func TestDirectoryWishesKeepTheContact(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	seed(t, db, 1)
	prefix := prefixEntry("192.0.2.0/28", "dept@example.net")
	owner := casedb.DirectoryEntry{Scope: casedb.ScopeOrganisation, Target: "Example", Email: "csirt@example.net", Language: "en"}
	made := func() (s string) {
		t.Helper()
		if err := db.SQL().QueryRowContext(t.Context(), `select coalesce((select string_agg(concat_ws(' ', c.id, c.email, c.language, nullif(c.approved_by, ''), n.id), ', ' order by c.id)
			from contact c join directory_entry d on d.id = c.directory_id and d.ended_at is null left join network n on n.directory_id = d.id and n.superseded_at is null
			where c.retired_at is null), '')`).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	change := func(want string) {
		t.Helper()
		if err := enter(t.Context(), db, prefix, owner); err != nil {
			t.Fatal(err)
		}
		if got := made(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	change("2 dept@example.net en 1, 3 csirt@example.net en")
	exec(t, db, `update contact set approved_at = $1, approved_by = 'taro' where directory_id is not null`, noon)
	prefix.Digest, owner.Note, owner.Language, owner.Email = true, "by phone", "ja", "CSIRT@example.net"
	change("2 dept@example.net en taro 1, 3 CSIRT@example.net ja taro")
	until := noon.Add(24 * time.Hour)
	prefix.ValidUntil = &until
	change("2 dept@example.net en taro 1, 3 CSIRT@example.net ja taro")
	owner.Email = "other@example.net"
	prefix.Name = "Somebody else"
	change("4 dept@example.net en 2, 5 other@example.net ja")
	if err := db.InTx(t.Context(), func(tx *casedb.Tx) error { return tx.ApplyDirectory(t.Context(), 0, until) }); err != nil {
		t.Fatal(err)
	}
	if got := made(); got != "5 other@example.net ja" {
		t.Errorf("after its end: %s", got)
	}
}

// Judges and coordinators do not wait for each other's rows in a circle.
func TestDirectoryChangesDuringJudgements(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	seed(t, db, 1)
	registered(t, db, "192.0.0.0/16")
	var list []casedb.Judgement
	for i := range 500 {
		list = append(list, casedb.Judgement{Verdict: casedb.Verdict{Source: casedb.Addr{Addr: netip.AddrFrom4([4]byte{192, 0, byte(i / 250), byte(i % 250)})},
			Kind: casedb.KindInfected, Rule: "worm445", Ruleset: "test", Confidence: 0.9, Tell: true, First: noon, Last: noon}, Country: "JP"})
	}
	judge := func(last time.Time) error {
		for i := range list {
			list[i].Verdict.Last = last
		}
		return db.InTx(t.Context(), func(tx *casedb.Tx) error {
			_, err := tx.SaveVerdicts(t.Context(), list, 0, last)
			return err
		})
	}
	if err := judge(noon); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `create table shuffled as select * from source order by md5(host(address))`)
	exec(t, db, `delete from verdict`)
	exec(t, db, `delete from source`)
	exec(t, db, `insert into source select * from shuffled`)
	done := make(chan error, 1)
	go func() {
		for i := range 8 {
			if err := judge(noon.Add(time.Duration(i) * time.Second)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := range 8 {
		if err := enter(t.Context(), db, prefixEntry("192.0.0.0/22", fmt.Sprintf("desk%d@example.net", i))); err != nil {
			t.Errorf("enter: %v", err)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("judge: %v", err)
	}
}

// waitForLock waits until the other session waits for a lock, which it must.
func waitForLock(t *testing.T, db *casedb.DB, ended chan error) {
	t.Helper()
	for count(t, db, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == 0 {
		select {
		case err := <-ended:
			t.Error("the owner was found while the directory was being changed")
			ended <- err
			return
		case <-time.After(5 * time.Millisecond): // PostgreSQL sends no notice
		}
	}
}

// TestDirectoryCosts measures what large directories cost. TEITEN_SCALE is the
// number of entries.
func TestDirectoryCosts(t *testing.T) {
	t.Parallel()
	n := 500
	if _, err := fmt.Sscan(os.Getenv("TEITEN_SCALE"), &n); err != nil && os.Getenv("TEITEN_SCALE") != "" {
		t.Fatal(err)
	}
	db := openTest(t)
	seed(t, db, 1)
	exec(t, db, `insert into source (address, first_at, last_at, country) select '10.0.0.0'::inet + i * 64, $1, $1, 'JP' from generate_series(0, $2::integer) i`, noon, 2*n)
	exec(t, db, `insert into owner (key, name, country, language, created_at) select 'test:' || i, 'Example ' || i, 'JP', 'ja', $1 from generate_series(1, $2::integer) i`, noon, n)
	exec(t, db, `insert into network (owner_id, first_address, last_address, country, registry, raw, asn, fetched_at, expires_at)
		select id, '198.18.0.0'::inet + id * 4, '198.18.0.3'::inet + id * 4, 'JP', 'apnic', '', id, $1, 'infinity' from owner where id > 1`, noon)
	list := make([]casedb.DirectoryEntry, 0, n)
	for i := range n {
		e := prefixEntry(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32).String(), fmt.Sprintf("desk%d@example.net", i))
		switch i % 4 {
		case 1:
			e.Scope, e.Target, e.Country = casedb.ScopeOrganisation, fmt.Sprintf("example %d", i), ""
		case 2:
			e.Scope, e.Target, e.Country = casedb.ScopeAS, fmt.Sprint(i), ""
		}
		list = append(list, e)
	}
	step := func(name string, f func() error) {
		begin := time.Now()
		if err := f(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("%-40s %s", name, time.Since(begin).Round(time.Millisecond))
	}
	step("import", func() error { return enter(t.Context(), db, list...) })
	step("import again", func() error { return enter(t.Context(), db, list...) })
	for i := range list {
		list[i].Note = "changed"
	}
	step("change all", func() error { return enter(t.Context(), db, list...) })
	step("the hourly task", func() error {
		return db.InTx(t.Context(), func(tx *casedb.Tx) error { return tx.ApplyDirectory(t.Context(), 0, noon) })
	})
	step("100 looked-up owners", func() error {
		for i := range 100 {
			if err := db.InTx(t.Context(), func(tx *casedb.Tx) error { return tx.ApplyDirectory(t.Context(), int64(i+2), noon) }); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range list {
		list[i].ValidUntil = new(time.Time)
		*list[i].ValidUntil = noon
	}
	step("end all", func() error { return enter(t.Context(), db, list...) })
}

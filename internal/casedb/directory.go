package casedb

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// DirectoryScope is the scope of an entry in the directory of contacts.
type DirectoryScope string

// The scopes, the most specific first, as in the CHECK constraint of table
// directory_entry. An entry for a country is the last resort: it is used if
// no other contact can be used.
const (
	ScopePrefix       DirectoryScope = "prefix"
	ScopeOrganisation DirectoryScope = "organisation" // an owner's key or name
	ScopeAS           DirectoryScope = "as"
	ScopeCountry      DirectoryScope = "country"
)

// DirectoryScopes returns the scopes, the most specific first.
func DirectoryScopes() []DirectoryScope {
	return []DirectoryScope{ScopePrefix, ScopeOrganisation, ScopeAS, ScopeCountry}
}

// DirectoryEntry is a contact that coordinators know better than registries.
type DirectoryEntry struct {
	ID         int64          `db:"id"`
	Scope      DirectoryScope `db:"scope"`
	Target     string         `db:"target"`  // in base form after Check
	Country    string         `db:"country"` // of a prefix: ISO 3166 in capitals, or empty
	Email      string         `db:"email"`
	Name       string         `db:"name"`
	Language   string         `db:"language"` // ja or en
	Format     string         `db:"format"`   // csv or xarf; empty: as configured
	PGPKey     string         `db:"pgp_key"`  // public, in ASCII armour; letters are encrypted to it
	Digest     bool           `db:"digest"`   // letters that are due go in one mail a day
	Silent     bool           `db:"silent"`   // letters that a person approved do not say Auto-Submitted (RFC 3834)
	Networks   bool           `db:"networks"` // letters name the networks (/24, /48) of sensors where packets arrived
	Note       string         `db:"note"`
	ValidFrom  *time.Time     `db:"valid_from"`
	ValidUntil *time.Time     `db:"valid_until"` // exclusive
	CreatedAt  time.Time      `db:"created_at"`
	CreatedBy  string         `db:"created_by"`
	Replaces   *int64         `db:"replaces"`
	EndedAt    *time.Time     `db:"ended_at"`
	EndedBy    string         `db:"ended_by"`
}

// The shortest prefixes of the directory: an entry for a shorter one means a country.
const (
	minDirectoryBits4 = 8
	minDirectoryBits6 = 16
)

// EntryError is the fault of an entry of the directory.
type EntryError struct {
	Code string // target, prefix, hostbits, large, as, country, email, language, format, key or days
	Text string // in English
}

func (e EntryError) Error() string { return e.Text }

func badEntry(code, format string, args ...any) error {
	return EntryError{code, fmt.Sprintf(format, args...)}
}

// maxPGPKey bounds a public key in ASCII armour.
const maxPGPKey = 64 << 10

// Check brings an entry into base form. An error is an EntryError.
func (e *DirectoryEntry) Check() error {
	e.Target, e.Country = CleanLine(e.Target, 400), strings.ToUpper(CleanLine(e.Country, 20))
	e.Name, e.Note, e.PGPKey = CleanLine(e.Name, 200), Clean(e.Note, 2000), strings.TrimSpace(Clean(strings.ReplaceAll(e.PGPKey, "\r\n", "\n"), 0))
	var err error
	if e.Target, err = directoryTarget(e.Scope, e.Target); err != nil {
		return err
	}
	if e.Email, err = mailAddress(e.Email); err != nil {
		return err
	}
	switch {
	case e.Country != "" && !isCountry(e.Country):
		return badEntry("country", "country %q is not two letters", e.Country)
	case e.Country != "" && e.Scope != ScopePrefix:
		return badEntry("country", "only an entry for a prefix says in which country it is")
	case e.Language != "ja" && e.Language != "en":
		return badEntry("language", "language %q is neither ja nor en", CleanLine(e.Language, 20))
	case e.Format != "" && e.Format != "csv" && e.Format != "xarf":
		return badEntry("format", "format %q is neither csv nor xarf", CleanLine(e.Format, 20))
	case len(e.PGPKey) > maxPGPKey:
		return badEntry("key", "the key is larger than %d KiB", maxPGPKey>>10)
	case e.ValidFrom != nil && e.ValidUntil != nil && !e.ValidFrom.Before(*e.ValidUntil):
		return badEntry("days", "it ends before it begins")
	}
	return nil
}

// directoryTarget is the base form of what an entry is for.
func directoryTarget(scope DirectoryScope, s string) (string, error) {
	if s == "" {
		return "", badEntry("target", "it does not say what it is for")
	}
	switch scope {
	case ScopePrefix:
		return directoryPrefix(s)
	case ScopeOrganisation:
		return lowerASCII(s), nil
	case ScopeAS:
		digits := s
		if len(s) > 2 && strings.EqualFold(s[:2], "AS") {
			digits = s[2:]
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || n == 0 {
			return "", badEntry("as", "%q is not an AS number", s)
		}
		return strconv.FormatUint(n, 10), nil
	case ScopeCountry:
		if s = strings.ToUpper(s); !isCountry(s) {
			return "", badEntry("country", "country %q is not two letters", s)
		}
		return s, nil
	}
	return "", badEntry("target", "%q is neither prefix, organisation, as nor country", CleanLine(string(scope), 40))
}

// lowerASCII makes small letters of A to Z only, as PostgreSQL does in the locale
// C: whatever the database's locale, the two agree.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

func directoryPrefix(s string) (string, error) {
	p, err := netip.ParsePrefix(s)
	if a, e := netip.ParseAddr(s); e == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil || p.Addr().Is4In6():
		return "", badEntry("prefix", "%q is neither an address nor a prefix", s)
	case p != p.Masked():
		return "", badEntry("hostbits", "%s has host bits set; did you mean %s?", p, p.Masked())
	case p.Addr().Is4() && p.Bits() < minDirectoryBits4 || p.Addr().Is6() && p.Bits() < minDirectoryBits6:
		return "", badEntry("large", "%s is too large for one contact", p)
	}
	return p.String(), nil
}

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

// mailAddress is a mail address that a coordinator wrote, cleaned.
func mailAddress(s string) (string, error) {
	s = CleanLine(s, 254)
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(s, " <>,;\"\\\uFFFD") || strings.Contains(domain, "@") {
		return "", badEntry("email", "%q is not a mail address", s)
	}
	return s, nil
}

const directoryColumns = `d.id, d.scope, d.target, d.country, d.email, d.name, d.language, d.format, d.pgp_key, d.digest, d.silent, d.networks, d.note, d.valid_from, d.valid_until,
	d.created_at, d.created_by, d.replaces, d.ended_at, d.ended_by`

// DirectoryImport counts the results for imported entries.
type DirectoryImport struct{ Added, Changed, Same int }

// PutDirectoryEntries writes entries that Check has passed: each replaces the
// one for its target, unless it says the same. They act at once. Of two for one
// target the later counts.
func (t *Tx) PutDirectoryEntries(ctx context.Context, list []DirectoryEntry, by string, now time.Time) (done DirectoryImport, err error) {
	if err := t.lockDirectory(ctx); err != nil {
		return done, err
	}
	if err := t.copyDirectory(ctx, list); err != nil {
		return done, err
	}
	res, err := t.q.ExecContext(ctx, `update directory_entry d set ended_at = $1, ended_by = $2 from incoming i
		where d.scope = i.scope and d.target = i.target and d.ended_at is null
		and (d.country, d.email, d.name, d.language, d.format, d.pgp_key, d.digest, d.silent, d.networks, d.note, d.valid_from, d.valid_until)
			is distinct from (i.country, i.email, i.name, i.language, i.format, i.pgp_key, i.digest, i.silent, i.networks, i.note, i.valid_from, i.valid_until)`, now, by)
	if err != nil {
		return done, fail("replace directory entries", err)
	}
	changed, _ := res.RowsAffected()
	res, err = t.q.ExecContext(ctx, `insert into directory_entry (scope, target, prefix, country, email, name, language, format, pgp_key, digest, silent, networks, note,
			valid_from, valid_until, created_at, created_by, replaces)
		select i.scope, i.target, case i.scope when 'prefix' then i.target::cidr end, i.country, i.email, i.name, i.language, i.format, i.pgp_key, i.digest, i.silent, i.networks, i.note,
			i.valid_from, i.valid_until, $1, $2, (select max(o.id) from directory_entry o where o.scope = i.scope and o.target = i.target)
		from incoming i where not exists (select 1 from directory_entry d where d.scope = i.scope and d.target = i.target and d.ended_at is null)
		order by i.n`, now, by)
	if err != nil {
		return done, fail("add directory entries", err)
	}
	written, _ := res.RowsAffected()
	var rows int
	if err := t.q.GetContext(ctx, &rows, `select count(*) from incoming`); err != nil {
		return done, fail("count directory entries", err)
	}
	done = DirectoryImport{Added: int(written - changed), Changed: int(changed), Same: rows - int(written)}
	if written == 0 {
		return done, nil
	}
	if err := t.analyseDirectory(ctx, int(written), "directory_entry, contact"); err != nil {
		return done, err
	}
	if err := t.succeedEntries(ctx, now); err != nil {
		return done, err
	}
	return done, t.ApplyDirectory(ctx, 0, now)
}

// ReplaceDirectoryEntry writes an entry that Check has passed in place of the one
// with the id, which its author looked at. ErrStale if that is no more the one
// for the target.
func (t *Tx) ReplaceDirectoryEntry(ctx context.Context, id int64, e DirectoryEntry, by string, now time.Time) error {
	if err := t.lockDirectory(ctx); err != nil {
		return err
	}
	var there bool
	if err := t.q.GetContext(ctx, &there, `select exists (select 1 from directory_entry where id = $1 and scope = $2 and target = $3 and ended_at is null)`,
		id, string(e.Scope), e.Target); err != nil {
		return fail("find directory entry", err)
	}
	if !there {
		return fmt.Errorf("directory entry %d: %w", id, ErrStale)
	}
	_, err := t.PutDirectoryEntries(ctx, []DirectoryEntry{e}, by, now)
	return err
}

// copyDirectory fills a table of this transaction with the entries, the last
// one for each target.
func (t *Tx) copyDirectory(ctx context.Context, list []DirectoryEntry) (err error) {
	for _, q := range []string{`create temporary table if not exists incoming (n integer, scope text, target text, country text, email text,
		name text, language text, format text, pgp_key text, digest boolean, silent boolean, networks boolean, note text, valid_from timestamptz, valid_until timestamptz) on commit drop`, `truncate incoming`} {
		if _, err := t.q.ExecContext(ctx, q); err != nil {
			return fail("prepare directory entries", err)
		}
	}
	in, err := t.tx.PrepareContext(ctx, `copy incoming (n, scope, target, country, email, name, language, format, pgp_key, digest, silent, networks, note, valid_from, valid_until) from stdin`)
	if err != nil {
		return fail("copy directory entries", err)
	}
	defer func() {
		if e := in.Close(); err == nil && e != nil {
			err = fail("copy directory entries", e)
		}
	}()
	last := make(map[[2]string]int, len(list))
	for i := range list {
		last[[2]string{string(list[i].Scope), list[i].Target}] = i
	}
	for i := range list {
		e := &list[i]
		if last[[2]string{string(e.Scope), e.Target}] != i {
			continue
		}
		if _, err := in.ExecContext(ctx, i, string(e.Scope), e.Target, e.Country, e.Email, e.Name, e.Language, e.Format, e.PGPKey, e.Digest, e.Silent, e.Networks, e.Note,
			e.ValidFrom, e.ValidUntil); err != nil {
			return fail("copy directory entries", err)
		}
	}
	if _, err = in.ExecContext(ctx); err != nil {
		return fail("copy directory entries", err)
	}
	return t.analyseDirectory(ctx, len(list), "incoming")
}

// EndDirectoryEntry ends an entry. ErrNotFound if it has ended.
func (t *Tx) EndDirectoryEntry(ctx context.Context, id int64, by string, now time.Time) error {
	if err := t.lockDirectory(ctx); err != nil {
		return err
	}
	if err := t.endEntry(ctx, id, by, now); err != nil {
		return err
	}
	return t.ApplyDirectory(ctx, 0, now)
}

func (t *Tx) endEntry(ctx context.Context, id int64, by string, now time.Time) error {
	res, err := t.q.ExecContext(ctx, `update directory_entry set ended_at = $2, ended_by = $3 where id = $1 and ended_at is null`, id, now, by)
	return fail("end directory entry", oneRow(res, err))
}

// lockDirectory lets one change the directory, or what it made, at a time.
func (t *Tx) lockDirectory(ctx context.Context) error {
	_, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock($1, 0)`, lockDirectory)
	return fail("lock directory", err)
}

// keepDirectory keeps the directory as it is until the transaction ends, so that
// who gives a source its network sees every network that the directory has. It
// comes before the locks of rows.
func (t *Tx) keepDirectory(ctx context.Context) error {
	_, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock_shared($1, 0)`, lockDirectory)
	return fail("keep directory", err)
}

// DirectoryEntry returns the entry with the id.
func (q *Queries) DirectoryEntry(ctx context.Context, id int64) (DirectoryEntry, error) {
	var e DirectoryEntry
	err := q.q.GetContext(ctx, &e, `select `+directoryColumns+` from directory_entry d where id = $1`, id)
	return e, fail("get directory entry", err)
}

// DirectoryHistory returns the entries for a target, the newest first, at most
// limit.
func (q *Queries) DirectoryHistory(ctx context.Context, scope DirectoryScope, target string, limit int) ([]DirectoryEntry, error) {
	var list []DirectoryEntry
	err := q.q.SelectContext(ctx, &list, `select `+directoryColumns+` from directory_entry d
		where scope = $1 and target = $2 order by id desc limit $3`, scope, target, limit)
	return list, fail("list history of directory", err)
}

// DirectoryFilter selects entries. The zero value selects all that have not
// ended.
type DirectoryFilter struct {
	Scope   DirectoryScope
	Address netip.Addr // prefixes around it
	Text    string     // in the target, the name or the mail address
}

// DirectoryEntries returns at most limit entries that have not ended with ids
// below before (0: from the newest), the newest first.
func (q *Queries) DirectoryEntries(ctx context.Context, f DirectoryFilter, before int64, limit int) ([]DirectoryEntry, error) {
	var w where
	w.add(`d.ended_at is null`)
	if before > 0 {
		w.add(`d.id < ?`, before)
	}
	if f.Scope != "" {
		w.add(`d.scope = ?`, f.Scope)
	}
	if f.Address.IsValid() {
		w.add(`d.scope = 'prefix' and d.prefix >>= ?::inet`, Addr{f.Address})
	}
	if f.Text != "" {
		text := strings.ToLower(CleanLine(f.Text, 200))
		w.add(`(strpos(lower(d.target), ?) > 0 or strpos(lower(d.name), ?) > 0 or strpos(lower(d.email), ?) > 0)`, text, text, text)
	}
	var list []DirectoryEntry
	err := q.q.SelectContext(ctx, &list, `select `+directoryColumns+` from directory_entry d`+w.sql()+` order by d.id desc limit `+strconv.Itoa(limit), w.args...)
	return list, fail("list directory", err)
}

// EachDirectoryEntry calls yield with at most limit entries (0: all) that have
// not ended, the newest first.
func (q *Queries) EachDirectoryEntry(ctx context.Context, f DirectoryFilter, limit int, yield func(*DirectoryEntry) error) error {
	var before int64
	for n := 0; limit == 0 || n < limit; {
		size := 1000
		if limit > 0 {
			size = min(size, limit-n)
		}
		page, err := q.DirectoryEntries(ctx, f, before, size)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if err := yield(&page[i]); err != nil {
				return err
			}
			before = page[i].ID
		}
		n += len(page)
	}
	return nil
}

// DirectoryQuestion is the known data about an address, for DirectoryFor.
type DirectoryQuestion struct {
	Address   netip.Addr
	OwnerKey  string
	OwnerName string
	ASN       int64  // 0: unknown
	Country   string // of the network
}

// DirectoryFor returns the entries that hold for an address at the time, the
// most specific first.
func (q *Queries) DirectoryFor(ctx context.Context, a DirectoryQuestion, now time.Time) ([]DirectoryEntry, error) {
	var list []DirectoryEntry
	err := q.q.SelectContext(ctx, &list, `select `+directoryColumns+` from directory_entry d
		where `+entryInForce+` and (d.scope = 'prefix' and d.prefix >>= $2::inet
			or d.scope = 'organisation' and d.target in ($3, $4) or d.scope = 'as' and d.target = $5::bigint::text
			or d.scope = 'country' and d.target = $6)
		order by array_position(array['prefix','organisation','as','country'], d.scope), masklen(d.prefix) desc limit 20`,
		now, Addr{a.Address}, lowerASCII(a.OwnerKey), lowerASCII(a.OwnerName), a.ASN, a.Country)
	return list, fail("look into the directory", err)
}

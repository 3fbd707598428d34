package casedb

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/lib/pq"
)

// ListRegistration is the list of the entries that come from registrations,
// and ListManual of those that an operator adds one by one.
const (
	ListRegistration = "registration"
	ListManual       = "manual"
)

// settingScannersVersion counts the changes of the allowlist.
const settingScannersVersion = "scanners-version"

const scannerColumns = `id, prefix, organisation, list, purpose, url, ports, registration_id, valid_from, valid_to, created_at`

// ScannersVersion returns a number that changes with every change of the
// allowlist.
func (q *Queries) ScannersVersion(ctx context.Context) (int64, error) {
	var v int64
	_, err := q.Setting(ctx, settingScannersVersion, &v)
	return v, err
}

// changeScanners takes the lock of those who change the allowlist and counts
// the change.
func (t *Tx) changeScanners(ctx context.Context, by string, now time.Time) error {
	if _, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock($1, 0)`, lockScanners); err != nil {
		return fail("lock allowlist", err)
	}
	_, err := t.q.ExecContext(ctx, `insert into setting as s (name, value, changed_at, changed_by) values ($1, '1', $2, $3)
		on conflict (name) do update set value = to_jsonb(s.value::text::bigint + 1), changed_at = excluded.changed_at,
		changed_by = excluded.changed_by`, settingScannersVersion, now, CleanLine(by, 200))
	return fail("count change of the allowlist", err)
}

// AddScanner writes one allowlist entry and makes the sources inside it due to
// be judged again. ErrConflict if the list has the entry already.
func (t *Tx) AddScanner(ctx context.Context, s Scanner, by string, now time.Time) (Scanner, error) {
	if err := t.changeScanners(ctx, by, now); err != nil {
		return s, err
	}
	err := t.q.GetContext(ctx, &s, `insert into scanner (prefix, organisation, list, purpose, url, ports, registration_id,
			valid_from, valid_to, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning `+scannerColumns,
		s.Prefix, CleanLine(s.Organisation, 200), CleanLine(s.List, 200), Clean(s.Purpose, 2000), CleanLine(s.URL, 500),
		s.Ports, s.RegistrationID, s.ValidFrom, s.ValidTo, now)
	if err != nil {
		return s, fail("add scanner", err)
	}
	return s, t.markSourcesDue(ctx, []string{s.Prefix.String()})
}

// ScannerImport counts the results for a list's entries.
type ScannerImport struct {
	Added   int // new in the allowlist
	Changed int // with another end, purpose or address
	Ended   int // no longer in the list: valid until now
	Same    int
}

// scannerRow is an entry as it is sent to PostgreSQL.
type scannerRow struct {
	Prefix       string     `json:"prefix"`
	Organisation string     `json:"organisation"`
	Purpose      string     `json:"purpose"`
	URL          string     `json:"url"`
	ValidFrom    *time.Time `json:"valid_from"`
	ValidTo      *time.Time `json:"valid_to"`
}

// ImportScanners makes the entries the whole of a list, in the transaction:
// new ones are added, those that the list no longer has end now, and stay for
// the packets of their time. Sources inside all of these are due to be judged
// again. The entries' List is ignored.
func (t *Tx) ImportScanners(ctx context.Context, list string, entries []Scanner, by string, now time.Time) (ScannerImport, error) {
	var r ScannerImport
	list = CleanLine(list, 200)
	if list == "" || list == ListRegistration {
		return r, fmt.Errorf("import scanners: a list cannot be called %q", list)
	}
	if err := t.changeScanners(ctx, by, now); err != nil {
		return r, err
	}
	rows := make([]scannerRow, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Prefix.IsValid() {
			rows = append(rows, scannerRow{e.Prefix.Masked().String(), CleanLine(e.Organisation, 200), Clean(e.Purpose, 2000),
				CleanLine(e.URL, 500), e.ValidFrom, e.ValidTo})
		}
	}
	text, err := JSON[[]scannerRow]{rows}.Value()
	if err != nil {
		return r, err
	}
	// One transaction may import several lists.
	if _, err := t.q.ExecContext(ctx, `drop table if exists incoming`); err != nil {
		return r, fail("import scanners", err)
	}
	if _, err := t.q.ExecContext(ctx, `create temporary table incoming on commit drop as
		select distinct on (prefix, organisation, coalesce(valid_from, '-infinity')) prefix, organisation, purpose, url, valid_from,
			valid_to
		from json_to_recordset($1::json) as j (prefix cidr, organisation text, purpose text, url text, valid_from timestamptz,
			valid_to timestamptz)`, text); err != nil {
		return r, fail("import scanners", err)
	}
	const match = `s.list = $1 and s.prefix = i.prefix and s.organisation = i.organisation
		and coalesce(s.valid_from, '-infinity') = coalesce(i.valid_from, '-infinity')`
	var due []string
	for _, step := range []struct {
		count *int
		query string
		args  []any
	}{
		{&r.Ended, `update scanner s set valid_to = greatest($2, s.valid_from + interval '1 microsecond')
			where s.list = $1 and (s.valid_to is null or s.valid_to > $2)
				and not exists (select 1 from incoming i where ` + match + `) returning s.prefix`, []any{list, now}},
		{&r.Changed, `update scanner s set valid_to = i.valid_to, purpose = i.purpose, url = i.url from incoming i where ` + match + `
				and (s.valid_to, s.purpose, s.url) is distinct from (i.valid_to, i.purpose, i.url) returning s.prefix`, []any{list}},
		{&r.Added, `insert into scanner (prefix, organisation, list, purpose, url, valid_from, valid_to, created_at)
			select i.prefix, i.organisation, $1, i.purpose, i.url, i.valid_from, i.valid_to, $2 from incoming i
			where not exists (select 1 from scanner s where ` + match + `) returning prefix`, []any{list, now}},
	} {
		var prefixes []string
		if err := t.q.SelectContext(ctx, &prefixes, step.query, step.args...); err != nil {
			return r, fail("import scanners", err)
		}
		*step.count = len(prefixes)
		due = append(due, prefixes...)
	}
	var all int
	if err := t.q.GetContext(ctx, &all, `select count(*) from incoming`); err != nil {
		return r, fail("import scanners", err)
	}
	r.Same = all - r.Added - r.Changed
	return r, t.markSourcesDue(ctx, due)
}

// EndScanner ends an entry now and makes the sources inside it due to be
// judged again. ErrState if it has ended before.
func (t *Tx) EndScanner(ctx context.Context, id int64, by string, now time.Time) (Scanner, error) {
	var s Scanner
	if err := t.changeScanners(ctx, by, now); err != nil {
		return s, err
	}
	err := t.q.GetContext(ctx, &s, `select `+scannerColumns+` from scanner where id = $1 for update`, id)
	if err != nil {
		return s, fail("get scanner", err)
	}
	if s.ValidTo != nil && !s.ValidTo.After(now) {
		return s, fmt.Errorf("end scanner %d: %w", id, ErrState)
	}
	err = t.q.GetContext(ctx, &s, `update scanner set valid_to = greatest($2, valid_from + interval '1 microsecond')
		where id = $1 returning `+scannerColumns, id, now)
	if err != nil {
		return s, fail("end scanner", err)
	}
	return s, t.markSourcesDue(ctx, []string{s.Prefix.String()})
}

// ScannerFilter says which entries a list shows; the zero filter all of them.
type ScannerFilter struct {
	List         string
	Organisation string     // part of the name, whatever the case
	Address      netip.Addr // entries around it
	At           time.Time  // only those in force then
}

// ListScanners returns at most limit entries of the filter behind the one with
// the id after (0: from the start), the newest first, and whether there are
// more.
func (q *Queries) ListScanners(ctx context.Context, f ScannerFilter, after int64, limit int) ([]Scanner, bool, error) {
	w := where{}
	if f.List != "" {
		w.add(`list = ?`, Clean(f.List, 200))
	}
	if f.Organisation != "" {
		w.add(`strpos(lower(organisation), ?) > 0`, strings.ToLower(Clean(f.Organisation, 200)))
	}
	if f.Address.IsValid() {
		w.add(`prefix >>= ?`, Addr{f.Address})
	}
	if !f.At.IsZero() {
		w.add(`(valid_from is null or valid_from <= ?) and (valid_to is null or valid_to > ?)`, f.At, f.At)
	}
	if after != 0 {
		w.add(`id < ?`, after)
	}
	var list []Scanner
	err := q.q.SelectContext(ctx, &list, `select `+scannerColumns+` from scanner`+w.sql()+` order by id desc limit `+w.arg(limit+1),
		w.args...)
	if err != nil {
		return nil, false, fail("list scanners", err)
	}
	if len(list) > limit {
		return list[:limit], true, nil
	}
	return list, false, nil
}

// ScannersSince returns the entries that were in force at the time or later.
func (q *Queries) ScannersSince(ctx context.Context, since time.Time) ([]Scanner, error) {
	var list []Scanner
	err := q.q.SelectContext(ctx, &list, `select `+scannerColumns+` from scanner where valid_to is null or valid_to > $1 order by id`,
		since)
	return list, fail("scanners in force", err)
}

// ExportScanners calls yield with every entry in force at the time, in order of
// organisation and prefix. An error of yield ends it and comes back.
func (d *DB) ExportScanners(ctx context.Context, at time.Time, yield func(*Scanner) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := d.q.QueryxContext(ctx, `select `+scannerColumns+` from scanner
		where (valid_from is null or valid_from <= $1) and (valid_to is null or valid_to > $1)
		order by lower(organisation), organisation, prefix, id`, at)
	if err != nil {
		return fail("export scanners", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s Scanner
		if err := rows.StructScan(&s); err != nil {
			return fail("export scanners", err)
		}
		if err := yield(&s); err != nil {
			return err
		}
	}
	return fail("export scanners", rows.Err())
}

// prefixStrings writes prefixes as PostgreSQL reads them.
func prefixStrings(list []string) (pq.StringArray, error) {
	texts := make(pq.StringArray, len(list))
	for i, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("prefix %q: %w", s, err)
		}
		texts[i] = p.Masked().String()
	}
	return texts, nil
}

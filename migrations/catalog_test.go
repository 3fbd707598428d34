package migrations_test

import (
	"database/sql"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// catalog describes everything in the schema of a database but its rows, one
// line for a thing, sorted. Days of observations are left out: they are made
// when packets arrive.
const catalog = `
with mine as (select c.* from pg_class c where c.relnamespace = current_schema()::regnamespace and not c.relispartition)
select concat_ws(' ', 'relation', relname, relkind, relpersistence, reloptions, pg_get_partkeydef(oid), obj_description(oid, 'pg_class')) from mine
union all
select concat_ws(' ', 'column', m.relname, row_number() over (partition by m.oid order by a.attnum), a.attname, format_type(a.atttypid, a.atttypmod),
	'not null:', a.attnotnull, 'identity:', a.attidentity, 'generated:', a.attgenerated, 'collation:', a.attcollation::regcollation,
	'default:', pg_get_expr(d.adbin, d.adrelid), col_description(m.oid, a.attnum))
	from mine m join pg_attribute a on a.attrelid = m.oid left join pg_attrdef d on d.adrelid = m.oid and d.adnum = a.attnum
	where m.relkind in ('r','p','v','m') and a.attnum > 0 and not a.attisdropped
union all
select concat_ws(' ', 'constraint', m.relname, k.conname, pg_get_constraintdef(k.oid), 'validated:', k.convalidated)
	from mine m join pg_constraint k on k.conrelid = m.oid
union all
select concat_ws(' ', 'index', m.relname, pg_get_indexdef(i.indexrelid), 'valid:', i.indisvalid) from mine m join pg_index i on i.indrelid = m.oid
union all
select concat_ws(' ', 'trigger', m.relname, pg_get_triggerdef(t.oid), t.tgenabled) from mine m join pg_trigger t on t.tgrelid = m.oid where not t.tgisinternal
union all
select concat_ws(' ', 'function', pg_get_functiondef(p.oid)) from pg_proc p where p.pronamespace = current_schema()::regnamespace
union all
select concat_ws(' ', 'sequence', m.relname, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle)
	from mine m join pg_sequence s on s.seqrelid = m.oid
union all
select concat_ws(' ', 'type', t.typname, t.typtype) from pg_type t where t.typnamespace = current_schema()::regnamespace and t.typrelid = 0 and t.typelem = 0
order by 1`

// schemaOf returns the description of db's schema.
func schemaOf(t *testing.T, db *sql.DB) []string { return texts(t, db, catalog) }

// texts returns a query's only column.
func texts(t *testing.T, db *sql.DB, query string) (list []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// same fails the test for every line that is in one of two schemas only.
func same(t *testing.T, got, want []string) {
	t.Helper()
	if len(want) < 100 {
		t.Fatalf("a schema of %d things is no schema", len(want))
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("too much: %s", line)
		}
	}
}

// versionTable is goose's: what was applied is no row of ours.
const versionTable = "goose_db_version"

// contents are the rows of all tables, each as its columns.
type contents map[string][]map[string]json.RawMessage

// contentsOf returns the rows of all tables of db but goose's.
func contentsOf(t *testing.T, db *sql.DB) contents {
	t.Helper()
	c := contents{}
	for _, table := range texts(t, db, `select relname from pg_class where relkind in ('r','p') and not relispartition
		and relnamespace = current_schema()::regnamespace and relname <> '`+versionTable+`' order by 1`) {
		c[table] = nil
		for _, text := range texts(t, db, `select to_jsonb(r)::text from "`+table+`" r`) {
			row := map[string]json.RawMessage{}
			if err := json.Unmarshal([]byte(text), &row); err != nil {
				t.Fatal(err)
			}
			c[table] = append(c[table], row)
		}
	}
	return c
}

// columns returns the values of the columns that keep accepts, a row a line, sorted.
func (c contents) columns(table string, keep func(column string) bool) []string {
	lines := make([]string, 0, len(c[table]))
	for _, row := range c[table] {
		var line []string
		for column, value := range row {
			if keep(column) {
				line = append(line, column+"="+string(value))
			}
		}
		slices.Sort(line)
		lines = append(lines, strings.Join(line, " "))
	}
	slices.Sort(lines)
	return lines
}

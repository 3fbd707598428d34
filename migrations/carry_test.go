package migrations_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"teiten/internal/pgtest"
	"teiten/migrations"
)

// converted returns the columns ("table.column") of version 33 whose values the
// files of carry change, or which they drop. Each has a test of its own for what
// becomes of it; all other columns must keep every value.
// codes_test.go has the tests.
func converted() map[string]bool {
	list := map[string]bool{}
	for _, column := range []string{"message.hold_reason", "message.last_error", "contact.why", "network.choice", "suppression.reason",
		"control_draw.end_reason", "case_event.text", "case_event.data"} {
		list[column] = true
	}
	return list
}

var partHeader = regexp.MustCompile(`(?m)^-- (\d{4}_\w+\.sql) --\n`)

// oldFiles returns the migrations of commit e69e1b6.
func oldFiles(t *testing.T) fstest.MapFS {
	t.Helper()
	b, err := os.ReadFile("testdata/e69e1b6.sql")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	text := string(b)
	heads := partHeader.FindAllStringSubmatchIndex(text, -1)
	for i, h := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		files[text[h[2]:h[3]]] = &fstest.MapFile{Data: []byte(text[h[1]:end])}
	}
	if len(files) != 24 {
		t.Fatalf("commit e69e1b6 has 24 migrations, the test %d", len(files))
	}
	return files
}

// open returns the database at url for one test.
func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// up applies files to db as goose does, up to the version.
func up(t *testing.T, db *sql.DB, files fs.FS, version int64, options ...goose.ProviderOption) error {
	t.Helper()
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, options...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.UpTo(t.Context(), version)
	return err
}

// oldDatabase returns a database as commit e69e1b6 leaves it, and its URL.
func oldDatabase(t *testing.T) (*sql.DB, string) {
	t.Helper()
	url := pgtest.NewEmpty(t)
	db := open(t, url)
	if err := up(t, db, oldFiles(t), 33); err != nil {
		t.Fatal(err)
	}
	return db, url
}

// fill puts rows into every table of version 33.
func fill(t *testing.T, db *sql.DB) {
	t.Helper()
	b, err := os.ReadFile("testdata/rows.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), string(b)); err != nil {
		t.Fatal(err)
	}
}

func apply(t *testing.T, db *sql.DB) migrations.Result {
	t.Helper()
	r, err := migrations.Apply(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A new database has what the migrations of e69e1b6, and what carries them
// over, make: the same columns in the same order, constraints, indexes,
// triggers, functions, and rows that belong to the schema.
func TestNewAndCarriedAreTheSame(t *testing.T) {
	t.Parallel()
	fresh := open(t, pgtest.NewEmpty(t))
	if r := apply(t, fresh); r.Before != 0 || r.After < 100 || r.Carried {
		t.Errorf("a new database: %+v", r)
	}
	old, _ := oldDatabase(t)
	if r := apply(t, old); r.Before != 33 || r.After < 100 || !r.Carried {
		t.Errorf("an old database: %+v", r)
	}
	same(t, schemaOf(t, old), schemaOf(t, fresh))
	all := func(string) bool { return true }
	want, got := contentsOf(t, fresh), contentsOf(t, old)
	for table := range want {
		if !slices.Equal(got.columns(table, all), want.columns(table, all)) {
			t.Errorf("%s: a new database has %d rows of its own, a carried one %d, or others", table, len(want[table]), len(got[table]))
		}
	}
	if len(want["state_move"]) == 0 {
		t.Error("a new database knows no moves")
	}
	versions := `select version_id || ' ' || is_applied from goose_db_version order by version_id`
	if got, want := texts(t, old, versions), texts(t, fresh, versions); !slices.Equal(got, want) {
		t.Errorf("a carried database counts %q as applied, a new one %q", got, want)
	}
}

func TestEveryRowIsCarried(t *testing.T) {
	t.Parallel()
	db, _ := oldDatabase(t)
	fill(t, db)
	before := contentsOf(t, db)
	for table, rows := range before {
		filled := map[string]bool{}
		for _, row := range rows {
			for column, value := range row {
				filled[column] = filled[column] || string(value) != "null"
			}
		}
		if len(rows) == 0 || slices.Contains(slices.Collect(maps.Values(filled)), false) {
			t.Errorf("testdata/rows.sql fills table %s with %d rows and columns %v", table, len(rows), filled)
		}
	}
	if r := apply(t, db); !r.Carried {
		t.Errorf("carried: %+v", r)
	}
	after := contentsOf(t, db)
	for table, rows := range before {
		kept := func(column string) bool { return !converted()[table+"."+column] }
		for column := range rows[0] {
			if _, there := after[table][0][column]; kept(column) && !there {
				t.Errorf("%s.%s is gone", table, column)
			}
		}
		old := func(column string) bool { _, there := rows[0][column]; return there && kept(column) }
		if got, want := after.columns(table, old), before.columns(table, old); !slices.Equal(got, want) {
			t.Errorf("%s: %d rows became %d, or have other values:\n%s\n%s", table, len(want), len(got), strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
	}
	// Identities go on where they were.
	if got := texts(t, db, `insert into sensor (name, created_at) values ('next', '2026-05-01Z') returning id::text`); !slices.Equal(got, []string{"3"}) {
		t.Errorf("the next sensor has the id %q", got)
	}
}

func TestCarriedOnce(t *testing.T) {
	t.Parallel()
	db, _ := oldDatabase(t)
	first := apply(t, db)
	if !strings.Contains(first.String(), "e69e1b6") {
		t.Errorf("the first time: %s", first)
	}
	stamps := `select id || ' ' || version_id || ' ' || tstamp from goose_db_version order by id`
	before := texts(t, db, stamps)
	if again := apply(t, db); again.Changed() || again.Carried || again.Before != first.After {
		t.Errorf("the second time: %+v", again)
	}
	if after := texts(t, db, stamps); !slices.Equal(before, after) {
		t.Errorf("the second time noted %q after %q", after, before)
	}
	// The old program does not go on with what it does not know.
	if err := up(t, db, oldFiles(t), 33); err == nil {
		t.Error("commit e69e1b6 takes the carried database for its own")
	}
}

// with returns the migrations of the program with further files.
func with(t *testing.T, files map[string]string) fs.FS {
	t.Helper()
	b, err := fs.ReadFile(migrations.Files(), "0100_schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	all := fstest.MapFS{"0100_schema.sql": {Data: b}}
	for name, text := range files {
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

func TestProcessesCarryOnce(t *testing.T) {
	t.Parallel()
	first, url := oldDatabase(t)
	fill(t, first)
	// Without the lock, the second carry would find the column there.
	files := with(t, map[string]string{
		"carry/01_slow.sql": `alter table sensor add column extra text; select pg_sleep(0.2);`,
		"0101_more.sql":     "-- +goose Up\nalter table sensor add column more text;",
	})
	var (
		wait    sync.WaitGroup
		mu      sync.Mutex
		results []migrations.Result
	)
	for range 2 {
		db := open(t, url)
		wait.Go(func() {
			r, err := migrations.ApplyFiles(t.Context(), db, files)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			results = append(results, r)
		})
	}
	wait.Wait()
	did := slices.DeleteFunc(results, func(r migrations.Result) bool { return r == migrations.Result{Before: 101, After: 101} })
	if len(did) != 1 || did[0] != (migrations.Result{Before: 33, After: 101, Carried: true}) {
		t.Errorf("two processes: %+v", did)
	}
	if got := texts(t, first, `select version_id::text from goose_db_version order by id`); !slices.Equal(got, []string{"0", "100", "101"}) {
		t.Errorf("applied: %q", got)
	}
}

func TestCarryFilesInOrder(t *testing.T) {
	t.Parallel()
	db, _ := oldDatabase(t)
	r, err := migrations.ApplyFiles(t.Context(), db, with(t, map[string]string{
		"carry/02_use.sql": "-- +goose Up\nalter table sensor add column b text not null default '';\nupdate sensor set b = a;",
		"carry/01_add.sql": "-- +goose Up\n\n-- +goose StatementBegin\ncreate function f() returns text language plpgsql as $$ begin return ';'; end $$;\n-- +goose StatementEnd\nalter table sensor add column a text;",
	}))
	if err != nil || !r.Carried || r.After != 100 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := texts(t, db, `select f() || column_name from information_schema.columns where table_name = 'sensor' and column_name in ('a','b') order by 1`); !slices.Equal(got, []string{";a", ";b"}) {
		t.Errorf("columns: %q", got)
	}
}

func TestFailedCarryChangesNothing(t *testing.T) {
	t.Parallel()
	db, _ := oldDatabase(t)
	fill(t, db)
	before := stateOf(t, db)
	_, err := migrations.ApplyFiles(t.Context(), db, with(t, map[string]string{
		"carry/01_add.sql":  "alter table sensor add column a text; delete from session;",
		"carry/02_fail.sql": "update sensor set a = a / 0;",
	}))
	if err == nil || !strings.Contains(err.Error(), "carry/02_fail.sql") || errors.Is(err, migrations.ErrRefused) {
		t.Errorf("error: %v", err)
	}
	unchanged(t, db, before)
	// The lock is free again, and the right files lead on.
	if r := apply(t, db); !r.Carried {
		t.Errorf("afterwards: %+v", r)
	}
}

// A process that is stopped while it carries over leaves the database as it was.
func TestStoppedCarryChangesNothing(t *testing.T) {
	t.Parallel()
	db, url := oldDatabase(t)
	before := stateOf(t, db)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := migrations.ApplyFiles(ctx, open(t, url), with(t, map[string]string{
			"carry/01_long.sql": "alter table sensor add column a text; select pg_sleep(600);",
		}))
		ended <- err
	}()
	for len(texts(t, db, `select 'sleeps' from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`)) == 0 {
		select {
		case err := <-ended:
			t.Fatalf("it ended before it was stopped: %v", err)
		default:
		}
	}
	stop()
	if err := <-ended; err == nil {
		t.Error("the stopped process says that it carried the database over")
	}
	unchanged(t, db, before)
	if r := apply(t, db); !r.Carried {
		t.Errorf("afterwards: %+v", r)
	}
}

// stateOf returns everything in a database, rows and versions as well.
func stateOf(t *testing.T, db *sql.DB) []string {
	t.Helper()
	state := schemaOf(t, db)
	c := contentsOf(t, db)
	for _, table := range slices.Sorted(maps.Keys(c)) {
		state = append(state, c.columns(table, func(string) bool { return true })...)
	}
	if slices.ContainsFunc(state, func(s string) bool { return strings.HasPrefix(s, "relation "+versionTable+" ") }) {
		state = append(state, texts(t, db, fmt.Sprintf(`select to_jsonb(v)::text from %s v order by id`, versionTable))...)
	}
	return state
}

// unchanged fails the test if the database is not in the state it was in.
func unchanged(t *testing.T, db *sql.DB, before []string) {
	t.Helper()
	if after := stateOf(t, db); !slices.Equal(before, after) {
		t.Errorf("the database has changed: %d lines, %d before", len(after), len(before))
	}
}

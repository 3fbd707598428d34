package migrations_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"teiten/internal/pgtest"
	"teiten/migrations"
)

// What cannot be brought up to date is refused with what to do, and stays as it
// is, rows and all.
func TestRefusals(t *testing.T) {
	t.Parallel()
	more := func(names ...string) fs.FS {
		files := map[string]string{}
		for _, n := range names {
			files[n] = "-- +goose Up\nalter table sensor add column c" + n[:4] + " text;"
		}
		return with(t, files)
	}
	for _, c := range []struct {
		name    string
		make    func(*testing.T, *sql.DB)
		files   fs.FS
		refused string
	}{
		{"an older main", func(t *testing.T, db *sql.DB) {
			must(t, up(t, db, oldFiles(t), 21))
			must(t, execute(t, db, `insert into sensor (name, created_at) values ('a', '2026-05-01Z')`))
		}, more(), "run `teiten migrate` of commit e69e1b6"},
		{"holes", func(t *testing.T, db *sql.DB) {
			files := oldFiles(t)
			delete(files, "0015_attempts_under_way.sql")
			must(t, up(t, db, files, 33))
		}, more(), "missing: 15; unknown: none"},
		{"another branch", func(t *testing.T, db *sql.DB) {
			files := oldFiles(t)
			files["0034_other.sql"] = files["0003_sources_due.sql"]
			must(t, up(t, db, files, 33))
			must(t, execute(t, db, `drop index source_due`))
			must(t, up(t, db, files, 34))
			fill(t, db)
		}, more(), "missing: none; unknown: 34"},
		{"newer", func(t *testing.T, db *sql.DB) {
			_, err := migrations.ApplyFiles(t.Context(), db, more("0101_a.sql", "0102_a.sql"))
			must(t, err)
		}, more("0101_a.sql"), "has schema version 102, this program knows versions up to 101"},
		{"a number that came too late", func(t *testing.T, db *sql.DB) {
			_, err := migrations.ApplyFiles(t.Context(), db, more("0102_a.sql"))
			must(t, err)
		}, more("0101_a.sql", "0102_a.sql"), "migration 101 was added to the program after migration 102"},
		{"a number that is unknown", func(t *testing.T, db *sql.DB) {
			_, err := migrations.ApplyFiles(t.Context(), db, more("0101_a.sql", "0102_a.sql"))
			must(t, err)
		}, more("0102_a.sql"), "does not know (101)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := open(t, pgtest.NewEmpty(t))
			c.make(t, db)
			before := stateOf(t, db)
			r, err := migrations.ApplyFiles(t.Context(), db, c.files)
			if !errors.Is(err, migrations.ErrRefused) || !strings.Contains(err.Error(), c.refused) || r.Changed() {
				t.Errorf("%+v, %v", r, err)
			}
			unchanged(t, db, before)
		})
	}
}

// Two files with one number are no migrations at all.
func TestOneNumberTwice(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.NewEmpty(t))
	before := stateOf(t, db)
	_, err := migrations.ApplyFiles(t.Context(), db, with(t, map[string]string{
		"0101_a.sql": "-- +goose Up\nselect 1;", "0101_b.sql": "-- +goose Up\nselect 1;",
	}))
	if err == nil || !strings.Contains(err.Error(), "101") {
		t.Errorf("error: %v", err)
	}
	unchanged(t, db, before)
}

// A main before e69e1b6 that went on to it met lower numbers that had come
// later and refused them; goose applies them when told, as docs/operations.md
// says. This is main as it was when 16 was there and 7 was not.
func TestOlderMainMended(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.NewEmpty(t))
	early := oldFiles(t)
	for name := range early {
		if v := name[:4]; v > "0005" && v != "0016" {
			delete(early, name)
		}
	}
	must(t, up(t, db, early, 16))
	must(t, execute(t, db, `insert into sensor (name, created_at) values ('a', '2026-05-01Z')`))
	if _, err := migrations.Apply(t.Context(), db); !errors.Is(err, migrations.ErrRefused) {
		t.Errorf("not refused: %v", err)
	}
	if err := up(t, db, oldFiles(t), 33); err == nil {
		t.Error("e69e1b6 did not refuse")
	}
	must(t, up(t, db, oldFiles(t), 33, goose.WithAllowOutofOrder(true)))
	if r := apply(t, db); !r.Carried {
		t.Errorf("not carried: %+v", r)
	}
	fresh := open(t, pgtest.NewEmpty(t))
	apply(t, fresh)
	same(t, withoutPositions(schemaOf(t, db)), withoutPositions(schemaOf(t, fresh)))
	if got := texts(t, db, `select name from sensor`); len(got) != 1 {
		t.Errorf("sensors: %q", got)
	}
}

// withoutPositions leaves out where in its table a column stands.
func withoutPositions(schema []string) []string {
	for i, line := range schema {
		if words := strings.SplitN(line, " ", 4); words[0] == "column" {
			schema[i] = words[0] + " " + words[1] + " " + words[3]
		}
	}
	return schema
}

func execute(t *testing.T, db *sql.DB, statement string) error {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement)
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

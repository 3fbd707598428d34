package pgtest_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"teiten/internal/pgtest"
)

func open(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func countTables(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	err := db.QueryRowContext(t.Context(), `select count(*) from pg_tables where schemaname = 'public'`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEveryTestHasAMigratedDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	first, second := open(t, pgtest.New(t)), open(t, pgtest.New(t))
	if n := countTables(t, first); n < 5 {
		t.Errorf("got %d tables, want the schema", n)
	}
	if _, err := first.ExecContext(t.Context(), `create table only_here (n int)`); err != nil {
		t.Fatal(err)
	}
	if got, want := countTables(t, second)+1, countTables(t, first); got != want {
		t.Errorf("got %d tables in the second database, want %d", got-1, want-1)
	}
}

func TestEmptyDatabaseHasNoTables(t *testing.T) {
	t.Parallel()
	if n := countTables(t, open(t, pgtest.NewEmpty(t))); n != 0 {
		t.Errorf("got %d tables, want none", n)
	}
}

func TestDatabaseIsDroppedWithItsTest(t *testing.T) {
	t.Parallel()
	var address string
	t.Run("inner", func(t *testing.T) { address = pgtest.New(t) })
	if err := open(t, address).PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("got %v, want a database that is gone", err)
	}
}

func TestClusterKeepsCommittedRowsOverKillAndStop(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t)
	address := c.URL()
	db := open(t, address)
	for i, down := range []func(){c.Kill, c.Stop, c.Kill} {
		if i == 0 {
			if _, err := db.ExecContext(t.Context(), `create table kept (n int)`); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.ExecContext(t.Context(), `insert into kept values ($1)`, i); err != nil {
			t.Fatal(err)
		}
		down()
		if err := db.PingContext(t.Context()); err == nil {
			t.Fatal("the server answers while it should be down")
		}
		c.Start()
		if c.URL() != address {
			t.Fatalf("got URL %s after the restart, want %s", c.URL(), address)
		}
		var n int
		if err := db.QueryRowContext(t.Context(), `select count(*) from kept`).Scan(&n); err != nil || n != i+1 {
			t.Fatalf("got %d rows and %v, want %d", n, err, i+1)
		}
	}
}

// TestServerAndFolderGoWithThePanickingBinary runs this test binary once more without a server to use, lets it
// panic with a database open, and looks at what is left.
func TestServerAndFolderGoWithThePanickingBinary(t *testing.T) {
	if os.Getenv("PGTEST_PANIC") != "" {
		pgtest.New(t)
		panic("as the outer test wants")
	}
	t.Parallel()
	tmp, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tmp, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(tmp); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "PGTEST_PANIC=1", "TMPDIR="+tmp, pgtest.URLVariable+"=")
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(string(out), "as the outer test wants") {
		t.Fatalf("got %v, want a panic:\n%s", err, out)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		left, err := filepath.Glob(filepath.Join(tmp, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %v", left)
		}
	}
}

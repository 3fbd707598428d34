// Package pgtest gives every test a PostgreSQL database of its own, with the schema of package migrations.
//
// The server is the one that TEITEN_TEST_DATABASE_URL names (its role must be allowed to create databases), as
// `make test` arranges it for all packages at once; without the variable each test binary starts a throw-away
// server, which goes away with the binary however that ends. The schema is built once per server in a template
// named after its hash; a test's database is a copy of the template's files.
package pgtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // the driver "postgres"

	"teiten/migrations"
)

// URLVariable names the environment variable with the server's URL.
const URLVariable = "TEITEN_TEST_DATABASE_URL"

// patience bounds every step that waits for the server.
const patience = 2 * time.Minute

// shared is the server of this test binary and its migrated template. It is the one thing the package keeps
// between tests: starting a server per test would take a second each.
var shared = sync.OnceValues(openShared)

// server is a running PostgreSQL on which tests get databases.
type server struct {
	url      *url.URL // of the maintenance database
	template string
}

// New returns the URL of a fresh, migrated database for one test. The database is dropped when the test ends;
// when the test failed it is kept and its URL logged, as long as the server lives.
func New(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("no database for the test: %v", err)
	}
	return s.clone(t, true)
}

// NewEmpty is New for tests of the migrations themselves: the database has no tables.
func NewEmpty(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("no database for the test: %v", err)
	}
	return s.clone(t, false)
}

func openShared() (*server, error) {
	address := os.Getenv(URLVariable)
	if address == "" {
		started, err := startThrowaway()
		if err != nil {
			return nil, err
		}
		address = started
	}
	return openServer(address)
}

// openServer connects to the server and makes sure that it has the template.
func openServer(address string) (*server, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", URLVariable, err)
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, fmt.Errorf("%s must be a postgres:// URL", URLVariable)
	}
	s := &server{url: u, template: "teiten_template_" + migrations.Hash()}
	return s, s.makeTemplate()
}

// makeTemplate migrates the template unless that has been done, by this test binary or another. A template is
// finished when the server calls it one; one left half done by a killed test run is made again.
func (s *server) makeTemplate() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin, err := sqlx.ConnectContext(ctx, "postgres", s.url.String())
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	conn, err := admin.Connx(ctx)
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// The lock ends with the connection, so a killed test run leaves nothing behind.
	if _, err := conn.ExecContext(ctx, `select pg_advisory_lock(hashtext($1))`, s.template); err != nil {
		return fmt.Errorf("lock the template: %w", err)
	}
	defer func() {
		_, unlockErr := conn.ExecContext(ctx, `select pg_advisory_unlock(hashtext($1))`, s.template)
		err = errors.Join(err, unlockErr)
	}()
	var finished bool
	err = conn.GetContext(ctx, &finished, `select datistemplate from pg_database where datname = $1`, s.template)
	switch {
	case err == nil && finished:
		return nil
	case err == nil:
		if _, err := conn.ExecContext(ctx, `drop database `+quote(s.template)+` with (force)`); err != nil {
			return fmt.Errorf("drop an unfinished template: %w", err)
		}
	case !errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("look for the template: %w", err)
	}
	create := `create database ` + quote(s.template) + ` template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C' strategy file_copy`
	if _, err := conn.ExecContext(ctx, create); err != nil {
		return fmt.Errorf("create the template: %w", err)
	}
	if err := migrate(ctx, s.databaseURL(s.template)); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, `alter database `+quote(s.template)+` with is_template true allow_connections false`); err != nil {
		return fmt.Errorf("finish the template: %w", err)
	}
	return nil
}

func migrate(ctx context.Context, address string) (err error) {
	db, err := sql.Open("postgres", address)
	if err != nil {
		return fmt.Errorf("open the template: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = migrations.Apply(ctx, db)
	return err
}

// clone creates the test's database.
func (s *server) clone(t testing.TB, migrated bool) string {
	t.Helper()
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	name := "teiten_test_" + hex.EncodeToString(random[:])
	create := `create database ` + quote(name)
	if migrated {
		create += ` template ` + quote(s.template) + ` strategy file_copy`
	} else {
		create += ` template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C' strategy file_copy`
	}
	if err := s.execute(create); err != nil {
		t.Fatalf("create the test's database: %v", err)
	}
	address := s.databaseURL(name)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the failed test's database: %s", address)
			return
		}
		if err := s.execute(`drop database if exists ` + quote(name) + ` with (force)`); err != nil {
			t.Logf("drop the test's database: %v", err)
		}
	})
	return address
}

// execute runs one statement on a connection of its own.
func (s *server) execute(statement string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := sqlx.ConnectContext(ctx, "postgres", s.url.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, statement)
	return err
}

func (s *server) databaseURL(name string) string {
	u := *s.url
	u.Path = "/" + name
	return u.String()
}

// quote writes an identifier of our own making; none holds a quotation mark.
func quote(identifier string) string { return `"` + identifier + `"` }

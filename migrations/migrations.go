// Package migrations holds the schema of the case database as numbered,
// forward-only SQL files and applies them.
//
// 0100_schema.sql is the whole schema. A database that commit e69e1b6 left, with
// the migrations that were squashed into it, is carried over once.
package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql carry
var files embed.FS

// Result says what Apply found and what it did.
type Result struct {
	Before  int64 // version of the schema that was found; 0: the database was empty
	After   int64 // version that is there now
	Carried bool  // the rows of a database of commit e69e1b6 were carried over
}

// Changed reports whether Apply changed the database.
func (r Result) Changed() bool { return r.Before != r.After }

// String says it in a line for an operator.
func (r Result) String() string {
	switch {
	case !r.Changed():
		return fmt.Sprintf("the schema is up to date (version %d)", r.After)
	case r.Carried:
		return fmt.Sprintf("carried the database over from the schema of commit e69e1b6 (version %d) to version %d with all rows", r.Before, r.After)
	case r.Before == 0:
		return fmt.Sprintf("made the schema of a new database (version %d)", r.After)
	}
	return fmt.Sprintf("updated the schema from version %d to version %d", r.Before, r.After)
}

// Apply brings the database up to date, or refuses with an error that wraps
// ErrRefused and says what to do. Several processes may call it at once: a
// session lock lets one migrate while the others wait.
func Apply(ctx context.Context, db *sql.DB) (Result, error) { return apply(ctx, db, files) }

// apply is Apply with other files: migrations, and the folder carry.
func apply(ctx context.Context, db *sql.DB, fsys fs.FS) (r Result, err error) {
	p, err := goose.NewProvider(goose.DialectPostgres, db, fsys)
	if err != nil {
		return r, fmt.Errorf("read migrations: %w", err)
	}
	var known []int64
	for _, s := range p.ListSources() {
		known = append(known, s.Version)
	}
	// The lock is tried every second for two minutes; goose's default of five
	// seconds makes a second process start slowly. It is taken here and not by
	// goose, so that what is found is still so when something is done about it.
	// It is goose's own lock, which a program of commit e69e1b6 takes as well.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		return r, fmt.Errorf("migration lock: %w", err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return r, fmt.Errorf("connect to migrate: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := locker.SessionLock(ctx, conn); err != nil {
		return r, fmt.Errorf("wait for another process to migrate: %w", err)
	}
	// The lock must go even when ctx has ended: the connection may live on in the pool.
	defer func() { err = errors.Join(err, locker.SessionUnlock(context.WithoutCancel(ctx), conn)) }()

	applied, err := appliedVersions(ctx, conn)
	if err != nil {
		return r, err
	}
	r.Before = newest(applied)
	r.After = r.Before
	what, err := decide(applied, known)
	if err != nil {
		return r, err
	}
	if what == carryOver {
		if err := carry(ctx, conn, fsys); err != nil {
			return r, err
		}
		r.Carried, r.After = true, firstVersion
	}
	done, err := p.Up(ctx)
	for _, m := range done {
		r.After = m.Source.Version
	}
	if err != nil {
		return r, fmt.Errorf("migrate: %w", err)
	}
	return r, nil
}

// Hash names the schema: it changes with any byte of any migration. The files
// of carry are not in it: they lead to the same schema.
func Hash() string {
	h := sha256.New()
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, name := range names {
		b, err := files.ReadFile(name)
		if err != nil {
			panic(err) // the file is embedded
		}
		fmt.Fprintf(h, "%s %d\n", name, len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

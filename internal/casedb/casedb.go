package casedb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// The errors callers distinguish. Everything else is wrapped and means
// "internal".
var (
	// ErrNotFound says that no row matches.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that a unique row is there already.
	ErrConflict = errors.New("already there")
	// ErrStale says that another user or process changed the row since it was read.
	ErrStale = errors.New("changed meanwhile")
	// ErrState says that the row's state does not allow the change.
	ErrState = errors.New("not possible in this state")
)

// queryer is what *sqlx.DB and *sqlx.Tx have in common.
type queryer interface {
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
	QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error)
	QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Queries are the methods that work in and out of a transaction.
type Queries struct{ q queryer }

// DB is the case database. Its methods are safe for concurrent use.
type DB struct {
	Queries
	db   *sqlx.DB
	url  string
	kept statements // of InHotTx
}

// Tx is a transaction; methods that change several rows are on it only.
type Tx struct {
	Queries
	tx *sqlx.Tx
}

// Open connects to the PostgreSQL server that url names (a postgres:// URL or
// a key=value string; sslmode must be given where the server is remote) and
// waits for nothing: see WaitReady.
func Open(url string) (*DB, error) { return open(url, workTimes) }

// Limited opens the same database again for people who wait: a statement, and the
// silence of a server that was stopped or cut off, last no longer than a page may.
func (d *DB) Limited() (*DB, error) { return open(d.url, pageTimes) }

func open(url string, limits times) (*DB, error) {
	config, err := pq.NewConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = limits.connect
	}
	config.Runtime = maps.Clone(config.Runtime)
	if config.Runtime == nil {
		config.Runtime = make(map[string]string)
	}
	if _, set := config.Runtime["statement_timeout"]; !set {
		config.Runtime["statement_timeout"] = strconv.FormatInt(limits.statement.Milliseconds(), 10)
	}
	connector, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	connector.Dialer(impatient{silence: limits.silence})
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(8)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return &DB{Queries: Queries{q: db}, db: db, url: url}, nil
}

// Close closes all connections.
func (d *DB) Close() error { return d.db.Close() }

// SQL returns the connection pool for migrations.
func (d *DB) SQL() *sql.DB { return d.db.DB }

// Ping asks the server whether it answers, and returns when ctx is done in any case:
// the driver asks a server that does not answer to cancel, and waits for that too.
func (d *DB) Ping(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- d.db.PingContext(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("ask the database: %w", ctx.Err())
	}
}

// WaitReady returns when the server answers, or with ctx's error. A server
// that refuses us (wrong password, no such database) is an error at once.
func (d *DB) WaitReady(ctx context.Context) error {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := d.Ping(ctx)
		if err == nil {
			return nil
		}
		if !IsUnavailable(err) {
			return fmt.Errorf("connect to the database: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the database: %w (last: %w)", ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// InTx runs f in a transaction and commits it if f returns nil. The error of a
// failed rollback never hides f's.
func (d *DB) InTx(ctx context.Context, f func(*Tx) error) (err error) {
	tx, err := d.db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			_ = tx.Rollback() // the panic is what matters
			panic(p)
		}
	}()
	if err := f(&Tx{Queries: Queries{q: tx}, tx: tx}); err != nil {
		if e := tx.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) && !IsUnavailable(e) {
			return fmt.Errorf("%w (and rollback: %v)", err, e)
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// IsUnavailable reports whether err says that the server is away, starting or
// stopping: waiting and trying again can help.
func IsUnavailable(err error) bool {
	if err == nil {
		return false
	}
	var pe *pq.Error
	if errors.As(err, &pe) {
		switch pe.Code.Class() {
		case "08", "57": // connection exception, operator intervention
			return pe.Code != pqerror.QueryCanceled
		case "53": // out of connections, memory or disk
			return true
		}
		return pe.Code == pqerror.TRSerializationFailure || pe.Code == pqerror.TRDeadlockDetected
	}
	var ne *net.OpError
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &ne) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ENOENT)
}

// fail turns a driver error into one of this package's, with the operation.
func fail(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s: %w", op, ErrNotFound)
	case pq.As(err, pqerror.UniqueViolation) != nil:
		return fmt.Errorf("%s: %w", op, ErrConflict)
	}
	return fmt.Errorf("%s: %w", op, err)
}

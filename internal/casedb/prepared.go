package casedb

import (
	"context"
	"database/sql"
	"sync"

	"github.com/jmoiron/sqlx"
)

// InHotTx is InTx for work that is repeated many times, such as sending a
// mail. The server keeps its statements parsed, and planned where a plan for
// all arguments is as good as one for these: for most of them that costs more
// than to run them.
//
// Their texts must be constants, for they are kept as long as the DB is.
func (d *DB) InHotTx(ctx context.Context, f func(*Tx) error) error {
	p := &preparing{kept: &d.kept}
	err := d.InTx(ctx, func(tx *Tx) error {
		p.Tx = tx.tx
		return f(&Tx{Queries: Queries{q: p}, tx: tx.tx})
	})
	if err == nil {
		// Only now: to prepare takes a connection, and who waits for one while
		// holding another can wait for ever.
		d.kept.prepare(ctx, d.db, p.missed)
	}
	return err
}

// preparing is a transaction that uses prepared statements, and notes which
// there are not.
type preparing struct {
	*sqlx.Tx
	kept   *statements
	missed []string
}

// statement returns the prepared statement; nil: there is none yet.
func (p *preparing) statement(ctx context.Context, query string) *sqlx.Stmt {
	s := p.kept.get(query)
	if s == nil {
		p.missed = append(p.missed, query)
		return nil
	}
	return p.StmtxContext(ctx, s)
}

func (p *preparing) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	if s := p.statement(ctx, query); s != nil {
		return s.GetContext(ctx, dest, args...)
	}
	return p.Tx.GetContext(ctx, dest, query, args...)
}

func (p *preparing) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	if s := p.statement(ctx, query); s != nil {
		return s.SelectContext(ctx, dest, args...)
	}
	return p.Tx.SelectContext(ctx, dest, query, args...)
}

func (p *preparing) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if s := p.statement(ctx, query); s != nil {
		return s.ExecContext(ctx, args...)
	}
	return p.Tx.ExecContext(ctx, query, args...)
}

// statements are the prepared statements by their texts. The zero value is
// ready for use.
type statements struct {
	mu     sync.Mutex // guards byText
	byText map[string]*sqlx.Stmt
}

func (s *statements) get(query string) *sqlx.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byText[query]
}

// prepare prepares those of the statements that are not. One that cannot be is
// missed again: it works without.
func (s *statements) prepare(ctx context.Context, db *sqlx.DB, queries []string) {
	for _, query := range queries {
		if s.get(query) != nil {
			continue
		}
		st, err := db.PreparexContext(ctx, query)
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.byText == nil {
			s.byText = make(map[string]*sqlx.Stmt)
		}
		if s.byText[query] == nil {
			s.byText[query] = st
			st = nil
		}
		s.mu.Unlock()
		if st != nil {
			_ = st.Close() // another was faster
		}
	}
}

package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
)

// appliedVersions returns the migrations that the database says were applied,
// sorted; none for a database without goose's table.
func appliedVersions(ctx context.Context, conn *sql.Conn) (versions []int64, err error) {
	var there bool
	if err := conn.QueryRowContext(ctx, `select to_regclass('goose_db_version') is not null`).Scan(&there); err != nil {
		return nil, fmt.Errorf("look for the version of the schema: %w", err)
	}
	if !there {
		return nil, nil
	}
	// Version 0 is the row with which goose begins its table.
	rows, err := conn.QueryContext(ctx, `select distinct version_id from goose_db_version where is_applied and version_id > 0 order by version_id`)
	if err != nil {
		return nil, fmt.Errorf("read the version of the schema: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			return nil, fmt.Errorf("read the version of the schema: %w", err)
		}
		versions = append(versions, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the version of the schema: %w", err)
	}
	return versions, nil
}

// carry leads a database of commit e69e1b6 to version 100, wholly or not at all:
// it runs the files of the folder carry in the order of their names and then
// counts 0100_schema.sql as applied, in place of the migrations it stands for. A
// program of commit e69e1b6 then refuses the database, because its migrations
// are missing there, and does not work with columns that have changed.
func carry(ctx context.Context, conn *sql.Conn, fsys fs.FS) (err error) {
	names, err := fs.Glob(fsys, "carry/*.sql")
	if err != nil {
		return fmt.Errorf("carry over: %w", err)
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("carry over: begin: %w", err)
	}
	defer func() {
		if e := tx.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) {
			err = errors.Join(err, fmt.Errorf("carry over: roll back: %w", e))
		}
	}()
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return fmt.Errorf("carry over: %w", err)
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("carry over: %s: %w", name, err)
		}
	}
	if _, err := tx.ExecContext(ctx, `delete from goose_db_version where version_id > 0`); err != nil {
		return fmt.Errorf("carry over: forget the old versions: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `insert into goose_db_version (version_id, is_applied) values ($1, true)`, firstVersion); err != nil {
		return fmt.Errorf("carry over: note the version: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("carry over: commit: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"log/slog"

	"teiten/internal/app"
	"teiten/internal/casedb"
)

// withDatabase opens the database of the configuration for one command.
func (p *program) withDatabase(ctx context.Context, f *configFlags, do func(*casedb.DB) error) (err error) {
	cfg, err := f.load(p)
	if err != nil {
		return err
	}
	db, closeDB, err := app.OpenDatabase(ctx, cfg, cfg.Logger(p.Stderr), slog.LevelDebug)
	if err != nil {
		return err
	}
	defer func() {
		if e := closeDB(); err == nil {
			err = e
		}
	}()
	return do(db)
}

// withExistingDatabase is withDatabase for commands that only read: they make
// no embedded database where there is none.
func (p *program) withExistingDatabase(ctx context.Context, f *configFlags, do func(*casedb.DB) error) error {
	cfg, err := f.load(p)
	if err != nil {
		return err
	}
	if missing, err := app.MissingDatabase(cfg); err != nil {
		return err
	} else if missing != "" {
		return fmt.Errorf("there is no database in %s yet: start `teiten serve`, or give database.url", missing)
	}
	return p.withDatabase(ctx, f, do)
}

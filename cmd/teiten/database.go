package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/localpg"
)

// openDatabase connects to the configured server, or starts or joins the
// embedded one, and migrates. The returned function closes the connections and
// stops the embedded server if this process owns it.
func openDatabase(ctx context.Context, cfg *config, log *slog.Logger) (*casedb.DB, func() error, error) {
	if cfg.Database.URL != "" {
		db, err := openMigrated(ctx, cfg.Database.URL)
		if err != nil {
			return nil, nil, err
		}
		return db, db.Close, nil
	}
	cluster, err := localpg.Start(ctx, localpg.Config{DataDir: cfg.Database.Dir, BinDir: cfg.Database.BinDir, Logger: log})
	if err != nil {
		return nil, nil, err
	}
	stop := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		return cluster.Stop(ctx)
	}
	db, err := openMigrated(ctx, cluster.URL(localpg.DefaultDatabase))
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return db, func() error { return errors.Join(db.Close(), stop()) }, nil
}

// withDatabase opens the database of the configuration for one command.
func (p *program) withDatabase(ctx context.Context, f *configFlags, do func(*casedb.DB) error) (err error) {
	cfg, err := f.load(p)
	if err != nil {
		return err
	}
	db, closeDB, err := openDatabase(ctx, cfg, cfg.logger(p.Stderr))
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

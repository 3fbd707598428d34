package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
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
	if !cluster.Owner() {
		log.Info("another process runs the embedded database; using it together")
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

// withExistingDatabase is withDatabase for commands that only read: they make
// no embedded database where there is none.
func (p *program) withExistingDatabase(ctx context.Context, f *configFlags, do func(*casedb.DB) error) error {
	cfg, err := f.load(p)
	if err != nil {
		return err
	}
	if missing, err := cfg.missingDatabase(); err != nil {
		return err
	} else if missing != "" {
		return fmt.Errorf("there is no database in %s yet: start `teiten serve`, or give database.url", missing)
	}
	return p.withDatabase(ctx, f, do)
}

// missingDatabase returns the folder in which the embedded database would be
// made if it were used; empty if there is a database.
func (c *config) missingDatabase() (dir string, err error) {
	if c.Database.URL != "" {
		return "", nil
	}
	if dir = c.Database.Dir; dir == "" {
		if dir, err = localpg.DefaultDataDir(); err != nil {
			return "", err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); errors.Is(err, fs.ErrNotExist) {
		return dir, nil
	}
	return "", nil
}

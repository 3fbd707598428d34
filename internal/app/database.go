package app

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
	"teiten/internal/config"
	"teiten/internal/localpg"
	"teiten/migrations"
)

// OpenDatabase connects to the configured server, or starts or joins the
// embedded one, and migrates. joined is the level at which it tells that another
// process runs the embedded server: worth a line for a service, not for a
// command. The returned function closes the connections and stops the embedded
// server if this process owns it.
func OpenDatabase(ctx context.Context, cfg *config.Config, log *slog.Logger, joined slog.Level) (*casedb.DB, func() error, error) {
	if cfg.Database.URL != "" {
		db, err := openMigrated(ctx, cfg.Database.URL, log)
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
		log.Log(ctx, joined, "another process runs the embedded database; using it together")
	}
	stop := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		return cluster.Stop(ctx)
	}
	db, err := openMigrated(ctx, cluster.URL(localpg.DefaultDatabase), log)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return db, func() error { return errors.Join(db.Close(), stop()) }, nil
}

// openMigrated opens the database at url, waits for it and migrates it. A line
// of the log says what was changed.
func openMigrated(ctx context.Context, url string, log *slog.Logger) (*casedb.DB, error) {
	db, err := casedb.Open(url)
	if err != nil {
		return nil, err
	}
	if err := db.WaitReady(ctx); err != nil {
		db.Close()
		return nil, err
	}
	schema, err := migrations.Apply(ctx, db.SQL())
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("bring the database's schema up to date: %w", err)
	}
	if schema.Changed() {
		log.Info(schema.String())
	} else {
		log.Debug(schema.String())
	}
	return db, nil
}

// MissingDatabase returns the folder in which the embedded database would be
// made if it were used; empty if there is a database.
func MissingDatabase(c *config.Config) (dir string, err error) {
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

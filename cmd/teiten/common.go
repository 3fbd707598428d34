package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"text/tabwriter"

	"teiten/internal/casedb"
	"teiten/migrations"
)

// configFlags are the flags of every command that reads the configuration.
type configFlags struct {
	Config string   `help:"Configuration file (TOML)." env:"TEITEN_CONFIG" type:"path" placeholder:"FILE"`
	Set    []string `help:"Set one value, over file and environment." placeholder:"KEY=VALUE" sep:"none"`
}

func (f *configFlags) load(p *program) (*config, error) {
	return loadConfig(f.Config, p.Env, f.Set)
}

// logger writes one event per line to standard error.
func (c *config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Log.Level)) // checked by check
	opt := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

type configCmd struct{ configFlags }

func (*configCmd) Help() string {
	return `Example: TEITEN_MAIL_DOMAIN=csirt.example teiten config`
}

// Run prints every setting with its value, origin and meaning. Secrets are
// masked.
func (c *configCmd) Run(p *program) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "# key\tvalue\tfrom\tenvironment\tmeaning")
	for _, o := range cfg.options() {
		value := o.String()
		switch {
		case o.Secret && value != "":
			value = "(secret)"
		case value == "":
			value = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", o.Key, value, cfg.origin[o.Key], o.Env, o.Help)
	}
	return w.Flush()
}

type migrateCmd struct{ configFlags }

func (*migrateCmd) Help() string {
	return `Example: teiten migrate --set database.url=postgres://teiten@db.example/teiten?sslmode=verify-full

teiten serve migrates at its start; this is for those who want to do it before.`
}

// Run applies the migrations.
func (c *migrateCmd) Run(ctx context.Context, p *program) error {
	return p.withDatabase(ctx, &c.configFlags, func(*casedb.DB) error {
		fmt.Fprintln(p.Stderr, "The schema is up to date:", migrations.Hash())
		return nil
	})
}

type versionCmd struct{}

// Run prints what the binary was built from.
func (*versionCmd) Run(p *program) error {
	version := "(development)"
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				version += " " + s.Value
			}
		}
		version += " " + info.GoVersion
	}
	_, err := fmt.Fprintln(p.Stdout, "teiten", version)
	return err
}

// openMigrated opens the database at url, waits for it and migrates it.
func openMigrated(ctx context.Context, url string) (*casedb.DB, error) {
	db, err := casedb.Open(url)
	if err != nil {
		return nil, err
	}
	if err := db.WaitReady(ctx); err != nil {
		db.Close()
		return nil, err
	}
	if err := migrations.Apply(ctx, db.SQL()); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

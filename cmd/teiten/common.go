package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"text/tabwriter"

	"teiten/internal/casedb"
	"teiten/internal/config"
	"teiten/migrations"
)

// configFlags are the flags of every command that reads the configuration.
type configFlags struct {
	Config string   `help:"Configuration file (TOML)." env:"TEITEN_CONFIG" type:"path" placeholder:"FILE"`
	Set    []string `help:"Set one value, over file and environment." placeholder:"KEY=VALUE" sep:"none"`
}

func (f *configFlags) load(p *program) (*config.Config, error) {
	cfg, err := config.Load(f.Config, p.Env, f.Set)
	if bad := (config.SettingError{}); errors.As(err, &bad) {
		return nil, usageError{bad}
	}
	return cfg, err
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
	for _, o := range cfg.Options() {
		value := o.String()
		switch {
		case o.Secret && value != "":
			value = "(secret)"
		case value == "":
			value = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", o.Key, value, cfg.From(o.Key), o.Env, o.Help)
	}
	return w.Flush()
}

type migrateCmd struct{ configFlags }

func (*migrateCmd) Help() string {
	return `Example: teiten migrate --set database.url=postgres://teiten@db.example/teiten?sslmode=verify-full

teiten serve migrates at its start; this command migrates before that.`
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

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/config"
	"teiten/internal/locale"
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

// checkSensor refuses what cannot be a sensor's name.
func checkSensor(name string) error {
	if !casedb.ValidSensorName(name) {
		return usagef("%q is not a sensor's name: lower-case letters, digits, dot, dash, underscore, at most 63", name)
	}
	return nil
}

// english is the catalogue for what commands print.
func english() (*locale.Printer, error) {
	c, err := locale.Load()
	if err != nil {
		return nil, err
	}
	return c.Printer(locale.English), nil
}

// openInput opens a file, or the program's standard input for "-".
func (p *program) openInput(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.Stdin), nil
	}
	return os.Open(name)
}

// parseDay reads a day, or a time with zone.
func parseDay(s string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a day such as 2026-01-15 nor an RFC 3339 time", s)
}

// dash stands where there is nothing.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// stamp writes an optional time.
func stamp(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

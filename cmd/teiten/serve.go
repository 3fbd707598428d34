package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"teiten/internal/app"
	"teiten/internal/config"
	"teiten/internal/ingest"
)

type serveCmd struct {
	configFlags
	Sample  bool     `help:"Load the sample capture, and let a user named demo log in with a fresh password."`
	Capture []string `help:"Load these captures first." placeholder:"FILE" sep:"none"`
	Sensor  string   `help:"Name of the sensor that the captures belong to." default:"sample"`
}

func (*serveCmd) Help() string {
	return `Example: teiten serve --sample
         teiten serve --config /etc/teiten.toml

Without database.url it runs PostgreSQL itself. With the defaults nothing
leaves the machine: mail goes to the built-in mailbox, owners come from
recorded answers.`
}

// Run serves until it is told to stop.
func (c *serveCmd) Run(ctx context.Context, p *program) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	if c.Sensor != "" {
		if err := checkSensor(c.Sensor); err != nil {
			return err
		}
	}
	log := cfg.Logger(p.Stderr)
	a, err := app.Start(ctx, cfg, log)
	defer func() {
		// A part that hangs must not keep the others from ending.
		done := make(chan struct{})
		go func() {
			a.Stop()
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(app.StopWithin):
			log.Error("gave up waiting for a clean stop")
		}
	}()
	if err != nil {
		return err
	}
	if err := c.loadCaptures(ctx, p, cfg, a); err != nil {
		return err
	}
	login, err := app.FirstLogin(ctx, a.DB, c.Sample || len(c.Capture) > 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "teiten is ready at http://%s/\n", a.WebAddr)
	if login != "" {
		fmt.Fprintln(p.Stdout, login)
	}
	fmt.Fprintln(p.Stdout, "Stop it with Ctrl-C.")
	return a.Wait(ctx)
}

// loadCaptures imports the captures asked for. A database that is told to hold a
// capture twice holds it once.
func (c *serveCmd) loadCaptures(ctx context.Context, p *program, cfg *config.Config, a *app.App) error {
	files := c.Capture
	if c.Sample {
		dir, err := os.MkdirTemp("", "teiten-sample-*")
		if err != nil {
			return fmt.Errorf("sample capture: %w", err)
		}
		defer os.RemoveAll(dir)
		name, err := app.WriteSample(ctx, a.DB, dir, time.Now())
		if err != nil {
			return fmt.Errorf("sample capture: %w", err)
		}
		files = append([]string{name}, files...)
	}
	if len(files) == 0 {
		return nil
	}
	opt, err := app.ImportOptions(cfg)
	if err != nil {
		return err
	}
	opt.Window, opt.Log, opt.Stdin = time.Hour, cfg.Logger(p.Stderr), p.Stdin
	results, err := ingest.Files(ctx, a.DB, files, c.Sensor, opt, nil)
	for i := range results {
		r := &results[i]
		if line := overlapWarning(r); line != "" {
			fmt.Fprintln(p.Stderr, "teiten: warning:", line)
		}
		switch {
		case r.Err != nil:
			return r.Err
		case r.Known:
			fmt.Fprintf(p.Stderr, "%s is in the database already.\n", filepath.Base(r.File))
		default:
			fmt.Fprintf(p.Stderr, "Loaded %s: %d packets.\n", filepath.Base(r.File), r.Packets)
			if maxAge := cfg.Attribution.MaxAge; r.Last != nil && time.Since(*r.Last) > maxAge {
				fmt.Fprintf(p.Stderr, "Its newest packet is of %s. Sources last seen more than %s ago open no case (attribution.max_age).\n",
					r.Last.Format(time.DateOnly), config.FormatDuration(maxAge))
			}
		}
	}
	return err
}

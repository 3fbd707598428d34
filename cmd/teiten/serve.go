package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/synth"
	"teiten/web"
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
	if c.Sensor != "" && !casedb.ValidSensorName(c.Sensor) {
		return usagef("%q is not a sensor's name: lower-case letters, digits, dot, dash, underscore, at most 63", c.Sensor)
	}
	log := cfg.logger(p.Stderr)
	a, err := startApp(ctx, cfg, log)
	defer func() {
		// A part that hangs must not keep the others from ending.
		done := make(chan struct{})
		go func() {
			a.stop()
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(stopWithin):
			log.Error("gave up waiting for a clean stop")
		}
	}()
	if err != nil {
		return err
	}
	if err := c.loadCaptures(ctx, p, a); err != nil {
		return err
	}
	login, err := firstLogin(ctx, a.db, c.Sample || len(c.Capture) > 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "teiten is ready at http://%s/\n", a.webAddr)
	if login != "" {
		fmt.Fprintln(p.Stdout, login)
	}
	fmt.Fprintln(p.Stdout, "Stop it with Ctrl-C.")
	return a.wait(ctx)
}

// loadCaptures imports the captures asked for. A database that is told to hold a
// capture twice holds it once.
func (c *serveCmd) loadCaptures(ctx context.Context, p *program, a *app) error {
	files := c.Capture
	if c.Sample {
		dir, err := os.MkdirTemp("", "teiten-sample-*")
		if err != nil {
			return fmt.Errorf("sample capture: %w", err)
		}
		defer os.RemoveAll(dir)
		name, err := writeSample(ctx, a.db, dir, time.Now())
		if err != nil {
			return fmt.Errorf("sample capture: %w", err)
		}
		files = append([]string{name}, files...)
	}
	if len(files) == 0 {
		return nil
	}
	results, err := importFiles(ctx, a.db, files, c.Sensor, importOptions{Window: time.Hour, Log: a.log, Stdin: p.Stdin}, nil)
	for _, r := range results {
		switch {
		case r.Err != nil:
			return r.Err
		case r.Known:
			fmt.Fprintf(p.Stderr, "%s is in the database already.\n", filepath.Base(r.File))
		default:
			fmt.Fprintf(p.Stderr, "Loaded %s: %d packets.\n", filepath.Base(r.File), r.Packets)
			if maxAge := a.cfg.Attribution.MaxAge; r.Last != nil && time.Since(*r.Last) > maxAge {
				fmt.Fprintf(p.Stderr, "Its newest packet is of %s. Sources last seen more than %s ago open no case (attribution.max_age).\n",
					r.Last.Format(time.DateOnly), formatDuration(maxAge))
			}
		}
	}
	return err
}

// settingSampleStart remembers when the sample began, so that a second start
// loads the same bytes, which the import then recognises.
const settingSampleStart = "sample-start"

// writeSample writes the sample capture: two days that ended at the last full
// hour when it was first loaded.
func writeSample(ctx context.Context, db *casedb.DB, dir string, now time.Time) (string, error) {
	start := now.UTC().Truncate(time.Hour).Add(-synth.SampleSpan)
	known, err := db.Setting(ctx, settingSampleStart, &start)
	if err == nil && !known {
		err = db.SetSetting(ctx, settingSampleStart, start, casedb.ActorSystem, "", now)
	}
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := synth.WriteSample(&b, start, 1); err != nil {
		return "", err
	}
	name := filepath.Join(dir, "sample.pcap")
	return name, os.WriteFile(name, b.Bytes(), 0o600)
}

// firstLogin makes sure that somebody can log in, and returns the line that
// says how: on trial a user demo with a fresh password, else, where there is
// nobody yet, a user admin.
func firstLogin(ctx context.Context, db *casedb.DB, trial bool) (string, error) {
	n, err := db.CountUsers(ctx)
	if err != nil {
		return "", err
	}
	name := "admin"
	if trial {
		name = "demo"
	}
	_, err = db.UserByName(ctx, name)
	exists := err == nil
	if n > 0 && !(trial && exists) {
		return "", nil // the operator's own users are there
	}
	password := randomPassword()
	hash, err := web.HashPassword(password)
	if err != nil {
		return "", err
	}
	if exists {
		// Whoever can start teiten on trial may log in: the old password was
		// printed once and may be gone.
		err = db.SetPassword(ctx, name, hash)
	} else {
		_, err = db.CreateUser(ctx, casedb.User{Name: name, PasswordHash: hash, Role: casedb.RoleLead, Language: "ja"}, time.Now())
	}
	if err != nil {
		return "", fmt.Errorf("first user: %w", err)
	}
	return fmt.Sprintf("Log in as %s with the password %s", name, password), nil
}

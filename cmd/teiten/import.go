package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"teiten/internal/casedb"
	"teiten/internal/ingest"
)

type importCmd struct {
	configFlags
	Files    []string      `arg:"" name:"file" help:"Captures: pcap or pcapng, plain, .gz or .zst; - is standard input."`
	Sensor   string        `help:"Name of the sensor that captured them." required:"" placeholder:"NAME"`
	Window   time.Duration `help:"Length of an observation window." default:"1h"`
	KeyLimit int           `help:"Keys held in memory at once; a window with more is written in parts." default:"0" placeholder:"N"`
}

func (*importCmd) Help() string {
	return `Example: teiten import --sensor tokyo-1 monday.pcap.gz tuesday.pcap.gz

A file that was imported completely is recognised by its content and not read
again; one that was broken off is taken up where it ended. Prints one line of
JSON per file.`
}

// importLine is what the command prints of a file.
type importLine struct {
	File      string            `json:"file"`
	Known     bool              `json:"known"` // imported before, not read again
	Packets   uint64            `json:"packets"`
	Written   int               `json:"batches"`  // new in the database
	Repeated  int               `json:"repeated"` // in the database already
	Skipped   map[string]uint64 `json:"skipped"`
	Truncated bool              `json:"truncated"`
}

// Run imports the files.
func (c *importCmd) Run(ctx context.Context, p *program) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	if err := checkSensor(c.Sensor); err != nil {
		return err
	}
	if c.Window == 0 { // which the importer would take for its default
		return usagef("--window must be a second or more")
	}
	opt := ingest.Options{Window: c.Window, KeyLimit: c.KeyLimit, Stdin: p.Stdin, Log: cfg.Logger(p.Stderr)}
	if err := opt.Check(); err != nil {
		return usageError{err}
	}
	var results []ingest.FileResult
	err = p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) (err error) {
		bar := p.progressBar()
		results, err = ingest.Files(ctx, db, c.Files, c.Sensor, opt, bar.show)
		bar.finish()
		return err
	})
	good := 0
	enc := json.NewEncoder(p.Stdout)
	for _, r := range results {
		if r.Err != nil {
			fmt.Fprintln(p.Stderr, "teiten:", r.Err)
			continue
		}
		good++
		for _, line := range r.Warnings() {
			fmt.Fprintln(p.Stderr, "teiten: warning:", line)
		}
		if e := enc.Encode(importLine{r.File, r.Known, r.Packets, r.Written, r.Repeated, r.Skipped, r.Truncated}); err == nil {
			err = e
		}
	}
	if err == nil && good == 0 {
		return errReported
	}
	return err
}

// captureBar shows on a terminal how far a capture has been read.
type captureBar struct {
	p    *program
	file string
	bar  *progressbar.ProgressBar
}

func (p *program) progressBar() *captureBar { return &captureBar{p: p} }

func (b *captureBar) show(file string, read, size int64) {
	out, ok := b.p.Stderr.(*os.File)
	if !ok || !term.IsTerminal(int(out.Fd())) {
		return
	}
	if b.bar == nil || file != b.file {
		b.finish()
		if size == 0 {
			size = -1 // a spinner
		}
		b.file = file
		b.bar = progressbar.NewOptions64(size, progressbar.OptionSetWriter(out), progressbar.OptionShowBytes(true),
			progressbar.OptionSetDescription(casedb.CleanLine(filepath.Base(file), 40)), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
	}
	_ = b.bar.Set64(read) // a bar that cannot be drawn does no harm
}

func (b *captureBar) finish() {
	if b.bar != nil {
		_ = b.bar.Finish()
		b.bar = nil
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"teiten/internal/app"
	"teiten/internal/casedb"
	"teiten/internal/ingest"
)

type importCmd struct {
	configFlags
	Files    []string      `arg:"" name:"file" help:"Captures: pcap or pcapng, plain, .gz or .zst; - is standard input."`
	Sensor   string        `help:"Name of the sensor that captured them." required:"" placeholder:"NAME"`
	Window   time.Duration `help:"Length of an observation window." default:"1h"`
	KeyLimit int           `help:"Keys held in memory at once; a window with more is written in parts." default:"0" placeholder:"N"`
	Overlap  string        `help:"What becomes of windows that have packets in common with stored ones: ask (they wait for a coordinator and do not count), keep or leave-out." enum:"ask,keep,leave-out" default:"ask"`
	Covers   string        `help:"When the sensor was live, if longer than from the first packet to the last: two RFC 3339 times." placeholder:"FROM/TO"`
}

func (*importCmd) Help() string {
	return `Example: teiten import --sensor tokyo-1 monday.pcap.gz tuesday.pcap.gz

A file that was imported completely is recognised by its content and not read
again; one that was broken off is taken up where it ended. Packets count once: a
file that has all packets of an earlier one takes its place, such as the whole
capture after a part of it, and a part after the whole adds nothing. Windows of
files that have only some packets in common wait for your choice (--overlap).

Prints one line of JSON per file. Exits with 1 if a file could not be imported;
the others are.`
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

	Covered  int           `json:"covered"`        // all packets counted already, with another batch
	Replaced int           `json:"replaced"`       // stored batches of which this file has all packets
	Aside    int           `json:"aside"`          // not counted until a coordinator decides
	Overlaps []overlapLine `json:"overlaps"`       // windows with packets in common with stored ones
	Live     *liveLine     `json:"live,omitempty"` // when the sensor was live by this file
}

// overlapLine is one window that overlaps with a stored one.
type overlapLine struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Packets  uint64    `json:"packets"`
	Relation string    `json:"relation"` // shares: some packets are in both; unclear: some may be
	Standing string    `json:"standing"` // counted, aside or left-out
}

// liveLine is a stretch of time.
type liveLine struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Seconds int64     `json:"seconds"`
}

func newImportLine(r *ingest.FileResult) importLine {
	l := importLine{File: r.File, Known: r.Known, Packets: r.Packets, Written: r.Written, Repeated: r.Repeated, Skipped: r.Skipped,
		Truncated: r.Truncated, Covered: r.Arrivals.Covered, Replaced: r.Arrivals.Replaced, Aside: r.Arrivals.Aside, Overlaps: []overlapLine{}}
	for _, o := range r.Arrivals.Overlaps {
		l.Overlaps = append(l.Overlaps, overlapLine{o.From, o.To, o.Packets, string(o.Relation), string(o.Standing)})
	}
	if r.Live != nil {
		l.Live = &liveLine{r.Live.From, r.Live.To, int64(r.Live.To.Sub(r.Live.From) / time.Second)}
	}
	return l
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
	opt, err := app.ImportOptions(cfg)
	if err != nil {
		return err
	}
	opt.Window, opt.KeyLimit, opt.Overlap, opt.Stdin, opt.Log = c.Window, c.KeyLimit, casedb.OverlapChoice(c.Overlap), p.Stdin, cfg.Logger(p.Stderr)
	if opt.Covers, err = parseCovers(c.Covers); err != nil {
		return err
	}
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
	failed := false
	enc := json.NewEncoder(p.Stdout)
	for i := range results {
		r := &results[i]
		if r.Err != nil {
			fmt.Fprintln(p.Stderr, "teiten:", r.Err)
			failed = true
			continue
		}
		for _, line := range r.Warnings() {
			fmt.Fprintln(p.Stderr, "teiten: warning:", line)
		}
		if line := overlapWarning(r); line != "" {
			fmt.Fprintln(p.Stderr, "teiten: warning:", line)
		}
		if e := enc.Encode(newImportLine(r)); err == nil {
			err = e
		}
	}
	if err == nil && failed {
		return errReported
	}
	return err
}

// overlapWarning says what a user must know of windows that overlap with stored
// ones; empty: nothing.
func overlapWarning(r *ingest.FileResult) string {
	windows := len(r.Arrivals.Overlaps)
	if windows == 0 {
		return ""
	}
	first, last := r.Arrivals.Overlaps[0], r.Arrivals.Overlaps[windows-1]
	line := fmt.Sprintf("%s: %d windows from %s to %s overlap with captures that were imported before", r.File, windows,
		first.From.Format(time.RFC3339), last.To.Format(time.RFC3339))
	if r.Arrivals.Aside > 0 {
		line += fmt.Sprintf("; %d of them (%d packets) do not count until a coordinator decides on the page Captures",
			r.Arrivals.Aside, r.Arrivals.AsidePackets)
	}
	return line
}

// parseCovers reads --covers; nil for nothing.
func parseCovers(s string) (*ingest.Span, error) {
	if s == "" {
		return nil, nil
	}
	from, to, ok := strings.Cut(s, "/")
	if !ok {
		return nil, usagef("--covers %s: want two times, FROM/TO", s)
	}
	var span ingest.Span
	var err error
	if span.From, err = time.Parse(time.RFC3339, from); err != nil {
		return nil, usagef("--covers: %q is not an RFC 3339 time", from)
	}
	if span.To, err = time.Parse(time.RFC3339, to); err != nil {
		return nil, usagef("--covers: %q is not an RFC 3339 time", to)
	}
	return &span, nil
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

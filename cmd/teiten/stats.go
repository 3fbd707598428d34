package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"teiten/capture"
	"teiten/capture/export"
	"teiten/internal/observation"
)

// captureFlags are the flags of every command that reads captures.
type captureFlags struct {
	Files  []string      `arg:"" name:"file" help:"Captures: pcap or pcapng, plain, .gz or .zst; - is standard input."`
	Window time.Duration `help:"Length of an observation window." default:"1h"`
	Sensor string        `help:"Name of the sensor." default:"-"`

	location *time.Location // at whose midnight windows are cut
}

func (f *captureFlags) options() capture.Options {
	return capture.Options{Sensor: f.Sensor, Window: f.Window, Location: f.location}
}

// read reads every file into one tally. Warnings and errors go to standard
// error, one line each; the error is errReported if no file could be read.
func (f *captureFlags) read(ctx context.Context, p *program, sink func(*observation.Batch) error) (capture.Summary, error) {
	if f.Window == 0 { // which the reader would take for its default
		return capture.Summary{}, usagef("--window must be a second or more")
	}
	r, err := capture.NewReader(f.options(), sink)
	if err != nil {
		return capture.Summary{}, usageError{err}
	}
	good := 0
	for _, name := range f.Files {
		res, err := p.readCapture(ctx, r, name)
		if ctx.Err() != nil {
			return r.Summary(), ctx.Err()
		}
		if err != nil {
			fmt.Fprintln(p.Stderr, "teiten:", err)
			continue
		}
		good++
		for _, line := range res.Warnings() {
			fmt.Fprintln(p.Stderr, "teiten: warning:", line)
		}
	}
	if err := r.Close(); err != nil {
		return r.Summary(), err
	}
	if good == 0 {
		return r.Summary(), errReported
	}
	return r.Summary(), nil
}

// readCapture reads one file, or the program's standard input for "-".
func (p *program) readCapture(ctx context.Context, r *capture.Reader, name string) (capture.FileResult, error) {
	if name == "-" && p.Stdin != os.Stdin {
		in, err := capture.Decompress(io.NopCloser(p.Stdin))
		if err != nil {
			return capture.FileResult{}, err
		}
		defer in.Close()
		return r.Read(ctx, in, name)
	}
	return r.ReadFile(ctx, name)
}

type statsCmd struct {
	captureFlags
	TimeZone string `help:"Time zone at whose midnight windows are cut." default:"Asia/Tokyo"`
	Format   string `help:"csv, jsonl or parquet." enum:"csv,jsonl,parquet" default:"csv"`
	Out      string `short:"o" help:"Write to this file instead of standard output." placeholder:"OUT"`
	Summary  bool   `help:"Print one JSON object with the totals instead."`
}

func (*statsCmd) Help() string {
	return `Example: teiten stats --summary monday.pcap.gz
         teiten stats --format parquet -o monday.parquet monday.pcap.gz`
}

// Run prints observations, or their totals.
func (c *statsCmd) Run(ctx context.Context, p *program) (err error) {
	if c.location, err = time.LoadLocation(c.TimeZone); err != nil {
		return usagef("--time-zone %s: %w", c.TimeZone, err)
	}
	if c.Summary {
		// Every packet is tallied with its marks all the same; only the rows,
		// which nobody would read, are not made.
		sum, err := c.read(ctx, p, func(*observation.Batch) error { return nil })
		if err != nil && len(sum.Files) == 0 {
			return err
		}
		enc := json.NewEncoder(p.Stdout)
		enc.SetIndent("", "  ")
		if e := enc.Encode(sum); e != nil {
			return e
		}
		return err
	}
	out, finish, err := p.output(c.Out)
	if err != nil {
		return err
	}
	defer func() {
		if e := finish(err == nil); err == nil {
			err = e
		}
	}()
	w, err := export.NewWriter(c.Format, out)
	if err != nil {
		return err
	}
	if _, err := c.read(ctx, p, w.WriteBatch); err != nil {
		return err
	}
	return w.Close()
}

// output returns a buffered writer to standard output or to a file. The file
// appears under its name only when finish(true) is called: a failed run leaves
// no half file behind.
func (p *program) output(name string) (io.Writer, func(ok bool) error, error) {
	if name == "" || name == "-" {
		w := bufio.NewWriterSize(p.Stdout, 1<<18)
		return w, func(bool) error { return w.Flush() }, nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return nil, nil, err
	}
	w := bufio.NewWriterSize(f, 1<<18)
	return w, func(ok bool) error {
		err := w.Flush()
		if e := f.Chmod(0o644); err == nil {
			err = e
		}
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil || !ok {
			os.Remove(f.Name())
			return err
		}
		return os.Rename(f.Name(), name)
	}, nil
}

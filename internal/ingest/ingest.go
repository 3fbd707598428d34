// Package ingest brings capture files into the case database: each batch wholly or not at all, and once.
package ingest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"teiten/capture"
	"teiten/internal/casedb"
)

// Options say how captures are imported. Window and KeyLimit may be
// zero for capture's defaults.
type Options struct {
	Window   time.Duration
	KeyLimit int
	// Location is the clock at whose midnight windows are cut; nil: they are not.
	Location *time.Location
	// Overlap says what becomes of windows that share packets with stored ones;
	// empty: a coordinator is asked.
	Overlap casedb.OverlapChoice
	// Country gives the country of a source, "" if it is unknown, from the data
	// that CountryData names. Each observation keeps what it says now. Nil:
	// observations get none.
	Country     func(netip.Addr) string
	CountryData string
	// Covers is when the sensor was live at least, where the operator knows more
	// than the packets show; nil: from the first packet's window to the last
	// one's.
	Covers *Span
	Stdin  io.Reader // what "-" reads; nil: the process's standard input
	Now    func() time.Time
	Log    *slog.Logger

	textLimit int // 0: batchTextLimit
}

// Span is a stretch of time; To is not in it.
type Span struct{ From, To time.Time }

// FileResult is the result of importing one file.
type FileResult struct {
	capture.FileResult
	// Known is true if the file was imported completely before; it has not
	// been read again, and only Packets, Skipped and Truncated are filled in.
	Known bool
	// Written and Repeated are the number of batches that were new and that
	// the database had already.
	Written, Repeated int
	// Arrivals says what became of windows whose packets, or some of them, were
	// there already; its other fields are of no use here.
	Arrivals casedb.Arrivals
	// Live is the time in which the sensor was live by this file; nil: not known.
	Live *Span
	// Err is why nothing could be read from the file.
	Err error
}

// Progress is called from time to time, from one goroutine, with the number of
// bytes of a file have been read; size is 0 if it is not known.
type Progress func(file string, read, size int64)

// Files brings captures into the database, one after the other. A file or a
// window that is already stored is not written again. If the database goes away,
// Files waits for it. A file that cannot be read has an Err in its result; the
// error returned means that the remaining files were not tried.
func Files(ctx context.Context, db *casedb.DB, files []string, sensor string, opt Options, progress Progress) ([]FileResult, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	if err := opt.Check(); err != nil {
		return nil, err
	}
	i := &importer{db: db, sensor: sensor, opt: opt, progress: progress}
	var results []FileResult
	for _, name := range files {
		r, err := i.file(ctx, name)
		if err != nil {
			return results, fmt.Errorf("import %s: %w", name, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// Check fills in the defaults and reports impossible values.
func (o *Options) Check() error {
	if o.Window == 0 {
		o.Window = capture.DefaultWindow
	}
	if o.KeyLimit == 0 {
		o.KeyLimit = capture.DefaultKeyLimit
	}
	if o.textLimit == 0 {
		o.textLimit = batchTextLimit
	}
	if o.Window%time.Second != 0 {
		return fmt.Errorf("window %s is not a number of whole seconds", o.Window)
	}
	if o.Covers != nil && !o.Covers.From.Before(o.Covers.To) {
		return fmt.Errorf("the end of the time covered, %s, is not after its start", o.Covers.To.Format(time.RFC3339))
	}
	_, err := capture.NewReader(capture.Options{Window: o.Window, KeyLimit: o.KeyLimit}, nil)
	return err
}

type importer struct {
	db       *casedb.DB
	sensor   string
	opt      Options
	progress Progress
}

// file imports one file, or standard input for "-".
func (i *importer) file(ctx context.Context, name string) (FileResult, error) {
	var r FileResult
	r.File = name
	if name == "-" {
		// A stream has no digest before its end, so it gets no row of its own;
		// its batches are recognised all the same.
		var in io.Reader = os.Stdin
		if i.opt.Stdin != nil {
			in = i.opt.Stdin
		}
		err := i.retry(ctx, "make sensor", func() error {
			_, err := i.db.EnsureSensor(ctx, i.sensor, i.opt.Now())
			return err
		})
		if err != nil {
			return r, err
		}
		return i.read(ctx, io.NopCloser(in), 0, r, nil, i.opt.Window, i.opt.KeyLimit)
	}
	f, err := openCapture(name)
	if err != nil {
		r.Err = err
		return r, nil
	}
	defer f.Close()
	key, err := i.digestKey(ctx)
	if err != nil {
		return r, err
	}
	digest, size, err := digestFile(ctx, f, key)
	if err != nil {
		r.Err = fmt.Errorf("%s: %w", name, err)
		return r, ctx.Err()
	}
	var row casedb.Import
	err = i.retry(ctx, "begin import", func() (err error) {
		row, r.Known, err = i.db.BeginImport(ctx, casedb.NewImport{Sensor: i.sensor, Digest: digest, Name: name, SizeBytes: size,
			Window: i.opt.Window, KeyLimit: i.opt.KeyLimit}, i.opt.Now())
		return err
	})
	if err != nil {
		return r, err
	}
	if r.Known {
		r.Packets, r.Skipped, r.Truncated = uint64(row.Packets), row.Skipped.V, row.Truncated
		if r.Live = i.opt.Covers; r.Live == nil {
			return r, nil
		}
		return r, i.retry(ctx, "note live time", func() error {
			return i.db.NoteLive(ctx, i.sensor, &row.ID, r.Live.From, r.Live.To)
		})
	}
	// A file that is still being written is read as far as it was hashed.
	in := struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, size), f}
	r, err = i.read(ctx, in, size, r, &row.ID, row.Window(), row.KeyLimit)
	if err != nil {
		return r, err
	}
	if r.Err != nil {
		return r, i.retry(ctx, "drop import", func() error { return i.db.DropImport(ctx, row.ID) })
	}
	return r, i.retry(ctx, "finish import", func() error {
		return i.db.FinishImport(ctx, row.ID, r.Packets, r.Skipped, r.Truncated, i.opt.Now())
	})
}

// digestKey returns the key of digestFile.
func (i *importer) digestKey(ctx context.Context) (key []byte, err error) {
	err = i.retry(ctx, "get digest key", func() (err error) {
		key, err = i.db.Secret(ctx, digestKey, i.opt.Now())
		return err
	})
	return key, err
}

// read tallies a stream and writes its batches.
func (i *importer) read(ctx context.Context, in io.ReadCloser, size int64, r FileResult, importID *int64,
	window time.Duration, keyLimit int) (FileResult, error) {
	counted := &countingReader{ReadCloser: in, file: r.File, size: size, progress: i.progress}
	plain, err := capture.Decompress(counted)
	if err != nil {
		r.Err = fmt.Errorf("%s: %w", r.File, err)
		return r, nil
	}
	defer plain.Close()
	w := i.startWriter(ctx, importID)
	opt := capture.Options{Sensor: i.sensor, Window: window, KeyLimit: keyLimit, Location: i.opt.Location}
	res, err := capture.Read(ctx, plain, r.File, opt, w.put)
	werr := w.close()
	r.FileResult, r.Written, r.Repeated, r.Arrivals = res, w.written, w.repeated, w.arrivals
	switch {
	case werr != nil:
		return r, werr
	case ctx.Err() != nil:
		return r, ctx.Err()
	case err != nil:
		r.Err = err
		return r, nil
	}
	r.Live = i.liveSpan(&w.arrivals)
	if r.Live == nil {
		return r, nil
	}
	return r, i.retry(ctx, "note live time", func() error {
		return i.db.NoteLive(ctx, i.sensor, importID, r.Live.From, r.Live.To)
	})
}

// liveSpan is the time in which the sensor was live: all windows from that of
// the first packet to that of the last one, and what the operator says.
func (i *importer) liveSpan(run *casedb.Arrivals) *Span {
	var s *Span
	if !run.From.IsZero() {
		s = &Span{run.From, run.To}
	}
	c := i.opt.Covers
	switch {
	case c == nil:
		return s
	case s == nil:
		return &Span{c.From, c.To}
	}
	if c.From.Before(s.From) {
		s.From = c.From
	}
	if c.To.After(s.To) {
		s.To = c.To
	}
	return s
}

// retry runs do until it succeeds, waiting while the database is away.
func (i *importer) retry(ctx context.Context, what string, do func() error) error {
	const longest = 5 * time.Second
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, longest) {
		err := do()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err() // and not what became of the query
		case !casedb.IsUnavailable(err):
			return err
		}
		i.opt.Log.Warn("database is away, waiting", "op", what, "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait/2 + rand.N(wait)):
		}
		if err := i.db.WaitReady(ctx); err != nil {
			return err
		}
	}
}

// countingReader reports how far a file is read.
type countingReader struct {
	io.ReadCloser
	file               string
	read, size, report int64
	progress           Progress
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read += int64(n)
	if c.read >= c.report || err != nil {
		c.progress(c.file, c.read, c.size)
		c.report = c.read + 1<<20
	}
	return n, err
}

func openCapture(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("open %s: not a regular file (give a stream as -)", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"teiten/capture"
	"teiten/internal/casedb"
)

// importOptions says how captures are imported. Window and KeyLimit may be
// zero for capture's defaults.
type importOptions struct {
	Window   time.Duration
	KeyLimit int
	Stdin    io.Reader // what "-" reads; nil: the process's standard input
	Now      func() time.Time
	Log      *slog.Logger

	textLimit int // 0: batchTextLimit
}

// importResult is what became of one file.
type importResult struct {
	capture.FileResult
	// Known is true if the file was imported completely before; it has not
	// been read again, and only Packets, Skipped and Truncated are filled in.
	Known bool
	// Written and Repeated are the number of batches that were new and that
	// the database had already.
	Written, Repeated int
	// Err is why nothing could be read from the file.
	Err error
}

// importProgress is called now and then, from one goroutine, with how many
// bytes of a file have been read; size is 0 if it is not known.
type importProgress func(file string, read, size int64)

// importFiles brings captures into the database, one after the other. What is
// there already, a whole file or some of its windows, is not written again; a
// database that goes away is waited for. A file that cannot be read has an Err
// in its result; the error returned means that the rest was not tried.
func importFiles(ctx context.Context, db *casedb.DB, files []string, sensor string, opt importOptions, progress importProgress) ([]importResult, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	if err := opt.check(); err != nil {
		return nil, err
	}
	i := &importer{db: db, sensor: sensor, opt: opt, progress: progress}
	var results []importResult
	for _, name := range files {
		r, err := i.file(ctx, name)
		if err != nil {
			return results, fmt.Errorf("import %s: %w", name, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// check fills in the defaults and says what cannot be.
func (o *importOptions) check() error {
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
	_, err := capture.NewReader(capture.Options{Window: o.Window, KeyLimit: o.KeyLimit}, nil)
	return err
}

type importer struct {
	db       *casedb.DB
	sensor   string
	opt      importOptions
	progress importProgress
}

// file imports one file, or standard input for "-".
func (i *importer) file(ctx context.Context, name string) (importResult, error) {
	var r importResult
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
		return r, nil
	}
	// A file that somebody is still writing to is read as far as it was hashed.
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
func (i *importer) read(ctx context.Context, in io.ReadCloser, size int64, r importResult, importID *int64,
	window time.Duration, keyLimit int) (importResult, error) {
	counted := &countingReader{ReadCloser: in, file: r.File, size: size, progress: i.progress}
	plain, err := capture.Decompress(counted)
	if err != nil {
		r.Err = fmt.Errorf("%s: %w", r.File, err)
		return r, nil
	}
	defer plain.Close()
	w := i.startWriter(ctx, importID)
	opt := capture.Options{Sensor: i.sensor, Window: window, KeyLimit: keyLimit}
	res, err := capture.Read(ctx, plain, r.File, opt, w.put)
	werr := w.close()
	r.FileResult, r.Written, r.Repeated = res, w.written, w.repeated
	switch {
	case werr != nil:
		return r, werr
	case ctx.Err() != nil:
		return r, ctx.Err()
	case err != nil:
		r.Err = err
	}
	return r, nil
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

// batchTextLimit bounds the text of a batch that is written while the next one
// is tallied; two are held at a time. A window of a hundred thousand
// observations fits.
const batchTextLimit = 32 << 20

// batchWriter writes batches in a goroutine of its own, one behind the tally:
// the text of a batch is made before the tally goes on, because the tally
// takes the batch back, and is kept until it is written, so that it can be
// sent again to a database that went away.
type batchWriter struct {
	i        *importer
	ctx      context.Context
	importID *int64
	free     chan *casedb.BatchText // both texts are in it when nothing is being written
	todo     chan *casedb.BatchText
	done     chan struct{} // closed when the goroutine has ended

	sinkFailed error // of the tally's goroutine

	// Of the writer's goroutine until done is closed, or while it is idle.
	failed            error
	written, repeated int
}

func (i *importer) startWriter(ctx context.Context, importID *int64) *batchWriter {
	w := &batchWriter{i: i, ctx: ctx, importID: importID, free: make(chan *casedb.BatchText, 2),
		todo: make(chan *casedb.BatchText), done: make(chan struct{})}
	w.free <- new(casedb.BatchText)
	w.free <- new(casedb.BatchText)
	go w.run()
	return w
}

func (w *batchWriter) run() {
	defer close(w.done)
	for t := range w.todo {
		w.failed = w.write(func() (bool, error) { return w.i.db.PutBatchText(w.ctx, t, w.importID, w.i.opt.Now()) })
		if w.failed != nil {
			return
		}
		w.free <- t
	}
}

func (w *batchWriter) write(put func() (bool, error)) error {
	return w.i.retry(w.ctx, "put batch", func() error {
		written, err := put()
		switch {
		case err != nil:
		case written:
			w.written++
		default:
			w.repeated++
		}
		return err
	})
}

// errWriterEnded stops the tally; the reason is the writer's failed.
var errWriterEnded = errors.New("the database writer has ended")

// take returns a text that is not in use.
func (w *batchWriter) take() (*casedb.BatchText, error) {
	select {
	case t := <-w.free:
		return t, nil
	case <-w.done:
		return nil, errWriterEnded
	}
}

// put is the tally's sink.
func (w *batchWriter) put(b *casedb.Batch) error {
	w.sinkFailed = w.hand(b)
	return w.sinkFailed
}

func (w *batchWriter) hand(b *casedb.Batch) error {
	t, err := w.take()
	if err != nil {
		return err
	}
	fits, err := t.Format(b, w.i.opt.textLimit)
	if err != nil {
		return err
	}
	if fits {
		select {
		case w.todo <- t:
			return nil
		case <-w.done:
			return errWriterEnded
		}
	}
	// Too large to hold: written from the tally itself. With both texts in
	// hand the goroutine is idle, and the counters are ours.
	other, err := w.take()
	if err != nil {
		return err
	}
	err = w.write(func() (bool, error) { return w.i.db.PutBatch(w.ctx, b, w.importID, w.i.opt.Now()) })
	w.free <- t
	w.free <- other
	return err
}

// close waits until everything is written and returns what went wrong.
func (w *batchWriter) close() error {
	close(w.todo)
	<-w.done
	if w.failed != nil {
		return w.failed
	}
	return w.sinkFailed
}

// countingReader reports how far a file is read.
type countingReader struct {
	io.ReadCloser
	file               string
	read, size, report int64
	progress           importProgress
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

// digestBlock is the part of a file that is hashed at once.
const digestBlock = 1 << 20

// digestKey names the secret under which files are recognised.
const digestKey = "import-digest"

// digestFile returns what names a file's content in this database, and its
// size: SHA-256 over the GMAC (NIST SP 800-38D) of each MiB under the
// database's secret key. Recognising a known file takes no longer than this,
// and GMAC is seven times as fast as SHA-256. It finds two contents equal that
// are not with a chance below 2^-110, unless somebody who knows the key has
// made them so; the tags, which could betray the key, go nowhere.
func digestFile(ctx context.Context, f *os.File, key []byte) (digest []byte, size int64, err error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, 0, err
	}
	mac, err := cipher.NewGCM(block)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	size = st.Size()
	blocks := int((size + digestBlock - 1) / digestBlock)
	tags := make([]byte, 8+blocks*mac.Overhead())
	binary.BigEndian.PutUint64(tags, uint64(size))
	err = eachBlock(ctx, blocks, func(n int, buf []byte) error {
		off := int64(n) * digestBlock
		part := buf[:min(digestBlock, size-off)]
		if _, err := f.ReadAt(part, off); err != nil {
			return fmt.Errorf("read at %d: %w", off, err)
		}
		nonce := make([]byte, mac.NonceSize())
		binary.BigEndian.PutUint64(nonce, uint64(n))
		at := 8 + n*mac.Overhead()
		mac.Seal(tags[at:at], nonce, nil, part)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	sum := sha256.Sum256(tags)
	return sum[:], size, nil
}

// eachBlock calls do for the numbers below n, on all cores, each with a buffer
// of digestBlock bytes.
func eachBlock(ctx context.Context, n int, do func(n int, buf []byte) error) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(n, runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			buf := make([]byte, digestBlock)
			for ctx.Err() == nil {
				k := int(next.Add(1)) - 1
				if k >= n {
					return nil
				}
				if err := do(k, buf); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

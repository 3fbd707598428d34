package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"teiten/internal/observation"
)

// Reader reads captures one after the other into one tally. Each window's
// observations go to the sink as a batch when packet time has passed its end,
// and the rest on Close. A Reader is for one goroutine.
type Reader struct {
	opt    Options
	parser parser
	tally  *tally
	free   chan *block
	inline bool // one processor: parse and tally in one goroutine
	total  Counts
	files  []FileResult
	closed bool
}

// NewReader returns a Reader that hands batches to sink. A batch, and the
// observations it yields, are valid only until sink returns; sink may be called
// from another goroutine, but never twice at once, nor after Read or Close have
// returned. An error of sink ends the reading and comes back from Read or
// Close.
func NewReader(opt Options, sink func(*observation.Batch) error) (*Reader, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("capture options: %w", err)
	}
	r := &Reader{
		opt:    opt,
		tally:  newTally(opt, sink),
		inline: runtime.GOMAXPROCS(0) == 1,
	}
	r.parser.seed = r.tally.seed
	n := blockCount
	if r.inline {
		n = 2
	}
	r.free = make(chan *block, n)
	for range n {
		r.free <- newBlock()
	}
	return r, nil
}

// ReadFile opens and reads one capture file; see Open and Read.
func (r *Reader) ReadFile(ctx context.Context, path string) (FileResult, error) {
	in, err := Open(path)
	if err != nil {
		return r.failed(path), err
	}
	defer in.Close()
	return r.Read(ctx, in, path)
}

// Read reads one capture stream, already decompressed, to its end. Damage after
// the first record ends the file with a warning in the result; an error means
// that nothing could be read, or that the sink or ctx failed.
func (r *Reader) Read(ctx context.Context, in io.Reader, name string) (FileResult, error) {
	if r.closed {
		return r.failed(name), fmt.Errorf("%s: %w", name, errClosed)
	}
	if r.tally.err != nil {
		return r.failed(name), r.tally.err
	}
	res := FileResult{File: name}
	r.parser.reset()
	r.tally.nextFile()

	add, wait := r.tally.add, func() {}
	give := func(bl *block) { add(bl); r.free <- bl }
	if !r.inline {
		full := make(chan *block, blockCount)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for bl := range full {
				add(bl)
				r.free <- bl
			}
		}()
		r.tally.startHelpers()
		give = func(bl *block) { full <- bl }
		wait = func() { close(full); <-done; r.tally.stopHelpers() }
	}
	end := r.walk(ctx, in, &res, give)
	wait()

	r.count(&res)
	switch {
	case r.tally.err != nil:
		return r.keep(res), r.tally.err
	case end == nil:
	case ctx.Err() != nil:
		return r.keep(res), end
	case res.Packets == 0:
		res.Truncated = true
		return r.keep(res), fmt.Errorf("%s: %w", name, end)
	default:
		res.Truncated = true
		res.Warning = fmt.Sprintf("%s: %v", name, end)
	}
	if why := r.parser.nothingRead(&res.Counts); why != "" {
		if res.Warning != "" {
			why += "; " + end.Error()
		}
		return r.keep(res), fmt.Errorf("%s: %w: %s", name, ErrNothingRead, why)
	}
	return r.keep(res), nil
}

// errSink ends the walk when the tally has failed; the tally has the error.
var errSink = errors.New("sink failed")

// ErrNothingRead is in the error about a file of which no packet was understood.
var ErrNothingRead = errors.New("not a capture that teiten can read")

var errClosed = errors.New("the reader is closed")

// walk reads blocks and walks their records until the end of the file, of which
// it returns what was wrong with it.
func (r *Reader) walk(ctx context.Context, in io.Reader, res *FileResult, give func(*block)) error {
	bl := <-r.free
	bl.n = 0
	// The last block, and what a failing reader leaves, go back.
	defer func() { give(bl) }()
	var w walker
	n, want := 0, blockFill
	offset := int64(0) // of the block in the file
	var rerr error
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: byte %d: %w", res.File, offset, err)
		}
		for n < want && rerr == nil {
			var k int
			k, rerr = in.Read(bl.buf[n:want])
			n += k
		}
		if w == nil {
			var err error
			if w, err = newWalker(bl.buf[:min(n, sniffed)]); err != nil {
				if rerr != nil && rerr != io.EOF {
					return fmt.Errorf("byte %d: %w", n, rerr)
				}
				return fmt.Errorf("byte 0: %w", err)
			}
			res.Format = w.format()
		}
		taken, err := w.walk(&r.parser, bl, 0, n)
		for errors.Is(err, errNextFile) && (n-taken >= pcapHeader || rerr != nil) {
			if w, err = newWalker(bl.buf[taken:min(n, taken+sniffed)]); err == nil {
				taken, err = w.walk(&r.parser, bl, taken, n)
			}
		}
		if err != nil && !errors.Is(err, errNextFile) {
			return fmt.Errorf("byte %d: %w", offset+int64(taken), err)
		}
		if rerr != nil && bl.n < len(bl.packets) {
			switch cut := w.cut(bl.buf[taken:n]); {
			case rerr != io.EOF:
				return fmt.Errorf("byte %d: %w", offset+int64(n), rerr)
			case cut != "":
				return fmt.Errorf("byte %d: %s", offset+int64(taken), cut)
			}
			return nil
		}
		// Carry what is left over to the next block. If the block had no whole
		// record more is wanted of the next one.
		next := <-r.free
		rest := copy(next.buf, bl.buf[taken:n])
		next.n = 0
		give(bl)
		bl = next
		offset += int64(taken)
		want = min(rest+blockFill, blockSize)
		n = rest
		if r.tally.failed.Load() {
			return errSink
		}
	}
}

// count fills in what parser and tally know about the file.
func (r *Reader) count(res *FileResult) {
	ps, t := &r.parser, r.tally
	t.countSources()
	res.Packets = ps.records
	for why, n := range ps.skipped {
		if n > 0 {
			res.skip(skipNames[why], n)
		}
	}
	for kind, n := range ps.tunnels {
		if n > 0 {
			res.tunnel(tunnelNames[kind], n)
		}
	}
	if len(ps.unread) > 0 {
		res.Unread = unreadLine(ps.unread)
	}
	res.Copies = t.fileCopies
	if t.untimely > 0 {
		res.skip(SkipTimeOrder, t.untimely)
	}
	if ps.first <= ps.last {
		first, last := time.Unix(0, ps.first).UTC(), time.Unix(0, ps.last).UTC()
		res.First, res.Last = &first, &last
	}
	res.Observations = t.fileObservations
	_, res.Sources, res.SourcesExact = t.sources.counts()
	res.Counts = res.Counts.clone()
}

// keep adds a file's result to the totals.
func (r *Reader) keep(res FileResult) FileResult {
	r.total.add(&res.Counts)
	r.files = append(r.files, res)
	return res
}

// failed is the result of a file that could not be opened.
func (r *Reader) failed(name string) FileResult {
	return r.keep(FileResult{File: name, Counts: Counts{SourcesExact: true}.clone()})
}

// Close closes the open windows. The Reader cannot be used afterwards, except
// for Summary.
func (r *Reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.tally.err == nil {
		r.tally.flush()
	}
	return r.tally.err
}

// Summary returns the totals so far. It is complete after Close.
func (r *Reader) Summary() Summary {
	t := r.tally
	s := Summary{Counts: r.total.clone(), Batches: t.batches, PartialBatches: t.partials, Files: slices.Clone(r.files)}
	s.Sources, _, s.SourcesExact = t.sources.counts()
	s.Observations = t.observations + uint64(t.keys)
	s.Late = t.late
	if s.Files == nil {
		s.Files = []FileResult{}
	}
	return s
}

// Read reads one capture stream, already decompressed, with a Reader of its
// own and closes its windows.
func Read(ctx context.Context, in io.Reader, name string, opt Options, sink func(*observation.Batch) error) (FileResult, error) {
	r, err := NewReader(opt, sink)
	if err != nil {
		return FileResult{File: name, Counts: Counts{}.clone()}, err
	}
	res, err := r.Read(ctx, in, name)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return res, err
}

package capture

import (
	"context"
	"errors"
	"fmt"
	"io"

	"teiten/internal/casedb"
)

// Reader reads captures one after the other into one tally. Each window's
// observations go to the sink as a batch when packet time has passed its end,
// and the rest on Close. A Reader is for one goroutine.
type Reader struct {
	opt   Options
	sink  func(*casedb.Batch) error
	total Counts
	files []FileResult
}

// NewReader returns a Reader that hands batches to sink. A batch, and the
// observations it yields, are valid only until sink returns. An error of sink
// ends the reading and comes back from Read or Close.
func NewReader(opt Options, sink func(*casedb.Batch) error) (*Reader, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("capture options: %w", err)
	}
	return &Reader{opt: opt, sink: sink}, nil
}

// ReadFile opens and reads one capture file; see Open and Read.
func (r *Reader) ReadFile(ctx context.Context, path string) (FileResult, error) {
	in, err := Open(path)
	if err != nil {
		return FileResult{File: path, Counts: Counts{}.clone()}, err
	}
	defer in.Close()
	return r.Read(ctx, in, path)
}

// Read reads one capture stream to its end. Damage after the first record ends
// the file with a warning in the result; an error means that nothing could be
// read, or that the sink or ctx failed.
func (r *Reader) Read(ctx context.Context, in io.Reader, name string) (FileResult, error) {
	return FileResult{File: name, Counts: Counts{}.clone()}, errors.ErrUnsupported
}

// Close closes the open windows. The Reader cannot be used afterwards, except
// for Summary.
func (r *Reader) Close() error { return nil }

// Summary returns the totals so far. It is complete after Close.
func (r *Reader) Summary() Summary {
	return Summary{Counts: r.total.clone(), Files: r.files}
}

// Read reads one capture stream, already decompressed, with a Reader of its
// own and closes its windows.
func Read(ctx context.Context, in io.Reader, name string, opt Options, sink func(*casedb.Batch) error) (FileResult, error) {
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

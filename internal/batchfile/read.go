package batchfile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"teiten/internal/observation"
	"teiten/internal/sensorwire"
)

// File is a batch that was read and checked.
type File struct {
	About
	Window sensorwire.BatchID
	// Batch reads the file again for each round over its observations, so the file
	// must stay open. Err says whether the last round failed.
	Batch *observation.Batch

	file  *parquet.File
	arena []byte // of the options and payloads of a row's samples
	err   error
}

// Err returns what went wrong in the last round over the batch's observations: the
// file was changed since it was read, or ctx ended.
func (f *File) Err() error { return f.err }

// Read checks a whole file against limits (zero: DefaultLimits) and returns its batch. The error is a
// *RefusedError where the file is no batch, and another one where it could not be read.
func Read(ctx context.Context, r io.ReaderAt, size int64, limits Limits) (f *File, err error) {
	if limits == (Limits{}) {
		limits = DefaultLimits()
	}
	// The library was written for files of friends.
	defer func() {
		if p := recover(); p != nil {
			f, err = nil, refuse(Damaged, "the reader failed: %v", p)
		}
	}()
	file, err := scan(r, size, limits)
	if err != nil {
		return nil, err
	}
	f = &File{file: file}
	if err := f.readAbout(); err != nil {
		return nil, err
	}
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	f.Batch = &observation.Batch{Sensor: f.Sensor, Window: f.Window.Window, Length: time.Duration(f.Window.Seconds) * time.Second, Seq: f.Window.Seq,
		Packets: f.Packets, Copies: f.Copies, Keys: f.Keys, Partial: f.Partial, Facts: f.Facts, Observations: func(yield func(*observation.Observation) bool) {
			f.err = f.each(ctx, yield)
		}}
	return f, nil
}

// readAbout reads and checks what the metadata say.
func (f *File) readAbout() error {
	text, ok := f.file.Lookup(metadataKey)
	if !ok || len(text) > maxAbout {
		return refuse(Metadata, "no facts about the batch, or %d bytes of them", len(text))
	}
	if err := json.Unmarshal([]byte(text), &f.About); err != nil {
		return refuse(Metadata, "%v", err)
	}
	a := &f.About
	var err error
	switch {
	case a.Protocol < 1 || a.Protocol > sensorwire.Protocol:
		return refuse(Metadata, "protocol %d, known are 1 to %d", a.Protocol, sensorwire.Protocol)
	case a.CountRule != observation.CountRule:
		return refuse(Metadata, "counted by rule %d, known is %d", a.CountRule, observation.CountRule)
	case a.Sensor == "" || !isName(a.Sensor, 63) || !isName(a.Program, maxName):
		return refuse(Metadata, "sensor %.80q, program %.80q", a.Sensor, a.Program)
	case int64(a.Keys) != f.file.NumRows():
		return refuse(Sums, "%d keys in %d rows", a.Keys, f.file.NumRows())
	case a.Packets > maxCount || a.Copies > maxCount:
		return refuse(Sums, "%d packets, %d copies", a.Packets, a.Copies)
	}
	if f.Window, err = sensorwire.ParseBatchID(a.ID); err != nil {
		return refuse(Metadata, "%v", err)
	}
	return f.checkFacts()
}

// Bounds of facts: of lists, and of names in them.
const (
	maxFacts = 1000
	maxName  = 200
)

// span is the start and end of the window.
func (f *File) span() (from, to time.Time) {
	return f.Window.Window, f.Window.Window.Add(time.Duration(f.Window.Seconds) * time.Second)
}

func (f *File) checkFacts() error {
	x := f.Facts
	if x == nil {
		return nil
	}
	start, end := f.span()
	if x.To.Before(x.From) || x.From.Before(start) || x.To.After(end) {
		return refuse(Metadata, "listened from %s to %s, outside of the window", x.From.Format(time.RFC3339), x.To.Format(time.RFC3339))
	}
	if len(x.Skipped) > maxFacts || len(x.Networks) > maxFacts || len(x.Inputs) > maxFacts {
		return refuse(Metadata, "lists of more than %d items", maxFacts)
	}
	sum := []uint64{x.Records, x.Dropped, x.Elsewhere, x.Own, x.Late}
	for name, n := range x.Skipped {
		if !isName(name, maxName) {
			return refuse(Metadata, "name %.80q", name)
		}
		sum = append(sum, n)
	}
	for _, name := range x.Inputs {
		if !isName(name, maxName) {
			return refuse(Metadata, "name %.80q", name)
		}
	}
	for _, n := range sum {
		if n > maxCount {
			return refuse(Metadata, "a count of %d", n)
		}
	}
	for _, p := range x.Networks {
		if !p.IsValid() || p != p.Masked() {
			return refuse(Metadata, "network %s", p)
		}
	}
	return nil
}

// isName reports whether a text is short and has no control character: a database
// takes no NUL.
func isName(s string, limit int) bool {
	return len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// maxCount bounds every count: a database's column takes it, and so do sums of
// millions of them.
const maxCount = 1 << 48

// check reads all rows once: each must be an observation, in order, and together
// they must have the packets that the file says.
func (f *File) check(ctx context.Context) error {
	packets := uint64(0)
	var last observation.Observation
	var err error
	n := 0
	eachErr := f.each(ctx, func(o *observation.Observation) bool {
		if n > 0 && !before(&last, o) {
			err = refuse(Order, "row %d does not come behind the one before", n)
			return false
		}
		last.Source, last.Proto, last.Port, last.Class = o.Source, o.Proto, o.Port, o.Class
		packets += o.Packets
		n++
		return true
	})
	switch {
	case err != nil:
		return err
	case eachErr != nil:
		return eachErr
	case packets != f.Packets || n != f.Keys:
		return refuse(Sums, "%d packets in %d rows, the file says %d in %d", packets, n, f.Packets, f.Keys)
	}
	return nil
}

// before reports whether a comes before b in the order of a batch.
func before(a, b *observation.Observation) bool {
	return cmp.Or(a.Source.Compare(b.Source), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Class, b.Class)) < 0
}

// each yields the observations of the file. The value is reused.
func (f *File) each(ctx context.Context, yield func(*observation.Observation) bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = refuse(Damaged, "the reader failed: %v", p)
		}
	}()
	r := parquet.NewGenericReader[row](f.file)
	defer func() {
		if cerr := r.Close(); err == nil && cerr != nil {
			err = refuse(Damaged, "%v", cerr)
		}
	}()
	rows := make([]row, rowsAtOnce)
	var o observation.Observation
	for n := 0; ; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read batch file: %w", err)
		}
		k, rerr := r.Read(rows)
		for i := range rows[:k] {
			if err := rows[i].observation(f, &o); err != nil {
				return refuse(Value, "row %d: %v", n+i, err)
			}
			if !yield(&o) {
				return nil
			}
		}
		n += k
		switch {
		case errors.Is(rerr, io.EOF):
			return nil
		case rerr != nil:
			return refuse(Damaged, "row %d: %v", n, rerr)
		case k == 0:
			return refuse(Damaged, "row %d: nothing follows", n)
		}
	}
}

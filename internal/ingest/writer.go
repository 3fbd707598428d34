package ingest

import (
	"cmp"
	"context"
	"errors"
	"net/netip"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// batchTextLimit bounds the text of a batch that is written while the next one
// is tallied; two are held at a time. A window of a hundred thousand
// observations fits.
const batchTextLimit = 32 << 20

// writer writes batches in a goroutine of its own, one behind the tally:
// the text of a batch is made before the tally goes on, because the tally
// takes the batch back, and is kept until it is written, so that it can be
// sent again to a database that went away.
type writer struct {
	i    *importer
	ctx  context.Context
	free chan *casedb.BatchText // both texts are in it when nothing is being written
	todo chan *casedb.BatchText
	done chan struct{} // closed when the goroutine has ended

	sinkFailed error // of the tally's goroutine

	// Of the writer's goroutine until done is closed, or while it is idle.
	failed            error
	written, repeated int
	arrivals          casedb.Arrivals
}

func (i *importer) startWriter(ctx context.Context, importID *int64) *writer {
	w := &writer{i: i, ctx: ctx, arrivals: casedb.Arrivals{ImportID: importID, Overlap: i.opt.Overlap, CountryData: i.opt.CountryData}, free: make(chan *casedb.BatchText, 2),
		todo: make(chan *casedb.BatchText), done: make(chan struct{})}
	w.free <- new(casedb.BatchText)
	w.free <- new(casedb.BatchText)
	go w.run()
	return w
}

func (w *writer) run() {
	defer close(w.done)
	for t := range w.todo {
		w.failed = w.write(func() (bool, error) { return w.i.db.PutBatchText(w.ctx, t, &w.arrivals, w.i.opt.Now()) })
		if w.failed != nil {
			return
		}
		w.free <- t
	}
}

func (w *writer) write(put func() (bool, error)) error {
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
func (w *writer) take() (*casedb.BatchText, error) {
	select {
	case t := <-w.free:
		return t, nil
	case <-w.done:
		return nil, errWriterEnded
	}
}

// put is the tally's sink.
func (w *writer) put(b *observation.Batch) error {
	w.sinkFailed = w.hand(b)
	return w.sinkFailed
}

func (w *writer) hand(b *observation.Batch) error {
	w.assignCountries(b)
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
	err = w.write(func() (bool, error) { return w.i.db.PutBatch(w.ctx, b, &w.arrivals, w.i.opt.Now()) })
	w.free <- t
	w.free <- other
	return err
}

// assignCountries makes each observation of a batch carry the country of its
// source. They are in order of source.
func (w *writer) assignCountries(b *observation.Batch) {
	lookUp := w.i.opt.Country
	if lookUp == nil {
		return
	}
	each := b.Observations
	b.Observations = func(yield func(*observation.Observation) bool) {
		var last netip.Addr
		country := ""
		each(func(o *observation.Observation) bool {
			if o.Source != last {
				last, country = o.Source, cmp.Or(lookUp(o.Source), observation.CountryUnknown)
			}
			o.Country = country
			return yield(o)
		})
	}
}

// close waits until everything is written and returns what went wrong.
func (w *writer) close() error {
	close(w.todo)
	<-w.done
	if w.failed != nil {
		return w.failed
	}
	return w.sinkFailed
}

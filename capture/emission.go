package capture

import (
	"fmt"
	"time"
)

// emission is a window, or a part of one, on its way to the sink.
type emission struct {
	w            *window
	partial      bool
	combinations map[uint32]string
}

// emit counts a window that is complete, or complete for now, and gives it
// away: after that only the emitter may touch it.
func (t *tally) emit(w *window, partial bool) {
	e := emission{w, partial, t.combinations}
	if n := w.entries.len(); n > 0 {
		t.keys -= n
		t.observations += uint64(n)
		t.batches++
		if partial {
			t.partials++
		}
		if w.reopened {
			t.late += w.packets
			t.fileLate += w.packets
		}
	}
	switch {
	case t.live != nil:
		t.live.hand(e)
	case t.emissions != nil:
		t.emissions <- e
	default:
		t.deliver(e)
	}
}

// deliver hands a window to the sink and gives its memory back.
func (t *tally) deliver(e emission) {
	e.w.putting.Wait()
	e.w.dests.put(e.w.dests.noted)
	if e.w.entries.len() > 0 && !t.failed.Load() {
		b := t.out.batch(t, e)
		if err := t.sink(b); err != nil {
			t.err = fmt.Errorf("window %s: %w", b.Window.Format(time.RFC3339), err)
			t.failed.Store(true)
		}
		t.out.release()
	}
	t.giveBack(e.w)
}

// giveBack empties a window for the next one.
func (t *tally) giveBack(w *window) {
	w.reset(t.seed)
	select {
	case t.unused <- w:
	default:
	}
}

// noteBlocks bounds the blocks of destinations on their way.
const noteBlocks = 4

// noted is a block of destinations on its way into a window's sets.
type noted struct {
	w     *window
	notes *destNotes
}

// giveDests puts the destinations that a window's packets had into its sets, or
// gives them to the goroutine that does. Each window's reach it in order, so
// that the result depends on the packets only.
func (t *tally) giveDests(w *window) {
	if t.dests == nil {
		w.dests.put(w.dests.noted)
		return
	}
	w.putting.Add(1)
	t.dests <- noted{w, w.dests.noted}
	select {
	case w.dests.noted = <-t.destNotes:
	default:
		w.dests.noted = new(destNotes)
	}
}

// startHelpers lets two things happen in goroutines of their own: destinations
// are put into their sets, and windows go to the sink, so that what the sink
// does with one overlaps with the tally of the next. The tally waits when a
// second window is ready before the sink is done.
func (t *tally) startHelpers() {
	emissions, dests := make(chan emission), make(chan noted, noteBlocks)
	t.emissions, t.dests = emissions, dests
	t.helpers.Go(func() {
		for e := range emissions {
			t.deliver(e)
		}
	})
	t.helpers.Go(func() {
		for n := range dests {
			n.w.dests.put(n.notes)
			n.w.putting.Done()
			select {
			case t.destNotes <- n.notes:
			default:
			}
		}
	})
}

// stopHelpers waits until both are done.
func (t *tally) stopHelpers() {
	close(t.dests)
	close(t.emissions)
	t.helpers.Wait()
	t.emissions, t.dests = nil, nil
}

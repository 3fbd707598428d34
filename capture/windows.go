package capture

import (
	"math"
	"time"
)

// windowFor returns the open window that takes a packet of time when, and
// closes and opens windows as packet time asks for; nil if there is none.
func (t *tally) windowFor(when int64) *window {
	t.clock = max(t.clock, when)
	if t.other != nil && t.clock >= t.closeAt {
		t.close(t.other)
		t.other, t.closeAt = nil, math.MaxInt64
		if t.failed.Load() {
			return nil
		}
	}
	if t.cur != nil && when >= t.cur.start && when < t.cur.end {
		return t.cur
	}
	if t.other != nil && when >= t.other.start && when < t.other.end {
		t.cur, t.other = t.other, t.cur
		t.setCloseAt()
		return t.cur
	}
	// A window has to be opened, and the one used longest ago closed.
	start, end := windowBounds(when, t.opt.Window, t.opt.Location)
	seq, closed := t.seqs[start]
	if closed {
		t.reopens++
	}
	if start < t.seqFrom || closed && t.reopens > maxReopen {
		t.untimely++
		return nil
	}
	if t.other != nil {
		t.close(t.other)
		if t.failed.Load() {
			return nil
		}
	}
	w := t.takeWindow()
	w.start, w.end, w.seq, w.reopened = start, end, seq, closed
	// Lateness after its end, or from now if packet time is past that already.
	w.closeAt = max(w.end, t.clock) + int64(t.opt.Lateness)
	t.cur, t.other = w, t.cur
	t.setCloseAt()
	if t.clock >= t.closeAt {
		t.close(t.other)
		t.other, t.closeAt = nil, math.MaxInt64
	}
	return w
}

// windowBounds returns start and end of the window that holds a time. Windows
// begin at multiples of their length since 1970 UTC and are cut at midnight of
// the location, so that each lies in one day and the days of a report add up.
func windowBounds(when int64, length time.Duration, location *time.Location) (start, end int64) {
	start = when / int64(length) * int64(length)
	end = start + int64(length)
	if location == nil {
		return start, end
	}
	y, m, d := time.Unix(0, when).In(location).Date()
	return max(start, midnight(y, m, d, location)), min(end, midnight(y, m, d+1, location))
}

// midnight returns when a day begins. Where the clock is put forward at
// midnight (as it was in Brazil), time.Date may give an hour of the day before.
func midnight(y int, m time.Month, d int, location *time.Location) int64 {
	noon := time.Date(y, m, d, 12, 0, 0, 0, location)
	t := time.Date(y, m, d, 0, 0, 0, 0, location)
	for t.Day() != noon.Day() {
		t = t.Add(15 * time.Minute)
	}
	return t.UnixNano()
}

// setCloseAt says when the window that is not current closes. When a late
// packet has made an old window the current one, the newer one stays.
func (t *tally) setCloseAt() {
	t.closeAt = math.MaxInt64
	if t.other != nil && t.other.start < t.cur.start {
		t.closeAt = t.other.closeAt
	}
}

// takeWindow returns an empty window.
func (t *tally) takeWindow() *window {
	select {
	case w := <-t.unused:
		return w
	default:
	}
	w := &window{}
	w.entries.pool = &t.entryPool
	w.extras.pool = &t.extraPool
	w.samples.pool = &t.samplePool
	w.blobs.pool = &t.blobPool
	w.dests.noted = new(destNotes)
	w.dests.states.pool = &t.statePool
	w.dests.small.pool = &t.smallPool
	w.dests.medium.pool = &t.mediumPool
	w.dests.large.pool = &t.largePool
	return w
}

// part hands out what a window has so far and lets it go on empty.
func (t *tally) part(w *window) {
	next := t.takeWindow()
	next.start, next.end, next.seq, next.closeAt, next.reopened = w.start, w.end, w.seq+1, w.closeAt, w.reopened
	if t.live != nil {
		t.live.goOn(w, next)
	}
	if t.cur == w {
		t.cur = next
	} else {
		t.other = next
	}
	t.emit(w, true)
}

// close hands out a window.
func (t *tally) close(w *window) {
	if w.entries.len() > 0 {
		t.seqs[w.start] = w.seq + 1
	} else {
		t.seqs[w.start] = w.seq
	}
	if len(t.seqs) > maxSeqs {
		t.forget()
	}
	t.emit(w, false)
	if len(t.combinations) > maxCombinations/2 {
		t.dropCombinations(w)
	}
}

// dropCombinations keeps the option combinations that the windows other than
// closed refer to.
func (t *tally) dropCombinations(closed *window) {
	keep := make(map[uint32]string)
	hold := func(f fingerprint) {
		if s, ok := t.combinations[f.opt]; ok && f.n > 0 {
			keep[f.opt] = s
		}
	}
	for _, w := range []*window{t.cur, t.other} {
		if w == nil || w == closed {
			continue
		}
		for i := range uint32(w.entries.len()) {
			hold(w.entries.at(i + 1).print)
		}
		for i := range uint32(w.extras.len()) {
			for _, f := range w.extras.at(i + 1).prints {
				hold(f)
			}
		}
	}
	// What is being emitted keeps the old map.
	t.combinationsMu.Lock()
	t.combinations = keep
	t.combinationsMu.Unlock()
}

// forget drops the earlier half of the remembered windows, which from now on
// cannot be opened again.
func (t *tally) forget() {
	starts := make([]int64, 0, len(t.seqs))
	for s := range t.seqs {
		starts = append(starts, s)
	}
	t.seqFrom = median(starts)
	for _, s := range starts {
		if s < t.seqFrom {
			delete(t.seqs, s)
		}
	}
}

// flush closes the open windows.
func (t *tally) flush() {
	if t.other != nil && t.cur.start < t.other.start {
		t.cur, t.other = t.other, t.cur
	}
	for _, w := range []*window{t.other, t.cur} {
		if w != nil && !t.failed.Load() {
			t.close(w)
		}
	}
	t.cur, t.other = nil, nil
}

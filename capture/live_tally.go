package capture

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"teiten/internal/observation"
)

const (
	// liveHorizon is how far the clock may jump forward with a batch for each
	// window in between.
	liveHorizon = 24 * time.Hour
	// liveDeaf is the longest stretch without frame or tick in which a live tally
	// counts as listening; after a longer one the clock jumped or the host slept.
	liveDeaf = time.Minute
	// liveWaiting is the number of closed windows with observations that may wait
	// behind the one that the sink has, before packets are dropped.
	liveWaiting = 2
)

// LiveOptions says how live packets are tallied.
type LiveOptions struct {
	Options
	// Start is when listening begins; no window before it has a batch.
	Start time.Time
	// Payload is how many bytes of a payload a sample hands out, 0 to 64. Marks
	// and quotes are taken from the packet whatever it is.
	Payload int
	// Networks are monitored at the start, Peers are what the sensor talks to.
	Networks []netip.Prefix
	Peers    []Peer
	// Inputs are the names that Facts carry.
	Inputs []string
	// NextSeq says from which number the parts of a window count that has batches
	// of an earlier run; nil: from 0.
	NextSeq func(window time.Time) int
	// Jumped is told of a clock that jumped forward so far that the windows in
	// between have no batches; it may be nil.
	Jumped func(from, to time.Time)
}

// liveFacts are counted for a window, or for a part of one.
type liveFacts struct {
	from, to                               int64
	records, dropped, elsewhere, own, late uint64
	skipped                                [numSkips]uint64
	networks                               []netip.Prefix
	deaf                                   bool // to is set: the clock jumped away
}

// liveDoor is what SetNetworks and SetPeers change.
type liveDoor struct {
	door     *Door
	networks []netip.Prefix
	peers    []Peer
}

// Live tallies packets as they come. Windows close by the clock, and each has a
// batch, with observations or without. Add, Tick, Dropped and Close belong to one
// goroutine, the others to any. The batches go to the sink in a goroutine of
// their own, which Add never waits for: while more than liveWaiting windows with
// observations are on their way, further packets count as dropped, as they would in a kernel
// that nobody reads from, and memory is bounded. Nothing is added after Close.
//
// The clock never goes back: after a jump backward packets are late until it has
// caught up. After a jump forward the windows in between have batches without
// observations, up to liveHorizon. Tick comes every few seconds: a stretch of
// more than liveDeaf without it is none in which the sensor listened.
type Live struct {
	opt   LiveOptions
	t     *tally
	ps    parser
	bl    block
	one   [1]packet
	clock int64 // the latest time of a frame or a tick
	door  *liveDoor
	next  atomic.Pointer[liveDoor]
	queue liveQueue

	totals LiveTotals
}

// LiveTotals are counts over all windows. Frames are all that Add was given.
type LiveTotals struct{ Frames, Dropped, Copies, Elsewhere, Own, Late uint64 }

// NewLive begins to tally; Close must be called.
func NewLive(opt LiveOptions, sink func(*observation.Batch) error) (*Live, error) {
	o, err := opt.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("begin a live tally: %w", err)
	}
	opt.Options = o
	if opt.Payload < 0 || opt.Payload > maxPayload {
		return nil, fmt.Errorf("begin a live tally: payload of %d bytes is not between 0 and %d", opt.Payload, maxPayload)
	}
	if opt.Start.Unix() <= 0 {
		return nil, errors.New("begin a live tally: no start")
	}
	l := &Live{opt: opt, t: newTally(o, sink), clock: opt.Start.UnixNano()}
	l.t.live, l.t.payload = l, opt.Payload
	l.ps.reset()
	l.ps.seed = l.t.seed
	l.bl.packets = l.one[:]
	l.door = &liveDoor{NewDoor(opt.Networks, opt.Peers), slices.Clone(opt.Networks), slices.Clone(opt.Peers)}
	l.next.Store(l.door)
	l.t.cur = l.open(l.clock, l.clock)
	l.queue.start(l)
	return l, nil
}

// SetNetworks changes what is monitored, from the next frame or tick on. The open
// window then goes on in another part, so that each batch has the networks of
// its own time.
func (l *Live) SetNetworks(networks []netip.Prefix) {
	networks = slices.Clone(networks)
	for {
		old := l.next.Load()
		if l.next.CompareAndSwap(old, &liveDoor{NewDoor(networks, old.peers), networks, old.peers}) {
			return
		}
	}
}

// SetPeers changes what the sensor talks to, from the next frame on.
func (l *Live) SetPeers(peers []Peer) {
	peers = slices.Clone(peers)
	for {
		old := l.next.Load()
		if l.next.CompareAndSwap(old, &liveDoor{NewDoor(old.networks, peers), old.networks, peers}) {
			return
		}
	}
}

// Add counts one frame of a link type (LINKTYPE_ value) that came at when. The
// bytes are read during the call only. The length on the wire is not needed, as
// the IP header has the length that is counted.
func (l *Live) Add(link uint32, when int64, frame []byte, _ int) {
	l.totals.Frames++
	l.advance(when)
	w := l.window(when)
	f := &l.newest().facts
	if w != nil {
		f = &w.facts
	}
	passage := l.door.door.Admit(link, frame)
	if passage != Admitted || w == nil {
		f.records++
		switch {
		case passage == Elsewhere:
			f.elsewhere++
			l.totals.Elsewhere++
		case passage == Own:
			f.own++
			l.totals.Own++
		default:
			f.late++
			l.totals.Late++
		}
		return
	}
	p := &l.one[0]
	p.when = when
	if why := l.ps.decode(link, frame, 0, p); why != skipNone {
		f.records++
		f.skipped[why]++
		return
	}
	if l.queue.full() {
		// Not a record too: records and dropped add up to what came.
		f.dropped++
		l.totals.Dropped++
		return
	}
	l.bl.buf, l.bl.n = frame, 1
	l.ps.copied(p, frame)
	// The packet's window is the current one, so that the tally opens and closes
	// none itself.
	if l.t.cur != w {
		l.t.cur, l.t.other = l.t.other, l.t.cur
	}
	l.t.add(&l.bl)
	l.t.cur.facts.records++ // of the part that has the packet
	l.bl.buf = nil
}

// Tick closes the windows whose time has passed.
func (l *Live) Tick(now time.Time) { l.advance(now.UnixNano()) }

// Dropped counts packets that the kernel dropped since the call before.
func (l *Live) Dropped(n uint64) {
	l.newest().facts.dropped += n
	l.totals.Dropped += n
}

// Totals returns the counts since the start; of Add's goroutine, too.
func (l *Live) Totals() LiveTotals {
	l.totals.Copies = l.t.fileCopies
	return l.totals
}

// Err returns the first error of the sink, after which no batch leaves.
func (l *Live) Err() error { return l.queue.failure() }

// Close hands out the open windows as they are and waits for the sink.
func (l *Live) Close() error {
	if l.t.other != nil && l.t.other.start > l.t.cur.start {
		l.t.cur, l.t.other = l.t.other, l.t.cur
	}
	for _, w := range []*window{l.t.other, l.t.cur} {
		if w != nil {
			l.close(w)
		}
	}
	l.t.cur, l.t.other = nil, nil
	return l.queue.stop()
}

// newest returns the later open window, of which there always is one.
func (l *Live) newest() *window {
	if l.t.other != nil && l.t.other.start > l.t.cur.start {
		return l.t.other
	}
	return l.t.cur
}

// window returns the open window of a time, nil if it is closed.
func (l *Live) window(when int64) *window {
	for _, w := range [2]*window{l.t.cur, l.t.other} {
		if w != nil && when >= w.start && when < w.end {
			return w
		}
	}
	return nil
}

// advance moves the clock, which never goes back, and closes and opens windows.
func (l *Live) advance(now int64) {
	if d := l.next.Load(); d != l.door {
		l.change(d)
	}
	if now <= l.clock {
		return
	}
	before := l.clock
	l.clock = now
	w := l.newest()
	if now >= w.end {
		l.forward(w, before, now)
	}
	if old := l.older(); old != nil && now >= old.end+int64(l.opt.Lateness) {
		l.keepNewest()
		l.close(old)
	}
}

// forward opens the windows up to now, each of which closes the one before the last.
func (l *Live) forward(w *window, before, now int64) {
	jumped := now-before > int64(liveDeaf)
	if jumped {
		w.facts.to, w.facts.deaf = before, true
	}
	if now-w.end > int64(liveHorizon) {
		if l.opt.Jumped != nil {
			l.opt.Jumped(time.Unix(0, before).UTC(), time.Unix(0, now).UTC())
		}
		l.follow(l.open(now, now))
		return
	}
	for now >= w.end {
		from := w.end
		start := w.end
		w = l.open(start, from)
		if jumped {
			if w.facts.from = now; now >= w.end {
				w.facts.from, w.facts.to, w.facts.deaf = start, start, true
			}
		}
		l.follow(w)
	}
}

// open returns a new window that holds a time.
func (l *Live) open(when, from int64) *window {
	w := l.t.takeWindow()
	w.start, w.end = windowBounds(when, l.opt.Window, l.opt.Location)
	w.seq, w.reopened = 0, false
	if l.opt.NextSeq != nil {
		w.seq = l.opt.NextSeq(time.Unix(0, w.start).UTC())
	}
	w.closeAt = math.MaxInt64
	w.facts.from, w.facts.networks = from, l.door.networks
	return w
}

// follow makes w the newest window.
func (l *Live) follow(w *window) {
	old := l.older()
	l.keepNewest()
	if old != nil {
		l.close(old)
	}
	l.t.cur, l.t.other = w, l.t.cur
}

func (l *Live) older() *window {
	if l.t.other != nil && l.t.other.start > l.t.cur.start {
		return l.t.cur
	}
	return l.t.other
}

func (l *Live) keepNewest() { l.t.cur, l.t.other = l.newest(), nil }

// change takes another door. A part that has listened ends with the old one.
func (l *Live) change(d *liveDoor) {
	same := slices.Equal(d.networks, l.door.networks)
	l.door = d
	w := l.newest()
	switch {
	case same:
	case w.facts.from == l.clock && w.facts.records == 0:
		w.facts.networks = d.networks
	default:
		l.t.part(w)
	}
	// An older window may still get packets to the new networks.
	if old := l.older(); old != nil && !same {
		old.facts.networks = slices.Clone(old.facts.networks)
		for _, p := range d.networks {
			if !slices.Contains(old.facts.networks, p) {
				old.facts.networks = append(old.facts.networks, p)
			}
		}
	}
}

// goOn ends the facts of a part and begins those of the next.
func (l *Live) goOn(w, next *window) {
	f := &w.facts
	next.facts = liveFacts{from: min(l.clock, w.end), networks: l.door.networks}
	if w != l.newest() {
		next.facts.networks = f.networks
	}
	if !f.deaf {
		f.to = min(l.clock, w.end)
	}
}

// close ends a window.
func (l *Live) close(w *window) {
	if !w.facts.deaf {
		w.facts.to = min(l.clock, w.end)
	}
	l.t.emit(w, false)
	if len(l.t.combinations) > maxCombinations/2 {
		l.t.dropCombinations(w)
	}
}

// hand puts a closed window into the queue. One without observations leaves its
// memory here, so that those that wait are small.
func (l *Live) hand(e emission) {
	c := liveClosed{emission: e, start: e.w.start, end: e.w.end, seq: e.w.seq, copies: e.w.copies, facts: e.w.facts}
	if e.w.entries.len() == 0 {
		c.w = nil
		l.t.giveBack(e.w)
	}
	l.queue.put(c)
}

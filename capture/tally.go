package capture

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"teiten/internal/observation"
)

const (
	// maxPayload is how much of a payload a sample keeps.
	maxPayload = 64
	// maxReopen bounds how often closed windows are opened again in one file.
	maxReopen = 4096
	// maxSeqs bounds the windows whose next Seq is remembered.
	maxSeqs = 1 << 16
	// maxCombinations bounds the option combinations that fingerprints name.
	maxCombinations = 1 << 16
	// lookahead is the number of packets whose entries are fetched together, so
	// that their cache misses overlap.
	lookahead = 32
	// pendingSources is the number of sources that are counted together.
	pendingSources = 64
)

// tally adds packets to the observations of the open windows, of which there
// are at most two, and hands closed ones to the sink.
type tally struct {
	opt  Options
	sink func(*observation.Batch) error

	cur     *window
	other   *window      // nil while one window is open
	unused  chan *window // empty ones
	clock   int64        // latest packet time
	closeAt int64        // packet time at which other closes
	keys    int          // of both windows

	seqs    map[int64]int // next Seq by window start
	seqFrom int64         // earlier windows have been forgotten and stay closed
	reopens int           // in the current file

	entryPool  pool[entry]
	extraPool  pool[extra]
	samplePool pool[sample]
	blobPool   blobPool
	statePool  pool[destState]
	smallPool  pool[[16]uint32]
	mediumPool pool[[64]uint32]
	largePool  pool[[512]uint32]

	seed uint64 // of the windows' indexes
	// Option bytes in hexadecimal, by their hash. Only the tally's goroutine
	// writes, under combinationsMu; the emitter reads under it.
	combinationsMu sync.Mutex
	combinations   map[uint32]string

	attempts *attempts // nil until a packet shows a mark

	sources sourceSet
	epoch   uint16

	pending  [pendingSources]uint64 // sources to be counted
	pendingN int

	// Results. fileX count the current file only.
	observations, fileObservations uint64
	batches, partials              uint64
	late, fileLate                 uint64
	fileCopies                     uint64
	untimely                       uint64 // packets of the current file in no window

	// Leads to the goroutines that startHelpers starts, while they run.
	helpers   sync.WaitGroup
	emissions chan emission
	dests     chan noted
	destNotes chan *destNotes // empty ones
	err       error           // of the sink; written by the goroutine that emits
	failed    atomic.Bool     // err is set

	live    *Live // takes the windows instead of the emitter; nil for files
	payload int   // bytes of it that a sample hands out

	out     batchWriter
	fetched [lookahead]fetched
	touch   uint32 // keeps the look-ahead's loads from being optimised away
}

func newTally(opt Options, sink func(*observation.Batch) error) *tally {
	return &tally{
		opt: opt, sink: sink,
		closeAt:      math.MaxInt64,
		payload:      maxPayload,
		seed:         rand.Uint64(),
		seqFrom:      math.MinInt64,
		unused:       make(chan *window, 4),
		destNotes:    make(chan *destNotes, noteBlocks),
		seqs:         make(map[int64]int),
		combinations: make(map[uint32]string),
	}
}

// nextFile begins the counts of another file.
func (t *tally) nextFile() {
	t.epoch++
	t.sources.nextFile()
	t.fileObservations, t.fileLate, t.fileCopies, t.untimely, t.reopens = 0, 0, 0, 0, 0
}

// add tallies the packets of a block.
func (t *tally) add(bl *block) {
	packets := bl.packets[:bl.n]
	for len(packets) > 0 && !t.failed.Load() {
		group := packets[:min(lookahead, len(packets))]
		packets = packets[len(group):]
		w := t.cur
		if w == nil || len(w.index) == 0 {
			for i := range group {
				t.packet(bl, &group[i])
			}
			continue
		}
		t.fetch(w, group)
		emitted := t.batches
		for i := range group {
			p := &group[i]
			if e := t.fetched[i%lookahead].e; e != nil && e.key == p.key && w == t.cur && emitted == t.batches &&
				p.when >= w.start && p.when < w.end && p.when < t.closeAt {
				t.update(w, t.fetched[i%lookahead].n, e, bl, p)
				continue
			}
			t.packet(bl, p)
		}
	}
}

// fetched is an entry found ahead, if the index has it at its first place.
type fetched struct {
	e *entry
	n uint32
}

// fetch touches what a group of packets will need: places of the index, entries,
// hidden state. Each step's loads depend on the step before, but not on each
// other, so that their cache misses overlap.
func (t *tally) fetch(w *window, group []packet) {
	mask := uint32(len(w.index) - 1)
	for i := range group {
		t.fetched[i%lookahead].n = uint32(w.index[group[i].hash&mask])
	}
	sum := uint32(0)
	for i := range group {
		f := &t.fetched[i%lookahead]
		if f.e = nil; f.n != 0 {
			f.e = w.entries.at(f.n)
			sum += f.e.packets + f.e.firstDst
		}
		if group[i].bits&bitsHidden != 0 {
			sum += w.hidden.fetch(&group[i])
		}
	}
	t.touch += sum
}

// packet tallies a packet whose entry was not found ahead.
func (t *tally) packet(bl *block, p *packet) {
	w := t.cur
	if w == nil || p.when < w.start || p.when >= w.end || p.when >= t.closeAt {
		if w = t.windowFor(p.when); w == nil {
			return
		}
	}
	if p.class == observation.ClassNone {
		w.copies++
		t.fileCopies++
		return
	}
	key, hash := p.key, p.hash
	if p.bits&bitV6 != 0 {
		net := p.pay - uint32(p.net)
		key = makeKey(w.addrs.number(bl.buf[net+8:net+24]), p) | keyV6
		hash = hashKey(key, t.seed)
	}
	if len(w.index) == 0 {
		w.grow()
	}
	mask := uint32(len(w.index) - 1)
	i := hash & mask
	for {
		slot := w.index[i]
		if slot == 0 {
			break
		}
		if uint32(slot>>32) == hash {
			n := uint32(slot)
			if e := w.entries.at(n); e.key == key {
				t.update(w, n, e, bl, p)
				return
			}
		}
		i = (i + 1) & mask
	}
	t.insert(w, key, hash, i, bl, p)
}

// update adds a packet to an observation that has some.
func (t *tally) update(w *window, number uint32, e *entry, bl *block, p *packet) {
	if e.packets == math.MaxUint32 {
		// A counter is full: the rest goes to another part of the window.
		t.part(w)
		t.packet(bl, p)
		return
	}
	if e.epoch != t.epoch {
		t.seen(w, e)
	}
	w.packets++
	e.packets++
	e.bytes += uint64(p.ipLen)
	if p.when > e.last {
		e.last = p.when
	} else if p.when < e.first {
		e.first = p.when
	}
	if e.print.ttl == p.ttl && e.print.opt == p.opt && e.print.win == p.win && e.print.n != 0 {
		e.print.n++
	} else if p.opt == 0 || t.combination(bl, p) {
		w.fingerprint(e, p)
	}
	related := p.bits&bitSYNv4 != 0 && unicornscan(e, p)
	marks, hidden := t.attempt(bl, p, related)
	if p.class == observation.ClassUDP || p.class == observation.ClassUDPAnswer {
		if p.ack != 0 && p.ack == e.ack {
			marks |= observation.MarkSamePayload.Bit()
		}
	} else if answers>>p.class&1 != 0 {
		marks |= w.answer(e, p)
	}
	for ; marks != 0; marks &= marks - 1 {
		w.mark(e, observation.Mark(bits.TrailingZeros32(marks)), 1)
	}
	if related {
		if w.marked(e, observation.MarkUnicornscan) == 0 {
			w.mark(e, observation.MarkUnicornscan, 1) // the first packet
		}
		w.mark(e, observation.MarkUnicornscan, 1)
	}
	if hidden {
		w.observe(number, e, p)
	}
	if e.destN == destSpilled || !slices.Contains(e.dest[:e.destN], p.dst) {
		if !w.dests.noted.room() {
			t.giveDests(w)
		}
		w.dests.note(e, p.dst)
	}
	if e.peerN < peerMany {
		e.addPeer(p.peer)
	}
	// Further samples: the packets number 8, 64, 512, ...
	if n := e.packets; n&(n-1) == 0 && bits.TrailingZeros32(n)%3 == 0 {
		t.sample(w, e, bl, p)
	}
}

func (e *entry) addPeer(port uint16) {
	n := min(e.peerN, peersHeld)
	for _, held := range e.peers[:n] {
		if held == port {
			return
		}
	}
	if n < peersHeld {
		e.peers[n] = port
	}
	e.peerN++
}

// insert makes the observation of a key at the free place i of the index.
func (t *tally) insert(w *window, key uint64, hash, i uint32, bl *block, p *packet) {
	if t.keys >= t.opt.KeyLimit {
		if t.other != nil && t.other.entries.len() > w.entries.len() {
			t.part(t.other)
		} else {
			t.part(w)
		}
		t.packet(bl, p)
		return
	}
	if (w.entries.len()+1)*4 > len(w.index)*3 {
		w.grow()
		mask := uint32(len(w.index) - 1)
		for i = hash & mask; w.index[i] != 0; {
			i = (i + 1) & mask
		}
	}
	w.packets++
	number := w.entries.add()
	w.index[i] = uint64(hash)<<32 | uint64(number)
	t.keys++
	e := w.entries.at(number)
	*e = entry{
		key:      key,
		bytes:    uint64(p.ipLen),
		first:    p.when,
		last:     p.when,
		packets:  1,
		destN:    1,
		peerN:    1,
		bits:     p.bits,
		flags:    p.flags,
		when:     p.when,
		firstDst: p.dst,
		seq:      p.seq,
		ack:      p.ack,
		id:       p.id,
		win:      p.win,
		ttl:      p.ttl,
	}
	e.dest[0] = p.dst
	e.peers[0] = p.peer
	if p.opt == 0 || t.combination(bl, p) {
		e.print = fingerprint{n: 1, opt: p.opt, win: p.win, ttl: p.ttl}
	}
	t.seen(w, e)
	marks, hidden := t.attempt(bl, p, false)
	for ; marks != 0; marks &= marks - 1 {
		w.mark(e, observation.Mark(bits.TrailingZeros32(marks)), 1)
	}
	if hidden {
		w.observe(number, e, p)
	}
	e.blob, e.optLen, e.payLen = w.keep(bl, p)
}

// seen counts an observation and its source for the current file.
func (t *tally) seen(w *window, e *entry) {
	e.epoch = t.epoch
	t.fileObservations++
	src := keySource(e.key)
	if e.key&keyV6 != 0 {
		t.pending[t.pendingN] = sourceKey6(w.addrs.all[src][:])
	} else {
		t.pending[t.pendingN] = sourceKey4(src)
	}
	if t.pendingN++; t.pendingN == pendingSources {
		t.countSources()
	}
}

// countSources counts the pending sources, many at once so that their cache
// misses overlap.
func (t *tally) countSources() {
	if t.live == nil { // nobody asks a live tally for the sources of all time
		t.sources.touchAll(t.pending[:t.pendingN])
	}
	t.pendingN = 0
}

// combination makes sure that a packet's options can be named; false if there
// are too many combinations.
func (t *tally) combination(bl *block, p *packet) bool {
	if _, ok := t.combinations[p.opt]; ok {
		return true
	}
	if len(t.combinations) >= maxCombinations {
		return false
	}
	var buf [maxOptions]byte
	n, _ := normalOptions(&buf, bl.buf[p.pay-uint32(p.optLen):p.pay])
	t.combinationsMu.Lock()
	t.combinations[p.opt] = fmt.Sprintf("%x", buf[:n])
	t.combinationsMu.Unlock()
	return true
}

// keep stores the variable parts of a packet: for IPv6 the destination, then
// the options, then the first bytes of the payload.
func (w *window) keep(bl *block, p *packet) (blob uint32, optLen, payLen uint8) {
	var dst []byte
	if p.bits&bitV6 != 0 {
		net := p.pay - uint32(p.net)
		dst = bl.buf[net+24 : net+40]
	}
	opt := bl.buf[p.pay-uint32(p.optLen) : p.pay]
	pay := bl.buf[p.pay : p.pay+uint32(p.payLen)]
	blob = w.blobs.store(dst, opt, pay)
	if blob == 0 {
		return 0, 0, 0
	}
	return blob, uint8(len(opt)), uint8(len(pay))
}

// sample keeps a further packet of an observation.
func (t *tally) sample(w *window, e *entry, bl *block, p *packet) {
	if bits.TrailingZeros32(e.packets)/3 >= t.opt.SamplesPerKey || w.samples.len() >= t.opt.SamplesPerWindow {
		return
	}
	n := w.samples.add()
	s := w.samples.at(n)
	x := w.ext(e)
	*s = sample{
		when: p.when, dst: p.dst, seq: p.seq, ack: p.ack, id: p.id, win: p.win,
		peer: p.peer, ttl: p.ttl, flags: p.flags, bits: p.bits, next: x.samples,
	}
	s.blob, s.optLen, s.payLen = w.keep(bl, p)
	x.samples = n
}

// unicornscan says whether a SYN has the constant of the observation's first
// packet: the sequence number, the destination in either byte order and the
// ports combined. A repeated SYN and a Mirai one (whose sequence number is the
// destination) are no evidence.
func unicornscan(e *entry, p *packet) bool {
	if p.seq == e.seq || p.marks&observation.MarkMirai.Bit() != 0 {
		return false
	}
	x := e.seq ^ p.seq ^ uint32(e.peers[0]) ^ uint32(p.peer) // the service port is the same
	y := e.firstDst ^ p.dst
	return x == y || x == bits.ReverseBytes32(y)
}

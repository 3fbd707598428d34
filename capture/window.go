package capture

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	"teiten/internal/observation"
)

// window holds the tally of one open window. Its memory comes from the pools
// of the tally and goes back when the window closes.
type window struct {
	start, end int64
	seq        int
	reopened   bool  // it had been closed before: its packets are late
	closeAt    int64 // packet time at which it closes if it is not the current one
	packets    uint64
	copies     uint64

	index   []uint64 // hash bits and entry number; open addressing, linear probing
	entries slab[entry]
	extras  slab[extra]
	samples slab[sample]
	blobs   blobs
	dests   destSets
	putting sync.WaitGroup // destinations on their way into dests
	addrs   addresses      // of IPv6 sources
	hidden  hiddenState
	facts   liveFacts // of a live tally
}

func (w *window) reset(seed uint64) {
	// A table much larger than its content is emptied key by key, so that a
	// capture with a window for each packet costs no more than its packets.
	if n := w.entries.len(); n*8 < len(w.index) {
		mask := uint64(len(w.index) - 1)
		for i := uint32(1); i <= uint32(n); i++ {
			for k := uint64(hashKey(w.entries.at(i).key, seed)) & mask; w.index[k] != 0; k = (k + 1) & mask {
				w.index[k] = 0
			}
		}
	} else {
		clear(w.index)
	}
	w.entries.reset()
	w.extras.reset()
	w.samples.reset()
	w.blobs.reset()
	w.dests.reset()
	w.addrs.reset()
	w.hidden.reset()
	w.packets, w.copies = 0, 0
	w.facts = liveFacts{}
}

const minIndex = 1024

// hashKey scatters a key over the index. The seed differs from run to run, so
// that a sender cannot choose packets with colliding keys. It decides where an
// entry is found, and does not change the results.
func hashKey(key, seed uint64) uint32 { return uint32(mix64(mix64(key^seed) + seed)) }

// grow doubles the index. An index entry has the hash, so no key is read again;
// the index never has more than 2^25 places.
func (w *window) grow() {
	size := max(minIndex, 2*len(w.index))
	index := make([]uint64, size)
	mask := uint64(size - 1)
	for _, slot := range w.index {
		if slot == 0 {
			continue
		}
		i := slot >> 32 & mask
		for index[i] != 0 {
			i = (i + 1) & mask
		}
		index[i] = slot
	}
	w.index = index
}

// ext returns the extension of an entry, which it makes if there is none.
func (w *window) ext(e *entry) *extra {
	if e.ext == 0 {
		e.ext = w.extras.add()
		*w.extras.at(e.ext) = extra{}
	}
	return w.extras.at(e.ext)
}

// mark adds n packets to the count of mark m.
func (w *window) mark(e *entry, m observation.Mark, n uint32) {
	for i := range e.counted {
		switch e.counted[i] {
		case m:
			e.markN[i] += n
			return
		case observation.MarkNone:
			e.counted[i], e.markN[i] = m, n
			return
		}
	}
	w.ext(e).marks[m] += n
}

// marked returns the count of mark m.
func (w *window) marked(e *entry, m observation.Mark) uint32 {
	for i := range e.counted {
		if e.counted[i] == m {
			return e.markN[i]
		}
	}
	if e.ext != 0 {
		return w.extras.at(e.ext).marks[m]
	}
	return 0
}

// fingerprint counts a packet's fingerprint that is not the entry's own one.
// With all places taken the rarest gives way and its count is inherited
// (space-saving, Metwally et al. 2005): a count is exact until then and an
// upper bound afterwards.
func (w *window) fingerprint(e *entry, p *packet) {
	if e.print.n == 0 {
		e.print = fingerprint{n: 1, opt: p.opt, win: p.win, ttl: p.ttl}
		return
	}
	x := w.ext(e)
	least := &e.print
	for i := range x.prints {
		f := &x.prints[i]
		if f.n == 0 {
			*f = fingerprint{n: 1, opt: p.opt, win: p.win, ttl: p.ttl}
			return
		}
		if f.opt == p.opt && f.win == p.win && f.ttl == p.ttl {
			f.n++
			return
		}
		if f.n < least.n {
			least = f
		}
	}
	*least = fingerprint{n: least.n + 1, opt: p.opt, win: p.win, ttl: p.ttl}
}

// blobs holds the variable parts of samples, one after the other.
type blobs struct {
	pool  *blobPool
	pages []*[blobPage]byte
	next  int // free offset in the last page
}

// blobPool keeps the pages that are not in use.
type blobPool struct {
	mu   sync.Mutex // guards free
	free []*[blobPage]byte
}

func (p *blobPool) get() *[blobPage]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := len(p.free)
	if k == 0 {
		return new([blobPage]byte)
	}
	page := p.free[k-1]
	p.free = p.free[:k-1]
	return page
}

func (p *blobPool) put(pages []*[blobPage]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, pages...)
}

const (
	blobShift = 16
	blobPage  = 1 << blobShift
	blobPages = 1 << (32 - blobShift)
)

// store copies the parts and returns a reference to them, 0 for no bytes.
func (b *blobs) store(p1, p2, p3 []byte) uint32 {
	n := len(p1) + len(p2) + len(p3)
	if n == 0 {
		return 0
	}
	if len(b.pages) == 0 || b.next+n > blobPage {
		if len(b.pages) == blobPages {
			return 0
		}
		b.pages = append(b.pages, b.pool.get())
		b.next = 0
		if len(b.pages) == 1 {
			b.next = 1 // reference 0 means none
		}
	}
	page := b.pages[len(b.pages)-1][b.next:]
	k := copy(page, p1)
	k += copy(page[k:], p2)
	copy(page[k:], p3)
	ref := uint32(len(b.pages)-1)<<blobShift | uint32(b.next)
	b.next += n
	return ref
}

// load returns the n bytes at ref.
func (b *blobs) load(ref uint32, n int) []byte {
	if ref == 0 {
		return nil
	}
	page, off := b.pages[ref>>blobShift], int(ref&(blobPage-1))
	return page[off : off+n]
}

func (b *blobs) reset() {
	b.pool.put(b.pages)
	clear(b.pages)
	b.pages, b.next = b.pages[:0], 0
}

// addresses numbers IPv6 addresses from 0.
type addresses struct {
	all   [][16]byte
	index []uint32 // number + 1
}

// number returns the number of an address, which it gives one if it is new.
func (a *addresses) number(addr []byte) uint32 {
	if len(a.all)*4 >= len(a.index)*3 {
		a.index = make([]uint32, max(256, 2*len(a.index)))
		mask := uint64(len(a.index) - 1)
		for n := range a.all {
			i := hash16wide(a.all[n][:]) & mask
			for a.index[i] != 0 {
				i = (i + 1) & mask
			}
			a.index[i] = uint32(n) + 1
		}
	}
	mask := uint64(len(a.index) - 1)
	for i := hash16wide(addr) & mask; ; i = (i + 1) & mask {
		n := a.index[i]
		if n == 0 {
			a.all = append(a.all, [16]byte(addr))
			a.index[i] = uint32(len(a.all))
			return uint32(len(a.all)) - 1
		}
		if bytes.Equal(a.all[n-1][:], addr) {
			return n - 1
		}
	}
}

// ranks returns for each number the place of its address in their order.
func (a *addresses) ranks() []uint32 {
	order := make([]uint32, len(a.all))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(x, y uint32) int { return bytes.Compare(a.all[x][:], a.all[y][:]) })
	ranks := make([]uint32, len(order))
	for rank, n := range order {
		ranks[n] = uint32(rank)
	}
	return ranks
}

func (a *addresses) reset() {
	if len(a.all) == 0 {
		return
	}
	a.all = a.all[:0]
	clear(a.index)
}

// sortItem is one entry in the order of observations.
type sortItem struct {
	key   uint64
	entry uint32
}

// sorted returns the entries in order of source, protocol, port and class.
func (w *window) sorted(items, spare []sortItem) (out, rest []sortItem) {
	n := w.entries.len()
	items, spare = slices.Grow(items[:0], n)[:n], slices.Grow(spare[:0], n)[:n]
	var ranks []uint32
	if len(w.addrs.all) > 0 {
		ranks = w.addrs.ranks()
	}
	for i := range items {
		k := w.entries.at(uint32(i) + 1).key
		if k&keyV6 != 0 {
			low := k & (1<<keySrcShift - 1)
			k = keyV6 | uint64(ranks[keySource(k)])<<keySrcShift | low
		}
		items[i] = sortItem{k, uint32(i) + 1}
	}
	if n < 512 {
		slices.SortFunc(items, func(a, b sortItem) int { return cmp.Compare(a.key, b.key) })
		return items, spare
	}
	// Radix sort, least significant digit first.
	const digit = 11
	for shift := 0; shift < 66; shift += digit {
		var count [1 << digit]uint32
		for i := range items {
			count[items[i].key>>shift&(1<<digit-1)]++
		}
		if count[items[0].key>>shift&(1<<digit-1)] == uint32(n) {
			continue
		}
		sum := uint32(0)
		for i, c := range count {
			count[i] = sum
			sum += c
		}
		for i := range items {
			d := items[i].key >> shift & (1<<digit - 1)
			spare[count[d]] = items[i]
			count[d]++
		}
		items, spare = spare, items
	}
	return items, spare
}

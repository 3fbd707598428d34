package capture

import (
	"slices"

	"teiten/internal/observation"
)

// Some marks show only in several packets. Their state is kept per window and
// bounded; where a place is needed the state that has shown least gives way.
//
//   - Masscan and Mirai when the capture's destinations were rewritten: the
//     hidden destination leaves the same value in packets of several sources.
//   - nmap: the sequence numbers of one run are related.
//
// Packets that came before the mark showed are counted when it does; up to
// pendingKeys observations of a value are remembered for that.

const (
	hiddenSets   = 4096
	hiddenWays   = 4
	nmapSets     = 1024
	nmapWays     = 4
	nmapAnchors  = 4
	pendingKeys  = 4
	masscanKNeed = 3 // packets; two of one 16-bit value meet by chance too easily
	miraiKNeed   = 2
)

type hiddenState struct {
	masscan, mirai *[hiddenSets]hiddenSet
	nmap           *[nmapSets][nmapWays]nmapSource
	used           [3]bool
	// values counts the destinations at which a value of Masscan's was shared, and
	// shares all such pairs; valued has the first values that a source sent.
	values map[uint16]uint32
	shares uint32
	valued map[uint32]masscanProof
	// mirais is the sequence number shared at a destination; miraiNone if there
	// are several, which is a flood with few sequence numbers and no Mirai.
	mirais map[uint32]int64
	// places is the destination of a shared sequence number; miraiNone if it was
	// shared at several, which no Mirai's is.
	places map[uint32]int64
	// proofs are the first shared sequence numbers that a source sent.
	proofs map[uint32]miraiProof
}

// miraiProof holds shared sequence numbers of one source, each at a destination
// of its own.
type miraiProof struct {
	n        uint8
	dst, seq [miraiProofs]uint32
}

// masscanProof holds shared values of Masscan's that one source sent.
type masscanProof struct {
	n     uint8
	value [3]uint16
}

const (
	miraiNone = -1
	maxMirais = 1 << 16 // destinations in mirais, numbers in places, sources in proofs and valued

	miraiProofs = 8
	miraiPlaces = 2 // destinations at which a source must have sent shared numbers
)

// hiddenSet holds values seen at destinations. Its first cache line is all that
// most packets need.
type hiddenSet struct {
	keys [hiddenWays]uint64 // destination and value
	n    [hiddenWays]uint32 // packets, 0 while unused
	src  [hiddenWays]uint32 // the first source

	several [hiddenWays]bool // more than one source
	active  [hiddenWays]bool // the mark has shown
	pending [hiddenWays][pendingKeys]pendingMark
}

type pendingMark struct {
	entry, n uint32
}

func (h *hiddenState) reset() {
	clear(h.values)
	clear(h.valued)
	h.shares = 0
	clear(h.mirais)
	clear(h.places)
	clear(h.proofs)
	for i, used := range h.used {
		if !used {
			continue
		}
		h.used[i] = false
		switch i {
		case 0:
			clear(h.masscan[:])
		case 1:
			clear(h.mirai[:])
		case 2:
			clear(h.nmap[:])
		}
	}
}

// observe looks at a packet that could show one of these marks; number is its
// entry.
func (w *window) observe(number uint32, e *entry, p *packet) {
	h := &w.hidden
	if p.bits&bitMasscanK != 0 {
		if h.masscan == nil {
			h.masscan = new([hiddenSets]hiddenSet)
		}
		h.used[0] = true
		w.shared(h.masscan, masscanKey(p), p.src, number, e, observation.MarkMasscanK, masscanKNeed)
	}
	if p.bits&bitMiraiK != 0 {
		if h.mirai == nil {
			h.mirai = new([hiddenSets]hiddenSet)
		}
		h.used[1] = true
		w.shared(h.mirai, miraiKey(p), p.src, number, e, observation.MarkMiraiK, miraiKNeed)
	}
	if p.bits&bitNmap != 0 {
		if h.nmap == nil {
			h.nmap = new([nmapSets][nmapWays]nmapSource)
		}
		h.used[2] = true
		w.nmap(number, e, p)
	}
}

func masscanKey(p *packet) uint64 {
	return uint64(p.dst)<<32 | uint64(p.id^p.port^uint16(p.seq))
}

func miraiKey(p *packet) uint64 { return uint64(p.dst)<<32 | uint64(p.seq) }

// fetch loads the set that a packet will need.
func (h *hiddenState) fetch(p *packet) uint32 {
	n := uint32(0)
	if p.bits&bitMiraiK != 0 && h.mirai != nil {
		n += h.mirai[mix64(miraiKey(p))%hiddenSets].n[0]
	}
	if p.bits&bitMasscanK != 0 && h.masscan != nil {
		n += h.masscan[mix64(masscanKey(p))%hiddenSets].n[0]
	}
	return n
}

// shared counts a value at a destination; the mark shows when need packets of
// at least two sources have it.
func (w *window) shared(table *[hiddenSets]hiddenSet, key uint64, src, number uint32, e *entry, m observation.Mark, need uint32) {
	v := &table[mix64(key)%hiddenSets]
	way := -1
	for i := range v.keys {
		if v.keys[i] == key && v.n[i] != 0 {
			way = i
			break
		}
	}
	if way < 0 {
		// A value that few packets have gives way; one whose mark shows does not.
		for i := range v.n {
			if (way < 0 || v.n[i] < v.n[way]) && !v.active[i] {
				way = i
			}
		}
		if way < 0 {
			return
		}
		v.keys[way], v.src[way], v.n[way] = key, src, 1
		v.several[way] = false
		v.pending[way] = [pendingKeys]pendingMark{{number, 1}}
		return
	}
	v.n[way]++
	if v.active[way] {
		w.mark(e, m, 1)
		w.hidden.sent(m, src, key)
		return
	}
	v.several[way] = v.several[way] || v.src[way] != src
	for i := range v.pending[way] {
		q := &v.pending[way][i]
		if q.n == 0 || q.entry == number {
			q.entry = number
			q.n++
			break
		}
	}
	if v.several[way] && v.n[way] >= need {
		v.active[way] = true
		if m == observation.MarkMiraiK {
			w.hidden.sharedSeq(uint32(key>>32), uint32(key))
		} else {
			w.hidden.sharedValue(uint16(key))
		}
		for _, q := range v.pending[way] {
			if q.n == 0 {
				continue
			}
			sent := w.entries.at(q.entry)
			w.mark(sent, m, q.n)
			w.hidden.sent(m, keySource(sent.key), key)
		}
	}
}

// sharedSeq notes a sequence number that several sources sent to dst.
func (h *hiddenState) sharedSeq(dst, seq uint32) {
	if h.mirais == nil {
		h.mirais, h.places, h.proofs = map[uint32]int64{}, map[uint32]int64{}, map[uint32]miraiProof{}
	}
	pairOnce(h.mirais, dst, seq)
	pairOnce(h.places, seq, dst)
}

// pairOnce notes the value of a key, miraiNone if there are several.
func pairOnce(m map[uint32]int64, key, value uint32) {
	switch was, ok := m[key]; {
	case ok && was != int64(value):
		m[key] = miraiNone
	case !ok && len(m) < maxMirais:
		m[key] = int64(value)
	}
}

// sent notes that a source sent a shared value.
func (h *hiddenState) sent(m observation.Mark, src uint32, key uint64) {
	if m == observation.MarkMiraiK {
		h.prove(src, uint32(key>>32), uint32(key))
		return
	}
	p, ok := h.valued[src]
	value := uint16(key)
	if int(p.n) == len(p.value) || !ok && len(h.valued) >= maxMirais || slices.Contains(p.value[:p.n], value) {
		return
	}
	p.value[p.n] = value
	p.n++
	h.valued[src] = p
}

// sharedValue notes a value of Masscan's that several sources sent to one
// destination.
func (h *hiddenState) sharedValue(value uint16) {
	if h.values == nil {
		h.values, h.valued = map[uint16]uint32{}, map[uint32]masscanProof{}
	}
	h.values[value]++
	h.shares++
}

// prove notes that a source sent a shared sequence number to dst.
func (h *hiddenState) prove(src, dst, seq uint32) {
	p, ok := h.proofs[src]
	if int(p.n) == miraiProofs || !ok && len(h.proofs) >= maxMirais || slices.Contains(p.dst[:p.n], dst) {
		return
	}
	p.dst[p.n], p.seq[p.n] = dst, seq
	p.n++
	h.proofs[src] = p
}

// holds reports whether the marks of a kind that an entry's packets showed mean
// what they say, by all that its source sent.
func (h *hiddenState) holds(m observation.Mark, e *entry) bool {
	src := keySource(e.key)
	switch m {
	case observation.MarkMiraiK:
		return h.proved(src)
	case observation.MarkMasscanK:
		return h.valuesDiffer(src)
	case observation.MarkNmap:
		if e.key&keyV6 != 0 {
			return true // p.src is a hash there
		}
		return h.nmapProved(nmapKey(src, false))
	}
	return true
}

// valuesDiffer reports whether a source's hidden Masscan marks hold. The value is
// the low half of the destination address, so destinations have different ones,
// and one value belongs to one destination in 65,536. A copied scanner with
// constant fields has the same value everywhere.
func (h *hiddenState) valuesDiffer(src uint32) bool {
	p := h.valued[src]
	for _, v := range p.value[:p.n] {
		if h.values[v] <= 1+h.shares>>13 {
			return true
		}
	}
	return false
}

// proved reports whether a source's hidden Mirai marks hold. A Mirai host's
// sequence number is the destination address, so in a capture whose destinations
// were rewritten each destination has one number of its own, in packets of every
// such host. A copied scanner with a constant number, or a flood with one, shares
// it too: at several destinations the same, or at a single one. So the source
// must have sent numbers that hold at two destinations at least.
func (h *hiddenState) proved(src uint32) bool {
	p := h.proofs[src]
	hold := 0
	for i := range p.n {
		if h.mirais[p.dst[i]] == int64(p.seq[i]) && h.places[p.seq[i]] == int64(p.dst[i]) {
			hold++
		}
	}
	return hold >= miraiPlaces
}

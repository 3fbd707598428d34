package capture

import "teiten/internal/observation"

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
	// mirais is the sequence number shared at a destination; miraiNone if there
	// are several, which is a flood with few sequence numbers and no Mirai, whose
	// one number is the destination.
	mirais map[uint32]int64
}

const (
	miraiNone = -1
	maxMirais = 1 << 14 // destinations in mirais
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

// nmapSource is what one source's nmap-like SYNs have in common.
type nmapSource struct {
	key     uint64 // source and whether it is an IPv6 number; 0 while unused
	active  bool
	anchors [nmapAnchors]nmapAnchor
}

type nmapAnchor struct {
	seq     uint32
	target  uint32 // destination and port
	entry   uint32
	n       uint32 // packets, 0 while unused
	related bool
}

func (h *hiddenState) reset() {
	clear(h.mirais)
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
		}
		for _, q := range v.pending[way] {
			if q.n != 0 {
				w.mark(w.entries.at(q.entry), m, q.n)
			}
		}
	}
}

// sharedSeq notes a sequence number that several sources sent to dst.
func (h *hiddenState) sharedSeq(dst, seq uint32) {
	if h.mirais == nil {
		h.mirais = make(map[uint32]int64)
	}
	switch was, ok := h.mirais[dst]; {
	case ok && was != int64(seq):
		h.mirais[dst] = miraiNone
	case !ok && len(h.mirais) < maxMirais:
		h.mirais[dst] = int64(seq)
	}
}

// noMirai says whether the Mirai mark of packets to dst does not hold.
func (h *hiddenState) noMirai(dst uint32) bool {
	seq, ok := h.mirais[dst]
	return !ok || seq == miraiNone
}

// nmap compares a SYN with the source's earlier ones. The sequence numbers of
// one nmap run differ by 16 bits that are repeated in both halves; a repeated
// number counts as evidence only towards another destination or port, since
// every stack repeats a SYN.
func (w *window) nmap(number uint32, e *entry, p *packet) {
	key := uint64(p.src) | uint64(p.bits&bitV6)<<32 | 1<<63
	target := p.dst ^ uint32(p.port)*0x9e3779b1
	set := &w.hidden.nmap[mix64(key)%nmapSets]
	var s *nmapSource
	for i := range set {
		if set[i].key == key {
			s = &set[i]
			break
		}
	}
	if s == nil {
		for i := range set {
			if set[i].key == 0 || !set[i].active {
				s = &set[i]
				break
			}
		}
		if s == nil {
			return
		}
		*s = nmapSource{key: key}
	}
	for i := range s.anchors {
		a := &s.anchors[i]
		if a.n == 0 {
			*a = nmapAnchor{seq: p.seq, target: target, entry: number, n: 1}
			return
		}
		x := a.seq ^ p.seq
		if x>>16 != x&0xffff {
			continue
		}
		if a.related {
			w.mark(e, observation.MarkNmap, 1)
			return
		}
		if target == a.target && x == 0 {
			if a.entry == number {
				a.n++
			}
			return
		}
		a.related, s.active = true, true
		w.mark(w.entries.at(a.entry), observation.MarkNmap, a.n)
		w.mark(e, observation.MarkNmap, 1)
		return
	}
}

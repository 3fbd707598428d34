package capture

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
	masscan, mirai *[hiddenSets][hiddenWays]hiddenValue
	nmap           *[nmapSets][nmapWays]nmapSource
	used           [3]bool
}

// hiddenValue is a value seen at one destination.
type hiddenValue struct {
	key     uint64 // destination and value
	src     uint32 // the first source
	n       uint32 // packets, 0 while unused
	several bool   // more than one source
	active  bool   // the mark has shown
	pending [pendingKeys]pendingMark
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
			h.masscan = new([hiddenSets][hiddenWays]hiddenValue)
		}
		h.used[0] = true
		k := p.id ^ p.port ^ uint16(p.seq)
		w.shared(h.masscan, uint64(p.dst)<<32|uint64(k), p.src, number, e, numMasscanK, masscanKNeed)
	}
	if p.bits&bitMiraiK != 0 {
		if h.mirai == nil {
			h.mirai = new([hiddenSets][hiddenWays]hiddenValue)
		}
		h.used[1] = true
		w.shared(h.mirai, uint64(p.dst)<<32|uint64(p.seq), p.src, number, e, numMiraiK, miraiKNeed)
	}
	if p.bits&bitNmap != 0 {
		if h.nmap == nil {
			h.nmap = new([nmapSets][nmapWays]nmapSource)
		}
		h.used[2] = true
		w.nmap(number, e, p)
	}
}

// shared counts a value at a destination; the mark shows when need packets of
// at least two sources have it.
func (w *window) shared(table *[hiddenSets][hiddenWays]hiddenValue, key uint64, src, number uint32, e *entry, m uint8, need uint32) {
	set := &table[mix64(key)%hiddenSets]
	var v *hiddenValue
	for i := range set {
		if set[i].n != 0 && set[i].key == key {
			v = &set[i]
			break
		}
	}
	if v == nil {
		v = &set[0]
		for i := range set {
			if set[i].active {
				continue
			}
			if v.active || set[i].n < v.n {
				v = &set[i]
			}
		}
		if v.active {
			return
		}
		*v = hiddenValue{key: key, src: src}
	}
	v.n++
	if v.active {
		w.mark(e, m, 1)
		return
	}
	v.several = v.several || v.src != src
	for i := range v.pending {
		q := &v.pending[i]
		if q.n == 0 || q.entry == number {
			q.entry = number
			q.n++
			break
		}
	}
	if v.several && v.n >= need {
		v.active = true
		for _, q := range v.pending {
			if q.n != 0 {
				w.mark(w.entries.at(q.entry), m, q.n)
			}
		}
	}
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
			w.mark(e, numNmap, 1)
			return
		}
		if target == a.target && x == 0 {
			if a.entry == number {
				a.n++
			}
			return
		}
		a.related, s.active = true, true
		w.mark(w.entries.at(a.entry), numNmap, a.n)
		w.mark(e, numNmap, 1)
		return
	}
}

package capture

import "teiten/internal/observation"

// nmapSource is what one source's nmap-like SYNs have in common.
type nmapSource struct {
	key     uint64 // source and whether it is an IPv6 number; 0 while unused
	active  bool   // two are related
	proved  bool   // two are related that are not the same
	low     uint8  // TTLs of related ones, least and greatest
	high    uint8
	anchors [nmapAnchors]nmapAnchor
}

type nmapAnchor struct {
	seq     uint32
	target  uint32 // destination and port
	entry   uint32
	n       uint32 // packets, 0 while unused
	related bool
}

// nmapKey is the key of a source's state.
func nmapKey(src uint32, v6 bool) uint64 {
	key := uint64(src) | 1<<63
	if v6 {
		key |= 1 << 32
	}
	return key
}

// nmapOf returns the state of a source, nil if there is none.
func (h *hiddenState) nmapOf(key uint64) *nmapSource {
	set := &h.nmap[mix64(key)%nmapSets]
	for i := range set {
		if set[i].key == key {
			return &set[i]
		}
	}
	return nil
}

// nmap compares a SYN with the source's earlier ones. The sequence numbers of
// one nmap run differ by 16 bits that are repeated in both halves (scan_engine.cc,
// seq32_encode): the number of the try and of the ping, so most are the same. A
// repeated number counts only towards another destination or port, since every
// stack repeats a SYN. A copied scanner may have one constant number: see
// nmapProved.
func (w *window) nmap(number uint32, e *entry, p *packet) {
	key := nmapKey(p.src, p.bits&bitV6 != 0)
	target := p.dst ^ uint32(p.port)*0x9e3779b1
	s := w.hidden.nmapOf(key)
	if s == nil {
		set := &w.hidden.nmap[mix64(key)%nmapSets]
		for i := range set {
			if set[i].key == 0 || !set[i].active {
				s = &set[i]
				break
			}
		}
		if s == nil {
			return
		}
		*s = nmapSource{key: key, low: p.ttl, high: p.ttl}
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
		s.proved = s.proved || x != 0
		s.low, s.high = min(s.low, p.ttl), max(s.high, p.ttl)
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

// nmap draws the TTL of each packet from 37 to 59 (tcpip.cc), so that its TTLs are
// further apart than those of one way, which may change by a hop or two, and never
// more than this.
const (
	nmapTTLsLeast = 3
	nmapTTLsMost  = 59 - 37
)

// nmapProved reports whether a source's nmap marks hold: two of its numbers are
// related and not the same, or its TTLs are spread as nmap's.
func (h *hiddenState) nmapProved(key uint64) bool {
	if h.nmap == nil {
		return false
	}
	s := h.nmapOf(key)
	return s != nil && (s.proved || s.high-s.low >= nmapTTLsLeast && s.high-s.low <= nmapTTLsMost)
}

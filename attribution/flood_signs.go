package attribution

import (
	"net/netip"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// floodSigns add up what the headers of many sources have in common. Many senders
// of a packet or two may be forged, and may as well be the clients of a server
// that had the address before; only a sign of forging tells.
type floodSigns struct {
	sources  int
	syns     int
	bare     int // SYNs with no option but the segment size, which no system of today sends
	noFlags  int // TCP that no stack sends
	bogons   int // sources that cannot be
	odd      int // TTLs that no initial value leaves behind forty hops
	ttls     [256]int
	marked   [observation.MarkEnd]int
	withTTLs int
}

func (s *floodSigns) add(p *Profile) {
	e := &p.one
	s.sources++
	switch e.class {
	case observation.ClassSYN:
		s.syns++
		if e.options <= 4 {
			s.bare++
		}
	case observation.ClassNull, observation.ClassXmas, observation.ClassTCPOther:
		s.noFlags++
	}
	if bogon(p.source) {
		s.bogons++
	}
	if e.ttl != 0 {
		s.withTTLs++
		s.ttls[e.ttl]++
		if oddTTL(e.ttl) {
			s.odd++
		}
	}
	for _, m := range e.marks {
		s.marked[m]++
	}
}

// oddTTL reports whether none of the initial values of stacks (64, 128, 255) leaves
// the TTL behind forty hops or fewer.
func oddTTL(ttl uint8) bool {
	return ttl < 64-40 || ttl > 64 && ttl < 128-40 || ttl > 128 && ttl < 255-40
}

// bogon reports whether no host of the Internet has the address (RFC 6890).
func bogon(a netip.Addr) bool {
	if a.IsPrivate() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsUnspecified() {
		return true
	}
	return a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240)
}

const (
	forgedShare = 0.8  // of the sources with the sign
	oddShare    = 0.1  // of TTLs that no client has
	bogonShare  = 0.02 // random addresses have 13 %; where most are private, the network is
	ttlBand     = 3    // TTLs of one way
)

// forged reports whether the sources show that they are forged: headers that
// clients do not send, the TTL of one way for all, or addresses and TTLs drawn at
// random. Many scanners that ask a network, or the ports of an address, write such
// headers too, so there only TTLs and addresses count.
func (s *floodSigns) forged(k floodKey) bool {
	of := func(n int, share float64, all int) bool { return all > 0 && float64(n) >= share*float64(all) }
	narrow := k.scope == casedb.FloodOfPort
	if narrow && (of(s.bare, forgedShare, s.syns) && k.class == observation.ClassSYN || of(s.noFlags, forgedShare, s.sources)) ||
		of(s.bogons, bogonShare, s.sources) && 2*s.bogons < s.sources || of(s.odd, oddShare, s.withTTLs) {
		return true
	}
	for low := range len(s.ttls) - ttlBand + 1 {
		n := 0
		for _, c := range s.ttls[low : low+ttlBand] {
			n += c
		}
		if of(n, forgedShare, s.withTTLs) {
			return true
		}
	}
	return false
}

// unlikely is the probability below which marks are no chance.
const unlikely = 1e-6

// chance reports whether as many sources show a mark as chance explains, of so
// many.
func (s *floodSigns) chance(m observation.Mark) bool {
	rate, _ := perPacket(m)
	return Chance(uint64(s.marked[m]), uint64(s.sources), rate) >= unlikely
}

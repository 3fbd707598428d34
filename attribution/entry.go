package attribution

import (
	"math"
	"math/bits"
	"net/netip"
	"strconv"

	"teiten/internal/observation"
)

// The IP protocol numbers that the rules know.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// uncounted are the marks that no rule asks for per port. An entry holds four
// marks, so these would only push others out.
const uncounted = 1<<observation.MarkNone | 1<<observation.MarkWindow8192 | 1<<observation.MarkPeakMinute | 1<<observation.MarkRepeat

// flags of an entry.
const (
	flagDF          = 1 << iota // the first sample had DF set
	flagSample                  // a sample was seen, so DF, peer and quote are known
	flagPeerVaries              // not every observation had the same other port
	flagDestVaries              // not every observation had the same first destination
	flagBroadcast               // sent to a multicast or broadcast address
	flagQuoteOK                 // an ICMP error quotes a packet that pretends to be the sensor's
	flagEstablished             // part of a conversation; set when facts are drawn
	flagRest                    // stands for all ports beyond the bound
	flagData                    // a TCP packet of a sample has data
	flagReplies                 // a sample's payload is a response
	flagAsks                    // a sample is none, where that can be told
	flagAnswers                 // answers by what the source's other ports show; set when facts are drawn
	flagDoubt                   // neither asks nor answers for certain; set when facts are drawn
)

// entry is what a source did on one protocol, port and class.
type entry struct {
	packets  uint64
	dest     uint64    // first destination, hashed
	hits     [4]uint32 // packets that show marks[i]
	days     uint32    // bit i: on the profile's i-th day
	dests    uint32    // most destinations of one observation
	destsSum uint32    // destinations of all observations added up: no less than the true number
	repeats  uint32    // packets that show a mark and repeat an attempt: no evidence
	port     uint16
	peer     uint16 // the other port in the first sample
	window   uint16 // TCP window of the first observation; for an ICMP error the quoted protocol
	marks    [4]observation.Mark
	proto    uint8
	class    observation.Class
	flags    uint16
	ttl      uint8
	options  uint8 // length of the TCP options in bytes
}

func entryKey(proto uint8, c observation.Class, port uint16) uint32 {
	return uint32(proto)<<24 | uint32(c)<<16 | uint32(port)
}

func (e *entry) key() uint32 { return entryKey(e.proto, e.class, e.port) }

func (e *entry) has(flag uint16) bool { return e.flags&flag != 0 }

// whole are the marks whose packets all count: a host that uses a reflector, or
// answers, does so again and again, and hidden marks are of first attempts only.
const whole = 1<<observation.MarkMasscanK | 1<<observation.MarkMiraiK | 1<<observation.MarkNmap |
	1<<observation.MarkSYNPayload | 1<<observation.MarkReflectQuery | 1<<observation.MarkSamePayload | 1<<observation.MarkSameAck | 1<<observation.MarkSameWindow

// mark returns the packets that show m; of a tool's or malware's mark those that
// repeat no attempt.
func (e *entry) mark(m observation.Mark) uint64 {
	for i, k := range e.marks {
		if k != m {
			continue
		}
		n := uint64(e.hits[i])
		if m.Bit()&whole == 0 {
			n -= min(n, uint64(e.repeats))
		}
		return n
	}
	return 0
}

// addMark counts hits of m. An entry holds four marks, the rarest give way:
// real traffic of one kind shows three at most, the rest is chance.
func (e *entry) addMark(m observation.Mark, n uint64) {
	least := 0
	for i, k := range e.marks {
		if k == m || k == observation.MarkNone {
			e.marks[i] = m
			e.hits[i] = addUint32(e.hits[i], n)
			return
		}
		if e.hits[i] < e.hits[least] {
			least = i
		}
	}
	if n > uint64(e.hits[least]) {
		e.marks[least], e.hits[least] = m, addUint32(0, n)
	}
}

// attempts returns the packets without those that repeat an attempt.
func (e *entry) attempts() uint64 { return e.packets - min(e.packets, uint64(e.repeats)) }

// reach returns a lower bound of the destinations.
func (e *entry) reach() uint32 {
	if e.dests < 2 && e.has(flagDestVaries) {
		return 2
	}
	return e.dests
}

// dayCount returns the number of days.
func (e *entry) dayCount() int { return bits.OnesCount32(e.days) }

// portName writes a port as reports do: 445/TCP, 53/UDP, ICMP.
func portName(proto uint8, port uint16) string {
	switch proto {
	case protoTCP:
		return strconv.Itoa(int(port)) + "/TCP"
	case protoUDP:
		return strconv.Itoa(int(port)) + "/UDP"
	case protoICMP:
		return "ICMP"
	case protoICMPv6:
		return "ICMPv6"
	}
	return "IP/" + strconv.Itoa(int(proto))
}

func addUint32(a uint32, n uint64) uint32 {
	if s := uint64(a) + n; s < math.MaxUint32 {
		return uint32(s)
	}
	return math.MaxUint32
}

// hashAddr folds an address into 64 bits: IPv4 as it is, IPv6 mixed.
func hashAddr(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3]) | 1<<32
	}
	b := a.As16()
	h := uint64(0x9e3779b97f4a7c15)
	for i := 0; i < 16; i += 8 {
		v := uint64(b[i])<<56 | uint64(b[i+1])<<48 | uint64(b[i+2])<<40 | uint64(b[i+3])<<32 |
			uint64(b[i+4])<<24 | uint64(b[i+5])<<16 | uint64(b[i+6])<<8 | uint64(b[i+7])
		h = mix(h ^ v)
	}
	return h
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

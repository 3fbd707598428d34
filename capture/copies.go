package capture

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/cespare/xxhash/v2"

	"teiten/internal/observation"
)

// A mirror port often delivers a packet more than once: as it comes in and as it
// goes out, before and after a router. Such a copy is equal to the packet before
// it but for what the way changes (TTL, tags, checksum), and comes right behind.
// A stack that sends a packet again waits longer and, as a rule, gives it another
// identification.

const (
	// copyTick is the unit of time in a slot, 2^17 nanoseconds.
	copyTick = 17
	// copyWindow is how long after a packet an equal one is its copy: 10 ms, to
	// the next tick.
	copyWindow = uint64(10*time.Millisecond)>>copyTick + 1
	// copyBits is the binary logarithm of the number of packets remembered. A
	// packet that is pushed out lets a copy be counted as a packet.
	copyBits = 12
	// copyTime is the bits of a slot that hold the time; the others hold the tag.
	copyTime = 24
)

// copyTable remembers the packets of the last moments, a word for each, so that
// it stays in the cache next to the processor.
type copyTable struct {
	slots [1 << copyBits]uint64
	seeds [2]uint64
}

// copy says whether p, whose bytes are in buf, is a copy of a packet before it,
// and remembers it. The slot depends on the packet only, so that a capture always
// gives the same counts; the tag on seeds that no sender knows, so that nobody can
// make packets that pass for copies of others. Two packets have one tag with
// probability 2^-40.
func (t *copyTable) copy(p *packet, buf []byte) bool {
	addresses, numbers, rest := uint64(p.src)<<32|uint64(p.dst), uint64(p.seq)<<32|uint64(p.ack),
		uint64(p.port)<<48|uint64(p.peer)<<32|uint64(p.id)<<16|uint64(uint16(p.ipLen)^uint16(p.flags)<<8^uint16(p.class)<<3)
	if p.bits&bitPorts == 0 {
		numbers, rest = portless(p, buf, rest)
	}
	hi, lo := bits.Mul64(addresses^t.seeds[0], numbers^t.seeds[1])
	tag := (hi ^ lo ^ rest*t.seeds[0]) >> copyTime
	slot := &t.slots[copyPlace(addresses, numbers, rest)]
	now := uint64(p.when) >> copyTick & (1<<copyTime - 1)
	old := *slot
	*slot = tag<<copyTime | now
	// The clock may have gone back a little.
	return old>>copyTime == tag && (now-old+copyWindow)&(1<<copyTime-1) <= 2*copyWindow
}

// copyPlace is the slot of a packet.
func copyPlace(addresses, numbers, rest uint64) uint64 {
	return (addresses*mixA ^ numbers*mixB ^ rest) * mixA >> (64 - copyBits)
}

// portless is what tells packets without ports apart: the ICMP header with its
// checksum, or the first bytes of the payload and where in the datagram they lie.
func portless(p *packet, buf []byte, rest uint64) (uint64, uint64) {
	switch p.class {
	case observation.ClassICMPEcho, observation.ClassICMPReply, observation.ClassICMPUnreach, observation.ClassICMPQuench,
		observation.ClassICMPRedirect, observation.ClassICMPExceeded, observation.ClassICMPParam, observation.ClassICMPTooBig, observation.ClassICMPOther:
		if p.payLen > 0 {
			return binary.LittleEndian.Uint64(buf[p.pay-8 : p.pay]), rest
		}
	}
	place := uint64(0)
	switch {
	case p.bits&bitV6 == 0:
		net := p.pay - uint32(p.net)
		place = uint64(binary.BigEndian.Uint32(buf[net+4:])) // identification and fragment offset
	case p.class == observation.ClassFragment:
		place = binary.BigEndian.Uint64(buf[p.pay-8:]) // the fragment header (RFC 8200, 4.5)
	}
	return xxhash.Sum64(buf[p.pay : p.pay+uint32(p.payLen)]), rest ^ place*mixB
}

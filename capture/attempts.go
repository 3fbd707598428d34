package capture

import (
	"encoding/binary"

	"teiten/internal/observation"
)

// attemptMarks are the marks whose hits are evidence of a tool or of malware. A
// hit counts once per attempt: a copy by a mirror port, a repetition by the
// sender's stack and a request that is sent again prove nothing that the first
// packet did not prove.
const attemptMarks = 1<<observation.MarkZMap | 1<<observation.MarkZMapOptions | 1<<observation.MarkZMapTime | 1<<observation.MarkMasscan |
	1<<observation.MarkMirai | 1<<observation.MarkUnicornscan | 1<<observation.MarkHping | 1<<observation.MarkAngryIP |
	1<<observation.MarkWorm445 | 1<<observation.MarkSlammer

const (
	attemptSets = 1 << 14
	attemptWays = 8
)

// attempts remembers the latest attempts that showed a mark, half a megabyte of
// them. An attempt is what one packet asks of one address: destination, ports,
// and sequence number or payload. Attempts of different tools have nothing in
// common, so a place holds 32 bits of the hash; the oldest gives way.
type attempts [attemptSets][attemptWays]uint32

// repeated reports whether the packet, whose bytes are in buf, repeats an attempt,
// and remembers it.
func (a *attempts) repeated(p *packet, buf []byte) bool {
	numbers, other := uint64(p.seq)<<32|uint64(p.port)<<16|uint64(p.peer), uint64(p.class)
	switch p.class {
	case observation.ClassUDP:
		other |= uint64(p.ack) << 32 // the hash of the payload
	case observation.ClassICMPEcho:
		numbers = binary.LittleEndian.Uint64(buf[p.pay-8 : p.pay]) // with identifier and sequence number
	}
	// Where the sequence number is no stack's, the IP id is each packet's own: a
	// Mirai host that comes to an address again sends the same number. A stack
	// gives a new id to each repetition.
	if p.marks&(1<<observation.MarkMirai) != 0 || p.bits&bitMiraiK != 0 {
		other |= uint64(p.id) << 8
	}
	h := mix64(mix64(uint64(p.src)<<32|uint64(p.dst)) + mix64(numbers) ^ other)
	set := &a[h%attemptSets]
	tag := uint32(h>>32) | 1
	for _, t := range set {
		if t == tag {
			return true
		}
	}
	copy(set[1:], set[:attemptWays-1])
	set[0] = tag
	return false
}

// attempt returns the marks of a packet, with that of a repetition if it repeats
// an attempt, and whether it can show a hidden mark: a repetition can not. related
// is that it shows Unicornscan's mark together with an earlier packet.
func (t *tally) attempt(bl *block, p *packet, related bool) (marks uint32, hidden bool) {
	if p.marks&attemptMarks == 0 && p.bits&bitsHidden == 0 && !related {
		return p.marks, false
	}
	if t.attempts == nil {
		t.attempts = new(attempts)
	}
	if !t.attempts.repeated(p, bl.buf) {
		return p.marks, p.bits&bitsHidden != 0
	}
	if p.marks&attemptMarks != 0 || related {
		return p.marks | observation.MarkRepeat.Bit(), false
	}
	return p.marks, false
}

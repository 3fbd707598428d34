package capture

import (
	"math"
	"math/rand/v2"

	"teiten/internal/observation"
)

const (
	// maxRecord is the largest captured length of a record, libpcap's
	// MAXIMUM_SNAPLEN.
	maxRecord = 262144
	// blockFill is how much is read before the records of a block are walked,
	// small enough to stay in a core's cache.
	blockFill = 256 << 10
	// blockSize has room for the rest of the block before and a record of the
	// largest size with its headers and options.
	blockSize = 2 * maxRecord
	// blockPackets is the largest number of decoded packets of a block.
	blockPackets = 8192
	// blockCount is the number of blocks on their way between the two goroutines.
	blockCount = 4
)

// block is a piece of a capture and the packets decoded from it.
type block struct {
	buf     []byte
	packets []packet
	n       int // packets
}

func newBlock() *block {
	return &block{buf: make([]byte, blockSize), packets: make([]packet, blockPackets)}
}

// parser walks the records of one file and decodes them into blocks.
type parser struct {
	decoder
	records     uint64
	first, last int64 // MaxInt64 and MinInt64 while no record had a time
	tunnels     [numTunnels]uint64
	familiar    uint64 // frames that are in no observation but understood as far as they go
	unread      map[uint32]uint64
	link        uint32 // of the last record
	copies      copyTable
}

func (ps *parser) reset() {
	ps.skipped = [numSkips]uint64{}
	ps.records, ps.familiar = 0, 0
	ps.tunnels = [numTunnels]uint64{}
	ps.unread = nil
	ps.copies = copyTable{seeds: [2]uint64{rand.Uint64() | 1, rand.Uint64()}}
	ps.first, ps.last = math.MaxInt64, math.MinInt64
}

// record decodes one record, whose frame lies at offset off of the block.
func (ps *parser) record(bl *block, link uint32, when int64, frame []byte, off int) {
	ps.records++
	ps.link = link
	if when < ps.first {
		ps.first = when
	}
	if when > ps.last {
		ps.last = when
	}
	p := &bl.packets[bl.n]
	p.when = when
	if why := ps.decode(link, frame, uint32(off), p); why != skipNone {
		ps.skip(why, link, frame)
		return
	}
	if p.class == observation.ClassOther || p.class == observation.ClassUDP {
		if kind := tunnelOf(p, bl.buf[p.pay:p.pay+uint32(p.payLen)]); kind != tunnelNone {
			ps.tunnels[kind]++
		}
	}
	ps.copied(p, bl.buf)
	bl.n++
}

// copied takes class and key from a copy of a packet before, so that the tally
// counts it and does no more.
func (ps *parser) copied(p *packet, buf []byte) {
	if ps.copies.copy(p, buf) {
		p.class, p.key, p.bits = observation.ClassNone, noKey, 0
	}
}

// maxUnread bounds the link types that are named.
const maxUnread = 16

// skip counts a frame that is in no observation, and what of it is known.
func (ps *parser) skip(why skip, link uint32, frame []byte) {
	ps.skipped[why]++
	switch why {
	case skipLinkType:
		if ps.unread == nil {
			ps.unread = make(map[uint32]uint64)
		}
		if _, ok := ps.unread[link]; ok || len(ps.unread) < maxUnread {
			ps.unread[link]++
		}
	case skipTunnel:
		if kind := linkTunnel(frame, link); kind != tunnelNone {
			ps.tunnels[kind]++
		}
	case skipNonIP:
		if familiar(link, frame) {
			ps.familiar++
		}
	case skipIPHeader, skipExtension:
		if link == linkEthernet || link == linkSLL || link == linkSLL2 { // the link layer said that it is IP
			ps.familiar++
		}
	}
}

// timeless counts a record that has no usable time.
func (ps *parser) timeless() {
	ps.records++
	ps.skipped[skipTime]++
}

// walker reads the record structure of a file format.
type walker interface {
	// walk decodes the whole records of bl.buf[off:n] until the block has no room
	// for packets, and returns the offset of the first byte that it has not taken.
	// An error means that the bytes at this offset make no sense, or errNextFile
	// that another file begins there.
	walk(ps *parser, bl *block, off, n int) (taken int, err error)
	// cut describes the record that the file ends in, rest being the bytes not
	// taken; "" if the file ends between two records.
	cut(rest []byte) string
	format() string
}

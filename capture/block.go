package capture

import (
	"math"
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
}

func (ps *parser) reset() {
	ps.skipped = [numSkips]uint64{}
	ps.records = 0
	ps.first, ps.last = math.MaxInt64, math.MinInt64
}

// record decodes one record, whose frame lies at offset off of the block.
func (ps *parser) record(bl *block, link uint32, when int64, frame []byte, off int) {
	ps.records++
	if when < ps.first {
		ps.first = when
	}
	if when > ps.last {
		ps.last = when
	}
	p := &bl.packets[bl.n]
	p.when = when
	if why := ps.decode(link, frame, uint32(off), p); why != skipNone {
		ps.skipped[why]++
		return
	}
	bl.n++
}

// timeless counts a record that has no usable time.
func (ps *parser) timeless() {
	ps.records++
	ps.skipped[skipTime]++
}

// walker reads the record structure of a file format.
type walker interface {
	// walk decodes the whole records at the beginning of bl.buf[:n] until the
	// block has no room for packets, and returns how many bytes it has taken. Of
	// an incomplete record it says what it is in the middle of. An error means
	// that the bytes at the offset returned make no sense.
	walk(ps *parser, bl *block, n int) (taken int, err error)
	// cut describes the record that the file ends in, rest being the bytes not
	// taken; "" if the file ends between two records.
	cut(rest []byte) string
	format() string
}

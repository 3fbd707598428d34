package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// Block types of pcapng (draft-ietf-opsawg-pcapng).
const (
	ngSectionHeader  = 0x0a0d0d0a
	ngInterface      = 1
	ngPacket         = 2 // obsolete
	ngSimplePacket   = 3
	ngEnhancedPacket = 6

	ngByteOrder = 0x1a2b3c4d
)

// maxInterfaces bounds the interfaces of a section.
const maxInterfaces = 1 << 16

// ngWalker reads pcapng. gopacket's reader is not used for it because it panics
// and allocates without bound on hostile files and takes a cut file for a
// complete one; a test compares the two on every file of the corpus.
type ngWalker struct {
	swapped bool
	alien   bool // a section of an unknown version: skipped up to the next
	skip    uint64
	ifaces  []ngIface
	last    int64 // time of the last packet, for simple packets, which have none
	timed   bool
}

type ngIface struct {
	link   uint32
	snap   uint32
	unit   uint64 // ticks per second; 0: cannot be told
	offset int64  // seconds
}

func (w *ngWalker) format() string { return "pcapng" }

func (w *ngWalker) cut(rest []byte) string {
	if w.skip > 0 {
		return fmt.Sprintf("the last block lacks its last %d bytes", w.skip)
	}
	if len(rest) == 0 {
		return ""
	}
	if len(rest) < 12 {
		return fmt.Sprintf("the last block is cut after %d bytes", len(rest))
	}
	return fmt.Sprintf("the last block is cut after %d of %d bytes", len(rest), w.uint32(rest[4:]))
}

func (w *ngWalker) uint16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if w.swapped {
		v = bits.ReverseBytes16(v)
	}
	return v
}

func (w *ngWalker) uint32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if w.swapped {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (w *ngWalker) uint64(b []byte) uint64 {
	v := binary.LittleEndian.Uint64(b)
	if w.swapped {
		v = bits.ReverseBytes64(v)
	}
	return v
}

func (w *ngWalker) walk(ps *parser, bl *block, off, n int) (int, error) {
	for bl.n < len(bl.packets) {
		if w.skip > 0 {
			k := min(w.skip, uint64(n-off))
			w.skip -= k
			off += int(k)
			if w.skip > 0 {
				return off, nil
			}
		}
		b := bl.buf[off:n]
		if len(b) < 12 {
			return off, nil
		}
		if binary.LittleEndian.Uint32(b) == ngSectionHeader { // a palindrome
			switch binary.LittleEndian.Uint32(b[8:]) {
			case ngByteOrder:
				w.swapped = false
			case bits.ReverseBytes32(ngByteOrder):
				w.swapped = true
			default:
				return off, errors.New("a section header without byte order")
			}
		}
		switch binary.LittleEndian.Uint32(b) {
		case pcapMagicMicro, pcapMagicNano, pcapMagicModified, pcapMagicMicroSwapped, pcapMagicNanoSwapped, pcapMagicModifiedSwapped:
			if beginsFile(b) { // a block of this type has the top bit set, or is not known
				return off, errNextFile
			}
		}
		kind, size := w.uint32(b), w.uint32(b[4:])
		if size < 12 || size%4 != 0 {
			return off, fmt.Errorf("a block of %d bytes", size)
		}
		switch kind {
		case ngSectionHeader, ngInterface, ngPacket, ngSimplePacket, ngEnhancedPacket:
		default:
			w.skip = uint64(size)
			continue
		}
		if size > blockSize-blockFill {
			return off, fmt.Errorf("a block of type %d with %d bytes, more than %d", kind, size, blockSize-blockFill)
		}
		if uint64(len(b)) < uint64(size) {
			return off, nil
		}
		if again := w.uint32(b[size-4:]); again != size {
			return off, fmt.Errorf("a block whose two lengths differ (%d and %d)", size, again)
		}
		if err := w.block(ps, bl, kind, b[8:size-4], off+8); err != nil {
			return off, err
		}
		off += int(size)
	}
	return off, nil
}

// block reads the body of one block, which lies at offset off of bl.
func (w *ngWalker) block(ps *parser, bl *block, kind uint32, body []byte, off int) error {
	if kind == ngSectionHeader {
		if len(body) < 16 {
			return errors.New("a section header that is too short")
		}
		w.alien = w.uint16(body[4:]) != 1
		w.ifaces = w.ifaces[:0]
		return nil
	}
	if w.alien {
		return nil
	}
	switch kind {
	case ngInterface:
		if len(body) < 8 {
			return errors.New("an interface block that is too short")
		}
		if len(w.ifaces) >= maxInterfaces {
			return fmt.Errorf("more than %d interfaces", maxInterfaces)
		}
		w.ifaces = append(w.ifaces, w.iface(body))
	case ngEnhancedPacket:
		if len(body) < 20 {
			return errors.New("a packet block that is too short")
		}
		size := w.uint32(body[12:])
		if uint64(size) > uint64(len(body)-20) {
			return fmt.Errorf("a packet of %d bytes in a block with room for %d", size, len(body)-20)
		}
		ticks := uint64(w.uint32(body[4:]))<<32 | uint64(w.uint32(body[8:]))
		return w.packet(ps, bl, w.uint32(body), ticks, body[20:20+size], off+20)
	case ngPacket:
		if len(body) < 20 {
			return errors.New("a packet block that is too short")
		}
		size := w.uint32(body[12:])
		if uint64(size) > uint64(len(body)-20) {
			return fmt.Errorf("a packet of %d bytes in a block with room for %d", size, len(body)-20)
		}
		ticks := uint64(w.uint32(body[4:]))<<32 | uint64(w.uint32(body[8:]))
		return w.packet(ps, bl, uint32(w.uint16(body)), ticks, body[20:20+size], off+20)
	case ngSimplePacket:
		if len(body) < 4 {
			return errors.New("a simple packet block that is too short")
		}
		if len(w.ifaces) == 0 {
			return errors.New("a packet before any interface")
		}
		size := w.uint32(body)
		if snap := w.ifaces[0].snap; snap != 0 {
			size = min(size, snap)
		}
		size = min(size, uint32(len(body)-4))
		if !w.timed || size > maxRecord {
			ps.timeless()
			return nil
		}
		ps.record(bl, w.ifaces[0].link, w.last, body[4:4+size], off+4)
	}
	return nil
}

func (w *ngWalker) packet(ps *parser, bl *block, iface uint32, ticks uint64, frame []byte, off int) error {
	if uint64(iface) >= uint64(len(w.ifaces)) {
		return fmt.Errorf("a packet of interface %d of %d", iface, len(w.ifaces))
	}
	f := &w.ifaces[iface]
	when, ok := f.time(ticks)
	if !ok {
		ps.timeless()
		return nil
	}
	w.last, w.timed = when, true
	ps.record(bl, f.link, when, frame, off)
	return nil
}

// iface reads an interface description; options that make no sense end the
// list of options.
func (w *ngWalker) iface(body []byte) ngIface {
	f := ngIface{link: uint32(w.uint16(body)), snap: w.uint32(body[4:]), unit: 1e6}
	for o := body[8:]; len(o) >= 4; {
		code, n := w.uint16(o), int(w.uint16(o[2:]))
		if code == 0 || len(o) < 4+n {
			break
		}
		v := o[4 : 4+n]
		switch {
		case code == 9 && n >= 1: // if_tsresol
			f.unit = resolution(v[0])
		case code == 14 && n >= 8: // if_tsoffset
			f.offset = int64(w.uint64(v))
		}
		o = o[min(len(o), 4+(n+3)&^3):]
	}
	return f
}

// resolution is the ticks per second that if_tsresol stands for, 0 if they do
// not fit.
func resolution(b uint8) uint64 {
	if b&0x80 != 0 {
		if b &= 0x7f; b > 63 {
			return 0
		}
		return 1 << b
	}
	if b > 19 {
		return 0
	}
	unit := uint64(1)
	for range b {
		unit *= 10
	}
	return unit
}

// time converts a packet's ticks; false if the result is outside of 1970 to
// 2262.
func (f *ngIface) time(ticks uint64) (int64, bool) {
	if f.unit == 0 {
		return 0, false
	}
	sec, rest := ticks/f.unit, ticks%f.unit
	const limit = math.MaxInt64/1_000_000_000 - 1
	if sec > limit || f.offset > limit || f.offset < -limit {
		return 0, false
	}
	hi, lo := bits.Mul64(rest, 1e9)
	nanos, _ := bits.Div64(hi, lo, f.unit) // rest < unit, so this fits
	s := int64(sec) + f.offset
	if s < 0 || s > limit {
		return 0, false
	}
	return s*1e9 + int64(nanos), true
}

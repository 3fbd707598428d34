package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// pcap file format (draft-ietf-opsawg-pcap): a header of 24 bytes, then
// records with a header of 16.
const (
	pcapHeader       = 24
	pcapRecordHeader = 16

	pcapMagicMicro    = 0xa1b2c3d4
	pcapMagicNano     = 0xa1b23c4d
	pcapMagicModified = 0xa1b2cd34 // a patched libpcap of the 1990s, longer records

	// The same in the other byte order.
	pcapMagicMicroSwapped    = 0xd4c3b2a1
	pcapMagicNanoSwapped     = 0x4d3cb2a1
	pcapMagicModifiedSwapped = 0x34cdb2a1
)

var errNoCapture = errors.New("neither pcap nor pcapng")

// errNextFile ends a walker where the header of another file begins: captures
// were put behind each other.
var errNextFile = errors.New("another file begins")

// sniffed is how many bytes of a file newWalker may see.
const sniffed = 512

type pcapWalker struct {
	swapped bool // big endian
	unit    int64
	link    uint32
	started bool
}

// newWalker recognises the format by the first bytes of a file, of which head
// has at most as many as sniffed.
func newWalker(head []byte) (walker, error) {
	if len(head) == 0 {
		return nil, errors.New("empty file")
	}
	if len(head) < 4 {
		return nil, fmt.Errorf("%w: %d bytes only", errNoCapture, len(head))
	}
	magic := binary.LittleEndian.Uint32(head)
	if magic == ngSectionHeader {
		if len(head) < 12 {
			return nil, fmt.Errorf("pcapng: the section header is cut after %d bytes", len(head))
		}
		return &ngWalker{}, nil
	}
	w := &pcapWalker{}
	switch magic {
	case pcapMagicMicro, pcapMagicNano, pcapMagicModified:
	case pcapMagicMicroSwapped, pcapMagicNanoSwapped, pcapMagicModifiedSwapped:
		w.swapped = true
		magic = bits.ReverseBytes32(magic)
	default:
		if help := otherFormat(head); help != "" {
			return nil, fmt.Errorf("%w: %s", errNoCapture, help)
		}
		return nil, fmt.Errorf("%w: begins with % x", errNoCapture, head[:4])
	}
	if magic == pcapMagicModified {
		return nil, errors.New("pcap with the modified record header (magic a1b2cd34) is not read")
	}
	w.unit = 1000
	if magic == pcapMagicNano {
		w.unit = 1
	}
	if len(head) < pcapHeader {
		return nil, fmt.Errorf("pcap: the file header is cut after %d of %d bytes", len(head), pcapHeader)
	}
	major := binary.LittleEndian.Uint16(head[4:])
	if w.swapped {
		major = bits.ReverseBytes16(major)
	}
	if major != 2 {
		return nil, fmt.Errorf("pcap version %d is not read", major)
	}
	// The upper bits tell about frame check sequences.
	w.link = w.uint32(head[20:]) & 0x03ffffff
	return w, nil
}

// beginsFile says whether the bytes where a record should begin, 16 at least, are
// a file's header: a magic number and, so that no record is mistaken for one, the
// version of the format, or the byte order of pcapng.
func beginsFile(b []byte) bool {
	le := binary.LittleEndian
	switch le.Uint32(b) {
	case pcapMagicMicro, pcapMagicNano, pcapMagicModified:
		return le.Uint32(b[4:]) == 0x00040002
	case pcapMagicMicroSwapped, pcapMagicNanoSwapped, pcapMagicModifiedSwapped:
		return le.Uint32(b[4:]) == 0x04000200
	case ngSectionHeader:
		order := le.Uint32(b[8:])
		return order == ngByteOrder || order == bits.ReverseBytes32(ngByteOrder)
	}
	return false
}

func (w *pcapWalker) format() string { return "pcap" }

func (w *pcapWalker) uint32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if w.swapped {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (w *pcapWalker) walk(ps *parser, bl *block, off, n int) (int, error) {
	if !w.started {
		w.started = true
		off += pcapHeader
	}
	buf := bl.buf[:n]
	for off+pcapRecordHeader <= len(buf) && bl.n < len(bl.packets) {
		h := buf[off : off+pcapRecordHeader]
		sec, frac, size := w.uint32(h), w.uint32(h[4:]), w.uint32(h[8:])
		switch sec {
		case pcapMagicMicro, pcapMagicNano, pcapMagicModified, pcapMagicMicroSwapped, pcapMagicNanoSwapped, pcapMagicModifiedSwapped, ngSectionHeader:
			if beginsFile(buf[off:]) {
				return off, errNextFile
			}
		}
		if size > maxRecord {
			return off, fmt.Errorf("a record of %d bytes, more than %d", size, maxRecord)
		}
		start := off + pcapRecordHeader
		end := start + int(size)
		if end > len(buf) {
			break
		}
		when := int64(sec) * 1e9
		if fraction := int64(frac) * w.unit; fraction < 1e9 {
			when += fraction // one that is no fraction of a second is left out
		}
		ps.record(bl, w.link, when, buf[start:end], start)
		off = end
	}
	return off, nil
}

func (w *pcapWalker) cut(rest []byte) string {
	if len(rest) == 0 {
		return ""
	}
	if len(rest) < pcapRecordHeader {
		return fmt.Sprintf("the last record's header is cut after %d of %d bytes", len(rest), pcapRecordHeader)
	}
	return fmt.Sprintf("the last record is cut after %d of %d bytes", len(rest)-pcapRecordHeader, w.uint32(rest[8:]))
}

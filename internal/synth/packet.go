package synth

import (
	"encoding/binary"
	"io"
	"net/netip"
	"time"
)

// frame is one made-up packet, before it has bytes.
type frame struct {
	at       time.Time
	src, dst netip.Addr
	ttl      uint8
	id       uint16
	df       bool
	proto    uint8
	l4       []byte // transport header and payload, checksum not filled in
}

// IP protocol numbers.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// TCP flags.
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// tcpSegment returns a TCP header with options and payload; options are padded
// with end-of-options to a multiple of four.
func tcpSegment(sport, dport uint16, seq, ack uint32, flags uint8, window uint16, options, payload []byte) []byte {
	padded := (len(options) + 3) / 4 * 4
	b := make([]byte, 20+padded, 20+padded+len(payload))
	be := binary.BigEndian
	be.PutUint16(b[0:], sport)
	be.PutUint16(b[2:], dport)
	be.PutUint32(b[4:], seq)
	be.PutUint32(b[8:], ack)
	b[12], b[13] = byte((20+padded)/4<<4), flags
	be.PutUint16(b[14:], window)
	copy(b[20:], options)
	return append(b, payload...)
}

// udpDatagram returns a UDP header and payload.
func udpDatagram(sport, dport uint16, payload []byte) []byte {
	b := make([]byte, 8, 8+len(payload))
	be := binary.BigEndian
	be.PutUint16(b[0:], sport)
	be.PutUint16(b[2:], dport)
	be.PutUint16(b[4:], uint16(8+len(payload)))
	return append(b, payload...)
}

// icmpMessage returns an ICMP header with its four rest-of-header bytes and
// payload.
func icmpMessage(kind, code uint8, rest uint32, payload []byte) []byte {
	b := make([]byte, 8, 8+len(payload))
	b[0], b[1] = kind, code
	binary.BigEndian.PutUint32(b[4:], rest)
	return append(b, payload...)
}

// ipPacket returns the packet with all checksums right.
func (f *frame) ipPacket() []byte {
	be := binary.BigEndian
	l4 := f.l4
	var pseudo uint32
	for _, a := range []netip.Addr{f.src, f.dst} {
		pseudo += sum16(a.AsSlice())
	}
	pseudo += uint32(f.proto) + uint32(len(l4))
	switch f.proto {
	case protoTCP:
		be.PutUint16(l4[16:], 0)
		be.PutUint16(l4[16:], checksum(pseudo+sum16(l4)))
	case protoUDP:
		be.PutUint16(l4[6:], 0)
		c := checksum(pseudo + sum16(l4))
		if c == 0 {
			c = 0xffff // RFC 768: zero means "none"
		}
		be.PutUint16(l4[6:], c)
	case protoICMP:
		be.PutUint16(l4[2:], 0)
		be.PutUint16(l4[2:], checksum(sum16(l4)))
	case protoICMPv6:
		be.PutUint16(l4[2:], 0)
		be.PutUint16(l4[2:], checksum(pseudo+sum16(l4)))
	}
	if f.src.Is6() {
		b := make([]byte, 40, 40+len(l4))
		b[0] = 0x60
		be.PutUint16(b[4:], uint16(len(l4)))
		b[6], b[7] = f.proto, f.ttl
		copy(b[8:], f.src.AsSlice())
		copy(b[24:], f.dst.AsSlice())
		return append(b, l4...)
	}
	b := make([]byte, 20, 20+len(l4))
	b[0] = 0x45
	be.PutUint16(b[2:], uint16(20+len(l4)))
	be.PutUint16(b[4:], f.id)
	if f.df {
		b[6] = 0x40
	}
	b[8], b[9] = f.ttl, f.proto
	copy(b[12:], f.src.AsSlice())
	copy(b[16:], f.dst.AsSlice())
	be.PutUint16(b[10:], checksum(sum16(b)))
	return append(b, l4...)
}

func sum16(b []byte) (s uint32) {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func checksum(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// pcapWriter writes a classic pcap file of Ethernet frames with microsecond
// times.
type pcapWriter struct {
	w   io.Writer
	buf []byte
}

func newPcapWriter(w io.Writer) (*pcapWriter, error) {
	h := make([]byte, 24)
	le := binary.LittleEndian
	le.PutUint32(h[0:], 0xa1b2c3d4)
	le.PutUint16(h[4:], 2)
	le.PutUint16(h[6:], 4)
	le.PutUint32(h[16:], 262144)
	le.PutUint32(h[20:], 1) // LINKTYPE_ETHERNET
	_, err := w.Write(h)
	return &pcapWriter{w: w}, err
}

func (p *pcapWriter) write(f *frame) error {
	ip := f.ipPacket()
	le, be := binary.LittleEndian, binary.BigEndian
	b := append(p.buf[:0], make([]byte, 16+14)...)
	le.PutUint32(b[0:], uint32(f.at.Unix()))
	le.PutUint32(b[4:], uint32(f.at.Nanosecond()/1000))
	le.PutUint32(b[8:], uint32(14+len(ip)))
	le.PutUint32(b[12:], uint32(14+len(ip)))
	copy(b[16:], []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}) // locally administered
	be.PutUint16(b[28:], 0x0800)
	if f.src.Is6() {
		be.PutUint16(b[28:], 0x86dd)
	}
	p.buf = append(b, ip...)
	_, err := p.w.Write(p.buf)
	return err
}

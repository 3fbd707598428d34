package capture

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"
)

// frame describes a made-up Ethernet frame.
type frame struct {
	src, dst     string
	proto        uint8
	sport, dport uint16
	seq, ack     uint32
	flags        uint8
	win          uint16
	id           uint16
	ttl          uint8
	df           bool
	options      []byte
	payload      []byte // transport payload; for other protocols all of it
	frag         uint16 // offset in units of eight bytes, 0x2000: more
	tags         []uint16
}

func (f frame) bytes() []byte {
	be := binary.BigEndian
	var t []byte
	switch f.proto {
	case protoTCP:
		t = make([]byte, 20, 60)
		be.PutUint16(t, f.sport)
		be.PutUint16(t[2:], f.dport)
		be.PutUint32(t[4:], f.seq)
		be.PutUint32(t[8:], f.ack)
		t[12] = byte((20+len(f.options))/4) << 4
		t[13] = f.flags
		be.PutUint16(t[14:], f.win)
		t = append(append(t, f.options...), f.payload...)
	case protoUDP:
		t = make([]byte, 8, 64)
		be.PutUint16(t, f.sport)
		be.PutUint16(t[2:], f.dport)
		be.PutUint16(t[4:], uint16(8+len(f.payload)))
		t = append(t, f.payload...)
	default:
		t = f.payload
	}
	src, dst := netip.MustParseAddr(f.src), netip.MustParseAddr(f.dst)
	ttl := f.ttl
	if ttl == 0 {
		ttl = 50
	}
	b := make([]byte, 12, 128)
	for _, tag := range f.tags {
		b = be.AppendUint16(b, tag)
		b = append(b, 0, 5)
	}
	if src.Is4() {
		b = append(b, 8, 0)
		ip := make([]byte, 20)
		ip[0] = 0x45
		be.PutUint16(ip[2:], uint16(20+len(t)))
		be.PutUint16(ip[4:], f.id)
		frag := f.frag
		if f.df {
			frag |= 0x4000
		}
		be.PutUint16(ip[6:], frag)
		ip[8], ip[9] = ttl, f.proto
		copy(ip[12:], src.AsSlice())
		copy(ip[16:], dst.AsSlice())
		return append(append(b, ip...), t...)
	}
	b = append(b, 0x86, 0xdd)
	ip := make([]byte, 40)
	ip[0] = 0x60
	be.PutUint16(ip[4:], uint16(len(t)))
	ip[6], ip[7] = f.proto, ttl
	copy(ip[8:], src.AsSlice())
	copy(ip[24:], dst.AsSlice())
	return append(append(b, ip...), t...)
}

// record is a frame at a time.
type record struct {
	at    time.Time
	frame []byte
}

// pcapFile writes a little-endian pcap file with microseconds.
func pcapFile(link uint32, records ...record) []byte {
	le := binary.LittleEndian
	b := make([]byte, 24)
	le.PutUint32(b, pcapMagicMicro)
	b[4], b[6] = 2, 4
	le.PutUint32(b[16:], maxRecord)
	le.PutUint32(b[20:], link)
	for _, r := range records {
		b = le.AppendUint32(b, uint32(r.at.Unix()))
		b = le.AppendUint32(b, uint32(r.at.Nanosecond()/1000))
		b = le.AppendUint32(b, uint32(len(r.frame)))
		b = le.AppendUint32(b, uint32(len(r.frame)))
		b = append(b, r.frame...)
	}
	return b
}

// ngBlock writes a little-endian pcapng block.
func ngBlock(kind uint32, body []byte) []byte {
	le := binary.LittleEndian
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	b := le.AppendUint32(nil, kind)
	b = le.AppendUint32(b, uint32(12+len(body)))
	b = append(b, body...)
	return le.AppendUint32(b, uint32(12+len(body)))
}

func ngHeader() []byte {
	body := binary.LittleEndian.AppendUint32(nil, ngByteOrder)
	return ngBlock(ngSectionHeader, append(body, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255))
}

// ngIfaceBlock describes an interface; resolution is if_tsresol.
func ngIfaceBlock(link uint16, resolution uint8) []byte {
	body := binary.LittleEndian.AppendUint16(nil, link)
	body = append(body, 0, 0, 0, 0, 4, 0) // snapshot length 262144
	body = append(body, 9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0)
	return ngBlock(ngInterface, body)
}

func ngPacketBlock(iface uint32, ticks uint64, frame []byte) []byte {
	le := binary.LittleEndian
	body := le.AppendUint32(nil, iface)
	body = le.AppendUint32(body, uint32(ticks>>32))
	body = le.AppendUint32(body, uint32(ticks))
	body = le.AppendUint32(body, uint32(len(frame)))
	body = le.AppendUint32(body, uint32(len(frame)))
	return ngBlock(ngEnhancedPacket, append(body, frame...))
}

// seedFrames are the kinds of frames that fuzzing starts from.
func seedFrames() [][]byte {
	const src, dst = "198.51.100.7", "192.0.2.1"
	windows := []byte{2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2}
	linux := []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}
	quoted := frame{src: dst, dst: src, proto: protoUDP, sport: 4000, dport: 53, payload: []byte("x")}.bytes()[14:]
	return [][]byte{
		frame{src: src, dst: dst, proto: protoTCP, sport: 4000, dport: 23, seq: 0xc0000201, flags: flagSYN, win: 5840}.bytes(),
		frame{src: src, dst: dst, proto: protoTCP, sport: 4000, dport: 445, flags: flagSYN, win: 8192, ttl: 110, options: windows, df: true}.bytes(),
		frame{src: src, dst: dst, proto: protoTCP, sport: 4000, dport: 22, flags: flagSYN | flagECE | flagCWR, win: 29200, options: linux}.bytes(),
		frame{src: src, dst: dst, proto: protoTCP, sport: 80, dport: 4000, flags: flagSYN | flagACK, win: 1024, tags: []uint16{etherQinQ, etherVLAN}}.bytes(),
		frame{src: src, dst: dst, proto: protoTCP, sport: 80, dport: 4000, flags: flagRST, frag: 0x2000}.bytes(),
		frame{src: src, dst: dst, proto: protoUDP, sport: 4000, dport: 161, payload: []byte("0&\x02\x01\x01\x04\x06public\xa5\x19\x02\x04\x01\x02\x03\x04\x02\x01\x00")}.bytes(),
		frame{src: src, dst: dst, proto: protoUDP, sport: 4000, dport: 53, payload: []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x00\x00\xff\x00\x01")}.bytes(),
		frame{src: src, dst: dst, proto: protoICMP, payload: append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, quoted...)}.bytes(),
		frame{src: src, dst: dst, proto: protoICMP, payload: append([]byte{8, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 32)...)}.bytes(),
		frame{src: src, dst: dst, proto: 47, payload: []byte{0, 0, 8, 0, 1}}.bytes(),
		frame{src: src, dst: dst, proto: 47, payload: append([]byte{0xb0, 0, 8, 0}, quoted...)}.bytes(),
		frame{src: src, dst: dst, proto: protoUDP, sport: 53, dport: 4000, payload: []byte("\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00")}.bytes(),
		frame{src: src, dst: dst, proto: protoUDP, sport: 443, dport: 4000, payload: []byte("\xc0\x00\x00\x00\x01\x43\xa2")}.bytes(),
		frame{src: src, dst: dst, proto: protoUDP, sport: 4000, dport: 6081, payload: []byte("\x02\x00\x08\x00\x00\x00\x07\x00")}.bytes(),
		frame{src: src, dst: dst, proto: protoTCP, sport: 1, frag: 0x0010}.bytes(),
		frame{src: "2001:db8::7", dst: "2001:db8::1", proto: protoTCP, sport: 4000, dport: 22, flags: flagSYN, win: 1024, options: windows[:4]}.bytes(),
		frame{src: "2001:db8::7", dst: "2001:db8::1", proto: protoICMPv6, payload: []byte{128, 0, 0, 0, 0, 0, 0, 0, 1}}.bytes(),
		frame{src: "2001:db8::7", dst: "2001:db8::1", proto: protoHopByHop, payload: []byte{17, 0, 1, 4, 0, 0, 0, 0, 0, 1, 0, 53, 0, 8, 0, 0}}.bytes(),
		frame{src: "2001:db8::7", dst: "2001:db8::1", proto: protoFragment, payload: []byte{6, 0, 0, 9, 0, 0, 0, 1, 0, 1, 0, 53}}.bytes(),
	}
}

func seedFiles() [][]byte {
	at := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	var records []record
	ng := append(ngHeader(), ngIfaceBlock(linkEthernet, 6)...)
	for i, f := range seedFrames() {
		records = append(records, record{at.Add(time.Duration(i) * 17 * time.Minute), f})
		ng = append(ng, ngPacketBlock(0, uint64(at.UnixMicro())+uint64(i), f)...)
	}
	return [][]byte{pcapFile(linkEthernet, records...), ng, bytes.Clone(pcapFile(linkRaw))}
}

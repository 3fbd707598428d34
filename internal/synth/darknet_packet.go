package synth

import "encoding/binary"

// What is odd about a packet.
const (
	oddTag      = 1 + iota // an 802.1Q tag
	oddOption              // a router alert option (RFC 2113)
	oddFragment            // a later fragment
	oddProtocol            // GRE
	oddCut                 // a TCP header that is cut
	oddKinds    = iota
)

// darkPacket is what a packet has around its transport header.
type darkPacket struct {
	key     darkKey
	dst     uint32
	id      uint16
	frag    uint16 // flags and fragment offset
	n       int    // bytes after the IP header
	masscan bool   // it obeys Masscan's rule
}

// frame builds a source's next packet in g.buf and counts it.
func (g *darkGen) frame(s *darkSource, us int64) []byte {
	r := g.rng
	p := darkPacket{key: darkKey{src: s.addr}, dst: darkBase + uint32(r.IntN(g.Dark)), frag: 0x4000}
	odd := 0
	if r.Float64() < g.Odd {
		odd = 1 + r.IntN(oddKinds)
	}
	b := g.buf[:]
	eth, ihl := darkLayout(b, odd)
	ip := b[eth:]
	t := ip[ihl:]
	p.id = uint16(r.Uint32())
	switch s.habit {
	case darkUDP:
		p.udp(t, s)
	case darkSYNACK:
		p.key.proto, p.key.class, p.key.port = protoTCP, "synack", s.port
		p.n = darkTCP(t, s.port, g.high(), r.Uint32(), r.Uint32(), flagSYN|flagACK, s.window, darkOptionsMSS)
	case darkRST:
		p.key.proto, p.key.class, p.key.port = protoTCP, "rst", s.port
		p.n = darkTCP(t, s.port, g.high(), 0, r.Uint32(), flagRST|flagACK, 0, nil)
	case darkEcho:
		p.echo(t, s)
	case darkUnreachable:
		p.unreachable(t, s)
	default:
		g.syn(t, s, &p)
	}
	p.spoil(odd)
	p.header(ip, ihl, s)
	if odd < oddFragment {
		darkChecksum(ip, t[:p.n], p.key.proto)
	}
	g.countMarks(s, &p)
	g.count(p.key, us, ihl+p.n)
	return b[:eth+ihl+p.n]
}

// darkLayout writes what stands before the IP header and its options, and
// returns the lengths of both headers.
func darkLayout(b []byte, odd int) (eth, ihl int) {
	copy(b, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00")
	eth, ihl = 14, 20
	if odd == oddTag {
		copy(b[12:], "\x81\x00\x00\x64\x08\x00")
		eth = 18
	}
	if odd == oddOption {
		ihl = 24
		copy(b[eth+20:], "\x94\x04\x00\x00")
	}
	return eth, ihl
}

func (p *darkPacket) udp(t []byte, s *darkSource) {
	be := binary.BigEndian
	p.key.proto, p.key.class, p.key.port = protoUDP, "udp", s.port
	p.n = 8 + 8 + int(s.port)%60
	be.PutUint16(t, s.sport)
	be.PutUint16(t[2:], s.port)
	be.PutUint16(t[4:], uint16(p.n))
	for i := 8; i < p.n; i++ {
		t[i] = byte(i) * byte(s.port)
	}
}

func (p *darkPacket) echo(t []byte, s *darkSource) {
	p.key.proto, p.key.class, p.key.port = protoICMP, "icmp-echo", 8<<8
	p.n = 16 + int(s.sport)%20
	clear(t[:p.n])
	t[0] = 8
	binary.BigEndian.PutUint16(t[4:], s.sport)
	for i := 8; i < p.n; i++ {
		t[i] = byte(i)
	}
}

// unreachable quotes a UDP packet that claimed to come from the destination.
func (p *darkPacket) unreachable(t []byte, s *darkSource) {
	be := binary.BigEndian
	p.key.proto, p.key.class, p.key.port = protoICMP, "icmp-unreachable", 53
	p.n = 8 + 28
	clear(t[:p.n])
	t[0], t[1] = 3, 3
	q := t[8:]
	q[0], q[8], q[9] = 0x45, 60, protoUDP
	be.PutUint16(q[2:], 60)
	be.PutUint32(q[12:], p.dst)
	be.PutUint32(q[16:], s.addr)
	be.PutUint16(q[20:], 40000)
	be.PutUint16(q[22:], 53)
}

// syn is a probe, with the marks of the tool or system that sends it.
func (g *darkGen) syn(t []byte, s *darkSource, p *darkPacket) {
	p.key.proto, p.key.class, p.key.port = protoTCP, "syn", g.nextPort(s)
	seq := g.rng.Uint32()
	sport, window := g.high(), s.window
	var options []byte
	switch s.habit {
	case darkZMap:
		p.id, p.frag, window = 54321, 0, 65535
		sport = 32768 + sport%28233
	case darkMasscan:
		sport, window = s.sport, 1024
		p.id = uint16(p.dst) ^ p.key.port ^ uint16(seq)
	case darkMirai:
		seq = p.dst
	case darkLinux:
		options, window = darkOptionsLinux, 29200
	case darkWindows:
		options, window = darkOptionsWindows, 8192
	case darkMSS:
		options, window = darkOptionsMSS, 14600
	}
	p.masscan = p.id == uint16(p.dst)^p.key.port^uint16(seq)
	p.n = darkTCP(t, sport, p.key.port, seq, 0, flagSYN, window, options)
	if s.habit == darkLinux {
		binary.BigEndian.PutUint32(t[28:], s.seq)
		s.seq += 17
	}
}

// nextPort is the port that a source probes next.
func (g *darkGen) nextPort(s *darkSource) uint16 {
	switch s.plan {
	case portFew:
		return g.ranked[(uint32(s.sport)*7+uint32(g.rng.IntN(int(s.variety))))%60]
	case portMany:
		return g.popular()
	case portAll:
		s.port = max(1, s.port+1)
	}
	return s.port
}

// spoil makes of a packet one that carries no whole transport header.
func (p *darkPacket) spoil(odd int) {
	switch odd {
	case oddFragment:
		p.frag, p.n = 0x00b9, 32
		p.key.class, p.key.port = "fragment", 0
	case oddProtocol:
		p.key.proto, p.key.class, p.key.port, p.n = 47, "other", 0, 24
	case oddCut:
		p.key.proto, p.key.class, p.key.port, p.n = protoTCP, "tcp-short", 0, 8
	}
}

// header writes the IP header (RFC 791, 3.1).
func (p *darkPacket) header(ip []byte, ihl int, s *darkSource) {
	be := binary.BigEndian
	clear(ip[:20])
	ip[0] = byte(0x40 | ihl/4)
	be.PutUint16(ip[2:], uint16(ihl+p.n))
	be.PutUint16(ip[4:], p.id)
	be.PutUint16(ip[6:], p.frag)
	ip[8], ip[9] = s.ttl, p.key.proto
	be.PutUint32(ip[12:], s.addr)
	be.PutUint32(ip[16:], p.dst)
	be.PutUint16(ip[10:], checksum(sum16(ip[:ihl])))
}

// countMarks counts the packets that obey a tool's rule.
func (g *darkGen) countMarks(s *darkSource, p *darkPacket) {
	if p.key.class != "syn" {
		return
	}
	if s.habit == darkZMap {
		g.truth.ZMap++
	}
	if p.masscan {
		g.truth.Masscan++
	}
	if s.habit == darkMirai {
		g.truth.Mirai++
	}
}

// darkChecksum fills in the checksum of a transport header.
func darkChecksum(ip, t []byte, proto uint8) {
	be := binary.BigEndian
	pseudo := sum16(ip[12:20]) + uint32(proto) + uint32(len(t))
	switch proto {
	case protoTCP:
		be.PutUint16(t[16:], 0)
		be.PutUint16(t[16:], checksum(pseudo+sum16(t)))
	case protoUDP:
		be.PutUint16(t[6:], 0)
		be.PutUint16(t[6:], max(1, checksum(pseudo+sum16(t))))
	case protoICMP:
		be.PutUint16(t[2:], 0)
		be.PutUint16(t[2:], checksum(sum16(t)))
	}
}

func darkTCP(b []byte, sport, dport uint16, seq, ack uint32, flags uint8, window uint16, options []byte) int {
	be := binary.BigEndian
	be.PutUint16(b, sport)
	be.PutUint16(b[2:], dport)
	be.PutUint32(b[4:], seq)
	be.PutUint32(b[8:], ack)
	n := 20 + copy(b[20:], options)
	b[12], b[13] = byte(n/4<<4), flags
	be.PutUint16(b[14:], window)
	be.PutUint32(b[16:], 0)
	return n
}

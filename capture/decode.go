package capture

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"

	"teiten/internal/observation"
)

// decoder turns frames into packets. The common case (a whole TCP, UDP or ICMP
// packet right behind an IP header) is parsed at fixed offsets; everything
// else goes to general, which uses gopacket.
type decoder struct {
	skipped [numSkips]uint64
	seed    uint64 // of the tally's index

	// Layers reused by general.
	ip4 layers.IPv4
	tcp layers.TCP
	udp layers.UDP
}

// decode fills p from the frame b, which lies at offset base of its block.
// p.when must be set.
func (d *decoder) decode(link uint32, b []byte, base uint32, p *packet) skip {
	off, ether, why := network(link, b)
	if why != skipNone {
		return why
	}
	ip := b[off:]
	start := base + uint32(off)
	p.marks, p.bits, p.opt, p.optLen = 0, 0, 0, 0
	p.seq, p.ack, p.win, p.flags = 0, 0, 0, 0
	if ether == etherIPv4 {
		if !d.fast4(ip, start, p) {
			if why := d.general(ether, ip, start, p); why != skipNone {
				return why
			}
		}
	} else if !d.fast6(ip, start, p) {
		if why := d.general(ether, ip, start, p); why != skipNone {
			return why
		}
	}
	p.net = uint16(p.pay - start)
	p.key = noKey
	if p.bits&bitV6 == 0 {
		p.key = makeKey(p.src, p)
	}
	p.hash = hashKey(p.key, d.seed)
	return skipNone
}

// fast4 parses a whole, unfragmented IPv4 packet of TCP, UDP or ICMP. False means that p is unfinished and general must look.
func (d *decoder) fast4(ip []byte, start uint32, p *packet) bool {
	be := binary.BigEndian
	if len(ip) < 28 || ip[0]>>4 != 4 {
		return false
	}
	header := int(ip[0]&15) * 4
	total := int(be.Uint16(ip[2:]))
	frag := be.Uint16(ip[6:])
	if total > len(ip) || header < 20 || total < header+8 || frag&0x3fff != 0 {
		return false
	}
	p.ipLen = uint32(total)
	p.id = be.Uint16(ip[4:])
	p.ttl = ip[8]
	p.proto = ip[9]
	p.src = be.Uint32(ip[12:])
	p.dst = be.Uint32(ip[16:])
	if frag&0x4000 != 0 {
		p.bits = bitDF
	}
	return fastTransport(ip[header:total], start+uint32(header), p)
}

// fast6 does the same for IPv6 without extension headers.
func (d *decoder) fast6(ip []byte, start uint32, p *packet) bool {
	be := binary.BigEndian
	if len(ip) < 48 || ip[0]>>4 != 6 {
		return false
	}
	total := 40 + int(be.Uint16(ip[4:]))
	if total > len(ip) || total < 48 {
		return false
	}
	p.ipLen = uint32(total)
	p.id = 0
	p.ttl = ip[7]
	p.proto = ip[6]
	if p.proto == protoICMP {
		return false
	}
	p.src = hash16(ip[8:24])
	p.dst = hash16(ip[24:40])
	p.bits = bitV6
	return fastTransport(ip[40:total], start+40, p)
}

// fastTransport parses a transport header that is all there; t has at least
// eight bytes and lies at offset off of the block.
func fastTransport(t []byte, off uint32, p *packet) bool {
	be := binary.BigEndian
	switch p.proto {
	case protoTCP:
		if len(t) < 20 {
			return false
		}
		header := int(t[12]>>4) * 4
		if header < 20 || header > len(t) {
			return false
		}
		p.seq = be.Uint32(t[4:])
		p.ack = be.Uint32(t[8:])
		p.flags = t[13]
		p.win = be.Uint16(t[14:])
		p.pay = off + uint32(header)
		finishTCP(p, be.Uint16(t), be.Uint16(t[2:]), header, len(t), t[20:header], t[header:], len(t)-header)
		return true
	case protoUDP:
		n := int(be.Uint16(t[4:]))
		if n < 8 || n > len(t) {
			return false
		}
		p.pay = off + 8
		finishUDP(p, be.Uint16(t), be.Uint16(t[2:]), n, t[8:n])
		return true
	case protoICMP, protoICMPv6:
		if p.proto == protoICMPv6 && p.bits&bitV6 == 0 {
			return false
		}
		p.pay = off + 8
		finishICMP(p, t)
		return true
	}
	return false
}

// finishTCP sets class, ports and marks from a TCP header. header is the
// header's length as it claims and room how long it can be, because the packet
// ends there: a header of 24 bytes in a packet that has 20 is one without options,
// while the options of a longer one may only not be captured. options is what was
// captured of them, payload what was captured of the data and dataLen how much
// there was on the wire.
func finishTCP(p *packet, sport, dport uint16, header, room int, options, payload []byte, dataLen int) {
	p.class = tcpClasses[p.flags]
	p.payLen = uint8(min(len(payload), maxPayload))
	p.optLen = uint8(len(options))
	p.bits |= bitPorts
	ts := -1
	if len(options) > 0 {
		p.opt, ts = hashOptions(options)
	}
	p.port, p.peer = dport, sport
	if p.class.FromService() {
		p.port, p.peer = sport, dport
	}
	if p.flags == flagSYN && p.win == 65535 {
		markZMap(p, sport)
	}
	if p.class == observation.ClassSYN {
		markSYN(p, min(header, room) <= 20, options, ts, dataLen)
	}
}

// finishUDP does the same from a UDP header; length is its length field.
func finishUDP(p *packet, sport, dport uint16, length int, payload []byte) {
	p.class = observation.ClassUDP
	p.port, p.peer = dport, sport
	p.payLen = uint8(min(len(payload), maxPayload))
	p.ack = hashPayload(payload)
	p.bits |= bitPorts
	if udpAnswer(sport, dport, payload, length-8) {
		p.class = observation.ClassUDPAnswer
		p.port, p.peer = sport, dport
		return // marks are of probes
	}
	markZMap(p, sport)
	markUDP(p, length, payload)
}

// icmpClasses4 and icmpClasses6 map ICMP types to classes: RFC 792, 950 (17 and
// 18); RFC 4443, 4861 (137), 4620 (140).
var icmpClasses4 = icmpTable(map[uint8]observation.Class{
	8: observation.ClassICMPEcho, 0: observation.ClassICMPReply, 3: observation.ClassICMPUnreach, 4: observation.ClassICMPQuench,
	5: observation.ClassICMPRedirect, 11: observation.ClassICMPExceeded, 12: observation.ClassICMPParam,
	14: observation.ClassICMPReply, 16: observation.ClassICMPReply, 18: observation.ClassICMPReply,
})

var icmpClasses6 = icmpTable(map[uint8]observation.Class{
	128: observation.ClassICMPEcho, 129: observation.ClassICMPReply, 1: observation.ClassICMPUnreach, 2: observation.ClassICMPTooBig,
	3: observation.ClassICMPExceeded, 4: observation.ClassICMPParam, 137: observation.ClassICMPRedirect, 140: observation.ClassICMPReply,
})

func icmpTable(m map[uint8]observation.Class) (t [256]observation.Class) {
	for i := range t {
		t[i] = observation.ClassICMPOther
		if c, ok := m[uint8(i)]; ok {
			t[i] = c
		}
	}
	return t
}

// finishICMP sets class, port and marks from an ICMP message of at least two
// bytes. Echo and replies have one port, 0, whatever their code; an error has
// port and protocol of the packet it quotes.
func finishICMP(p *packet, t []byte) {
	kind := t[0]
	body := t[min(8, len(t)):]
	p.payLen = uint8(min(len(body), maxPayload))
	p.port, p.peer = 0, 0
	if p.proto == protoICMP {
		p.class = icmpClasses4[kind]
	} else {
		p.class = icmpClasses6[kind]
	}
	if p.bits&bitV6 == 0 {
		markZMap(p, zmapPorts)
		if kind == 8 && len(body) == 32 && allZero(body) {
			p.marks |= observation.MarkAngryIP.Bit()
		}
	}
	switch {
	case p.class == observation.ClassICMPOther:
		p.port = uint16(kind)<<8 | uint16(t[1])
	case p.class.ICMPError() && kind != 137: // which quotes in an option, if at all
		if q, ok := parseQuote(body); ok {
			p.bits |= bitQuote
			p.ack = q.seq
			if q.whole || !hasPorts(q.proto) {
				p.proto, p.port, p.peer = q.proto, q.dport, q.sport
			}
		}
	}
}

// quote is the packet inside an ICMP error; the addresses are slices of the
// message.
type quote struct {
	src, dst     []byte
	proto        uint8
	sport, dport uint16
	whole        bool   // the ports are there
	seq          uint32 // TCP
}

// parseQuote reads the headers an ICMP error quotes: the IP header and, of a
// first fragment, the ports and TCP's sequence number (RFC 792: at least 64
// bits of the data).
func parseQuote(b []byte) (q quote, ok bool) {
	be := binary.BigEndian
	var t []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		q.src, q.dst, q.proto = b[12:16], b[16:20], b[9]
		if ihl := int(b[0]&15) * 4; ihl >= 20 && len(b) >= ihl && be.Uint16(b[6:])&0x1fff == 0 {
			t = b[ihl:]
		}
	case len(b) >= 40 && b[0]>>4 == 6:
		q.src, q.dst, q.proto = b[8:24], b[24:40], b[6]
		t = b[40:]
	default:
		return q, false
	}
	if len(t) >= 4 && hasPorts(q.proto) {
		q.sport, q.dport, q.whole = be.Uint16(t), be.Uint16(t[2:]), true
		if q.proto == protoTCP && len(t) >= 8 {
			q.seq = be.Uint32(t[4:])
		}
	}
	return q, true
}

// hasPorts says whether a protocol begins with two ports (TCP, UDP, DCCP,
// SCTP, UDP-Lite).
func hasPorts(proto uint8) bool {
	switch proto {
	case protoTCP, protoUDP, 33, 132, 136:
		return true
	}
	return false
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

package capture

import (
	"encoding/binary"

	"github.com/google/gopacket"

	"teiten/internal/observation"
)

// maxExtensions bounds the chain of IPv6 extension headers.
const maxExtensions = 16

// general decodes what the fast parser declines: cut, fragmented and malformed
// packets, IP options, extension headers, other protocols. gopacket does the
// decoding wherever it succeeds; where it gives up on a transport header, what
// is there is read without it. gopacket may panic on hostile input.
func (d *decoder) general(ether uint16, ip []byte, start uint32, p *packet) (why skip) {
	defer func() {
		if recover() != nil {
			why = skipPanic
		}
	}()
	p.marks, p.bits, p.opt, p.optLen = 0, 0, 0, 0
	p.seq, p.ack, p.win, p.flags = 0, 0, 0, 0
	p.port, p.peer, p.payLen, p.id = 0, 0, 0, 0
	if ether == etherIPv4 {
		return d.general4(ip, start, p)
	}
	return d.general6(ip, start, p)
}

func (d *decoder) general4(ip []byte, start uint32, p *packet) skip {
	be := binary.BigEndian
	if len(ip) < 20 || ip[0]>>4 != 4 {
		return skipIPHeader
	}
	header := int(ip[0]&15) * 4
	var payload []byte
	var frag uint16
	if err := d.ip4.DecodeFromBytes(ip, gopacket.NilDecodeFeedback); err == nil {
		p.ipLen = uint32(d.ip4.Length)
		p.id = d.ip4.Id
		p.ttl = d.ip4.TTL
		p.proto = uint8(d.ip4.Protocol)
		frag = uint16(d.ip4.Flags)<<13 | d.ip4.FragOffset
		p.src = be.Uint32(d.ip4.SrcIP)
		p.dst = be.Uint32(d.ip4.DstIP)
		payload = d.ip4.Payload
	} else {
		// Malformed IP options do not hide the rest; a header that does not fit does.
		total := int(be.Uint16(ip[2:]))
		if header < 20 || header > len(ip) || total < header {
			return skipIPHeader
		}
		p.ipLen = uint32(total)
		p.id = be.Uint16(ip[4:])
		p.ttl = ip[8]
		p.proto = ip[9]
		frag = be.Uint16(ip[6:])
		p.src = be.Uint32(ip[12:])
		p.dst = be.Uint32(ip[16:])
		payload = ip[header:min(total, len(ip))]
	}
	if frag&0x4000 != 0 {
		p.bits |= bitDF
	}
	d.transport(payload, start, start+uint32(header), frag&0x1fff, frag&0x2000 != 0, p)
	return skipNone
}

// general6 walks the extension headers (RFC 8200, 4) up to the transport
// header.
func (d *decoder) general6(ip []byte, start uint32, p *packet) skip {
	be := binary.BigEndian
	if len(ip) < 40 || ip[0]>>4 != 6 {
		return skipIPHeader
	}
	total := 40 + int(be.Uint16(ip[4:]))
	if total == 40 && len(ip) > 40 && ip[6] != 59 {
		total = len(ip) // a jumbogram (RFC 2675), or segmentation offload
	}
	p.ipLen = uint32(total)
	p.ttl = ip[7]
	p.src = hash16(ip[8:24])
	p.dst = hash16(ip[24:40])
	p.bits = bitV6
	ip = ip[:min(total, len(ip))]
	next, off := ip[6], 40
	for range maxExtensions {
		n := 0
		switch next {
		case protoHopByHop, protoRouting, protoDestOpts, protoMobility, protoHIP, protoShim6:
			if len(ip) < off+8 {
				return skipExtension
			}
			n = 8 + int(ip[off+1])*8
		case protoAH: // RFC 4302, 2.2
			if len(ip) < off+8 {
				return skipExtension
			}
			n = 8 + int(ip[off+1])*4
		case protoFragment:
			if len(ip) < off+8 {
				return skipExtension
			}
			frag := be.Uint16(ip[off+2:])
			p.proto = ip[off]
			if frag>>3 != 0 || extension(p.proto) {
				// A later fragment, or a first one whose transport lies deeper
				// than one should look.
				fragment(ip[off+8:], start+uint32(off)+8, p)
				return skipNone
			}
			d.transport(ip[off+8:], start, start+uint32(off)+8, 0, frag&1 != 0, p)
			return skipNone
		default:
			p.proto = next
			d.transport(ip[off:], start, start+uint32(off), 0, false, p)
			return skipNone
		}
		if len(ip) < off+n {
			return skipExtension
		}
		next, off = ip[off], off+n
	}
	return skipExtension
}

func extension(proto uint8) bool {
	switch proto {
	case protoHopByHop, protoRouting, protoFragment, protoDestOpts, protoAH, protoMobility, protoHIP, protoShim6:
		return true
	}
	return false
}

func fragment(payload []byte, off uint32, p *packet) {
	p.class = observation.ClassFragment
	p.port, p.peer = 0, 0
	p.pay, p.payLen = off, uint8(min(len(payload), maxPayload))
}

// transport classifies the payload t of an IP packet, which lies at offset off
// of the block, the IP header at start. A later fragment has no transport header, and a first one
// (more) may end within it: both are fragments, without ports.
func (d *decoder) transport(t []byte, start, off uint32, fragOffset uint16, more bool, p *packet) {
	be := binary.BigEndian
	if fragOffset != 0 {
		fragment(t, off, p)
		return
	}
	switch {
	case p.proto == protoTCP:
		if len(t) >= 20 && d.tcp.DecodeFromBytes(t, gopacket.NilDecodeFeedback) == nil {
			header := len(d.tcp.Contents)
			p.seq, p.ack, p.win = d.tcp.Seq, d.tcp.Ack, d.tcp.Window
			p.flags = t[13]
			p.pay = off + uint32(header)
			finishTCP(p, uint16(d.tcp.SrcPort), uint16(d.tcp.DstPort), header, dataLen(p, off-start, 0), d.tcp.Contents[20:], d.tcp.Payload,
				dataLen(p, off-start, header))
			return
		}
		header := 0
		if len(t) >= 14 {
			header = int(t[12]>>4) * 4
		}
		if more && (header < 20 || header > len(t)) {
			fragment(t, off, p)
			return
		}
		p.pay = off
		if len(t) < 14 {
			p.class, p.payLen = observation.ClassTCPShort, uint8(len(t))
			return
		}
		// The header is cut, or its length or options make no sense.
		p.seq, p.ack, p.flags = be.Uint32(t[4:]), be.Uint32(t[8:]), t[13]
		if len(t) >= 16 {
			p.win = be.Uint16(t[14:])
		}
		var options, payload []byte
		end, sent := min(20, len(t)), 0
		if header > 20 && len(t) > 20 {
			end = min(header, len(t))
			options = t[20:end]
		}
		if header >= 20 && header <= len(t) {
			payload, sent = t[header:], dataLen(p, off-start, header)
		}
		p.pay = off + uint32(end)
		finishTCP(p, be.Uint16(t), be.Uint16(t[2:]), header, dataLen(p, off-start, 0), options, payload, sent)
	case p.proto == protoUDP:
		if len(t) >= 8 && d.udp.DecodeFromBytes(t, gopacket.NilDecodeFeedback) == nil {
			p.pay = off + 8
			finishUDP(p, uint16(d.udp.SrcPort), uint16(d.udp.DstPort), int(d.udp.Length), d.udp.Payload)
			return
		}
		p.pay = off
		switch {
		case len(t) >= 8: // a length field below 8
			p.pay += 8
			finishUDP(p, be.Uint16(t), be.Uint16(t[2:]), int(be.Uint16(t[4:])), nil)
		case more:
			fragment(t, off, p)
		default:
			p.class, p.payLen = observation.ClassUDPShort, uint8(len(t))
		}
	case p.proto == protoICMP && p.bits&bitV6 == 0, p.proto == protoICMPv6 && p.bits&bitV6 != 0:
		p.pay = off + uint32(min(8, len(t)))
		switch {
		case len(t) >= 2 && !(more && len(t) < 8):
			finishICMP(p, t)
		case more:
			fragment(t, off, p)
		default:
			p.class, p.payLen = observation.ClassICMPShort, uint8(len(t))
			p.pay = off
		}
	default:
		p.class = observation.ClassOther
		p.pay, p.payLen = off, uint8(min(len(t), maxPayload))
	}
}

// dataLen is the number of payload bytes on the wire, captured or not.
func dataLen(p *packet, ipHeader uint32, header int) int {
	return int(p.ipLen) - int(ipHeader) - header
}

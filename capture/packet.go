package capture

import (
	"teiten/internal/observation"
)

// packet is one decoded packet on its way from the parser to the tally: a cache
// line without pointers. Addresses of IPv6, options and payload stay in the
// block that the offsets point into.
type packet struct {
	when     int64  // nanoseconds since 1970
	key      uint64 // of the observation (see makeKey); for IPv6 noKey
	hash     uint32 // of key
	src, dst uint32 // IPv4 address, or a hash of the IPv6 address
	seq      uint32 // TCP
	ack      uint32 // TCP; for UDP the hash of the payload, 0 without one; for an ICMP error the quoted TCP sequence number
	ipLen    uint32 // IP length, headers included
	pay      uint32 // offset of the transport payload in the block
	opt      uint32 // hash of the TCP options, normalised; 0 without any
	marks    uint32 // the bits of its marks (observation.Mark.Bit)
	net      uint16 // how far before pay the IP header is
	id       uint16 // IPv4 identification
	port     uint16 // service port
	peer     uint16 // port on the other side
	win      uint16 // TCP window
	payLen   uint8  // captured bytes at pay, at most maxPayload
	flags    uint8  // TCP
	ttl      uint8
	proto    uint8
	class    observation.Class
	optLen   uint8 // captured TCP option bytes, right before pay
	bits     uint8
}

// Bits of packet.bits.
const (
	bitV6       = 1 << iota
	bitDF       // IPv4 don't fragment
	bitQuote    // an ICMP error that quotes a packet
	bitMasscanK // could be Masscan with a hidden destination
	bitMiraiK   // could be Mirai with a hidden destination
	bitNmap     // could be nmap
	bitSYNv4    // a SYN over IPv4
	bitPorts    // port and peer are ports of this packet

	bitsHidden = bitMasscanK | bitMiraiK | bitNmap
)

// answers has a bit for each class that answers a packet whose header the
// answer tells something of.
const answers = 1<<observation.ClassSYNACK | 1<<observation.ClassRST | 1<<observation.ClassICMPUnreach |
	1<<observation.ClassICMPQuench | 1<<observation.ClassICMPRedirect | 1<<observation.ClassICMPExceeded | 1<<observation.ClassICMPParam | 1<<observation.ClassICMPTooBig

// TCP flag bits (RFC 9293, 3.1; RFC 3168, 6.1 for ECE and CWR).
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
	flagURG
	flagECE
	flagCWR
)

// tcpClasses is the class of every combination of the eight flags.
var tcpClasses = func() (t [256]observation.Class) {
	for f := range t {
		t[f] = tcpClass(uint8(f))
	}
	return t
}()

func tcpClass(f uint8) observation.Class {
	ecn := f & (flagECE | flagCWR)
	switch f &^ (flagECE | flagCWR) {
	case flagSYN:
		// None, or an ECN-setup SYN (RFC 3168, 6.1.1).
		if ecn == 0 || ecn == flagECE|flagCWR {
			return observation.ClassSYN
		}
	case flagSYN | flagACK:
		// An ECN-setup SYN/ACK has ECE; faulty stacks reflect both bits.
		if ecn != flagCWR {
			return observation.ClassSYNACK
		}
	case flagRST, flagRST | flagACK:
		if ecn == 0 {
			return observation.ClassRST
		}
	case flagACK, flagACK | flagPSH:
		return observation.ClassACK
	case flagFIN:
		if ecn == 0 {
			return observation.ClassFIN
		}
	case flagFIN | flagACK, flagFIN | flagPSH | flagACK:
		return observation.ClassFIN
	case 0:
		if ecn == 0 {
			return observation.ClassNull
		}
	case flagFIN | flagPSH | flagURG:
		if ecn == 0 {
			return observation.ClassXmas
		}
	}
	return observation.ClassTCPOther
}

// IP protocol numbers and ether types that the decoder knows.
const (
	protoHopByHop = 0
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoAH       = 51
	protoICMPv6   = 58
	protoDestOpts = 60
	protoMobility = 135
	protoHIP      = 139
	protoShim6    = 140

	etherIPv4   = 0x0800
	etherARP    = 0x0806
	etherRARP   = 0x8035
	etherVLAN   = 0x8100
	etherIPv6   = 0x86dd
	etherPPPoE  = 0x8864
	etherQinQ   = 0x88a8
	etherVNTag  = 0x8926
	etherQinQ91 = 0x9100
)

// skip says why a record is in no observation; 0 means it is.
type skip uint8

const (
	skipNone skip = iota
	skipEmpty
	skipLinkType
	skipLink
	skipNonIP
	skipARP
	skipIPHeader
	skipExtension
	skipTime
	skipTimeOrder
	skipPanic
	skipTunnel
	numSkips
)

var skipNames = [numSkips]string{
	skipEmpty: SkipEmpty, skipLinkType: SkipLinkType, skipLink: SkipLink, skipNonIP: SkipNonIP,
	skipARP: SkipARP, skipIPHeader: SkipIPHeader, skipExtension: SkipExtension, skipTime: SkipTime,
	skipTimeOrder: SkipTimeOrder, skipPanic: SkipPanic, skipTunnel: SkipTunnel,
}

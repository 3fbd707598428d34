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
	marks    uint32 // one bit per mark of observation.Marks
	net      uint16 // how far before pay the IP header is
	id       uint16 // IPv4 identification
	port     uint16 // service port
	peer     uint16 // port on the other side
	win      uint16 // TCP window
	payLen   uint8  // captured bytes at pay, at most maxPayload
	flags    uint8  // TCP
	ttl      uint8
	proto    uint8
	class    class
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

// class numbers the classes of observation in the order in which observations are
// sorted.
type class uint8

const (
	classSYN class = iota
	classSYNACK
	classRST
	classACK
	classFIN
	classNull
	classXmas
	classTCPOther
	classTCPShort
	classUDP
	classUDPShort
	classICMPEcho
	classICMPReply
	classICMPUnreach
	classICMPQuench
	classICMPRedirect
	classICMPExceeded
	classICMPParam
	classICMPTooBig
	classICMPOther
	classICMPShort
	classFragment
	classOther
)

var classNames = [32]observation.Class{
	classSYN: observation.ClassSYN, classSYNACK: observation.ClassSYNACK, classRST: observation.ClassRST,
	classACK: observation.ClassACK, classFIN: observation.ClassFIN, classNull: observation.ClassNull,
	classXmas: observation.ClassXmas, classTCPOther: observation.ClassTCPOther, classTCPShort: observation.ClassTCPShort,
	classUDP: observation.ClassUDP, classUDPShort: observation.ClassUDPShort, classICMPEcho: observation.ClassICMPEcho,
	classICMPReply: observation.ClassICMPReply, classICMPUnreach: observation.ClassICMPUnreach,
	classICMPQuench: observation.ClassICMPQuench, classICMPRedirect: observation.ClassICMPRedirect,
	classICMPExceeded: observation.ClassICMPExceeded, classICMPParam: observation.ClassICMPParam,
	classICMPTooBig: observation.ClassICMPTooBig, classICMPOther: observation.ClassICMPOther,
	classICMPShort: observation.ClassICMPShort, classFragment: observation.ClassFragment, classOther: observation.ClassOther,
}

// answers has a bit for each class that answers a packet whose header the
// answer tells something of.
const answers = 1<<classSYNACK | 1<<classRST | 1<<classICMPUnreach | 1<<classICMPQuench | 1<<classICMPRedirect |
	1<<classICMPExceeded | 1<<classICMPParam | 1<<classICMPTooBig

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
var tcpClasses = func() (t [256]class) {
	for f := range t {
		t[f] = tcpClass(uint8(f))
	}
	return t
}()

func tcpClass(f uint8) class {
	ecn := f & (flagECE | flagCWR)
	switch f &^ (flagECE | flagCWR) {
	case flagSYN:
		// None, or an ECN-setup SYN (RFC 3168, 6.1.1).
		if ecn == 0 || ecn == flagECE|flagCWR {
			return classSYN
		}
	case flagSYN | flagACK:
		// An ECN-setup SYN/ACK has ECE; faulty stacks reflect both bits.
		if ecn != flagCWR {
			return classSYNACK
		}
	case flagRST, flagRST | flagACK:
		if ecn == 0 {
			return classRST
		}
	case flagACK, flagACK | flagPSH:
		return classACK
	case flagFIN:
		if ecn == 0 {
			return classFIN
		}
	case flagFIN | flagACK, flagFIN | flagPSH | flagACK:
		return classFIN
	case 0:
		if ecn == 0 {
			return classNull
		}
	case flagFIN | flagPSH | flagURG:
		if ecn == 0 {
			return classXmas
		}
	}
	return classTCPOther
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

// Marks as bits of packet.marks, in the order of observation.Marks.
const (
	markZMap = 1 << iota
	markZMapOptions
	markZMapTime
	markMasscan
	markMasscanK
	markMirai
	markMiraiK
	markNmap
	markUnicornscan
	markHping
	markAngryIP
	markWorm445
	markSlammer
	markSYNPayload
	markReflectQuery
	markSamePayload
	markWindow8192
	markSameAck
	markSameWindow
)

// The number of a mark: its place in observation.Marks.
const (
	numMasscanK    = 4
	numMiraiK      = 6
	numNmap        = 7
	numUnicornscan = 8
	numWindow8192  = 16
	numPeakMinute  = 19
	numMarks       = 20
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
	numSkips
)

var skipNames = [numSkips]string{
	skipEmpty: SkipEmpty, skipLinkType: SkipLinkType, skipLink: SkipLink, skipNonIP: SkipNonIP,
	skipARP: SkipARP, skipIPHeader: SkipIPHeader, skipExtension: SkipExtension, skipTime: SkipTime,
	skipTimeOrder: SkipTimeOrder, skipPanic: SkipPanic,
}

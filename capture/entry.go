package capture

import "teiten/internal/observation"

// entry is the tally of one key in one window: two cache lines, no pointers.
// The first line and the counters of the second change with each packet; the
// rest describes the key's first packet.
type entry struct {
	key     uint64
	bytes   uint64
	first   int64
	last    int64
	packets uint32
	ext     uint32 // number of its extension, 0 without one
	print   fingerprint
	counted [2]observation.Mark // the marks that markN counts, MarkNone while unused
	destN   uint8               // destinations held in dest, or destSpilled
	peerN   uint8               // ports held in peers, peerMany if there are more
	epoch   uint16              // the last file that had the key
	bits    uint8               // of the first packet
	flags   uint8               // of the first packet

	markN [2]uint32
	dest  [inlineDests]uint32
	peers [peersHeld]uint16

	when     int64 // of the first packet, as the next ones
	firstDst uint32
	seq      uint32
	ack      uint32 // as in packet
	blob     uint32 // options, payload, quote, IPv6 destination
	id       uint16
	win      uint16
	optLen   uint8
	payLen   uint8
	ttl      uint8
}

// fingerprint counts one combination of TTL, window and options.
type fingerprint struct {
	n   uint32
	opt uint32 // hash of the normalised options
	win uint16
	ttl uint8
}

const (
	inlineDests  = 4
	peersHeld    = 5
	peerMany     = peersHeld + 1
	printsHeld   = 4 // one in the entry, the others in its extension
	keyV6        = 1 << 61
	noKey        = 1 << 63 // never equal to a key
	keySrcShift  = 29
	keyProtShift = 21
	keyPortShift = 5
)

// extra holds what only the richer keys need.
type extra struct {
	prints  [printsHeld - 1]fingerprint
	marks   [observation.MarkEnd]uint32
	samples uint32 // number of the newest further sample, 0 without one
	// The latest minute of answers, counted from 1 in 1970, and its packets.
	minute, inMinute uint32
}

// sample is a packet kept beyond a key's first one.
type sample struct {
	when     int64
	dst      uint32
	seq, ack uint32
	blob     uint32
	next     uint32 // the next older one
	id, win  uint16
	peer     uint16
	optLen   uint8
	payLen   uint8
	ttl      uint8
	flags    uint8
	bits     uint8
}

// makeKey puts what identifies an observation in a window into 62 bits: in
// order of source, protocol, port and class. src is the IPv4 address, or the
// number of an IPv6 address.
func makeKey(src uint32, p *packet) uint64 {
	return uint64(src)<<keySrcShift | uint64(p.proto)<<keyProtShift | uint64(p.port)<<keyPortShift | uint64(p.class)
}

func keySource(k uint64) uint32           { return uint32(k >> keySrcShift) }
func keyProto(k uint64) uint8             { return uint8(k >> keyProtShift) }
func keyPort(k uint64) uint16             { return uint16(k >> keyPortShift) }
func keyClass(k uint64) observation.Class { return observation.Class(k & 31) }

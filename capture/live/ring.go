package live

import (
	"encoding/binary"
	"errors"
)

// Layout of a block of TPACKET_V3 (linux/if_packet.h: tpacket_block_desc,
// tpacket_hdr_v1, tpacket3_hdr, sockaddr_ll). Numbers are in the byte order of
// the machine.
const (
	blockPacketsAt = 12 // num_pkts, behind version, offset_to_priv and block_status
	blockFirstAt   = 16 // offset_to_first_pkt
	blockHeader    = 48

	ringHeader    = 48 // tpacket3_hdr with its padding
	ringAddress   = 20 // sockaddr_ll behind it
	statusVLAN    = 1 << 4
	statusTPID    = 1 << 6
	packetOutgoes = 4 // PACKET_OUTGOING
)

var errRingBlock = errors.New("a block of the ring makes no sense")

// Frame is one packet of a block; Data lies in the block.
type Frame struct {
	Data     []byte
	Length   uint32 // on the wire
	When     int64  // nanoseconds since 1970
	Tag      uint16 // VLAN tag that the kernel took out
	TagType  uint16 // 0: none was taken out
	LinkType uint16 // ARPHRD_ value
}

// walkBlock hands each packet of a block that came in to take, whose argument
// is valid during the call only. What the host itself sent is left out; on a
// loopback interface, where each packet is seen going out and coming in, so
// each counts once.
func walkBlock(block []byte, take func(*Frame)) error {
	ne := binary.NativeEndian
	if len(block) < blockHeader {
		return errRingBlock
	}
	var f Frame
	left, off := ne.Uint32(block[blockPacketsAt:]), uint64(ne.Uint32(block[blockFirstAt:]))
	for ; left > 0; left-- {
		if off < blockHeader || off+ringHeader+ringAddress > uint64(len(block)) {
			return errRingBlock
		}
		h := block[off:]
		next, captured := ne.Uint32(h), uint64(ne.Uint32(h[12:]))
		data := uint64(ne.Uint16(h[24:])) // tp_mac
		if data < ringHeader+ringAddress || data+captured > uint64(len(h)) {
			return errRingBlock
		}
		address := h[ringHeader:]
		if address[10] != packetOutgoes {
			f = Frame{
				Data:     h[data : data+captured : data+captured],
				Length:   ne.Uint32(h[16:]),
				When:     int64(ne.Uint32(h[4:]))*1e9 + int64(ne.Uint32(h[8:])),
				LinkType: ne.Uint16(address[8:]),
			}
			if status := ne.Uint32(h[20:]); status&statusVLAN != 0 {
				f.Tag, f.TagType = uint16(ne.Uint32(h[32:])), typeVLAN
				if status&statusTPID != 0 {
					f.TagType = ne.Uint16(h[36:])
				}
			}
			take(&f)
		}
		if next < ringHeader && left > 1 {
			return errRingBlock // 0 is for the last packet only
		}
		off += uint64(next)
	}
	return nil
}

package capture

import "encoding/binary"

// Link types as written in capture files (LINKTYPE_ values); 12 and 14 are
// what some systems write for raw IP.
const (
	linkNull     = 0
	linkEthernet = 1
	linkRaw12    = 12
	linkRaw14    = 14
	linkRaw      = 101
	linkLoop     = 108
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

// maxTags bounds the stack of VLAN tags.
const maxTags = 16

// network finds the IP header of a frame: its offset and whether it should be
// IPv4 or IPv6 (etherIPv4, etherIPv6). It reads no byte of the IP header but
// the version where the link type does not tell.
func network(link uint32, b []byte) (off int, ether uint16, why skip) {
	if len(b) == 0 {
		return 0, 0, skipEmpty
	}
	switch link {
	case linkEthernet:
		if len(b) < 14 {
			return 0, 0, skipLink
		}
		off, ether = 14, binary.BigEndian.Uint16(b[12:])
		if ether == etherIPv4 || ether == etherIPv6 {
			return off, ether, skipNone
		}
		return tags(b, off, ether)
	case linkSLL:
		if len(b) < 16 {
			return 0, 0, skipLink
		}
		return tags(b, 16, binary.BigEndian.Uint16(b[14:]))
	case linkSLL2:
		if len(b) < 20 {
			return 0, 0, skipLink
		}
		return tags(b, 20, binary.BigEndian.Uint16(b))
	case linkRaw, linkRaw12, linkRaw14:
		switch b[0] >> 4 {
		case 4:
			return 0, etherIPv4, skipNone
		case 6:
			return 0, etherIPv6, skipNone
		}
		return 0, 0, skipIPHeader
	case linkIPv4:
		return 0, etherIPv4, skipNone
	case linkIPv6:
		return 0, etherIPv6, skipNone
	case linkNull, linkLoop:
		if len(b) < 4 {
			return 0, 0, skipLink
		}
		// The address family is in the byte order of the capturing machine;
		// all known values are below 256.
		family := binary.LittleEndian.Uint32(b)
		if family >= 1<<24 {
			family = binary.BigEndian.Uint32(b)
		}
		switch family {
		case 2:
			return 4, etherIPv4, skipNone
		case 10, 24, 28, 30: // Linux, NetBSD and OpenBSD, FreeBSD, Darwin
			return 4, etherIPv6, skipNone
		}
		return 0, 0, skipNonIP
	}
	return 0, 0, skipLinkType
}

// tags walks VLAN tags, a VN-tag, PPPoE and SNAP up to the IP header.
func tags(b []byte, off int, ether uint16) (int, uint16, skip) {
	be := binary.BigEndian
	for range maxTags {
		switch ether {
		case etherIPv4, etherIPv6:
			return off, ether, skipNone
		case etherMPLS, etherMPLSmc, etherPBB, etherTRILL, etherNSH:
			return off, ether, skipTunnel
		case etherARP, etherRARP:
			return off, ether, skipARP
		case etherVLAN, etherQinQ, etherQinQ91:
			if len(b) < off+4 {
				return off, ether, skipLink
			}
			ether = be.Uint16(b[off+2:])
			off += 4
		case etherVNTag:
			if len(b) < off+6 {
				return off, ether, skipLink
			}
			ether = be.Uint16(b[off+4:])
			off += 6
		case etherPPPoE: // RFC 2516, 4; then the PPP protocol number
			if len(b) < off+8 {
				return off, ether, skipLink
			}
			proto := be.Uint16(b[off+6:])
			off += 8
			switch proto {
			case 0x0021:
				return off, etherIPv4, skipNone
			case 0x0057:
				return off, etherIPv6, skipNone
			}
			return off, ether, skipNonIP
		default:
			// IEEE 802.3 length, then LLC and SNAP with an ether type (RFC 1042).
			if ether < 0x600 && len(b) >= off+8 && be.Uint32(b[off:]) == 0xaaaa0300 && be.Uint16(b[off+4:]) == 0 {
				ether = be.Uint16(b[off+6:])
				off += 8
				if ether < 0x600 {
					return off, ether, skipNonIP
				}
				continue
			}
			return off, ether, skipNonIP
		}
	}
	return off, ether, skipLink
}

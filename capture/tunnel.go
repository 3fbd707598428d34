package capture

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"teiten/internal/observation"
)

// tunnel is a way to carry packets inside of others. They are not opened: where
// a sensor gets its packets through one, all have the tunnel's end as source, so
// the user must be told.
type tunnel uint8

const (
	tunnelNone    tunnel = iota
	tunnelGRE            // RFC 2784, 2890; with Ethernet inside also NVGRE (RFC 7637)
	tunnelERSPAN         // draft-foschiano-erspan: a mirror port over GRE
	tunnelIPIP           // RFC 2003, 2473, 4213
	tunnelEtherIP        // RFC 3378
	tunnelVXLAN          // RFC 7348, and draft-ietf-nvo3-vxlan-gpe
	tunnelGENEVE         // RFC 8926
	tunnelTZSP           // TaZmen Sniffer Protocol: mirror ports of access points and routers
	tunnelGTP            // 3GPP TS 29.281, G-PDU
	tunnelMPLS           // RFC 3032, 7510
	tunnelPBB            // IEEE 802.1ah
	tunnelTRILL          // RFC 6325
	tunnelNSH            // RFC 8300
	numTunnels
)

var tunnelNames = [numTunnels]string{
	tunnelGRE: "GRE", tunnelERSPAN: "ERSPAN", tunnelIPIP: "IP in IP", tunnelEtherIP: "EtherIP", tunnelVXLAN: "VXLAN", tunnelGENEVE: "GENEVE",
	tunnelTZSP: "TZSP", tunnelGTP: "GTP-U", tunnelMPLS: "MPLS", tunnelPBB: "PBB (802.1ah)", tunnelTRILL: "TRILL", tunnelNSH: "NSH",
}

// Ether types of the link layer's tunnels.
const (
	etherTRILL  = 0x22f3
	etherMPLS   = 0x8847
	etherMPLSmc = 0x8848
	etherPBB    = 0x88e7
	etherNSH    = 0x894f
	etherBridge = 0x6558 // a whole Ethernet frame, in GRE and GENEVE
)

// tunnelEther is the tunnel that an ether type stands for.
func tunnelEther(ether uint16) tunnel {
	switch ether {
	case etherMPLS, etherMPLSmc:
		return tunnelMPLS
	case etherPBB:
		return tunnelPBB
	case etherTRILL:
		return tunnelTRILL
	case etherNSH:
		return tunnelNSH
	}
	return tunnelNone
}

// linkTunnel is the tunnel of a frame that network has refused for one.
func linkTunnel(frame []byte, link uint32) tunnel {
	_, ether, _ := network(link, frame)
	return tunnelEther(ether)
}

// inside says whether what an ether type of a tunnel stands for is a packet or a
// frame, as far as its first bytes tell.
func inside(ether uint16, b []byte) bool {
	switch ether {
	case etherIPv4:
		return len(b) >= 20 && b[0]>>4 == 4 && b[0]&15 >= 5
	case etherIPv6:
		return len(b) >= 40 && b[0]>>4 == 6
	case etherBridge:
		return len(b) >= 14
	}
	return tunnelEther(ether) != tunnelNone
}

// tunnelOf is the tunnel that an IP packet of class other or udp belongs to; b has
// the first bytes behind the IP or UDP header.
func tunnelOf(p *packet, b []byte) tunnel {
	if p.class == observation.ClassUDP {
		return tunnelUDP(p.port, b)
	}
	switch p.proto {
	case 4:
		if inside(etherIPv4, b) {
			return tunnelIPIP
		}
	case 41:
		if inside(etherIPv6, b) {
			return tunnelIPIP
		}
	case 97:
		if len(b) >= 16 && b[0]>>4 == 3 {
			return tunnelEtherIP
		}
	case 137:
		if len(b) >= 4 {
			return tunnelMPLS // RFC 4023
		}
	case 47:
		return tunnelInGRE(b)
	}
	return tunnelNone
}

// tunnelInGRE reads a GRE header of version 0: checksum, key and sequence number
// are there if their flags are set.
func tunnelInGRE(b []byte) tunnel {
	if len(b) < 4 || b[1]&7 != 0 {
		return tunnelNone
	}
	ether, header := binary.BigEndian.Uint16(b[2:]), 4
	for _, flag := range []byte{0x80, 0x20, 0x10} {
		if b[0]&flag != 0 {
			header += 4
		}
	}
	switch {
	case header > len(b):
		return tunnelNone
	case ether == 0x88be, ether == 0x22eb:
		return tunnelERSPAN
	case inside(ether, b[header:]):
		return tunnelGRE
	}
	return tunnelNone
}

// tunnelUDP recognises the tunnels over UDP by port and header.
func tunnelUDP(port uint16, b []byte) tunnel {
	if len(b) < 8 {
		return tunnelNone
	}
	be := binary.BigEndian
	switch port {
	case 4789, 8472: // the second is Linux's before RFC 7348
		if b[0]&0x08 != 0 && b[7] == 0 && inside(etherBridge, b[8:]) {
			return tunnelVXLAN
		}
	case 4790:
		if b[0]&0xcc == 0x0c && b[3] >= 1 && b[3] <= 4 {
			return tunnelVXLAN
		}
	case 6081:
		options := int(b[0]&0x3f) * 4
		if b[0]>>6 == 0 && b[7] == 0 && (8+options > len(b) || inside(be.Uint16(b[2:]), b[8+options:])) &&
			(be.Uint16(b[2:]) == etherBridge || be.Uint16(b[2:]) == etherIPv4 || be.Uint16(b[2:]) == etherIPv6) {
			return tunnelGENEVE
		}
	case 37008:
		if b[0] == 1 && b[1] <= 1 && be.Uint16(b[2:]) != 0 {
			return tunnelTZSP
		}
	case 2152:
		if b[0]>>5 == 1 && b[0]&0x10 != 0 && b[1] == 0xff {
			return tunnelGTP
		}
	case 6635:
		if b[2]&1 == 1 && (b[4]>>4 == 4 || b[4]>>4 == 6) {
			return tunnelMPLS
		}
	}
	return tunnelNone
}

// familiar says whether a frame that is not IP is of a protocol that links have
// anyway, so that the file is read as it should be.
func familiar(link uint32, frame []byte) bool {
	if link != linkEthernet || len(frame) < 17 {
		return false
	}
	_, ether, _ := network(link, frame)
	switch ether {
	case 0x0842, 0x6002, 0x8809, 0x8863, 0x886d, 0x888e, 0x88b5, 0x88cc, 0x88e5, 0x88f7, 0x8902, 0x8906, 0x890d, 0x893a, 0x9000, 0x9003:
		return true // wake on LAN, MOP, LACP, PPPoE discovery, EAPOL, LLDP, MACsec, PTP, CFM, FCoE, loops ...
	}
	// LLC: spanning tree, IS-IS, SNAP, IPX, NetBIOS.
	return ether < 0x600 && int(ether) <= len(frame)-14 && slices.Contains([]byte{0x42, 0xfe, 0xaa, 0xe0, 0xf0}, frame[14])
}

// tunnelShare is the part of a file's packets, one in so many, from which on its
// tunnels are named: scanners look for open tunnels too.
const tunnelShare = 100

// tunnelLine names the tunnels of a file in one line, "" if it has none to speak
// of.
func (c *Counts) tunnelLine() string {
	sum := uint64(0)
	var names []string
	for _, name := range tunnelNames {
		if n := c.Tunnels[name]; name != "" && n > 0 {
			sum += n
			names = append(names, fmt.Sprintf("%d are inside %s", n, name))
		}
	}
	if sum == 0 || sum*tunnelShare < c.Packets {
		return ""
	}
	return fmt.Sprintf("of %d packets %s: teiten does not open tunnels, so it sees the ends of the tunnel and not who sent the packets inside; capture behind the tunnel's end",
		c.Packets, strings.Join(names, ", "))
}

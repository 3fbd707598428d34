package capture

import (
	"encoding/binary"
	"net/netip"

	"github.com/gaissmai/bart"
)

// Peer is somebody the sensor itself talks to: what comes from there is no
// darknet traffic. Port 0 stands for every port and protocol.
type Peer struct {
	Prefix netip.Prefix
	Port   uint16
}

// Passage is what a Door says of a frame.
type Passage uint8

// The passages.
const (
	Admitted  Passage = iota // to a monitored address, or not IP: for the parser to tell
	Elsewhere                // to another address
	Own                      // an answer to the sensor's own connections
)

// Door lets frames to monitored addresses in. Of others it reads no more than
// addresses and the source port, as their content is for somebody else.
type Door struct {
	monitored bart.Lite
	peers     []Peer // few, so one after the other
}

// NewDoor makes a door; prefixes that are not valid are left out.
func NewDoor(monitored []netip.Prefix, peers []Peer) *Door {
	d := &Door{}
	for _, p := range monitored {
		d.monitored.Insert(p.Masked())
	}
	for _, p := range peers {
		if p.Prefix.IsValid() {
			d.peers = append(d.peers, p)
		}
	}
	return d
}

// Admit judges a frame by its link type (LINKTYPE_ value). A frame cut within
// its addresses is admitted: the parser counts it as such and keeps nothing.
func (d *Door) Admit(link uint32, frame []byte) Passage {
	off, ether, why := network(link, frame)
	if why != skipNone {
		return Admitted
	}
	ip := frame[off:]
	var src, dst netip.Addr
	switch {
	case ether == etherIPv4 && len(ip) >= 20:
		src, dst = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	case ether == etherIPv6 && len(ip) >= 40:
		src, dst = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	default:
		return Admitted
	}
	// First, as the sensor's own address may be monitored too.
	if len(d.peers) > 0 && d.own(src, ether, ip) {
		return Own
	}
	if !d.monitored.Contains(dst) {
		return Elsewhere
	}
	return Admitted
}

func (d *Door) own(src netip.Addr, ether uint16, ip []byte) bool {
	for _, p := range d.peers {
		if p.Prefix.Contains(src) {
			if p.Port == 0 {
				return true
			}
			if port, ok := sourcePort(ether, ip); ok && port == p.Port {
				return true
			}
		}
	}
	return false
}

// sourcePort returns the source port of a TCP or UDP packet. Later fragments
// have none (RFC 791, 3.2), and extension headers are not walked.
func sourcePort(ether uint16, ip []byte) (port uint16, ok bool) {
	proto, off := ip[6], 40
	if ether == etherIPv4 {
		if binary.BigEndian.Uint16(ip[6:])&0x1fff != 0 {
			return 0, false
		}
		proto, off = ip[9], int(ip[0]&0xf)*4
	}
	if proto != 6 && proto != 17 || off < 20 || len(ip) < off+2 {
		return 0, false
	}
	return binary.BigEndian.Uint16(ip[off:]), true
}

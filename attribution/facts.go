package attribution

import (
	"cmp"
	"slices"

	"teiten/internal/observation"
)

// group adds up the entries of one protocol and class.
type group struct {
	proto    uint8
	class    observation.Class
	attempts uint64
	hits     [observation.MarkEnd]uint64
}

// facts are drawn from a profile once, for all rules.
type facts struct {
	p         *Profile
	monitored uint64
	defs      Definitions
	groups    []group
	order     []int // positions of the entries, most packets first

	marks uint32 // bit m: mark m was seen

	probes      uint64 // packets that ask: SYN, UDP requests, echo requests ...
	answers     uint64 // packets that answer what we never sent
	established uint64 // packets of conversations
	quotesOther uint64 // ICMP errors that do not quote a packet of the sensor
	broadcast   uint64 // packets for everybody on a link, or for a neighbour there
	neighbour   uint64 // those of broadcast that only the addresses tell

	ports     int    // distinct ports asked for, conversations left out
	portsDay  int    // the same on the busiest day
	portsTCP  int    // TCP ports among ports
	peerUDP   int    // UDP ports that look like peer-to-peer traffic and are not in ports
	peerTCP   int    // the same of TCP
	talks     uint64 // pairs of port and address that conversations were with, at least
	asks      uint64 // the same of what was asked without an answer
	perDay    [maxDays]int
	sweep     int // position of the entry with most destinations, -1 if none
	answering int // distinct service ports answered from

	scratch []int
	names   map[uint32]string // of ports, kept from one profile to the next
}

// servicePort reports whether replies from a UDP port are recognised by their
// source port: those that answer, and those used for amplification.
func servicePort(port uint16) bool {
	switch port {
	case 7, 17, 19, 53, 69, 111, 123, 137, 161, 177, 389, 427, 520, 1194, 1434, 1604, 1645, 1701, 1900, 3283, 3389, 3478,
		3702, 5060, 5093, 5353, 5683, 10001, 11211, 17185, 27015, 30120, 32414, 37810:
		return true
	}
	return false
}

// answer reports whether an entry's packets are answers to packets that were
// forged as ours, or would be if they were not part of a conversation.
func (e *entry) answer() bool {
	if e.has(flagAnswers) || e.has(flagReplies) && !e.has(flagAsks) {
		return true
	}
	switch e.class {
	case observation.ClassSYNACK, observation.ClassRST, observation.ClassUDPAnswer, observation.ClassICMPReply, observation.ClassICMPUnreach,
		observation.ClassICMPQuench, observation.ClassICMPRedirect, observation.ClassICMPExceeded, observation.ClassICMPParam, observation.ClassICMPTooBig:
		return true
	case observation.ClassICMPOther: // of observations before udp-answer; now these are icmp-reply
		if e.proto == protoICMPv6 {
			return e.port>>8 == 140 // node information response, RFC 4620
		}
		// Timestamp, information and mask replies: RFC 792, RFC 950.
		return e.port>>8 == 14 || e.port>>8 == 16 || e.port>>8 == 18
	case observation.ClassUDP:
		return e.has(flagSample) && !e.has(flagPeerVaries) && servicePort(e.peer) && e.peer != e.port &&
			(e.port >= 1024 && !servicePort(e.port))
	}
	return false
}

// draw fills f from p.
func (f *facts) draw(p *Profile, monitored uint64, defs Definitions) {
	*f = facts{p: p, monitored: monitored, defs: defs, groups: f.groups[:0], order: f.order[:0], scratch: f.scratch[:0],
		names: f.names, sweep: -1}
	n := p.entryCount()
	f.markEstablished()
	f.markServed()
	for i := range n {
		e := p.entry(i)
		f.order = append(f.order, i)
		g := f.group(e)
		g.attempts += e.attempts()
		for _, m := range e.marks {
			if m != observation.MarkNone {
				g.hits[m] += e.mark(m)
				f.marks |= m.Bit()
			}
		}
		switch {
		case e.has(flagBroadcast):
			f.broadcast += e.packets
		case p.neighbour(e):
			f.broadcast += e.packets
			f.neighbour += e.packets
		}
		switch {
		case e.has(flagEstablished):
			f.established += e.packets
			if e.class != observation.ClassFIN && e.class != observation.ClassSYN { // a conversation has one entry of ACKs
				f.talks += uint64(e.destsSum)
			}
		case e.answer():
			f.answers += e.packets
			if !e.class.ICMPError() {
				f.answering++
			} else if e.has(flagSample) && !e.has(flagQuoteOK) {
				f.quotesOther += e.packets
			}
		case e.has(flagDoubt):
		default:
			f.probes += e.packets
			f.asks += uint64(e.destsSum)
			if f.sweep < 0 || e.dests > p.entry(f.sweep).dests {
				f.sweep = i
			}
		}
	}
	if n > 1 {
		slices.SortFunc(f.order, func(a, b int) int {
			ea, eb := p.entry(a), p.entry(b)
			return cmp.Or(cmp.Compare(eb.packets, ea.packets), cmp.Compare(ea.key(), eb.key()))
		})
	}
	f.countPorts()
}

// undraw forgets the facts and what drawing them noted in the entries: what a
// profile is part of depends on what was seen alone.
func (p *Profile) undraw() {
	p.facts = nil
	for i := range p.entryCount() {
		p.entry(i).flags &^= flagEstablished | flagAnswers | flagDoubt
	}
}

func (f *facts) group(e *entry) *group {
	for i := range f.groups {
		if g := &f.groups[i]; g.proto == e.proto && g.class == e.class {
			return g
		}
	}
	f.groups = append(f.groups, group{proto: e.proto, class: e.class})
	return &f.groups[len(f.groups)-1]
}

// ackScanPackets is the number of bare ACKs to a port of one address beyond
// which they are a conversation and not an ACK scan.
const ackScanPackets = 3

// ackScan reports whether an entry's bare ACKs could be an ACK scan: few to
// each destination, and nothing that ends a conversation.
func (f *facts) ackScan(e *entry) bool {
	return e.packets <= ackScanPackets*uint64(max(1, e.destsSum)) && f.find(observation.ClassFIN, e.port) == nil
}

// markEstablished finds the conversations of a capture that shows both
// directions, or a sensor that answers: ACK or FIN where there was a SYN or a
// SYN/ACK of the same source, or more ACKs to a port than a scan sends.
func (f *facts) markEstablished() {
	p := f.p
	var acks, synacks uint64
	some := false
	for i := range p.entryCount() {
		e := p.entry(i)
		e.flags &^= flagEstablished
		switch e.class {
		case observation.ClassACK:
			some = true
			if e.has(flagData) || !f.ackScan(e) { // a challenge ACK is bare and alone (RFC 5961, 3 to 5)
				acks += e.packets
			}
		case observation.ClassSYNACK:
			synacks += e.packets
		}
	}
	if !some {
		return
	}
	// A server that talks sends at least as many ACKs as SYN/ACKs; a victim
	// sends few (RFC 5961, challenge ACKs).
	server := synacks > 0 && 2*acks >= synacks
	for i := range p.entryCount() {
		e := p.entry(i)
		if e.class != observation.ClassACK || e.proto != protoTCP {
			continue
		}
		syn := f.find(observation.ClassSYN, e.port)
		switch {
		case server:
		case syn != nil && !e.has(flagRest):
			if 2*e.packets < syn.packets {
				continue // a scanner that finds the odd open port
			}
		case e.has(flagRest), f.ackScan(e):
			continue
		}
		e.flags |= flagEstablished
		for _, c := range [...]observation.Class{observation.ClassSYN, observation.ClassFIN} {
			if other := f.find(c, e.port); other != nil {
				other.flags |= flagEstablished
			}
		}
	}
	if server {
		for i := range p.entryCount() {
			if e := p.entry(i); e.class == observation.ClassFIN || e.class == observation.ClassSYNACK {
				e.flags |= flagEstablished
			}
		}
	}
}

func (f *facts) find(c observation.Class, port uint16) *entry {
	p := f.p
	key := entryKey(protoTCP, c, port)
	if p.one.key() == key {
		return &p.one
	}
	if p.more == nil {
		return nil
	}
	return p.more.find(key)
}

// probePort reports whether an entry counts for the definitions of a scanner
// that count ports.
func (e *entry) probePort() bool {
	if e.has(flagEstablished) || e.has(flagRest) || e.has(flagDoubt) || e.answer() {
		return false
	}
	switch e.class {
	case observation.ClassSYN, observation.ClassACK, observation.ClassFIN, observation.ClassNull, observation.ClassXmas,
		observation.ClassTCPOther, observation.ClassUDP:
		return true
	}
	return false
}

// countPorts counts distinct ports, all and per day. A port that was probed in
// several ways counts once.
func (f *facts) countPorts() {
	p := f.p
	n := p.entryCount()
	if n == 1 {
		if p.one.probePort() {
			f.ports, f.portsDay = 1, 1
			if p.one.proto == protoTCP {
				f.portsTCP = 1
			}
		}
		return
	}
	f.peers()
	skipUDP, skipTCP := f.peerUDP > 0 || f.traceroute(), f.peerTCP > 0
	idx := f.scratch[:0]
	for i := range n {
		e := p.entry(i)
		if e.probePort() && !(skipUDP && e.proto == protoUDP) && !(skipTCP && e.proto == protoTCP) {
			idx = append(idx, i)
		}
	}
	f.scratch = idx
	portOf := func(e *entry) uint32 { return uint32(e.proto)<<16 | uint32(e.port) }
	slices.SortFunc(idx, func(a, b int) int { return cmp.Compare(portOf(p.entry(a)), portOf(p.entry(b))) })
	for k := 0; k < len(idx); {
		e := p.entry(idx[k])
		days := e.days
		next := k + 1
		for ; next < len(idx) && portOf(p.entry(idx[next])) == portOf(e); next++ {
			days |= p.entry(idx[next]).days
		}
		k = next
		f.ports++
		if e.proto == protoTCP {
			f.portsTCP++
		}
		for d := 0; days != 0; d, days = d+1, days>>1 {
			if days&1 != 0 {
				f.perDay[d]++
				f.portsDay = max(f.portsDay, f.perDay[d])
			}
		}
	}
}

// stackOptions is the option bytes that the SYN of every stack of today has at
// least: segment size, window scale, selective acknowledgements.
const stackOptions = 8

// peers finds the protocols in which the source looks like a peer-to-peer client:
// many high ports, each at its own destination. A scanner asks many destinations
// for the same ports, or one for many.
func (f *facts) peers() {
	for _, proto := range [...]uint8{protoUDP, protoTCP} {
		ports, high, single, plain := 0, 0, 0, 0
		for i := range f.p.entryCount() {
			e := f.p.entry(i)
			// UDP ports in doubt are peers' as well as a server's clients'.
			doubt := e.class == observation.ClassUDP && e.has(flagDoubt)
			if e.proto != proto || !e.probePort() && !doubt || proto == protoTCP && e.class != observation.ClassSYN {
				continue
			}
			ports++
			if e.port >= 1024 && (proto == protoTCP || !servicePort(e.port)) {
				high++
			}
			if e.reach() == 1 {
				single++
			}
			if e.options < stackOptions {
				plain++
			}
		}
		dests := int(f.p.Destinations())
		if ports < tsubamePorts || high*10 < ports*8 || single*10 < ports*8 || dests*10 < min(ports, maxDests)*7 {
			continue
		}
		if proto == protoTCP && f.established == 0 && plain*10 > ports {
			continue // scanners of all ports, too, ask each address for another one, but write no stack's SYNs
		}
		if proto == protoUDP {
			f.peerUDP = ports
		} else {
			f.peerTCP = ports
		}
	}
}

// traceroute reports whether the source's UDP is a traceroute's: to one address,
// a port more for each packet from 33434 on (RFC 1393 names the program; the
// numbers are traceroute.c's), with what is left of TTLs that begin at one.
func (f *facts) traceroute() bool {
	const (
		first = 33434
		ports = 255 * 3
		ttl   = 40
	)
	n := 0
	for i := range f.p.entryCount() {
		e := f.p.entry(i)
		if e.proto != protoUDP || !e.probePort() {
			continue
		}
		if e.port < first || e.port >= first+ports || e.ttl > ttl || e.reach() > 1 {
			return false
		}
		n++
	}
	return n > 0 && f.p.Destinations() == 1
}

// portList writes the ports, most packets first, at most limit.
func (f *facts) portList(limit int, take func(*entry) bool) []string {
	var list []string
	for _, i := range f.order {
		e := f.p.entry(i)
		if e.has(flagRest) || !take(e) {
			continue
		}
		if name := f.portName(e); !slices.Contains(list, name) {
			if list = append(list, name); len(list) == limit {
				break
			}
		}
	}
	return list
}

// maxNames bounds the names kept.
const maxNames = 1 << 14

// portName is e.portName, kept.
func (f *facts) portName(e *entry) string {
	if e.class.ICMPError() {
		return e.portName()
	}
	key := uint32(e.proto)<<16 | uint32(e.port)
	name, ok := f.names[key]
	if !ok {
		if f.names == nil || len(f.names) >= maxNames {
			f.names = make(map[uint32]string)
		}
		name = e.portName()
		f.names[key] = name
	}
	return name
}

// portName is the name of the service port.
func (e *entry) portName() string { return portName(e.servicePort()) }

// servicePort is the service port: for an ICMP error that of the attacked port,
// for SYN/ACKs that probe (see judgeSynackScan) the other one.
func (e *entry) servicePort() (proto uint8, port uint16) {
	if e.class.ICMPError() && (e.window == protoTCP || e.window == protoUDP) && e.port != 0 {
		return uint8(e.window), e.port
	}
	return e.proto, e.port
}

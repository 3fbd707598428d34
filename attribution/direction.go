package attribution

import (
	"cmp"
	"slices"

	"teiten/internal/observation"
)

// Which way a packet goes is often in its class: a SYN asks, a SYN/ACK answers.
// ACKs, FINs and UDP that no service's format explains go both ways. Before they
// are counted as probes, their payload is asked, then the ports: a server answers
// from one port to the many high ports that its clients chose.

const (
	// servedPorts is the number of ports from which on those of one source port
	// are a server's clients.
	servedPorts = 3
	// doubtPorts is the same where the source port may as well be a scanner's.
	doubtPorts = 5
	// scatter is how far apart, on average, the ports of clients are at least;
	// those of a scan stand close together.
	scatter = 64
	// talkative is the packets per port that no scan sends.
	talkative = 3
)

// addDirection notes what a sample's payload says of the way of its packet.
func (e *entry) addDirection(s *observation.Sample) {
	switch {
	case e.class == observation.ClassOther && e.proto == protoSCTP:
		if len(s.Payload) > 12 {
			e.setDirection(sctpAnswers(s.Payload[12]))
		}
	case e.class == observation.ClassFIN:
		if s.Flags&tcpACK == 0 {
			e.setDirection(false) // no connection ends without ACK (RFC 9293, 3.6)
		}
	case e.class == observation.ClassACK && len(s.Payload) > 0:
		e.flags |= flagData
		if tcpAnswers(s.Payload) {
			e.setDirection(true)
		}
	}
}

func (e *entry) setDirection(answers bool) {
	if answers {
		e.flags |= flagReplies
	} else {
		e.flags |= flagAsks
	}
}

const (
	protoSCTP = 132
	tcpACK    = 0x10
)

// sctpAnswers says whether a packet whose first chunk is of this type (RFC 9260,
// 3.2) answers: an acknowledgement of any kind, an abort, an error.
func sctpAnswers(chunk byte) bool {
	switch chunk {
	case 2, 3, 5, 6, 8, 9, 11, 14: // INIT ACK, SACK, HEARTBEAT ACK, ABORT, SHUTDOWN ACK, ERROR, COOKIE ACK, SHUTDOWN COMPLETE
		return true
	}
	return false
}

// tcpAnswers says whether data is what only servers send: a ServerHello or an
// alert of TLS (RFC 8446, 4 and 5.1), the status line of HTTP (RFC 9112, 4).
func tcpAnswers(b []byte) bool {
	switch {
	case len(b) >= 6 && b[0] == 0x16 && b[1] == 3:
		return b[5] == 2
	case len(b) >= 7 && b[0] == 0x15 && b[1] == 3:
		return b[3] == 0 && b[4] == 2 && (b[5] == 1 || b[5] == 2)
	}
	return len(b) >= 9 && string(b[:7]) == "HTTP/1." && b[8] == ' '
}

// markServed finds the ports that are not asked but answered: many high ones that
// get ACKs, FINs or UDP from one and the same source port. From the port of a
// service these are answers; from any other nothing is said of them.
func (f *facts) markServed() {
	p := f.p
	idx := f.scratch[:0]
	for i := range p.entryCount() {
		e := p.entry(i)
		e.flags &^= flagAnswers | flagDoubt
		if e.fromOnePort() {
			idx = append(idx, i)
		}
	}
	f.scratch = idx
	switch {
	case p.member == AggregateReflected: // the other sources told
		for _, i := range idx {
			p.entry(i).flags |= flagAnswers
		}
		return
	case len(idx) < servedPorts:
		return
	}
	from := func(i int) uint32 { return uint32(p.entry(i).proto)<<16 | uint32(p.entry(i).peer) }
	slices.SortFunc(idx, func(a, b int) int { return cmp.Compare(from(a), from(b)) })
	for k := 0; k < len(idx); {
		next := k + 1
		for next < len(idx) && from(idx[next]) == from(idx[k]) {
			next++
		}
		if flag := p.served(idx[k:next]); flag != 0 {
			for _, i := range idx[k:next] {
				p.entry(i).flags |= flag
			}
		}
		k = next
	}
}

// fromOnePort reports whether the entry's packets could go either way and all have
// one source port.
func (e *entry) fromOnePort() bool {
	switch e.class {
	case observation.ClassACK, observation.ClassFIN, observation.ClassUDP:
		return e.has(flagSample) && !e.has(flagPeerVaries) && !e.has(flagEstablished) && !e.has(flagAsks) && !e.has(flagBroadcast)
	}
	return false
}

// served returns what the entries, all of one source port, are: answers, in doubt,
// or 0 for probes.
func (p *Profile) served(group []int) uint16 {
	source := p.entry(group[0])
	tcp := source.proto == protoTCP
	ports, high := 0, 0
	low, top := uint16(0xffff), uint16(0)
	packets := uint64(0)
	for _, i := range group {
		e := p.entry(i)
		if e.has(flagRest) {
			continue
		}
		ports++
		packets += e.packets
		if e.port >= 1024 && (tcp || !servicePort(e.port)) {
			high++
		}
		low, top = min(low, e.port), max(top, e.port)
	}
	if ports < servedPorts || 10*high < 9*ports || source.peer == 0 {
		return 0
	}
	if source.peer < 1024 || !tcp && servicePort(source.peer) {
		return flagAnswers
	}
	if ports >= doubtPorts && (int(top-low) >= scatter*ports || packets >= talkative*uint64(ports)) {
		return flagDoubt
	}
	return 0
}

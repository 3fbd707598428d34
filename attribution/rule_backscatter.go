package attribution

import (
	"slices"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// The thresholds of Moore et al. (Inferring Internet Denial-of-Service
// Activity) for an attack, as corsaro uses them. The rate is that of the busiest
// minute of one observation, so never more than that of the whole attack.
const (
	attackPackets   = 25
	attackSeconds   = 60
	attackPerMinute = 30
)

// attacked reports whether the source's answers meet the thresholds.
func (p *Profile) attacked() bool {
	return p.facts.answers >= attackPackets && p.last-p.first >= attackSeconds*1e9 && p.rate >= attackPerMinute
}

// judgeBackscatter: the source answers packets that we never sent, so another
// host forged our address: the source is a victim, likely under attack.
func judgeBackscatter(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	if f.answers == 0 || f.answers < f.probes || f.answers < f.established {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindBackscatter, Confidence: 0.9}
	e := &v.Evidence.V
	e.Hits, e.Of = f.answers, f.answers+f.probes
	reach := p.Destinations()
	switch {
	case f.answers == 1:
		v.Confidence = 0.7
		e.Weak = true
		e.Notes = append(e.Notes, NoteOnePacket)
	case reach >= 10 || f.answers >= attackPackets:
		v.Confidence = 0.95
	}
	if f.answering > 10 {
		v.Confidence = min(v.Confidence, 0.7)
		e.Notes = append(e.Notes, NoteManyServices)
	}
	if f.probes > 0 {
		e.Notes = append(e.Notes, NoteMixed)
		v.Confidence = min(v.Confidence, 0.85)
	}
	if f.established > 0 {
		e.Notes = append(e.Notes, NoteConversation)
		v.Confidence = min(v.Confidence, 0.5)
	}
	if f.quotesOther*2 > f.answers {
		e.Notes = append(e.Notes, NoteQuoteOther)
		v.Confidence = min(v.Confidence, 0.6)
	}
	if p.attacked() {
		e.Notes = append(e.Notes, NoteAttack)
	}
	noteFixed(e, p.fixed())
	if p.member == AggregateReflected {
		e.Notes = append(e.Notes, NoteReflectedFlood)
	}
	e.Also = p.also(observation.MarkNone)
	v.Ports = p.answerPorts()
	return v, true
}

// answerPorts lists the service ports that answer: where an observation has the
// port at our side, that is the other port.
func (p *Profile) answerPorts() []string {
	var list []string
	for _, i := range p.facts.order {
		e := p.entry(i)
		if !e.answer() || e.has(flagRest) {
			continue
		}
		name := e.portName()
		switch e.class {
		case observation.ClassUDP, observation.ClassACK, observation.ClassFIN:
			name = portName(e.proto, e.peer)
		}
		if !slices.Contains(list, name) {
			if list = append(list, name); len(list) == maxPorts {
				break
			}
		}
	}
	return list
}

// judgeSynackScan tells a scan with SYN/ACKs (ZMap's tcp_synackscan) from
// backscatter: it goes to one port from many, where backscatter comes from one
// port to many. Its "service" ports are ephemeral ones. The answers to a flood of
// forged SYNs with one source port look the same, so the header must be the one
// that ZMap writes: window 65535, no DF, no option but the segment size. Stacks
// and SYN proxies set DF, or other options, or another window.
func judgeSynackScan(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	var packets, all uint64
	ports, ephemeral := 0, 0
	peer, one := uint16(0), true
	for i := range p.entryCount() {
		e := p.entry(i)
		if e.class != observation.ClassSYNACK {
			continue
		}
		all += e.packets
		if e.has(flagSample) && !e.has(flagRest) && !e.has(flagDF) && e.window == 65535 && (e.options == 0 || e.options == 4) {
			ports++
			packets += e.packets
			if ports == 1 {
				peer = e.peer
			}
			if e.peer != peer || e.has(flagPeerVaries) {
				one = false
			}
			if e.port >= 32768 {
				ephemeral++
			}
		}
	}
	if ports < 5 || !one || peer >= 32768 || 2*ephemeral < ports || f.established > 0 || p.Destinations() < 5 || 2*all < p.packets {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindScanner, Confidence: 0.85, Ports: []string{portName(protoTCP, peer)}}
	v.Evidence.V.Hits, v.Evidence.V.Of = packets, p.packets
	v.Evidence.V.Chance = Chance(uint64(ports), uint64(ports), 0x1p-16) // all to one of 65536 ports
	return v, true
}

// judgeReflection: the source's address was forged in queries whose answers
// are large: it is the victim of a reflection attack. Who looks for reflectors
// asks each address once and from its own address; who uses them repeats the
// same bytes.
func judgeReflection(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	c := f.marked(observation.MarkReflectQuery)
	if c.hits == 0 {
		return casedb.Verdict{}, false
	}
	var packets, same, dests uint64
	fixed := true
	for i := range p.entryCount() {
		e := p.entry(i)
		if e.mark(observation.MarkReflectQuery) == 0 {
			continue
		}
		packets += e.packets
		same += e.mark(observation.MarkSamePayload)
		dests += uint64(e.destsSum)
		fixed = fixed && e.has(flagSample) && !e.has(flagPeerVaries)
	}
	repeated := dests > 0 && packets >= 2*dests
	if c.hits < 5 || 2*same < packets || !repeated && !fixed {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindReflection, Confidence: 0.8}
	if repeated && p.Destinations() >= 2 {
		v.Confidence = 0.9
	}
	v.Evidence.V.Hits, v.Evidence.V.Of = same, packets
	v.Evidence.V.Also = without(p.also(observation.MarkNone), RuleReflection)
	v.Ports = f.portList(maxPorts, func(e *entry) bool { return e.mark(observation.MarkReflectQuery) > 0 })
	return v, true
}

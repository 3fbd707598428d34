package attribution

import (
	"slices"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// undeclaredPackets is the number of probes outside the declared ports that
// make a contradiction: a single packet is easily forged, or damaged on its
// way, and says nothing about its sender.
const undeclaredPackets = 2

// undeclared returns what the source probed outside the declared ports, nil if
// that is nothing or could be an accident. Answers, conversations and packets
// for everybody are no probes, and where the port is not known (fragments,
// headers cut short, ports beyond those told apart) nothing is said of it.
func (p *Profile) undeclared(declared casedb.PortSet) *casedb.Undeclared {
	if !declared.Declared() {
		return nil
	}
	u := &casedb.Undeclared{Declared: declared.String(), Of: p.facts.probes}
	var names []string
	for _, i := range p.facts.order {
		e := p.entry(i)
		if !e.declarable() || declared.Contains(e.proto, e.port) {
			continue
		}
		u.Packets += e.packets
		if name := p.facts.portName(e); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if u.Packets < undeclaredPackets {
		return nil
	}
	u.Ports = names[:min(len(names), maxPorts)]
	u.More = len(names) - len(u.Ports)
	return u
}

// declarable reports whether an entry's packets are probes of a port, or of a
// protocol without ports, that an operator can declare.
func (e *entry) declarable() bool {
	if e.has(flagEstablished) || e.has(flagRest) || e.has(flagBroadcast) || e.answer() {
		return false
	}
	switch e.class {
	case observation.ClassICMPEcho, observation.ClassICMPOther:
		return true
	case observation.ClassOther:
		return e.proto != protoTCP && e.proto != protoUDP
	}
	return e.probePort()
}

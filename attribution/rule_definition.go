package attribution

import (
	"fmt"
	"slices"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// Definitions are the thresholds from which a source with an unknown tool is
// called a scanner. Each verdict names the one it used. Zero means the default, a
// negative number that the definition is not used.
type Definitions struct {
	// PortsPerDay is TSUBAME's: so many ports within one day. Default 10. With
	// one address it is a vertical scan.
	PortsPerDay int
	// Addresses is that of Durumeric et al. 2014: so many addresses on one port,
	// a horizontal scan. Default 100.
	Addresses int
	// BlockPorts on BlockAddresses each are a block scan (Staniford et al.
	// 2002). Defaults 3 and 20.
	BlockPorts, BlockAddresses int
	// Protocols is the number of IP protocols asked for. Default 10.
	Protocols int
}

func (d Definitions) withDefaults() Definitions {
	for _, f := range []struct {
		value *int
		start int
	}{{&d.PortsPerDay, tsubamePorts}, {&d.Addresses, durumericDests}, {&d.BlockPorts, 3}, {&d.BlockAddresses, 20}, {&d.Protocols, 10}} {
		if *f.value == 0 {
			*f.value = f.start
		}
	}
	return d
}

// stealthTargets is the number of ports and addresses from which on packets
// that no stack sends are a scan; fewer may be a flood or a broken device.
const stealthTargets = 5

// judgeStealth: TCP without flags, or with FIN, PSH and URG alone. No stack
// sends either (RFC 9293, 3.10.7), so a handful of targets is enough; that
// includes Nmap's -sN and -sX, which have no mark of their own.
func judgeStealth(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	var packets uint64
	ports, dests := 0, uint32(0)
	for i := range p.entryCount() {
		e := p.entry(i)
		if e.class != observation.ClassNull && e.class != observation.ClassXmas || e.has(flagBroadcast) {
			continue
		}
		packets += e.packets
		ports++
		dests = max(dests, e.reach())
	}
	if max(ports, int(dests)) < stealthTargets || 2*packets < f.probes || f.clientLike() {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindScanner, Confidence: 0.85}
	e := &v.Evidence.V
	e.Definition = fmt.Sprintf("stealth: TCP without flags or with FIN, PSH and URG only, to %d or more ports or addresses", stealthTargets)
	e.Hits, e.Of = packets, p.packets
	e.Also = p.also(observation.MarkNone)
	v.Ports = f.portList(maxPorts, func(e *entry) bool { return e.class == observation.ClassNull || e.class == observation.ClassXmas })
	return v, true
}

// judgeProtocols: a scan of IP protocols has no ports to count.
func judgeProtocols(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	least := f.defs.Protocols
	if least < 1 || p.entryCount() < least {
		return casedb.Verdict{}, false
	}
	var asked [256]bool
	n, packets := 0, uint64(0)
	for i := range p.entryCount() {
		e := p.entry(i)
		if e.has(flagEstablished) || e.answer() || e.has(flagBroadcast) {
			continue
		}
		packets += e.packets
		if !asked[e.proto] {
			asked[e.proto] = true
			n++
		}
	}
	if n < least || f.clientLike() {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindScanner, Confidence: 0.8}
	v.Evidence.V.Definition = fmt.Sprintf("IP protocols: %d or more", least)
	v.Evidence.V.Hits, v.Evidence.V.Of = uint64(n), uint64(n)
	v.Evidence.V.Also = p.also(observation.MarkNone)
	return v, true
}

// judgeBlock: several ports, each at many addresses, and not enough of either
// for the other definitions.
func judgeBlock(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	d := f.defs
	if d.BlockPorts < 1 || d.BlockAddresses < 1 || p.entryCount() < d.BlockPorts || f.clientLike() {
		return casedb.Verdict{}, false
	}
	var ports []string
	var packets uint64
	for _, i := range f.order {
		e := p.entry(i)
		// High UDP ports are where peers listen, not what scanners look for.
		if !e.probePort() || int64(e.dests) < int64(d.BlockAddresses) || e.proto == protoUDP && e.port >= 1024 && !servicePort(e.port) {
			continue
		}
		if name := f.portName(e); !slices.Contains(ports, name) {
			ports = append(ports, name)
		}
		packets += e.packets
	}
	if len(ports) < d.BlockPorts {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindScanner, Confidence: 0.75, Ports: ports[:min(len(ports), maxPorts)]}
	e := &v.Evidence.V
	e.Definition = fmt.Sprintf("block: %d or more ports with %d or more addresses each", d.BlockPorts, d.BlockAddresses)
	e.Hits, e.Of = packets, p.packets
	if f.established > 0 {
		e.Notes = append(e.Notes, NoteConversation)
		v.Confidence = 0.6
	}
	e.Also = p.also(observation.MarkNone)
	return v, true
}

// shape says how a scan spreads: over ports, over addresses, or both.
func (p *Profile) shape() string {
	ports, dests := p.facts.ports, p.Destinations()
	switch {
	case ports >= 3 && dests >= 3:
		return NoteBlock
	case ports >= 3:
		return NoteVertical
	case dests >= 3:
		return NoteHorizontal
	}
	return ""
}

// icsPort reports whether industrial control systems listen on the port: S7,
// Modbus, IEC 104, DNP3, EtherNet/IP, BACnet and the like.
func icsPort(proto uint8, port uint16) bool {
	if proto != protoTCP && proto != protoUDP {
		return false
	}
	switch port {
	case 102, 502, 789, 1089, 1090, 1091, 1911, 1962, 2404, 4840, 4911, 5006, 5007, 5094, 9600, 18245, 18246, 20000, 20547, 34962, 34963,
		34964, 34980, 44818, 47808:
		return true
	}
	return false
}

// asksICS reports whether the source probes a port of industrial control
// systems. Who asks for hundreds of ports asks for these too, and means
// nothing by it.
func (p *Profile) asksICS() bool {
	const most = 100
	if p.facts.ports > most {
		return false
	}
	for i := range p.entryCount() {
		if e := p.entry(i); e.probePort() && icsPort(e.proto, e.port) && !e.has(flagBroadcast) {
			return true
		}
	}
	return false
}

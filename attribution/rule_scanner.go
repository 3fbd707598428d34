package attribution

import (
	"fmt"
	"slices"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// judgeAcknowledged: the source is on the allowlist, and scans. Where it shows
// malware's marks, or probes ports that its entry does not declare, it stays a
// scanner in name, and a coordinator must look.
func judgeAcknowledged(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	if p.ack == nil || f.probes == 0 || f.answers > f.probes {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindScanner, Acknowledged: p.ack.Organisation, Confidence: 0.95}
	e := &v.Evidence.V
	e.Hits, e.Of, e.List = f.probes, p.packets, p.ack.List
	if len(p.ack.Conflicts) > 0 {
		v.Confidence = 0.85
		e.Notes = append(e.Notes, NoteConflict)
	}
	for _, m := range [...]observation.Mark{observation.MarkZMap, observation.MarkMasscan, observation.MarkMasscanK, observation.MarkUnicornscan,
		observation.MarkNmap, observation.MarkZMapTime, observation.MarkZMapOptions, observation.MarkAngryIP} {
		if w, ok := p.toolVerdict(m); ok {
			t := &w.Evidence.V
			v.Tool, e.Hits, e.Of, e.Chance = w.Tool, t.Hits, t.Of, t.Chance
			break
		}
	}
	e.Also = p.also(observation.MarkNone)
	for _, r := range [...]rule{{RuleSlammer, judgeSlammer}, {RuleMirai, judgeMirai}, {RuleMiraiHidden, judgeMiraiHidden}, {RuleWorm445, judgeWorm445}} {
		if w, ok := r.judge(p); ok {
			v.Malware, v.Attention = w.Malware, AttentionMalware+":"+r.name
			if !slices.Contains(e.Also, r.name) {
				e.Also = append(e.Also, r.name)
			}
			break
		}
	}
	if e.Undeclared = p.undeclared(p.ack.Ports); e.Undeclared != nil && v.Attention == "" {
		v.Attention = AttentionUndeclared
	}
	return v, true
}

// The texts of the attention of a verdict about an acknowledged scanner.
const (
	// AttentionMalware begins it where the source shows a malware's marks; a
	// colon and the rule follow.
	AttentionMalware = "malware"
	// AttentionUndeclared says that it probes ports that its entry does not
	// declare.
	AttentionUndeclared = "undeclared-ports"
)

// judgeBogon: addresses that cannot send.
func judgeBogon(p *Profile) (casedb.Verdict, bool) {
	a := p.source
	switch {
	case a.IsMulticast(), a.IsLoopback(), isBroadcast(a):
	case a.IsUnspecified():
		if p.boot() {
			return casedb.Verdict{}, false
		}
	case a.Is4() && (a.As4()[0] >= 240 || a.As4()[0] == 0):
	default:
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindSpoofed, Confidence: 1}
	v.Evidence.V.Hits, v.Evidence.V.Of = p.packets, p.packets
	return v, true
}

// boot reports whether the source only asks for an address (RFC 2131) or
// checks its own (RFC 4862).
func (p *Profile) boot() bool {
	for i := range p.entryCount() {
		e := p.entry(i)
		dhcp := e.proto == protoUDP && (e.port == 67 || e.port == 547)
		if !dhcp && e.proto != protoICMPv6 && e.proto != 2 {
			return false
		}
	}
	return true
}

// lanPort reports whether hosts look for each other on the UDP port within
// their own network: NetBIOS, LLMNR, mDNS, SSDP, WS-Discovery, Dropbox,
// Syncthing, Plex, Steam, printers and the like.
func lanPort(port uint16) bool {
	switch port {
	case 67, 68, 137, 138, 520, 631, 1900, 1947, 3702, 5353, 5355, 6771, 17500, 21027, 27036, 32412, 32414:
		return true
	}
	return false
}

// neighbour reports whether an entry is traffic of a host to its own network:
// to the directed broadcast address, or to one or two addresses next to its own.
// TSUBAME's sensors see 17500/UDP and 138/UDP like that.
func (p *Profile) neighbour(e *entry) bool {
	if e.proto != protoUDP || !lanPort(e.port) || e.dest>>32 != 1 || !p.source.Is4() || e.reach() > 2 {
		return false
	}
	b := p.source.As4()
	source, dest := uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]), uint32(e.dest)
	return source>>8 == dest>>8 || source>>16 == dest>>16 && dest&0xff == 0xff
}

// judgeBroadcast: traffic for everybody on a link is no probe.
func judgeBroadcast(p *Profile) (casedb.Verdict, bool) {
	a := p.source
	neighbour := a.IsLinkLocalUnicast() || a.IsUnspecified()
	if !neighbour && 2*p.facts.broadcast < p.packets || p.packets == 0 {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindMisconfigured, Confidence: 0.9}
	v.Evidence.V.Hits, v.Evidence.V.Of = p.facts.broadcast, p.packets
	if neighbour {
		v.Evidence.V.Hits = p.packets
	}
	if neighbour || p.facts.neighbour > 0 {
		v.Evidence.V.Notes = append(v.Evidence.V.Notes, NoteNeighbour)
	}
	return v, true
}

// judgeFlood: one of the sources of a flood that were forged.
func judgeFlood(p *Profile) (casedb.Verdict, bool) {
	if p.member != AggregateFlood {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindSpoofed, Confidence: 0.9}
	v.Evidence.V.Hits, v.Evidence.V.Of = p.packets, p.packets
	return v, true
}

// tsubamePorts is TSUBAME's definition: a source that sends to ten or more
// ports within one day, 0:00 to 23:59.
const tsubamePorts = 10

// Definitions of a scanner, as named in evidence.
const (
	DefinitionTSUBAME   = "TSUBAME: 10 or more ports within one day"
	DefinitionDurumeric = "Durumeric et al. 2014: 100 or more addresses on one port"
)

func judgeTSUBAME(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	least := f.defs.PortsPerDay
	if least < 1 || f.portsDay < least || f.clientLike() {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindScanner, Confidence: 0.8}
	if f.portsDay >= 5*tsubamePorts {
		v.Confidence = 0.9
	}
	e := &v.Evidence.V
	e.Definition = DefinitionTSUBAME
	if least != tsubamePorts {
		e.Definition = fmt.Sprintf("%d or more ports within one day", least)
	}
	e.Hits, e.Of = uint64(f.portsDay), uint64(f.ports)
	if f.established > 0 {
		e.Notes = append(e.Notes, NoteConversation)
		v.Confidence = 0.6
	}
	if p.many {
		e.Notes = append(e.Notes, NoteRest)
	}
	v.Ports = f.portList(maxPorts, (*entry).probePort)
	e.Also = p.also(observation.MarkNone)
	return v, true
}

// clientLike reports whether the capture shows that the source mostly talks:
// then the ports it found closed are no scan. One long conversation makes no
// client of a host that asks dozens of ports, so what is compared is what was
// talked to and what was asked, besides the packets.
func (f *facts) clientLike() bool {
	return f.established > 0 && f.established >= 2*f.probes && 2*f.talks >= f.asks
}

// The thresholds of Durumeric et al. 2014: a hundred dark addresses on one
// port, at an estimated ten packets a second over the whole Internet.
const (
	durumericDests = 100
	durumericRate  = 10
)

func judgeDurumeric(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	if f.sweep < 0 {
		return casedb.Verdict{}, false
	}
	e := p.entry(f.sweep)
	if f.defs.Addresses < 1 || int64(e.dests) < int64(f.defs.Addresses) || e.has(flagRest) || f.clientLike() || f.peerUDP > 0 && e.proto == protoUDP {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindScanner, Confidence: 0.8}
	ev := &v.Evidence.V
	if f.monitored == 0 {
		ev.Notes = append(ev.Notes, NoteRateUnknown)
		v.Confidence = 0.7
	} else {
		seconds := max(float64(p.last-p.first)/1e9, 1)
		if float64(e.packets)/seconds*(1<<32)/float64(f.monitored) < durumericRate {
			return casedb.Verdict{}, false
		}
	}
	ev.Definition = DefinitionDurumeric
	if f.defs.Addresses != durumericDests {
		ev.Definition = fmt.Sprintf("%d or more addresses on one port", f.defs.Addresses)
	}
	ev.Hits, ev.Of = e.packets, p.packets
	ev.Also = p.also(observation.MarkNone)
	name := e.portName()
	v.Ports = append([]string{name}, without(f.portList(maxPorts-1, (*entry).probePort), name)...)
	return v, true
}

// persistentDays is the number of days from which on a source that sends to
// one port of one address, and nothing else, is taken for misconfigured.
const persistentDays = 3

func judgePersistent(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	if f.ports != 1 || p.Days() < persistentDays || p.Destinations() != 1 || f.answers > 0 || f.established > 0 {
		return casedb.Verdict{}, false
	}
	v := casedb.Verdict{Kind: casedb.KindMisconfigured, Confidence: 0.5}
	v.Evidence.V.Hits, v.Evidence.V.Of = f.probes, p.packets
	v.Evidence.V.Also = p.also(observation.MarkNone)
	return v, true
}

// judgeUnknown is a first-class answer: nothing that the packets show says more.
func judgeUnknown(p *Profile) (casedb.Verdict, bool) {
	f := p.facts
	v := casedb.Verdict{Kind: casedb.KindUnknown}
	e := &v.Evidence.V
	e.Of, e.Chance = p.packets, 1
	if f.established > 0 {
		e.Notes = append(e.Notes, NoteConversation)
	}
	if f.peerUDP+f.peerTCP > 0 {
		e.Notes = append(e.Notes, NotePeerToPeer)
	}
	if f.ports == 1 && p.Destinations() == 1 && p.packets >= 100 && f.established == 0 {
		e.Notes = append(e.Notes, NoteFloodLike)
	}
	if p.packets == 1 {
		e.Notes = append(e.Notes, NoteOnePacket)
	}
	for m := observation.MarkZMap; m <= observation.MarkSlammer; m++ {
		if f.total(m).hits > 0 {
			e.Also = append(e.Also, ruleOf(m))
		}
	}
	return v, true
}

package attribution

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

const (
	floodPackets = 3 // a forged source seldom comes twice
	floodCells   = 1 << 16
	floodMean    = 2.0
	hourNanos    = int64(time.Hour)
	floodStep    = 10 * int64(time.Minute)
	floodSteps   = 6 // an hour, wherever it begins
)

// floodKey names one possible flood: within an hour, to one destination.
type floodKey struct {
	dest  uint64
	hour  int64
	port  uint16
	proto uint8
	class observation.Class // synack stands for all answers
	scope casedb.FloodScope
}

func (k floodKey) answers() bool { return k.class == observation.ClassSYNACK }

func (k floodKey) cell() uint64 {
	return mix(k.dest^uint64(k.port)<<8^uint64(k.proto)<<24^uint64(k.class)<<32^uint64(k.scope)<<37) % floodCells
}

// answerFlood returns the flood of answers that a source could be part of: all
// that it sent went to one destination and answers something. Its hour is that
// of its first packet.
func (p *Profile) answerFlood() (k floodKey, ok bool) {
	if p.packets == 0 || p.more != nil && len(p.more.dests) > 0 {
		return k, false
	}
	e := &p.one
	k = floodKey{dest: p.dest, hour: p.first / hourNanos, proto: e.proto, class: observation.ClassSYNACK}
	if !e.answer() {
		return p.onePortFlood(k)
	}
	for i := range p.entryCount() {
		if x := p.entry(i); !x.answer() || x.dests > 1 {
			return k, false
		}
	}
	switch {
	case e.class == observation.ClassUDP:
		k.port = e.peer
	case e.class == observation.ClassUDPAnswer:
		k.port = e.port
	case e.proto == protoICMP:
		k.proto = protoTCP // errors about the forged SYNs belong to the same flood
	}
	return k, true
}

// onePortFlood is answerFlood for packets that could go either way. Hundreds of
// sources that send from the same port to one address of ours answer: clients
// have ports of their own, and so have forged ones. The port of ours says nothing,
// as who forged our address chose it. Between equal ports, hosts talk that have
// both roles (NTP, IKE, SIP).
func (p *Profile) onePortFlood(k floodKey) (floodKey, bool) {
	k.port = p.one.peer
	for i := range p.entryCount() {
		e := p.entry(i)
		if e.dests > 1 || !e.fromOnePort() || e.peer != k.port || e.proto != k.proto || e.peer == e.port || e.peer == 0 {
			return k, false
		}
	}
	return k, true
}

// forgedFlood returns the flood of forged sources that a source could be part of:
// it sent a packet or two, all to one destination and one port.
func (p *Profile) forgedFlood() (k floodKey, ok bool) {
	if p.packets == 0 || p.packets > floodPackets || p.more != nil && (len(p.more.entries) > 0 || len(p.more.dests) > 0) {
		return k, false
	}
	e := &p.one
	k = floodKey{dest: p.dest, hour: p.first / hourNanos, port: e.port, proto: e.proto, class: e.class}
	if e.answer() || e.dests > 1 {
		return k, false
	}
	switch e.class {
	case observation.ClassSYN, observation.ClassACK, observation.ClassFIN, observation.ClassNull, observation.ClassXmas,
		observation.ClassTCPOther, observation.ClassUDP, observation.ClassICMPEcho, observation.ClassOther:
	default:
		return k, false
	}
	// Malware's own marks tell its hosts from forged sources, except for a sequence
	// number that many sources share: that is what a flood has.
	for _, m := range e.marks {
		switch m {
		case observation.MarkMirai, observation.MarkWorm445, observation.MarkSlammer:
			return k, false
		case observation.MarkMasscan, observation.MarkZMap:
			if e.mark(m) > 1 {
				return k, false
			}
		}
	}
	return k, true
}

// carpetFlood is forgedFlood for a flood over the addresses of a /24.
func (p *Profile) carpetFlood() (k floodKey, ok bool) {
	k, ok = p.forgedFlood()
	k.dest, k.scope = k.dest&^0xff, casedb.FloodOfNetwork
	return k, ok && k.dest>>32 == 1
}

// portsFlood is forgedFlood for a flood of the ports of one address.
func (p *Profile) portsFlood() (k floodKey, ok bool) {
	k, ok = p.forgedFlood()
	k.port, k.scope = 0, casedb.FloodOfAddress
	return k, ok && (k.proto == protoTCP || k.proto == protoUDP)
}

// floodTally counts the sources of one possible flood, by the step of their first
// packet.
type floodTally struct {
	steps map[int64]*floodCount
	ports map[string]uint64
	signs floodSigns
}

type floodCount struct {
	sources     int
	packets     uint64
	first, last int64
}

func (t *floodTally) add(p *Profile, k floodKey) {
	c := t.steps[p.first/floodStep]
	if c == nil {
		c = &floodCount{first: p.first, last: p.last}
		t.steps[p.first/floodStep] = c
	}
	c.sources++
	c.packets += p.packets
	c.first, c.last = min(c.first, p.first), max(c.last, p.last)
	name := p.one.portName()
	if k.answers() && (p.one.class == observation.ClassUDP || p.one.class == observation.ClassACK || p.one.class == observation.ClassFIN) {
		name = portName(p.one.proto, p.one.peer)
	}
	if len(t.ports) < 100 || t.ports[name] > 0 {
		t.ports[name]++
	}
	t.signs.add(p)
}

// hours returns the hours of the clock in which the flood was: an hour that begins
// at any step and has so many sources touches them.
func (t *floodTally) hours(k floodKey, least int) []casedb.FloodHour {
	touched := map[int64]*casedb.FloodHour{}
	for first := range t.steps {
		sources, packets := 0, uint64(0)
		for s := first; s < first+floodSteps; s++ {
			if c := t.steps[s]; c != nil {
				sources += c.sources
				packets += c.packets
			}
		}
		if sources < least || !k.answers() && float64(packets) > floodMean*float64(sources) {
			continue
		}
		for s := first; s < first+floodSteps; s++ {
			if t.steps[s] != nil {
				hour := s * floodStep / hourNanos
				touched[hour] = &casedb.FloodHour{At: time.Unix(0, hour*hourNanos).UTC()}
			}
		}
	}
	for s, c := range t.steps {
		if h := touched[s*floodStep/hourNanos]; h != nil {
			h.Sources += int64(c.sources)
			h.Packets += int64(c.packets)
		}
	}
	list := make([]casedb.FloodHour, 0, len(touched))
	for _, h := range touched {
		list = append(list, *h)
	}
	slices.SortFunc(list, func(a, b casedb.FloodHour) int { return a.At.Compare(b.At) })
	return list
}

// floods finds the floods, first those of answers, then those of forged sources
// among the rest, the narrow ones first, and the members of these and of the floods
// known before.
func (s *Profiles) floods() {
	s.floodsOf(AggregateReflected, s.opt.ReflectorSources, (*Profile).answerFlood)
	for _, key := range [...]func(*Profile) (floodKey, bool){(*Profile).forgedFlood, (*Profile).carpetFlood, (*Profile).portsFlood} {
		s.floodsOf(AggregateFlood, s.opt.FloodSources, key)
	}
	slices.SortFunc(s.aggs, func(a, b Aggregate) int {
		return cmp.Or(b.Sources-a.Sources, a.First.Compare(b.First), a.Destination.Compare(b.Destination))
	})
	if len(s.aggs) > maxAggregates {
		s.aggs = s.aggs[:maxAggregates]
	}
}

// floodsOf finds the floods of one kind, to which a source could belong as key
// says.
func (s *Profiles) floodsOf(kind AggregateKind, least int, key func(*Profile) (floodKey, bool)) {
	found := map[floodKey]*floodTally{} // by hour
	for k, known := range s.opt.known {
		if known == kind {
			found[k] = nil
		}
	}
	for k, t := range s.tallyFloods(least, key) {
		hours := t.hours(k, least)
		if len(hours) == 0 || kind == AggregateFlood && !t.signs.forged(k) {
			continue
		}
		for _, h := range hours {
			k.hour = h.At.UnixNano() / hourNanos
			found[k] = t
		}
		s.aggs = append(s.aggs, t.aggregates(k, kind, hours)...)
	}
	if len(found) == 0 {
		return
	}
	for n := range s.count {
		p := s.at(n)
		k, ok := key(p)
		if !ok || p.member != aggregateNone {
			continue
		}
		for _, d := range [...]int64{0, -1, 1} { // the hour before or after belongs to the same flood
			near := k
			near.hour += d
			if t, ok := found[near]; ok && !t.apart(p) {
				p.member = kind
				break
			}
		}
	}
}

// apart reports whether a source that could be a member is known by its own mark:
// more of them show it than chance explains.
func (t *floodTally) apart(p *Profile) bool {
	if t == nil {
		return false
	}
	for _, m := range p.one.marks {
		if m == observation.MarkMasscan || m == observation.MarkZMap {
			if _, ok := p.weakTool(m); ok && !t.signs.chance(m) {
				return true
			}
		}
	}
	return false
}

// tallyFloods counts the sources of what could be floods: first in cells, then
// exactly in the few cells that are full. The hour of the keys is 0.
func (s *Profiles) tallyFloods(least int, key func(*Profile) (floodKey, bool)) map[floodKey]*floodTally {
	if s.count < least {
		return nil
	}
	cells := make([]uint32, floodCells)
	for n := range s.count {
		if k, ok := key(s.at(n)); ok && s.at(n).member == aggregateNone {
			cells[k.cell()]++
		}
	}
	tallies := map[floodKey]*floodTally{}
	for n := range s.count {
		p := s.at(n)
		k, ok := key(p)
		if !ok || p.member != aggregateNone || cells[k.cell()] < uint32(least) {
			continue
		}
		k.hour = 0
		t := tallies[k]
		if t == nil {
			if len(tallies) >= maxTalliesHeld {
				continue
			}
			t = &floodTally{steps: map[int64]*floodCount{}, ports: map[string]uint64{}}
			tallies[k] = t
		}
		t.add(p, k)
	}
	return tallies
}

// aggregates returns the floods of a tally: hours that follow each other are one.
func (t *floodTally) aggregates(k floodKey, kind AggregateKind, hours []casedb.FloodHour) (list []Aggregate) {
	for i := 0; i < len(hours); {
		next := i + 1
		for next < len(hours) && hours[next].At.Sub(hours[next-1].At) == time.Hour {
			next++
		}
		list = append(list, t.aggregate(k, kind, hours[i:next]))
		i = next
	}
	return list
}

func (t *floodTally) aggregate(k floodKey, kind AggregateKind, hours []casedb.FloodHour) Aggregate {
	k.hour = hours[0].At.UnixNano() / hourNanos
	a := Aggregate{Kind: kind, flood: k, hours: slices.Clone(hours), Confidence: 0.9}
	first, last := int64(0), int64(0)
	for s, c := range t.steps {
		hour := s * floodStep / hourNanos
		if hour < k.hour || hour >= k.hour+int64(len(hours)) {
			continue
		}
		if a.Sources == 0 {
			first, last = c.first, c.last
		}
		a.Sources += c.sources
		a.Packets += c.packets
		first, last = min(first, c.first), max(last, c.last)
	}
	a.First, a.Last = time.Unix(0, first).UTC(), time.Unix(0, last).UTC()
	if k.dest>>32 == 1 {
		a.Destination = netip.AddrFrom4([4]byte{byte(k.dest >> 24), byte(k.dest >> 16), byte(k.dest >> 8), byte(k.dest)})
	}
	a.Ports = byCount(t.ports)
	a.Evidence = casedb.Evidence{Packets: a.Packets, Hits: uint64(a.Sources), Of: uint64(a.Sources), Destinations: 1}
	return a
}

// byCount returns the names of ports, those with most first and at most maxPorts.
func byCount(ports map[string]uint64) []string {
	list := slices.Collect(maps.Keys(ports))
	slices.SortFunc(list, func(x, y string) int { return cmp.Or(cmp.Compare(ports[y], ports[x]), cmp.Compare(x, y)) })
	return list[:min(len(list), maxPorts)]
}

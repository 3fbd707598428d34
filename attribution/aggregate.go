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

// AggregateKind is the kind of an event that only many sources together show.
type AggregateKind uint8

// The kinds of aggregates.
const (
	aggregateNone AggregateKind = iota
	// AggregateFlood is a flood of forged sources.
	AggregateFlood
	// AggregateReflected is a flood of answers to one of our addresses.
	AggregateReflected
	// AggregateVictim is a host under attack by packets forged as ours.
	AggregateVictim
	// AggregateCampaign is many sources with the same mark on the same port.
	AggregateCampaign
)

// String returns the kind as it is written in output.
func (k AggregateKind) String() string {
	switch k {
	case AggregateFlood:
		return "spoofed_flood"
	case AggregateReflected:
		return "reflected_flood"
	case AggregateVictim:
		return "dos_victim"
	case AggregateCampaign:
		return "campaign"
	}
	return ""
}

// Aggregate is something that no source shows by itself.
type Aggregate struct {
	Kind AggregateKind
	// Destination is our address under a flood, Victim the source under attack.
	Destination netip.Addr
	Victim      netip.Addr
	Ports       []string
	Sources     int // sources that take part
	Packets     uint64
	First, Last time.Time
	// Peak is the packets of an attack in the busiest minute of one sensor, port
	// and class, so a lower bound; for observations of old versions the mean.
	Peak float64
	// Rule is what the sources of a campaign have in common, and Network where
	// they are; no Network if they are anywhere.
	Rule    string
	Network netip.Prefix
	// Confidence and Evidence are as in a verdict; Hits and Of count sources.
	Confidence float64
	Evidence   casedb.Evidence

	flood floodKey // of a flood
}

const (
	maxAggregates  = 1000
	floodPackets   = 3 // a forged source seldom comes twice
	floodCells     = 1 << 16
	floodMean      = 2.0
	hourNanos      = int64(time.Hour)
	maxTalliesHeld = 1 << 16
)

// floodKey names one possible flood: within an hour, to one destination.
type floodKey struct {
	dest  uint64
	hour  int64
	port  uint16
	proto uint8
	class observation.Class // synack stands for all answers
}

func (k floodKey) cell() uint64 {
	return mix(k.dest^uint64(k.hour)<<40^uint64(k.port)<<8^uint64(k.proto)<<24^uint64(k.class)<<32) % floodCells
}

type floodTally struct {
	sources     int
	packets     uint64
	first, last int64
	ports       map[string]uint64
}

// finish looks at all sources together, once.
func (s *Profiles) finish() {
	if s.done {
		return
	}
	s.done = true
	s.aggs = nil
	for n := range s.count {
		p := s.at(n)
		p.company, p.member = 0, aggregateNone
	}
	s.keepCompany()
	s.floods()
	s.victims()
	s.campaigns()
}

// Aggregates returns the events that only many sources together show.
func (s *Profiles) Aggregates() []Aggregate {
	s.finish()
	return s.aggs
}

// floodMember returns the flood that a source could be part of: it sent a
// packet or two, all to one destination and one port.
func (p *Profile) floodMember() (floodKey, bool) {
	if p.packets == 0 {
		return floodKey{}, false
	}
	e := &p.one
	k := floodKey{dest: p.dest, hour: p.first / hourNanos, port: e.port, proto: e.proto, class: e.class}
	if e.answer() {
		// Reflectors: any number of packets, to one address, from service ports.
		for i := range p.entryCount() {
			if x := p.entry(i); !x.answer() || x.dests > 1 {
				return k, false
			}
		}
		if p.more != nil && len(p.more.dests) > 0 {
			return k, false
		}
		k.class, k.port = observation.ClassSYNACK, 0
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
	if p.packets > floodPackets || p.more != nil && (len(p.more.entries) > 0 || len(p.more.dests) > 0) || e.dests > 1 {
		return k, false
	}
	switch e.class {
	case observation.ClassSYN, observation.ClassACK, observation.ClassFIN, observation.ClassNull, observation.ClassXmas,
		observation.ClassTCPOther, observation.ClassUDP, observation.ClassICMPEcho, observation.ClassOther:
	default:
		return k, false
	}
	// Scanners' and worms' own marks tell them from forged sources, except for a
	// sequence number that many sources share: that is what a flood has.
	for _, m := range e.marks {
		switch m {
		case observation.MarkMirai, observation.MarkWorm445, observation.MarkSlammer:
			return k, false
		case observation.MarkMasscan, observation.MarkZMap:
			// One source in 65,536 of a flood has the mark by chance: the other
			// fields must agree.
			if _, ok := p.weakTool(m); ok || e.mark(m) > 1 {
				return k, false
			}
		}
	}
	return k, true
}

// floods finds the floods, first by counting in cells, then exactly in the few
// cells that are full, and the members of these and of the floods known before.
func (s *Profiles) floods() {
	tallies := s.tallyFloods()
	found := maps.Clone(s.opt.known)
	if found == nil {
		found = map[floodKey]AggregateKind{}
	}
	var fresh []floodKey
	for k, t := range tallies {
		kind := aggregateNone
		switch {
		case k.class == observation.ClassSYNACK && t.sources >= s.opt.ReflectorSources:
			kind = AggregateReflected
		case k.class != observation.ClassSYNACK && t.sources >= s.opt.FloodSources && float64(t.packets) <= floodMean*float64(t.sources):
			kind = AggregateFlood
		default:
			continue
		}
		found[k] = kind
		fresh = append(fresh, k)
	}
	if len(found) == 0 {
		return
	}
	for n := range s.count {
		p := s.at(n)
		if k, ok := p.floodMember(); ok {
			p.member = found[k]
			if p.member == aggregateNone { // the hour before or after belongs to the same flood
				for _, d := range [...]int64{-1, 1} {
					near := k
					near.hour += d
					p.member = max(p.member, found[near])
				}
			}
		}
	}
	for _, k := range fresh {
		s.aggs = append(s.aggs, tallies[k].aggregate(k, found[k]))
	}
	slices.SortFunc(s.aggs, func(a, b Aggregate) int {
		return cmp.Or(b.Sources-a.Sources, a.First.Compare(b.First), a.Destination.Compare(b.Destination))
	})
	if len(s.aggs) > maxAggregates {
		s.aggs = s.aggs[:maxAggregates]
	}
}

// tallyFloods counts the sources of what could be floods; nil if there are not
// enough sources for one.
func (s *Profiles) tallyFloods() map[floodKey]*floodTally {
	limit := uint32(min(s.opt.FloodSources, s.opt.ReflectorSources))
	if s.count < int(limit) {
		return nil
	}
	cells := make([]uint32, floodCells)
	for n := range s.count {
		if k, ok := s.at(n).floodMember(); ok {
			cells[k.cell()]++
		}
	}
	tallies := map[floodKey]*floodTally{}
	for n := range s.count {
		p := s.at(n)
		k, ok := p.floodMember()
		if !ok || cells[k.cell()] < limit {
			continue
		}
		t := tallies[k]
		if t == nil {
			if len(tallies) >= maxTalliesHeld {
				continue
			}
			t = &floodTally{first: p.first, last: p.last, ports: map[string]uint64{}}
			tallies[k] = t
		}
		t.sources++
		t.packets += p.packets
		t.first, t.last = min(t.first, p.first), max(t.last, p.last)
		name := p.one.portName()
		if k.class == observation.ClassSYNACK && p.one.class == observation.ClassUDP {
			name = portName(protoUDP, p.one.peer)
		}
		if len(t.ports) < 100 || t.ports[name] > 0 {
			t.ports[name]++
		}
	}
	return tallies
}

func (t *floodTally) aggregate(k floodKey, kind AggregateKind) Aggregate {
	a := Aggregate{Kind: kind, flood: k, Sources: t.sources, Packets: t.packets, Confidence: 0.9,
		First: time.Unix(0, t.first).UTC(), Last: time.Unix(0, t.last).UTC()}
	if k.dest>>32 == 1 {
		a.Destination = netip.AddrFrom4([4]byte{byte(k.dest >> 24), byte(k.dest >> 16), byte(k.dest >> 8), byte(k.dest)})
	}
	a.Ports = byCount(t.ports)
	a.Evidence = casedb.Evidence{Packets: t.packets, Hits: uint64(t.sources), Of: uint64(t.sources), Destinations: 1}
	return a
}

// byCount returns the names of ports, those with most first and at most maxPorts.
func byCount(ports map[string]uint64) []string {
	list := slices.Collect(maps.Keys(ports))
	slices.SortFunc(list, func(x, y string) int { return cmp.Or(cmp.Compare(ports[y], ports[x]), cmp.Compare(x, y)) })
	return list[:min(len(list), maxPorts)]
}

// victims lists the sources under attack.
func (s *Profiles) victims() {
	var list []Aggregate
	for n := range s.count {
		p := s.at(n)
		if p.rate < attackPerMinute || p.packets < attackPackets || p.last-p.first < attackSeconds*1e9 || p.member != aggregateNone {
			continue
		}
		s.facts.draw(p, s.opt.Monitored, s.opt.Definitions)
		p.facts = &s.facts
		v, ok := judgeBackscatter(p)
		if ok && p.attacked() && s.facts.established == 0 && s.facts.answering <= 10 {
			p.complete(&v)
			list = append(list, Aggregate{Kind: AggregateVictim, Victim: p.source, Ports: v.Ports, Sources: 1,
				Packets: p.packets, Peak: float64(p.rate), First: v.First, Last: v.Last, Confidence: v.Confidence, Evidence: v.Evidence.V})
		}
		p.facts = nil
	}
	slices.SortFunc(list, func(a, b Aggregate) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), a.Victim.Compare(b.Victim))
	})
	s.aggs = append(s.aggs, list[:min(len(list), max(0, maxAggregates-len(s.aggs)))]...)
}

// keepCompany counts the sources that sent worm-like SYNs, if all that was
// seen went to one address of ours: where several are watched, a worm would
// reach two.
func (s *Profiles) keepCompany() {
	var dest uint64
	var worms uint32
	for n := range s.count {
		p := s.at(n)
		for i := range p.entryCount() {
			e := p.entry(i)
			if e.has(flagBroadcast) {
				continue
			}
			if dest == 0 {
				dest = e.dest
			}
			if e.reach() > 1 || e.dest != dest {
				return
			}
		}
		if e := p.entry445(); e != nil && e.mark(observation.MarkWorm445) >= 2 && 2*e.mark(observation.MarkWorm445) >= e.packets {
			worms++
		}
	}
	for n := range s.count {
		s.at(n).company = worms
	}
}

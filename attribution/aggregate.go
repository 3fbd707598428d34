package attribution

import (
	"cmp"
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

	flood floodKey           // of a flood: its first hour
	hours []casedb.FloodHour // of a flood, the oldest first
}

const (
	maxAggregates  = 1000
	maxTalliesHeld = 1 << 16
)

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
		if e := p.entry445(); e != nil && e.packets >= 2 && 2*e.mark(observation.MarkWorm445) >= e.attempts() {
			worms++
		}
	}
	for n := range s.count {
		s.at(n).company = worms
	}
}

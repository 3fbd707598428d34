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
	s.order()
	s.stages, s.company = s.newStages(), 0
	company := company{alone: true}
	s.each(func(p *Profile) bool {
		company.add(p)
		s.countCells(p)
		return true
	})
	if company.alone {
		s.company = company.worms
	}
	s.floods()
	s.victimsAndCampaigns()
}

// order puts all profiles into the order of addresses, wherever they are.
func (s *Profiles) order() {
	switch {
	case s.sorted != nil:
	case s.shares == nil:
		s.sort()
	default:
		s.fail(s.sortShares())
	}
}

// Aggregates returns the events that only many sources together show.
func (s *Profiles) Aggregates() []Aggregate {
	s.finish()
	return s.aggs
}

// victimsAndCampaigns finds the sources under attack and those that do the same.
func (s *Profiles) victimsAndCampaigns() {
	var victims []Aggregate
	tallies := campaigns{}
	var f facts
	s.each(func(p *Profile) bool {
		if p.member = s.member(p, len(s.stages)); p.member != aggregateNone {
			return true
		}
		if a, ok := s.victim(p, &f); ok {
			victims = append(victims, a)
		}
		tallies.add(p)
		return true
	})
	slices.SortFunc(victims, func(a, b Aggregate) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), a.Victim.Compare(b.Victim))
	})
	s.keepAggregates(victims)
	s.keepAggregates(tallies.aggregates(s.opt.CampaignSources))
}

// keepAggregates keeps the first of a list, as many as there is room for.
func (s *Profiles) keepAggregates(list []Aggregate) {
	s.aggs = append(s.aggs, list[:min(len(list), max(0, maxAggregates-len(s.aggs)))]...)
}

// victim returns the attack on a source, if there is one.
func (s *Profiles) victim(p *Profile, f *facts) (a Aggregate, ok bool) {
	if p.rate < attackPerMinute || p.packets < attackPackets || p.last-p.first < attackSeconds*1e9 {
		return a, false
	}
	f.draw(p, s.opt.Monitored, s.opt.Definitions)
	p.facts = f
	defer p.undraw()
	v, ok := judgeBackscatter(p)
	if !ok || !p.attacked() || f.established > 0 || f.answering > 10 {
		return a, false
	}
	p.complete(&v)
	return Aggregate{Kind: AggregateVictim, Victim: p.source, Ports: v.Ports, Sources: 1, Packets: p.packets, Peak: float64(p.rate),
		First: v.First, Last: v.Last, Confidence: v.Confidence, Evidence: v.Evidence.V}, true
}

// company counts the sources that sent worm-like SYNs, if all that was seen went
// to one address of ours: where several are watched, a worm would reach two.
type company struct {
	alone bool
	dest  uint64
	worms uint32
}

func (c *company) add(p *Profile) {
	if !c.alone {
		return
	}
	for i := range p.entryCount() {
		e := p.entry(i)
		if e.has(flagBroadcast) {
			continue
		}
		if c.dest == 0 {
			c.dest = e.dest
		}
		if e.reach() > 1 || e.dest != c.dest {
			c.alone = false
			return
		}
	}
	if e := p.entry445(); e != nil && e.packets >= 2 && 2*e.mark(observation.MarkWorm445) >= e.attempts() {
		c.worms++
	}
}

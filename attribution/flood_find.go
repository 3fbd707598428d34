package attribution

import (
	"cmp"
	"slices"

	"teiten/internal/observation"
)

// floodStage is one kind of flood, narrow or wide: the floods found, by hour, and
// the key by which a source could belong to one.
type floodStage struct {
	kind  AggregateKind
	least int
	key   func(*Profile) (floodKey, bool)
	found map[floodKey]*floodTally
	cells []uint32 // sources that could belong, members of earlier stages too
}

// floods finds the floods, first those of answers, then those of forged sources
// among the rest, the narrow ones first.
func (s *Profiles) floods() {
	for i := range s.stages {
		s.findFloods(i)
	}
	slices.SortFunc(s.aggs, func(a, b Aggregate) int {
		return cmp.Or(b.Sources-a.Sources, a.First.Compare(b.First), a.Destination.Compare(b.Destination), cmp.Compare(a.flood.port, b.flood.port),
			cmp.Compare(a.flood.proto, b.flood.proto), cmp.Compare(a.flood.class, b.flood.class), cmp.Compare(a.flood.scope, b.flood.scope),
			cmp.Compare(a.flood.hour, b.flood.hour), cmp.Compare(a.flood.dest, b.flood.dest))
	})
	if len(s.aggs) > maxAggregates {
		s.aggs = s.aggs[:maxAggregates]
	}
}

// newStages returns the stages, with the floods known before.
func (s *Profiles) newStages() []floodStage {
	list := []floodStage{
		{kind: AggregateReflected, least: s.opt.ReflectorSources, key: (*Profile).answerFlood},
		{kind: AggregateFlood, least: s.opt.FloodSources, key: (*Profile).forgedFlood},
		{kind: AggregateFlood, least: s.opt.FloodSources, key: (*Profile).carpetFlood},
		{kind: AggregateFlood, least: s.opt.FloodSources, key: (*Profile).portsFlood},
	}
	for i := range list {
		t := &list[i]
		t.cells = make([]uint32, floodCells)
		t.found = map[floodKey]*floodTally{}
		for k, known := range s.opt.known {
			if known == t.kind {
				t.found[k] = nil
			}
		}
	}
	return list
}

// count adds a source to the cells of all stages.
func (s *Profiles) countCells(p *Profile) {
	for i := range s.stages {
		if k, ok := s.stages[i].key(p); ok {
			s.stages[i].cells[k.cell()]++
		}
	}
}

// findFloods finds the floods of one stage.
func (s *Profiles) findFloods(stage int) {
	t := &s.stages[stage]
	for k, tally := range s.tallyFloods(stage) {
		hours := tally.hours(k, t.least)
		if len(hours) == 0 || t.kind == AggregateFlood && !tally.signs.forged(k) {
			continue
		}
		for _, h := range hours {
			k.hour = h.At.UnixNano() / hourNanos
			t.found[k] = tally
		}
		s.aggs = append(s.aggs, tally.aggregates(k, t.kind, hours)...)
	}
	t.cells = nil
}

// member returns the kind of the first flood that a source is a member of, among
// those of so many stages.
func (s *Profiles) member(p *Profile, stages int) AggregateKind {
	for i := range s.stages[:stages] {
		t := &s.stages[i]
		if len(t.found) == 0 {
			continue
		}
		k, ok := t.key(p)
		if !ok {
			continue
		}
		for _, d := range [...]int64{0, -1, 1} { // the hour before or after belongs to the same flood
			near := k
			near.hour += d
			if tally, ok := t.found[near]; ok && !tally.apart(p) {
				return t.kind
			}
		}
	}
	return aggregateNone
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

// tallyFloods counts the sources of what could be floods exactly, in the few cells
// that are full. The hour of the keys is 0.
func (s *Profiles) tallyFloods(stage int) map[floodKey]*floodTally {
	t := &s.stages[stage]
	if s.count < t.least || slices.Max(t.cells) < uint32(t.least) {
		return nil
	}
	tallies := map[floodKey]*floodTally{}
	s.each(func(p *Profile) bool {
		k, ok := t.key(p)
		if !ok || t.cells[k.cell()] < uint32(t.least) || s.member(p, stage) != aggregateNone {
			return true
		}
		k.hour = 0
		tally := tallies[k]
		if tally == nil {
			if len(tallies) >= maxTalliesHeld {
				return true
			}
			tally = &floodTally{steps: map[int64]*floodCount{}, ports: map[uint32]uint64{}}
			tallies[k] = tally
		}
		tally.add(p, k)
		return true
	})
	return tallies
}

package attribution

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// campaignKey is what the sources of a campaign have in common: the mark and
// the port; for tools, which many people use, the network too.
type campaignKey struct {
	mark  observation.Mark
	proto uint8
	port  uint16
	net   netip.Prefix
}

type campaignTally struct {
	sources     int
	packets     uint64
	first, last int64
}

// campaignMark returns the mark that most of the source's probes show on the
// port where it shows most, and that port's entry.
func (p *Profile) campaignMark() (observation.Mark, *entry) {
	var best *entry
	var m observation.Mark
	most := uint64(0)
	for i := range p.entryCount() {
		e := p.entry(i)
		if e.has(flagRest) || !probeClass(e.class) {
			continue
		}
		for _, k := range e.marks {
			n := e.mark(k)
			if k == observation.MarkNone || k >= observation.MarkSYNPayload || k == observation.MarkHping || n <= most || 2*n < e.attempts() {
				continue
			}
			m, best, most = k, e, n
		}
	}
	if m == observation.MarkWorm445 {
		// Windows hosts that talk to a file server are no campaign.
		for i := range p.entryCount() {
			if e := p.entry(i); e.port == best.port && (e.class == observation.ClassACK || e.class == observation.ClassFIN) {
				return observation.MarkNone, nil
			}
		}
	}
	if best == nil || most < 2 && chanceOf(m) > 1e-6 {
		return observation.MarkNone, nil // one packet with 16 bits is chance
	}
	return m, best
}

func chanceOf(m observation.Mark) float64 {
	p, _ := perPacket(m)
	return p
}

// campaigns counts sources that do the same: one worm's, or one network's with
// one tool.
type campaigns map[campaignKey]*campaignTally

func (c campaigns) add(p *Profile) {
	if p.packets == 0 {
		return
	}
	m, e := p.campaignMark()
	if e == nil {
		return
	}
	k := campaignKey{mark: m, proto: e.proto, port: e.port}
	switch m {
	case observation.MarkMirai, observation.MarkMiraiK, observation.MarkWorm445, observation.MarkSlammer:
	default:
		k.net = casedb.CampaignNetwork(p.source)
	}
	t := c[k]
	if t == nil {
		if len(c) >= maxTalliesHeld {
			return
		}
		t = &campaignTally{first: p.first, last: p.last}
		c[k] = t
	}
	t.sources++
	t.packets += p.packets
	t.first, t.last = min(t.first, p.first), max(t.last, p.last)
}

// aggregates returns the campaigns of so many sources and more, the largest first.
func (c campaigns) aggregates(least int) []Aggregate {
	var list []Aggregate
	for k, t := range c {
		if t.sources < least {
			continue
		}
		list = append(list, Aggregate{Kind: AggregateCampaign, Rule: ruleOf(k.mark), Network: k.net, Ports: []string{portName(k.proto, k.port)},
			Sources: t.sources, Packets: t.packets, First: time.Unix(0, t.first).UTC(), Last: time.Unix(0, t.last).UTC(), Confidence: 0.8,
			Evidence: casedb.Evidence{Packets: t.packets, Hits: uint64(t.sources), Of: uint64(t.sources)}})
	}
	slices.SortFunc(list, func(a, b Aggregate) int {
		return cmp.Or(b.Sources-a.Sources, a.First.Compare(b.First), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Ports[0], b.Ports[0]),
			a.Network.Addr().Compare(b.Network.Addr()), cmp.Compare(b.Packets, a.Packets), a.Last.Compare(b.Last))
	})
	return list
}

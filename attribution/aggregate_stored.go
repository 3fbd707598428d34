package attribution

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// knowFloods adds the floods of the case database, hour by hour, to known.
func knowFloods(known map[floodKey]AggregateKind, list []casedb.Aggregate) error {
	for i := range list {
		if !list[i].Kind.Flood() {
			continue
		}
		target, err := casedb.ParseFloodKey(list[i].Key)
		if err != nil {
			return err
		}
		k := floodKey{dest: target.Destination, port: target.Port, proto: target.Proto, class: target.Class, scope: target.Scope}
		kind := AggregateReflected
		if list[i].Kind == casedb.AggregateFlood {
			kind = AggregateFlood
		}
		for _, h := range list[i].Hours.V {
			k.hour = h.At.Unix() / int64(time.Hour/time.Second)
			known[k] = kind
		}
	}
	return nil
}

// floods returns the stored floods that sources seen since the time could be
// members of, and their version for HoldFloods.
func (j *Judge) floods(ctx context.Context, since time.Time) (map[floodKey]AggregateKind, int64, error) {
	// The hours around a flood belong to it.
	list, version, err := j.DB.Floods(ctx, since.Add(-2*time.Hour))
	if err != nil {
		return nil, 0, err
	}
	known := map[floodKey]AggregateKind{}
	return known, version, knowFloods(known, list)
}

// events returns the aggregates as the case database keeps them: hours of
// floods, and the attacks on a victim one by one.
func (j *Judge) events(ctx context.Context, aggs []Aggregate, since time.Time) ([]casedb.Aggregate, error) {
	var list []casedb.Aggregate
	victims := map[netip.Addr]*Aggregate{}
	var sources []netip.Addr
	for i := range aggs {
		a := &aggs[i]
		switch a.Kind {
		case AggregateVictim:
			victims[a.Victim] = a
			sources = append(sources, a.Victim)
		case AggregateFlood, AggregateReflected:
			list = append(list, a.storedFlood())
		case AggregateCampaign:
			list = append(list, a.stored(casedb.CampaignKey(a.Rule, a.Ports[0], a.Network)))
		}
	}
	attacks := attackBook{}
	if err := j.DB.ObservationsOf(ctx, sources, since, attacks.add); err != nil {
		return nil, err
	}
	for _, k := range attacks.list {
		if v := victims[k.victim]; v != nil && k.attack() {
			list = append(list, k.stored(v))
		}
	}
	return list, nil
}

// stored is the aggregate as the case database keeps it.
func (a *Aggregate) stored(key string) casedb.Aggregate {
	return casedb.Aggregate{Kind: casedb.AggregateKind(a.Kind.String()), Key: key, Destination: casedb.Addr{Addr: a.Destination},
		Victim: casedb.Addr{Addr: a.Victim}, Network: casedb.Prefix{Prefix: a.Network}, Rule: a.Rule, Ports: a.Ports, Sources: int64(a.Sources),
		Packets: int64(min(a.Packets, 1<<62)), Peak: a.Peak, First: a.First, Last: a.Last, Confidence: a.Confidence,
		Evidence: casedb.JSON[casedb.Evidence]{V: a.Evidence}, Ruleset: RuleSet}
}

// storedFlood is stored for a flood.
func (a *Aggregate) storedFlood() casedb.Aggregate {
	k := a.flood
	target := casedb.FloodTarget{Destination: k.dest, Proto: k.proto, Port: k.port, Class: k.class, Scope: k.scope}
	s := a.stored(target.Key())
	if end := a.hours[len(a.hours)-1].At.Add(time.Hour - time.Microsecond); a.Kind == AggregateFlood && s.Last.After(end) {
		// A forged source may come again days later; the flood is what began in its
		// hours.
		s.Last = end
	}
	s.Hours.V = a.hours
	return s
}

// attackGap is the silence that ends an attack.
const attackGap = time.Hour

// attack is an attack on one victim, as its backscatter shows it.
type attack struct {
	victim      netip.Addr
	first, last time.Time
	packets     uint64
	peak        float64
	ports       map[string]uint64
	fixed       casedb.Fixed
}

// attackBook tells the attacks on victims apart. Observations come by victim,
// the oldest window first.
type attackBook struct{ list []*attack }

func (b *attackBook) add(_ string, o *observation.Observation) error {
	c := o.Class
	if c != observation.ClassSYNACK && c != observation.ClassRST && !c.ICMPError() || o.Packets == 0 {
		return nil
	}
	var k *attack
	if n := len(b.list); n > 0 {
		k = b.list[n-1]
	}
	if k == nil || k.victim != o.Source || o.First.Sub(k.last) > attackGap {
		k = &attack{victim: o.Source, first: o.First, last: o.Last, ports: map[string]uint64{}}
		b.list = append(b.list, k)
	}
	if o.First.Before(k.first) {
		k.first = o.First
	}
	if o.Last.After(k.last) {
		k.last = o.Last
	}
	k.packets += o.Packets
	k.peak = max(k.peak, float64(ratePerMinute(o)))
	e := newEntry(o, c, 0)
	if len(o.Samples) > 0 {
		e.addSample(&o.Samples[0])
	}
	e.packets = o.Packets
	for _, m := range o.Marks {
		if m.Mark == observation.MarkSameAck || m.Mark == observation.MarkSameWindow {
			e.addMark(m.Mark, m.Packets)
		}
	}
	e.countFixed(&k.fixed)
	if name := e.portName(); len(k.ports) < 100 || k.ports[name] > 0 {
		k.ports[name] += o.Packets
	}
	return nil
}

// attack reports whether it meets the thresholds of Moore et al. by itself.
func (k *attack) attack() bool {
	return k.packets >= attackPackets && k.last.Sub(k.first) >= attackSeconds*time.Second && k.peak >= attackPerMinute
}

// stored is the attack as the case database keeps it; a says what the victim's
// profile as a whole shows.
func (k *attack) stored(a *Aggregate) casedb.Aggregate {
	s := a.stored(k.victim.String())
	s.First, s.Last, s.Packets, s.Peak, s.Ports = k.first, k.last, int64(min(k.packets, 1<<62)), k.peak, byCount(k.ports)
	e := &s.Evidence.V
	e.Packets, e.Hits, e.Of = k.packets, k.packets, k.packets
	e.Notes = slices.DeleteFunc(slices.Clone(e.Notes), func(n string) bool { return n == NoteFixedSequence || n == NoteFixedWindow })
	noteFixed(e, k.fixed)
	return s
}

package casedb

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"teiten/internal/observation"

	"github.com/lib/pq"
)

// AggregateKind is the kind of an event that many sources show together.
type AggregateKind string

// The kinds, as in the CHECK constraint of table aggregate.
const (
	AggregateFlood     AggregateKind = "spoofed_flood"   // forged sources
	AggregateReflected AggregateKind = "reflected_flood" // answers to one of our addresses
	AggregateVictim    AggregateKind = "dos_victim"      // a host under attack by packets forged as ours
	AggregateCampaign  AggregateKind = "campaign"        // many sources with the same mark on the same port
)

// AggregateKinds lists every kind.
var AggregateKinds = []AggregateKind{AggregateFlood, AggregateReflected, AggregateVictim, AggregateCampaign}

// Flood reports whether it is a kind that sources are members of.
func (k AggregateKind) Flood() bool { return k == AggregateFlood || k == AggregateReflected }

// Aggregate is an event that no source shows by itself. Sources, Packets and
// Peak are lower bounds: packets that two judgements counted are counted once if
// they can be distinguished, and else the greater number holds.
type Aggregate struct {
	ID   int64         `db:"id"`
	Kind AggregateKind `db:"kind"`
	// Key is what it is about, as package attribution writes it. Events of one
	// kind and key that overlap, or follow each other closely, are one.
	Key string `db:"key"`
	// Destination is our address under a flood, if it is known. It tells where a
	// sensor is and leaves neither desk nor program.
	Destination Addr           `db:"destination"`
	Victim      Addr           `db:"victim"`
	Network     Prefix         `db:"network"` // of a campaign that is in one
	Rule        string         `db:"rule"`    // what the sources of a campaign have in common
	Ports       pq.StringArray `db:"ports"`
	Sources     int64          `db:"sources"`
	Packets     int64          `db:"packets"`
	Peak        float64        `db:"peak"` // packets a minute of an attack at its busiest
	First       time.Time      `db:"first_at"`
	Last        time.Time      `db:"last_at"`
	Confidence  float64        `db:"confidence"`
	Evidence    JSON[Evidence] `db:"evidence"`
	// Hours are, for a flood, the sources that began in each hour, the oldest
	// first. Who is judged again in one counts once.
	Hours     JSON[[]FloodHour] `db:"hours"`
	Ruleset   string            `db:"ruleset"`
	CreatedAt time.Time         `db:"created_at"`
	UpdatedAt time.Time         `db:"updated_at"`
}

// FloodHour is how many sources of a flood sent their first packet in the hour
// that starts at At, and what they sent.
type FloodHour struct {
	At      time.Time `json:"at"`
	Sources int64     `json:"sources"`
	Packets int64     `json:"packets"`
}

const (
	// maxEvent is how long an event may last: what goes on is another.
	maxEvent = 31 * 24 * time.Hour
	// eventGap is the silence that ends floods and attacks, campaignGap that
	// which ends a campaign.
	eventGap    = time.Hour
	campaignGap = 24 * time.Hour
	maxGap      = campaignGap

	maxAggregatePorts = 20
)

func (k AggregateKind) gap() time.Duration {
	if k == AggregateCampaign {
		return campaignGap
	}
	return eventGap
}

// sameEvent reports whether b is more of a.
func (a *Aggregate) sameEvent(b *Aggregate) bool {
	gap := a.Kind.gap()
	return a.Kind == b.Kind && a.Key == b.Key && !b.First.After(a.Last.Add(gap)) && !b.Last.Before(a.First.Add(-gap)) &&
		later(a.Last, b.Last).Sub(earlier(a.First, b.First)) <= maxEvent
}

// extend adds what b tells of the same event. Twice is the same as once.
func (a *Aggregate) extend(b *Aggregate) {
	a.First, a.Last = earlier(a.First, b.First), later(a.Last, b.Last)
	for _, p := range b.Ports {
		if len(a.Ports) < maxAggregatePorts && !slices.Contains(a.Ports, p) {
			a.Ports = append(a.Ports, p)
		}
	}
	if b.Packets >= a.Packets {
		a.Evidence, a.Confidence = b.Evidence, b.Confidence
	}
	a.Peak, a.Ruleset = max(a.Peak, b.Peak), b.Ruleset
	a.Sources, a.Packets = max(a.Sources, b.Sources), max(a.Packets, b.Packets)
	if len(a.Hours.V)+len(b.Hours.V) > 0 {
		a.extendHours(b.Hours.V)
	}
	e := &a.Evidence.V
	e.Packets = uint64(a.Packets)
	if a.Kind != AggregateVictim {
		e.Hits, e.Of = uint64(a.Sources), uint64(a.Sources)
	}
}

func (a *Aggregate) extendHours(more []FloodHour) {
	for _, h := range more {
		i, found := a.hour(h.At)
		if !found {
			a.Hours.V = slices.Insert(slices.Clip(a.Hours.V), i, h)
			continue
		}
		was := &a.Hours.V[i]
		was.Sources, was.Packets = max(was.Sources, h.Sources), max(was.Packets, h.Packets)
	}
	a.Sources, a.Packets = 0, 0
	for _, h := range a.Hours.V {
		a.Sources += h.Sources
		a.Packets += h.Packets
	}
}

// hour finds the hour's place.
func (a *Aggregate) hour(at time.Time) (int, bool) {
	return slices.BinarySearchFunc(a.Hours.V, at, func(h FloodHour, t time.Time) int { return h.At.Compare(t) })
}

// aggregateKey names all events about one thing.
type aggregateKey struct {
	kind AggregateKind
	key  string
}

// merged is what becomes of stored events when others are found.
type merged struct {
	write []*Aggregate // new (ID 0) or changed
	drop  []int64      // stored ones that turned out to be parts of others
	// floods are those of forged sources, with the hours not known before: their
	// sources may have been judged already.
	floods []Aggregate
}

// mergeAggregates adds the events found to those stored, which must be all that
// could be the same.
func mergeAggregates(stored, found []Aggregate) merged {
	type event struct {
		Aggregate
		changed, gone bool
	}
	var all []*event
	events := map[aggregateKey][]*event{}
	put := func(a Aggregate, changed bool) {
		a.Ports, a.Hours.V = slices.Clone(a.Ports), slices.Clone(a.Hours.V)
		e := &event{Aggregate: a, changed: changed}
		all = append(all, e)
		k := aggregateKey{a.Kind, a.Key}
		events[k] = append(events[k], e)
		slices.SortStableFunc(events[k], func(x, y *event) int { return cmp.Or(x.First.Compare(y.First), cmp.Compare(x.ID, y.ID)) })
	}
	for _, a := range stored {
		put(a, false)
	}
	var m merged
	for i := range found {
		f := &found[i]
		fresh := *f
		fresh.Hours.V = slices.Clone(f.Hours.V)
		var into *event
		for _, e := range events[aggregateKey{f.Kind, f.Key}] {
			switch {
			case e.gone:
			case into == nil && e.sameEvent(f):
				fresh.Hours.V = slices.DeleteFunc(fresh.Hours.V, func(h FloodHour) bool { _, known := e.hour(h.At); return known })
				e.extend(f)
				e.changed, into = true, e
			case into != nil && into.sameEvent(&e.Aggregate): // f is the bridge between the two
				into.extend(&e.Aggregate)
				e.gone = true
			}
		}
		if into == nil {
			put(*f, true)
		}
		if f.Kind == AggregateFlood && len(fresh.Hours.V) > 0 {
			m.floods = append(m.floods, fresh)
		}
	}
	for _, e := range all {
		switch {
		case e.gone && e.ID != 0:
			m.drop = append(m.drop, e.ID)
		case !e.gone && e.changed:
			m.write = append(m.write, &e.Aggregate)
		}
	}
	return m
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// CampaignKey is the Key of a campaign: the rule whose mark the sources have in
// common, the port and, unless they are anywhere, the network.
func CampaignKey(rule, port string, network netip.Prefix) string {
	if !network.IsValid() {
		return rule + " " + port
	}
	return rule + " " + port + " " + network.String()
}

// CampaignNetwork is the network around a source that a campaign can be in.
func CampaignNetwork(source netip.Addr) netip.Prefix {
	bits := 24
	if source.Is6() {
		bits = 48
	}
	network, _ := source.Prefix(bits)
	return network
}

// FloodScope is what of its target a flood varies.
type FloodScope uint8

// The scopes of floods.
const (
	FloodOfPort    FloodScope = iota // one port of one address
	FloodOfNetwork                   // one port of the addresses of a /24: a carpet
	FloodOfAddress                   // the ports of one address
)

var floodScopes = [...]string{"", "@net", "@any"}

// FloodTarget is the common target of the sources of a flood.
type FloodTarget struct {
	Destination uint64 // our address, or the first of its /24, mixed into a number
	Proto       uint8
	Port        uint16            // 0 of a whole address
	Class       observation.Class // of reflected floods synack, whatever the answers are
	Scope       FloodScope
}

// Key writes the target as the Key of an Aggregate.
func (f FloodTarget) Key() string {
	return fmt.Sprintf("%016x/%d/%d/%s%s", f.Destination, f.Proto, f.Port, f.Class, floodScopes[f.Scope])
}

// ParseFloodKey reads the text that Key wrote.
func ParseFloodKey(key string) (f FloodTarget, err error) {
	var class string
	if _, err = fmt.Sscanf(key, "%16x/%d/%d/%s", &f.Destination, &f.Proto, &f.Port, &class); err != nil {
		return f, fmt.Errorf("flood %q: %w", CleanLine(key, 100), err)
	}
	for scope, suffix := range floodScopes {
		if text, ok := strings.CutSuffix(class, suffix); ok && suffix != "" {
			class, f.Scope = text, FloodScope(scope)
		}
	}
	f.Class = readClass(class)
	return f, nil
}

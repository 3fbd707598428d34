package attribution

import (
	"net/netip"
	"slices"
	"time"

	"teiten/internal/observation"
)

// Bounds of one profile. What is beyond them is folded together, never lost
// from the totals.
const (
	maxEntries = 512 // distinct (protocol, port, class); the others share one entry per protocol and class
	maxDays    = 32
	maxSensors = 64
	maxDests   = 64 // distinct first destinations remembered
)

// What one more rest and one more entry of it need, with what the allocator
// keeps free for the next.
const (
	restBytes  = 136
	entryBytes = 104
)

// size returns the bytes of a rest, about.
func (r *rest) size() int64 {
	if r == nil {
		return 0
	}
	n := restBytes + int64(len(r.entries))*entryBytes + int64(len(r.dests))*16 + int64(len(r.days)+len(r.sensors))*8
	for _, s := range r.payloads {
		n += int64(32 + len(s))
	}
	return n
}

// book is what the profiles of one run share.
type book struct {
	location *time.Location
	sensors  map[string]uint16
	name     string // the last sensor asked for, and its number
	number   uint16
	held     int64 // bytes of all rests, about
	window   int64 // the last window asked for, in Unix seconds, and the offset of the day's clock there
	offset   int64
}

func newBook(location *time.Location) *book {
	if location == nil {
		location = DefaultLocation()
	}
	return &book{location: location, sensors: map[string]uint16{}, window: -1 << 62}
}

// DefaultLocation is the clock that days are counted by unless another is
// asked for: Asia/Tokyo, which has no summer time.
func DefaultLocation() *time.Location { return time.FixedZone("Asia/Tokyo", 9*60*60) }

func (b *book) sensor(name string) uint16 {
	if name == b.name && len(b.sensors) > 0 {
		return b.number
	}
	n, ok := b.sensors[name]
	if !ok {
		n = uint16(min(len(b.sensors), 1<<16-1))
		b.sensors[name] = n
	}
	b.name, b.number = name, n
	return n
}

// day numbers the day of a time by the book's clock.
func (b *book) day(o *observation.Observation) int32 {
	if w := o.Window.Unix(); w != b.window {
		_, offset := o.Window.In(b.location).Zone()
		b.window, b.offset = w, int64(offset)
	}
	s := o.First.Unix() + b.offset
	d := s / 86400
	if s%86400 < 0 {
		d--
	}
	return int32(d)
}

// Profile is everything known about one source over the look-back: what it
// sent on each port, which marks its packets show, when, and to how many of
// our addresses. Its size is bounded for every source.
type Profile struct {
	*core
	source  netip.Addr
	book    *book
	more    *rest
	facts   *facts
	ack     *Match
	company uint32
	member  AggregateKind
}

// core is what every source has. It holds no pointer, so that the garbage
// collector does not look at millions of them.
type core struct {
	addr     [16]byte
	first    int64 // Unix nanoseconds
	last     int64
	packets  uint64
	one      entry // the first of rest.entries; its dest is the first of rest.dests
	rate     float32
	day      int32  // the first of rest.days
	restAt   uint32 // where Profiles keep the rest, plus one; 0 if there is none
	sensor   uint16 // the first of rest.sensors
	ip4      bool
	many     bool // more entries than the bound
	manyDays bool
}

// address returns the source's address.
func (c *core) address() netip.Addr {
	a := netip.AddrFrom16(c.addr)
	if c.ip4 {
		return a.Unmap()
	}
	return a
}

func (c *core) setAddress(a netip.Addr) { c.addr, c.ip4 = a.As16(), a.Is4() }

// rest is the data that most sources need in addition to the Profile; only the
// plainest do without.
type rest struct {
	entries  []entry
	dests    []uint64
	days     []int32
	sensors  []uint16
	payloads []string          // what the first packets asked for, in words
	index    map[uint32]uint16 // from key to position, once there are many entries
}

// NewProfile returns an empty profile of source. Days are counted by the clock
// of location; nil means DefaultLocation.
func NewProfile(source netip.Addr, location *time.Location) *Profile {
	c := &core{}
	if source.IsValid() {
		c.setAddress(source)
	}
	return &Profile{core: c, source: source, book: newBook(location)}
}

// Source returns the address.
func (p *Profile) Source() netip.Addr { return p.source }

// Packets returns the number of packets.
func (p *Profile) Packets() uint64 { return p.packets }

// First returns the time of the first packet.
func (p *Profile) First() time.Time { return time.Unix(0, p.first).UTC() }

// Last returns the time of the last packet.
func (p *Profile) Last() time.Time { return time.Unix(0, p.last).UTC() }

// Sensors returns the number of sensors that saw the source, 64 at most.
func (p *Profile) Sensors() int {
	switch {
	case p.packets == 0:
		return 0
	case p.more == nil:
		return 1
	}
	return 1 + len(p.more.sensors)
}

// Days returns the number of days on which the source was seen, 32 at most.
func (p *Profile) Days() int {
	switch {
	case p.packets == 0:
		return 0
	case p.more == nil:
		return 1
	}
	return 1 + len(p.more.days)
}

// Destinations returns a lower bound of the distinct addresses the source sent
// to: no less than any one observation's, and no less than the distinct first
// destinations of all.
func (p *Profile) Destinations() uint32 {
	if p.packets == 0 {
		return 0
	}
	n := uint32(1)
	if p.more != nil {
		n += uint32(len(p.more.dests))
	}
	for i := range p.entryCount() {
		n = max(n, p.entry(i).dests)
	}
	return n
}

func (p *Profile) entryCount() int {
	switch {
	case p.packets == 0:
		return 0
	case p.more == nil:
		return 1
	}
	return 1 + len(p.more.entries)
}

func (p *Profile) entry(i int) *entry {
	if i == 0 {
		return &p.one
	}
	return &p.more.entries[i-1]
}

// Add adds an observation that the named sensor made of the source.
func (p *Profile) Add(sensor string, o *observation.Observation) {
	p.add(p.book.sensor(sensor), p.book.day(o), o)
}

func (p *Profile) add(sensor uint16, day int32, o *observation.Observation) {
	if o.Packets == 0 {
		return
	}
	c := o.Class
	dest := hashAddr(o.Destination)
	first, last := o.First.UnixNano(), o.Last.UnixNano()
	p.facts = nil
	var e *entry
	dayBit := uint32(1)
	if p.packets == 0 {
		p.first, p.last, p.day, p.sensor = first, last, day, sensor
		e = &p.one
		*e = newEntry(o, c, dest)
	} else {
		p.first, p.last = min(p.first, first), max(p.last, last)
		dayBit = p.addDay(day)
		if sensor != p.sensor {
			p.addSensor(sensor)
		}
		if dest != p.one.dest {
			p.addDest(dest)
		}
		e = p.find(o, c, dest)
	}
	p.packets += o.Packets
	e.packets += o.Packets
	e.days |= dayBit
	e.dests = max(e.dests, o.Destinations)
	e.destsSum = addUint32(e.destsSum, uint64(o.Destinations))
	if dest != e.dest {
		e.flags |= flagDestVaries
	}
	for i := range o.Marks {
		switch m := o.Marks[i].Mark; {
		case m == observation.MarkRepeat:
			e.repeats = addUint32(e.repeats, o.Marks[i].Packets)
		case m.Bit()&uncounted == 0:
			e.addMark(m, o.Marks[i].Packets)
		}
	}
	if o.PeerPorts > 1 {
		e.flags |= flagPeerVaries
	}
	if o.Destination.IsMulticast() || isBroadcast(o.Destination) {
		e.flags |= flagBroadcast
	}
	if len(o.Samples) > 0 {
		if (o.Proto == protoTCP || o.Proto == protoUDP) && !c.ICMPError() { // whose payload is the quoted packet
			p.addPayloads(o)
		}
		e.addSample(&o.Samples[0])
	}
	if c == observation.ClassSYNACK || c == observation.ClassRST || c.ICMPError() {
		p.rate = max(p.rate, ratePerMinute(o))
	}
}

// ratePerMinute is the packets of an observation's busiest minute; where they
// were not counted, because it has one packet or an old version wrote it, the
// mean.
func ratePerMinute(o *observation.Observation) float32 {
	if n := o.Mark(observation.MarkPeakMinute); n > 0 {
		return float32(n)
	}
	return float32(float64(o.Packets) / max(o.Last.Sub(o.First).Minutes(), 1))
}

func newEntry(o *observation.Observation, c observation.Class, dest uint64) entry {
	e := entry{proto: o.Proto, class: c, port: o.Port, dest: dest}
	if len(o.Fingerprints) > 0 {
		f := &o.Fingerprints[0]
		e.ttl, e.window, e.options = f.TTL, f.Window, uint8(min(len(f.Options)/2, 255))
	}
	return e
}

// addSample takes the other port and the quote from an observation's sample.
func (e *entry) addSample(s *observation.Sample) {
	peer := s.SourcePort
	if e.class.FromService() {
		peer = s.DestPort
	}
	if e.flags&flagSample != 0 {
		if peer != e.peer {
			e.flags |= flagPeerVaries
		}
	} else {
		e.flags |= flagSample
		e.peer = peer
		if s.DF {
			e.flags |= flagDF
		}
		if e.ttl == 0 {
			e.ttl = s.TTL
			if e.proto == protoTCP {
				e.window, e.options = s.Window, uint8(min(len(s.Options), 255))
			}
		}
	}
	e.addDirection(s)
	if e.class.ICMPError() && s.Quoted != nil {
		e.window = uint16(s.Quoted.Proto)
		if s.Quoted.Source == s.Destination {
			e.flags |= flagQuoteOK
		}
	}
}

func isBroadcast(a netip.Addr) bool { return a.Is4() && a.As4() == [4]byte{255, 255, 255, 255} }

func (p *Profile) rest() *rest {
	if p.more == nil {
		p.more = &rest{}
		p.book.held += restBytes
	}
	return p.more
}

// addDay returns the bit of the day in entry.days.
func (p *Profile) addDay(day int32) uint32 {
	if day == p.day {
		return 1
	}
	r := p.rest()
	i := slices.Index(r.days, day)
	if i < 0 {
		if len(r.days) == maxDays-1 {
			// Such a day counts for the totals only: sharing a bit would add up
			// the ports of different days.
			p.manyDays = true
			return 0
		}
		i = len(r.days)
		r.days = append(r.days, day)
		p.book.held += 8
	}
	return 1 << (i + 1)
}

func (p *Profile) addSensor(sensor uint16) {
	r := p.rest()
	if len(r.sensors) < maxSensors-1 && !slices.Contains(r.sensors, sensor) {
		r.sensors = append(r.sensors, sensor)
		p.book.held += 8
	}
}

func (p *Profile) addDest(dest uint64) {
	r := p.rest()
	if len(r.dests) < maxDests-1 && !slices.Contains(r.dests, dest) {
		r.dests = append(r.dests, dest)
		p.book.held += 16
	}
}

// find returns the entry for an observation, which it makes if need be.
func (p *Profile) find(o *observation.Observation, c observation.Class, dest uint64) *entry {
	key := entryKey(o.Proto, c, o.Port)
	if p.one.key() == key {
		return &p.one
	}
	r := p.rest()
	if e := r.find(key); e != nil {
		return e
	}
	if len(r.entries) >= maxEntries-1 {
		p.many = true
		// Protocol numbers beyond 255 do not exist, so the key of the entry for
		// the rest is put into the class's high bit.
		key = entryKey(o.Proto, c|0x80, 0)
		if e := r.find(key); e != nil {
			return e
		}
		p.book.held += entryBytes
		e := newEntry(o, c, dest)
		e.port, e.flags = 0, e.flags|flagRest
		return r.append(e, key)
	}
	p.book.held += entryBytes
	return r.append(newEntry(o, c, dest), key)
}

// indexFrom is the number of entries from which on an index pays.
const indexFrom = 12

func (r *rest) find(key uint32) *entry {
	if r.index != nil {
		if i, ok := r.index[key]; ok {
			return &r.entries[i]
		}
		return nil
	}
	for i := range r.entries {
		if r.entries[i].key() == key {
			return &r.entries[i]
		}
	}
	return nil
}

func (r *rest) append(e entry, key uint32) *entry {
	r.entries = append(r.entries, e)
	n := len(r.entries)
	switch {
	case r.index != nil:
		r.index[key] = uint16(n - 1)
	case n == indexFrom:
		r.makeIndex()
	}
	return &r.entries[n-1]
}

func (r *rest) makeIndex() {
	r.index = make(map[uint32]uint16, 2*len(r.entries))
	for i := range r.entries {
		e := &r.entries[i]
		key := e.key()
		if e.has(flagRest) {
			key = entryKey(e.proto, e.class|0x80, 0)
		}
		r.index[key] = uint16(i)
	}
}

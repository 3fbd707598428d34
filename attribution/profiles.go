package attribution

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"teiten/internal/observation"
)

// Options say how sources are judged. The zero value means the defaults.
type Options struct {
	// Location is the clock by which the days of the scanner definitions are
	// counted. Nil means DefaultLocation.
	Location *time.Location
	// Allowlist names the acknowledged scanners. Nil means none.
	Allowlist *Allowlist
	// At, if not zero, is the time at which allowlist entries must be in force
	// instead of the time of the packets.
	At time.Time
	// SensorNets are the networks of the sensors: packets from there are ours
	// (a two-way capture) and judged neither by themselves nor by others.
	SensorNets []netip.Prefix
	// Monitored is the number of addresses the sensors watch, for rates that are
	// estimated for the whole Internet. Zero means unknown, or the size of
	// SensorNets if there are any.
	Monitored uint64
	// Definitions say what a scanner is where no tool can be told.
	Definitions Definitions
	// CampaignSources is the number of sources with the same mark on the same
	// port from which on they are shown as a campaign. Zero means 10.
	CampaignSources int
	// FloodSources is the number of sources within an hour, one or two packets
	// each, to one destination and port, from which on they are taken for forged.
	// Zero means 5000.
	FloodSources int
	// ReflectorSources is the number of sources within an hour that answer to one
	// destination from which on it is under a reflected flood. Zero means 500.
	ReflectorSources int

	// Memory is the bytes that the profiles may take, about. Beyond them profiles
	// are kept in temporary files. Zero means no bound.
	Memory int64

	known map[floodKey]AggregateKind // floods found before, in other judgements
}

func (o Options) withDefaults() Options {
	if o.Location == nil {
		o.Location = DefaultLocation()
	}
	o.Definitions = o.Definitions.withDefaults()
	if o.CampaignSources <= 0 {
		o.CampaignSources = 10
	}
	if o.FloodSources <= 0 {
		o.FloodSources = 5000
	}
	if o.ReflectorSources <= 0 {
		o.ReflectorSources = 500
	}
	if o.Monitored == 0 {
		for _, n := range o.SensorNets {
			if bits := n.Addr().BitLen() - n.Bits(); bits < 40 {
				o.Monitored += 1 << bits
			}
		}
	}
	return o
}

// slabSize is the number of profiles allocated at once.
const slabSize = 1024

// coreBytes is what a source takes that has nothing but a core, with its place in
// the table.
const coreBytes = int64(unsafe.Sizeof(core{})) + 10

// Profiles collects the profiles of many sources and judges them. It is for one
// goroutine. It holds about 130 bytes per source that sends on one port, and
// no more than Options.Memory of all. Call Close at the end.
type Profiles struct {
	opt   Options
	book  *book
	slabs [][]core
	rests []*rest
	count int
	table []uint32 // position + 1 in slabs; 0 is free; nil while the slabs are in order
	seed  maphash.Seed
	last  Profile // of the last observation: observations come in order of source

	shares *shares    // where the profiles are, once there were too many
	sorted *run       // all profiles in order of address, made of shares
	low    netip.Addr // of a share: the lowest and highest source
	top    netip.Addr
	err    error

	company uint32       // see keepCompany
	stages  []floodStage // the floods found
	aggs    []Aggregate
	done    bool
}

// NewProfiles returns an empty collection.
func NewProfiles(opt Options) *Profiles {
	opt = opt.withDefaults()
	return newProfiles(opt, newBook(opt.Location))
}

func newProfiles(opt Options, book *book) *Profiles {
	return &Profiles{opt: opt, book: book, table: make([]uint32, 1<<10), seed: maphash.MakeSeed()}
}

// Len returns the number of sources. If there were more than Options.Memory holds
// it is known only after Verdicts or Aggregates.
func (s *Profiles) Len() int { return s.count }

// Err returns the first error of the temporary files. What was not written there is
// missing in Verdicts and Aggregates.
func (s *Profiles) Err() error { return s.err }

// Spilled reports whether profiles are in temporary files.
func (s *Profiles) Spilled() bool { return s.shares != nil || s.sorted != nil }

// Close removes the temporary files.
func (s *Profiles) Close() error {
	err := errors.Join(s.shares.close(), s.sorted.close())
	s.shares, s.sorted = nil, nil
	return err
}

// Reset forgets all sources.
func (s *Profiles) Reset() error {
	err := s.Close()
	*s = *NewProfiles(s.opt)
	return err
}

// AddBatch adds all observations of a batch.
func (s *Profiles) AddBatch(b *observation.Batch) {
	b.Observations(func(o *observation.Observation) bool {
		s.Add(b.Sensor, o)
		return s.err == nil
	})
}

// Add adds an observation of the named sensor. It keeps nothing of o.
func (s *Profiles) Add(sensor string, o *observation.Observation) {
	if o.Packets == 0 || !o.Source.IsValid() || s.ours(o.Source) {
		return
	}
	s.add(s.book.sensor(sensor), s.book.day(o), o)
}

func (s *Profiles) add(sensor uint16, day int32, o *observation.Observation) {
	s.done = false
	if s.sorted != nil {
		s.fail(errors.New("add observation: the profiles are in order already"))
	}
	if s.err != nil {
		return
	}
	if s.shares != nil {
		s.fail(s.shares.addObservation(sensor, day, o))
		return
	}
	p := &s.last
	if p.core == nil || p.source != o.Source {
		s.find(o.Source)
	}
	p.add(sensor, day, o)
	s.keepRest()
	s.bound()
}

// bound moves the profiles to files if they need too much memory.
func (s *Profiles) bound() {
	if s.opt.Memory > 0 && s.held() > s.opt.Memory && s.count >= leastSpilled {
		s.spill()
	}
}

// keepRest notes where the rest of the last profile is.
func (s *Profiles) keepRest() {
	if p := &s.last; p.more != nil && p.restAt == 0 {
		s.rests = append(s.rests, p.more)
		p.restAt = uint32(len(s.rests))
	}
}

// held returns the bytes that the profiles take, about.
func (s *Profiles) held() int64 { return s.book.held + int64(s.count)*coreBytes }

func (s *Profiles) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *Profiles) ours(a netip.Addr) bool {
	for _, n := range s.opt.SensorNets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func (s *Profiles) at(i int) *core { return &s.slabs[i/slabSize][i%slabSize] }

// view makes p the profile of a core.
func (s *Profiles) view(p *Profile, c *core) {
	*p = Profile{core: c, source: c.address(), book: s.book, company: s.company}
	if c.restAt != 0 {
		p.more = s.rests[c.restAt-1]
	}
}

// find makes s.last the profile of source, a new one if need be.
func (s *Profiles) find(source netip.Addr) {
	if s.table == nil {
		s.fillTable(1 << bits.Len(uint(2*s.count+1<<10)))
	}
	source = source.WithZone("")
	addr, ip4 := source.As16(), source.Is4()
	mask := uint64(len(s.table) - 1)
	i := s.hash(&addr) & mask
	for ; s.table[i] != 0; i = (i + 1) & mask {
		if c := s.at(int(s.table[i] - 1)); c.addr == addr && c.ip4 == ip4 {
			s.view(&s.last, c)
			return
		}
	}
	if s.count%slabSize == 0 {
		s.slabs = append(s.slabs, make([]core, slabSize))
	}
	c := s.at(s.count)
	c.addr, c.ip4 = addr, ip4
	s.count++
	s.table[i] = uint32(s.count)
	s.view(&s.last, c)
	if s.count*4 > len(s.table)*3 {
		s.fillTable(2 * len(s.table))
	}
}

// hash mixes an address with the seed, which no sender can know beforehand.
func (s *Profiles) hash(addr *[16]byte) uint64 { return maphash.Comparable(s.seed, *addr) }

func (s *Profiles) fillTable(size int) {
	s.table = make([]uint32, size)
	mask := uint64(size - 1)
	for n := range s.count {
		i := s.hash(&s.at(n).addr) & mask
		for s.table[i] != 0 {
			i = (i + 1) & mask
		}
		s.table[i] = uint32(n + 1)
	}
}

// sort puts the slabs into the order of addresses.
func (s *Profiles) sort() {
	if s.table == nil {
		return
	}
	s.table, s.last = nil, Profile{}
	order := make([]uint64, 0, s.count) // IPv4 address, position
	var others []uint32
	for n := range s.count {
		if c := s.at(n); c.ip4 {
			order = append(order, uint64(binary.BigEndian.Uint32(c.addr[12:]))<<32|uint64(n))
		} else {
			others = append(others, uint32(n))
		}
	}
	slices.Sort(order)
	slices.SortFunc(others, func(a, b uint32) int { return bytes.Compare(s.at(int(a)).addr[:], s.at(int(b)).addr[:]) })
	for _, n := range others {
		order = append(order, uint64(n))
	}
	// What belongs at i is at order[i]: each cycle of moves begins and ends in a
	// free place.
	const done = 1<<32 - 1
	for i := range order {
		if uint32(order[i]) == done {
			continue
		}
		held, to := *s.at(i), i
		for from := int(uint32(order[to])); from != i; from = int(uint32(order[to])) {
			*s.at(to) = *s.at(from)
			order[to], to = done, from
		}
		*s.at(to), order[to] = held, done
	}
}

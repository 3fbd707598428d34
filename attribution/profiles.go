package attribution

import (
	"hash/maphash"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"teiten/internal/casedb"
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

// Profiles collects the profiles of many sources and judges them. It is for one
// goroutine. It holds about 200 bytes per source that sends on one port.
type Profiles struct {
	opt   Options
	book  *book
	slabs [][]Profile
	count int
	table []uint32 // position + 1 in slabs; 0 is free
	seed  maphash.Seed
	last  *Profile // of the last observation: observations come in order of source
	aggs  []Aggregate
	facts facts
	done  bool
}

// NewProfiles returns an empty collection.
func NewProfiles(opt Options) *Profiles {
	opt = opt.withDefaults()
	return &Profiles{opt: opt, book: newBook(opt.Location), table: make([]uint32, 1<<12), seed: maphash.MakeSeed()}
}

// Len returns the number of sources.
func (s *Profiles) Len() int { return s.count }

// AddBatch adds all observations of a batch.
func (s *Profiles) AddBatch(b *observation.Batch) {
	b.Observations(func(o *observation.Observation) bool {
		s.Add(b.Sensor, o)
		return true
	})
}

// Add adds an observation of the named sensor. It keeps nothing of o.
func (s *Profiles) Add(sensor string, o *observation.Observation) {
	s.done = false
	if p := s.last; p != nil && p.source == o.Source {
		p.add(s.book.sensor(sensor), s.book.day(o), o)
		return
	}
	if !o.Source.IsValid() || s.ours(o.Source) {
		return
	}
	p := s.profile(o.Source)
	s.last = p
	p.add(s.book.sensor(sensor), s.book.day(o), o)
}

func (s *Profiles) ours(a netip.Addr) bool {
	for _, n := range s.opt.SensorNets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func (s *Profiles) at(i int) *Profile { return &s.slabs[i/slabSize][i%slabSize] }

// profile returns the profile of source, which it makes if need be.
func (s *Profiles) profile(source netip.Addr) *Profile {
	mask := uint64(len(s.table) - 1)
	i := maphash.Comparable(s.seed, source) & mask
	for ; s.table[i] != 0; i = (i + 1) & mask {
		if p := s.at(int(s.table[i] - 1)); p.source == source {
			return p
		}
	}
	if s.count%slabSize == 0 {
		s.slabs = append(s.slabs, make([]Profile, slabSize))
	}
	p := s.at(s.count)
	p.source, p.book = source, s.book
	s.count++
	s.table[i] = uint32(s.count)
	if s.count*2 > len(s.table) {
		s.grow()
	}
	return p
}

func (s *Profiles) grow() {
	table := make([]uint32, 2*len(s.table))
	mask := uint64(len(table) - 1)
	for n := range s.count {
		i := maphash.Comparable(s.seed, s.at(n).source) & mask
		for table[i] != 0 {
			i = (i + 1) & mask
		}
		table[i] = uint32(n + 1)
	}
	s.table = table
}

// Reset forgets all sources.
func (s *Profiles) Reset() {
	*s = *NewProfiles(s.opt)
}

// judgeChunk is the number of sources judged at a time by one worker.
const judgeChunk = 512

// Verdicts judges every source and yields the verdicts in order of address.
// What they point to is the callee's. Aggregates has the events that only
// many sources together show. All processors take part.
func (s *Profiles) Verdicts(yield func(casedb.Verdict) bool) {
	s.finish()
	order := make([]*Profile, 0, s.count)
	for n := range s.count {
		if p := s.at(n); p.packets > 0 {
			order = append(order, p)
		}
	}
	slices.SortFunc(order, func(a, b *Profile) int { return a.source.Compare(b.source) })
	chunks := (len(order) + judgeChunk - 1) / judgeChunk
	workers := min(runtime.GOMAXPROCS(0), chunks)
	// Worker w judges the chunks w, w+workers, ...; each has a channel of its
	// own, so that the reader gets the chunks in order.
	results := make([]chan []casedb.Verdict, workers)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	defer wait.Wait()
	defer close(stop)
	for w := range workers {
		results[w] = make(chan []casedb.Verdict, 2)
		wait.Go(func() {
			f := &facts{}
			for c := w; c < chunks; c += workers {
				part := order[c*judgeChunk : min(len(order), (c+1)*judgeChunk)]
				list := make([]casedb.Verdict, len(part))
				for i, p := range part {
					list[i] = s.judge(p, f)
				}
				select {
				case results[w] <- list:
				case <-stop:
					return
				}
			}
		})
	}
	for c := range chunks {
		for _, v := range <-results[c%workers] {
			if !yield(v) {
				return
			}
		}
	}
}

// judge judges one source with f as scratch memory.
func (s *Profiles) judge(p *Profile, f *facts) casedb.Verdict {
	s.acknowledge(p)
	f.draw(p, s.opt.Monitored, s.opt.Definitions)
	p.facts = f
	v := judge(p)
	p.facts, p.ack = nil, nil
	return v
}

func (s *Profiles) acknowledge(p *Profile) {
	if s.opt.Allowlist == nil {
		return
	}
	at := s.opt.At
	if at.IsZero() {
		at = p.Last()
	}
	if m, ok := s.opt.Allowlist.Lookup(p.source, at); ok {
		p.ack = &m
	}
}

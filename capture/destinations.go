package capture

import (
	"math"
	"math/bits"
)

// Distinct destinations of a key are held exactly in its entry, then in a set
// of 16, 64 and 512 places, and beyond that estimated with a HyperLogLog sketch
// (Flajolet et al. 2007; linear counting in its small range) in the same 512
// words. When the memory for the larger sets is used up (maxMediumPages,
// maxLargePages) a key goes over to a sketch in the set it has.
const (
	destSmall    = iota // exact, 16 places, unordered
	destMedium          // exact, 64 places, hashed
	destLarge           // exact, 512 places, hashed
	sketchSmall         // estimate, 64 registers
	sketchMedium        // estimate, 256 registers
	sketchLarge         // estimate, 2048 registers

	smallMax  = 16
	mediumMax = 48
	largeMax  = 384

	// These bound the pages of medium and large sets of a window.
	maxMediumPages = 48 // 6 MiB
	maxLargePages  = 16 // 16 MiB
)

// destSpilled as an entry's destN says that the destinations are in the set
// whose number is in dest[0].
const destSpilled = 0xff

// destSets holds the destinations of a window's spilled entries. The tally
// numbers the sets and notes what belongs into them; another goroutine may put
// it there, always in the order of the packets (see tally.giveDests).
type destSets struct {
	// The tally's.
	spilled uint32 // sets numbered
	noted   *destNotes

	// Used only by the goroutine that puts the notes into the sets.
	states     slab[destState]
	small      slab[[16]uint32] // numbered like states
	medium     slab[[64]uint32]
	large      slab[[512]uint32]
	freeMedium uint32            // head of a list of given-back sets, linked in the first word
	places     [lookahead]uint32 // scattered destinations of a group of notes
	touched    uint32            // keeps the look-ahead's loads from being optimised away
}

// destState says how to read a set.
type destState struct {
	at   uint32 // number of its medium or large set
	n    uint16 // members, while exact
	kind uint8  // destSmall and so on
}

// destNote is a destination that belongs into a set.
type destNote struct {
	set, dst uint32
}

// destNotes is how many destinations are put into the sets together.
type destNotes struct {
	notes [4096]destNote
	n     int
}

// room says whether one more packet's destinations find place, of which there
// are more when an entry spills.
func (d *destNotes) room() bool { return d.n+inlineDests < len(d.notes) }

func (d *destNotes) add(set, dst uint32) {
	d.notes[d.n] = destNote{set, dst}
	d.n++
}

func (d *destSets) reset() {
	d.spilled = 0
	d.states.reset()
	d.small.reset()
	d.medium.reset()
	d.large.reset()
	d.freeMedium = 0
}

// note notes a destination that is not among those held inline. There must be
// room for it.
func (d *destSets) note(e *entry, dst uint32) {
	switch {
	case e.destN == destSpilled:
	case e.destN < inlineDests:
		e.dest[e.destN] = dst
		e.destN++
		return
	default:
		d.spilled++
		for _, held := range e.dest {
			d.noted.add(d.spilled, held)
		}
		e.dest[0], e.destN = d.spilled, destSpilled
	}
	d.noted.add(e.dest[0], dst)
}

// put puts notes into the sets.
func (d *destSets) put(block *destNotes) {
	notes := block.notes[:block.n]
	block.n = 0
	for len(notes) > 0 {
		group := notes[:min(lookahead, len(notes))]
		notes = notes[len(group):]
		// Their cache misses overlap.
		sum := uint32(0)
		for i, note := range group {
			for int(note.set) > d.states.len() {
				d.grow()
			}
			x := scatter(note.dst)
			d.places[i%lookahead] = x
			sum += d.fetch(note.set, x)
		}
		d.touched += sum
		for i, note := range group {
			d.add(note.set, d.places[i%lookahead])
		}
	}
}

// grow makes the set of the next number.
func (d *destSets) grow() {
	*d.states.at(d.states.add()) = destState{}
	*d.small.at(d.small.add()) = [16]uint32{}
}

// scatter maps a destination to the non-zero numbers that sets hold. Only
// 0.0.0.0 and 0.0.0.1 share one.
func scatter(dst uint32) uint32 { return mix32(max(dst, 1)) }

// fetch loads the place of a scattered destination in its set.
func (d *destSets) fetch(set, x uint32) uint32 {
	switch s := d.states.at(set); s.kind {
	case destSmall:
		return d.small.at(set)[0]
	case destMedium:
		return d.medium.at(s.at)[x%64]
	case destLarge:
		return d.large.at(s.at)[x%512]
	case sketchLarge:
		return d.large.at(s.at)[uint32(mix64(uint64(x)))&2047/4]
	}
	return 0
}

// add puts a scattered destination into its set.
func (d *destSets) add(set, x uint32) {
	s := d.states.at(set)
	switch s.kind {
	case destSmall:
		members := d.small.at(set)
		for _, v := range members[:min(s.n, smallMax)] {
			if v == x {
				return
			}
		}
		if s.n < smallMax {
			members[s.n] = x
			s.n++
			return
		}
		d.growSmall(s, members, x)
	case destMedium:
		if !insert(d.medium.at(s.at)[:], x) {
			return
		}
		s.n++
		if s.n > mediumMax {
			d.growMedium(s)
		}
	case destLarge:
		members := d.large.at(s.at)
		if !insert(members[:], x) {
			return
		}
		s.n++
		if s.n > largeMax {
			sketchInPlace(members[:])
			s.kind = sketchLarge
		}
	case sketchSmall:
		sketchAdd(d.small.at(set)[:], x)
	case sketchMedium:
		sketchAdd(d.medium.at(s.at)[:], x)
	case sketchLarge:
		sketchAdd(d.large.at(s.at)[:], x)
	}
}

// growSmall turns a full small set and one more member into a medium one.
func (d *destSets) growSmall(s *destState, set *[16]uint32, x uint32) {
	i := d.freeMedium
	switch {
	case i != 0:
		d.freeMedium = d.medium.at(i)[0]
	case d.medium.full(maxMediumPages):
		sketchInPlace(set[:])
		sketchAdd(set[:], x)
		s.kind = sketchSmall
		return
	default:
		i = d.medium.add()
	}
	m := d.medium.at(i)
	*m = [64]uint32{}
	for _, v := range set {
		insert(m[:], v)
	}
	insert(m[:], x)
	s.at, s.n, s.kind = i, smallMax+1, destMedium
}

// growMedium turns a medium set into a large one.
func (d *destSets) growMedium(s *destState) {
	m := d.medium.at(s.at)
	if d.large.full(maxLargePages) {
		sketchInPlace(m[:])
		s.kind = sketchMedium
		return
	}
	i := d.large.add()
	l := d.large.at(i)
	*l = [512]uint32{}
	for _, v := range m {
		if v != 0 {
			insert(l[:], v)
		}
	}
	m[0], d.freeMedium = d.freeMedium, s.at
	s.at, s.kind = i, destLarge
}

// full says whether the next value would need a page beyond the limit.
func (s *slab[T]) full(limit int) bool {
	return int(max(s.n, 1)>>pageShift) == len(s.pages) && len(s.pages) >= limit
}

// insert adds a non-zero x to a hashed set whose length is a power of two and
// which is never full; false if it is there.
func insert(set []uint32, x uint32) bool {
	mask := uint32(len(set) - 1)
	for i := x & mask; ; i = (i + 1) & mask {
		switch set[i] {
		case x:
			return false
		case 0:
			set[i] = x
			return true
		}
	}
}

// destinations returns the number of distinct destinations, and whether it is
// exact. All notes must have been put into the sets.
func (d *destSets) destinations(e *entry) (uint32, bool) {
	if e.destN != destSpilled {
		return uint32(e.destN), true
	}
	switch s := d.states.at(e.dest[0]); s.kind {
	case sketchSmall:
		return sketchCount(d.small.at(e.dest[0])[:]), false
	case sketchMedium:
		return sketchCount(d.medium.at(s.at)[:]), false
	case sketchLarge:
		return sketchCount(d.large.at(s.at)[:]), false
	default:
		return uint32(s.n), true
	}
}

// A sketch has four registers of eight bits in each word.

// sketchInPlace turns a set into the sketch of its members.
func sketchInPlace(set []uint32) {
	var members [512]uint32
	n := copy(members[:], set)
	clear(set)
	for _, x := range members[:n] {
		if x != 0 {
			sketchAdd(set, x)
		}
	}
}

func sketchAdd(words []uint32, x uint32) {
	h := mix64(uint64(x))
	r := uint32(h) & uint32(len(words)*4-1)
	rank := uint32(bits.LeadingZeros64(h|1)) + 1
	shift := r % 4 * 8
	if w := words[r/4]; w>>shift&0xff < rank {
		words[r/4] = w&^(0xff<<shift) | rank<<shift
	}
}

func sketchCount(words []uint32) uint32 {
	sum, zero := 0.0, 0
	for _, w := range words {
		for range 4 {
			v := w & 0xff
			if v == 0 {
				zero++
			}
			sum += math.Ldexp(1, -int(v))
			w >>= 8
		}
	}
	m := float64(len(words) * 4)
	alpha := 0.7213 / (1 + 1.079/m)
	if len(words) == 16 {
		alpha = 0.709
	}
	est := alpha * m * m / sum
	if est <= 2.5*m && zero > 0 {
		est = m * math.Log(m/float64(zero))
	}
	return uint32(min(est+0.5, math.MaxUint32))
}

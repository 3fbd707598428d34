package capture

import (
	"math"
	"math/bits"
)

// Distinct destinations of a key are held exactly in its entry, then in a set
// of 16, 64 and 512 places, and beyond that estimated with a HyperLogLog sketch
// (Flajolet et al. 2007; linear counting in its small range) in the same 512
// words. When the memory for the larger sets is used up (maxMediumPages, maxLargePages) a key
// goes over to a sketch in the set it has.
const (
	destSpilled = 0x80 // bit of entry.destN: dest[0] is a number, dest[1] a count

	destSmall    = destSpilled | 0 // exact, 16 places, unordered
	destMedium   = destSpilled | 1 // exact, 64 places, hashed
	destLarge    = destSpilled | 2 // exact, 512 places, hashed
	sketchSmall  = destSpilled | 4 // estimate, 64 registers
	sketchMedium = destSpilled | 5 // estimate, 256 registers
	sketchLarge  = destSpilled | 6 // estimate, 2048 registers

	smallMax  = 16
	mediumMax = 48
	largeMax  = 384

	// These bound the pages of medium and large sets of a window.
	maxMediumPages = 48 // 6 MiB
	maxLargePages  = 16 // 16 MiB
)

// destSets holds the spilled sets of a window.
type destSets struct {
	small      slab[[16]uint32]
	medium     slab[[64]uint32]
	large      slab[[512]uint32]
	freeSmall  uint32 // head of a list of given-back sets, linked in the first word
	freeMedium uint32
}

func (d *destSets) reset() {
	d.small.reset()
	d.medium.reset()
	d.large.reset()
	d.freeSmall, d.freeMedium = 0, 0
}

// scatter maps a destination to the non-zero numbers that sets hold. Only
// 0.0.0.0 and 0.0.0.1 share one.
func scatter(dst uint32) uint32 { return mix32(max(dst, 1)) }

// addDest adds a destination that is not among those held inline.
func (d *destSets) addDest(e *entry, dst uint32) {
	if e.destN < inlineDests {
		e.dest[e.destN] = dst
		e.destN++
		return
	}
	x := scatter(dst)
	if e.destN == inlineDests {
		i := d.newSmall()
		s := d.small.at(i)
		for k, v := range e.dest {
			s[k] = scatter(v)
		}
		s[inlineDests] = x
		e.dest[0], e.dest[1], e.destN = i, inlineDests+1, destSmall
		return
	}
	switch e.destN {
	case destSmall:
		s := d.small.at(e.dest[0])
		n := e.dest[1]
		for _, v := range s[:n] {
			if v == x {
				return
			}
		}
		if n < smallMax {
			s[n] = x
			e.dest[1]++
			return
		}
		d.growSmall(e, x)
	case destMedium:
		s := d.medium.at(e.dest[0])
		if !insert(s[:], x) {
			return
		}
		e.dest[1]++
		if e.dest[1] > mediumMax {
			d.growMedium(e)
		}
	case destLarge:
		s := d.large.at(e.dest[0])
		if !insert(s[:], x) {
			return
		}
		e.dest[1]++
		if e.dest[1] > largeMax {
			sketchInPlace(s[:])
			e.destN = sketchLarge
		}
	case sketchSmall:
		sketchAdd(d.small.at(e.dest[0])[:], x)
	case sketchMedium:
		sketchAdd(d.medium.at(e.dest[0])[:], x)
	case sketchLarge:
		sketchAdd(d.large.at(e.dest[0])[:], x)
	}
}

func (d *destSets) newSmall() uint32 {
	i := d.freeSmall
	if i != 0 {
		d.freeSmall = d.small.at(i)[0]
	} else {
		i = d.small.add()
	}
	*d.small.at(i) = [16]uint32{}
	return i
}

func (d *destSets) growSmall(e *entry, x uint32) {
	i := d.freeMedium
	switch {
	case i != 0:
		d.freeMedium = d.medium.at(i)[0]
	case d.medium.full(maxMediumPages):
		s := d.small.at(e.dest[0])
		sketchInPlace(s[:])
		sketchAdd(s[:], x)
		e.destN = sketchSmall
		return
	default:
		i = d.medium.add()
	}
	m := d.medium.at(i)
	*m = [64]uint32{}
	s := d.small.at(e.dest[0])
	for _, v := range s {
		insert(m[:], v)
	}
	insert(m[:], x)
	s[0], d.freeSmall = d.freeSmall, e.dest[0]
	e.dest[0], e.dest[1], e.destN = i, smallMax+1, destMedium
}

func (d *destSets) growMedium(e *entry) {
	m := d.medium.at(e.dest[0])
	if d.large.full(maxLargePages) {
		sketchInPlace(m[:])
		e.destN = sketchMedium
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
	m[0], d.freeMedium = d.freeMedium, e.dest[0]
	e.dest[0], e.destN = i, destLarge
}

// fetch loads the place of a destination in a spilled set.
func (d *destSets) fetch(e *entry, dst uint32) uint32 {
	x := scatter(dst)
	switch e.destN {
	case destSmall:
		return d.small.at(e.dest[0])[0]
	case destMedium:
		return d.medium.at(e.dest[0])[x%64]
	case destLarge:
		return d.large.at(e.dest[0])[x%512]
	case sketchLarge:
		return d.large.at(e.dest[0])[uint32(mix64(uint64(x)))&2047/4]
	}
	return 0
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
// exact.
func (d *destSets) destinations(e *entry) (uint32, bool) {
	switch e.destN {
	case destSmall, destMedium, destLarge:
		return e.dest[1], true
	case sketchSmall:
		return sketchCount(d.small.at(e.dest[0])[:]), false
	case sketchMedium:
		return sketchCount(d.medium.at(e.dest[0])[:]), false
	case sketchLarge:
		return sketchCount(d.large.at(e.dest[0])[:]), false
	}
	return uint32(e.destN), true
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

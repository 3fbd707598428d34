package capture

import (
	"math"
	"math/bits"
)

// maxSources is the largest number of distinct sources counted exactly.
const maxSources = 1 << 20

// sketchBits is the logarithm of the registers of the source sketches; their
// standard error is 1.04 / 2^7.
const sketchBits = 14

// sourceSet counts the distinct sources of a run and of each file of it. IPv4
// addresses are held as they are, IPv6 addresses as hashes of 63 bits.
type sourceSet struct {
	keys  []uint64
	files []uint32 // the last file that had the source
	file  uint32
	n     int // distinct, while keys is in use

	fileN    int // distinct in the current file, while keys is in use
	all, one []uint8

	fetched uint64 // keeps the look-ahead's loads from being optimised away
}

func sourceKey4(addr uint32) uint64 { return 1<<32 | uint64(addr) }

func sourceKey6(addr []byte) uint64 { return 1<<63 | hash16wide(addr) }

// nextFile begins the count of another file.
func (s *sourceSet) nextFile() {
	s.file++
	s.fileN = 0
	clear(s.one)
}

// touchAll counts some sources.
func (s *sourceSet) touchAll(keys []uint64) {
	if s.all == nil && len(s.keys) > 0 {
		mask := uint64(len(s.keys) - 1)
		sum := uint64(0)
		for _, key := range keys {
			i := mix64(key) & mask
			sum += s.keys[i] + uint64(s.files[i])
		}
		s.fetched += sum
	}
	for _, key := range keys {
		s.touch(key)
	}
}

// touch counts a source.
func (s *sourceSet) touch(key uint64) {
	h := mix64(key)
	if s.all != nil {
		sketchRank(s.all, h)
		sketchRank(s.one, h)
		return
	}
	if s.n*4 >= len(s.keys)*3 {
		s.grow()
	}
	mask := uint64(len(s.keys) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch s.keys[i] {
		case key:
			if s.files[i] != s.file {
				s.files[i] = s.file
				s.fileN++
			}
			return
		case 0:
			s.keys[i], s.files[i] = key, s.file
			s.n++
			s.fileN++
			if s.n > maxSources {
				s.sketch()
			}
			return
		}
	}
}

func (s *sourceSet) grow() {
	keys, files := s.keys, s.files
	size := max(1024, 2*len(keys))
	s.keys, s.files = make([]uint64, size), make([]uint32, size)
	mask := uint64(size - 1)
	for k, key := range keys {
		if key == 0 {
			continue
		}
		i := mix64(key) & mask
		for s.keys[i] != 0 {
			i = (i + 1) & mask
		}
		s.keys[i], s.files[i] = key, files[k]
	}
}

// sketch goes over from the set to estimates.
func (s *sourceSet) sketch() {
	s.all, s.one = make([]uint8, 1<<sketchBits), make([]uint8, 1<<sketchBits)
	for i, key := range s.keys {
		if key == 0 {
			continue
		}
		h := mix64(key)
		sketchRank(s.all, h)
		if s.files[i] == s.file {
			sketchRank(s.one, h)
		}
	}
	s.keys, s.files = nil, nil
}

// counts returns the distinct sources of the run and of the current file, and
// whether they are exact.
func (s *sourceSet) counts() (all, file uint64, exact bool) {
	if s.all == nil {
		return uint64(s.n), uint64(s.fileN), true
	}
	return rankCount(s.all), rankCount(s.one), false
}

func sketchRank(regs []uint8, h uint64) {
	r := h & (1<<sketchBits - 1)
	rank := uint8(bits.LeadingZeros64(h|1<<sketchBits)) + 1
	if regs[r] < rank {
		regs[r] = rank
	}
}

func rankCount(regs []uint8) uint64 {
	sum, zero := 0.0, 0
	for _, v := range regs {
		if v == 0 {
			zero++
		}
		sum += math.Ldexp(1, -int(v))
	}
	m := float64(len(regs))
	est := 0.7213 / (1 + 1.079/m) * m * m / sum
	if est <= 2.5*m && zero > 0 {
		est = m * math.Log(m/float64(zero))
	}
	return uint64(est + 0.5)
}

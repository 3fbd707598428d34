package capture

import (
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Hashes whose values reach the observations (estimates, fingerprints) are
// fixed, so that the same capture always gives the same observations; only the
// index of the table is seeded (see tally).

const (
	mixA = 0x9e3779b97f4a7c15
	mixB = 0xd1b54a32d192ed03
)

// mix64 spreads a value over 64 bits.
func mix64(x uint64) uint64 {
	hi, lo := bits.Mul64(x^mixA, mixB)
	return hi ^ lo
}

// mix32 is a permutation of the 32-bit numbers that spreads their bits.
func mix32(x uint32) uint32 {
	x ^= x >> 16
	x *= 0x7feb352d
	x ^= x >> 15
	x *= 0x846ca68b
	x ^= x >> 16
	return x
}

// hash16 condenses an IPv6 address to 32 bits.
func hash16(a []byte) uint32 { return uint32(hash16wide(a) >> 32) }

// hash16wide condenses an IPv6 address to 64 bits.
func hash16wide(a []byte) uint64 {
	_ = a[15]
	x := mix64(binary.LittleEndian.Uint64(a))
	return mix64(x ^ bits.RotateLeft64(binary.LittleEndian.Uint64(a[8:]), 29))
}

// hashPayload condenses a payload; 0 means there is none.
func hashPayload(b []byte) uint32 {
	if len(b) == 0 {
		return 0
	}
	return max(1, uint32(xxhash.Sum64(b)))
}

// maxOptions is the largest size of the options of a TCP header.
const maxOptions = 40

// normalOptions copies TCP options as a fingerprint wants them: what follows
// end-of-options (RFC 9293, 3.2) is left out, and of every option that a stack
// fills again for each packet (all but maximum segment size, window scale, SACK
// permitted) the value is zero. It returns the length, and the offset of the
// timestamp value (RFC 7323, 3.2) in o, or -1.
func normalOptions(dst *[maxOptions]byte, o []byte) (n, ts int) {
	o = o[:min(len(o), maxOptions)]
	ts = -1
	for i := 0; i < len(o); {
		kind := o[i]
		if kind <= 1 {
			dst[i] = kind
			i++
			if kind == 0 {
				return i, ts
			}
			continue
		}
		if i+1 >= len(o) {
			dst[i] = kind
			return i + 1, ts
		}
		l := int(o[i+1])
		if l < 2 || i+l > len(o) {
			copy(dst[i:], o[i:]) // malformed from here on: as it is
			return len(o), ts
		}
		dst[i], dst[i+1] = kind, o[i+1]
		if kind <= 4 {
			copy(dst[i+2:i+l], o[i+2:i+l])
		} else {
			clear(dst[i+2 : i+l])
			if kind == 8 && l == 10 {
				ts = i + 2
			}
		}
		i += l
	}
	return len(o), ts
}

// hashOptions condenses normalised options; the result is never 0. ts is the
// offset of the timestamp value or -1.
func hashOptions(o []byte) (h uint32, ts int) {
	le := binary.LittleEndian
	// The layouts that most stacks send need no walk.
	switch {
	case len(o) == 4 && o[0] == 2 && o[1] == 4:
		return foldOptions(4, uint64(le.Uint32(o)), 0, 0), -1
	case len(o) == 12 && le.Uint16(o) == 0x0402 && o[4] == 1 && le.Uint16(o[5:]) == 0x0303 && le.Uint32(o[8:]) == 0x02040101:
		// MSS, NOP, WS, NOP, NOP, SACK permitted
		return foldOptions(12, le.Uint64(o), uint64(le.Uint32(o[8:])), 0), -1
	case len(o) == 20 && le.Uint16(o) == 0x0402 && le.Uint32(o[4:]) == 0x0a080204 && o[16] == 1 && le.Uint16(o[17:]) == 0x0303:
		// MSS, SACK permitted, timestamps, NOP, WS
		return foldOptions(20, le.Uint64(o), 0, uint64(le.Uint32(o[16:]))), 8
	}
	var buf [maxOptions]byte
	n, ts := normalOptions(&buf, o)
	return hashNormal(&buf, n), ts
}

// hashNormal is hashOptions of options that are normalised already; beyond n
// buf is zero.
func hashNormal(buf *[maxOptions]byte, n int) uint32 {
	le := binary.LittleEndian
	if n <= 24 {
		return foldOptions(n, le.Uint64(buf[:]), le.Uint64(buf[8:]), le.Uint64(buf[16:]))
	}
	h := mix64(le.Uint64(buf[24:]) ^ mix64(le.Uint64(buf[32:])))
	return max(1, foldOptions(n, le.Uint64(buf[:]), le.Uint64(buf[8:]), le.Uint64(buf[16:]))^uint32(h))
}

func foldOptions(n int, a, b, c uint64) uint32 {
	h := mix64(a + uint64(n))
	h = mix64(h ^ b)
	h = mix64(h ^ c)
	return max(1, uint32(h>>32))
}

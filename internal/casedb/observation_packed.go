package casedb

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"time"

	"teiten/internal/observation"
)

// The column packed holds fingerprints and samples in a third of the room that
// they take as JSON:
//
//	0      packedVersion
//	1-2    source port of the first sample
//	3      number of samples
//	4      number of fingerprints
//	5-     9 bytes a fingerprint: TTL, window (2), packets (6)
//	       for each fingerprint the length of its options, and these
//	       the samples, see appendPackedSample
//
// Numbers are big-endian. The functions sample_port and fingerprint_windows of the
// schema read the first parts, so another layout needs another version there too.
const (
	packedVersion     = 1
	packedHead        = 5
	packedFingerprint = 9
	packedMaxPackets  = 1<<48 - 1
)

// Bits of a sample's first byte.
const (
	packedDF     = 1 << iota
	packedQuoted // what an ICMP error quotes comes last
	packedTCP    // flags, seq, ack and window are not all zero
)

var errPacked = errors.New("not as this version packs it")

// appendPacked appends the column's content. It reports false, with b as it was,
// where the layout has no room for something: such a row stays JSON. Times of
// samples are kept from the window's start on.
func appendPacked(b []byte, window time.Time, prints []observation.Fingerprint, samples []observation.Sample) ([]byte, bool) {
	from := len(b)
	port := uint16(0)
	if len(samples) > 0 {
		port = samples[0].SourcePort
	}
	if len(samples) > maxRowSamples || len(prints) > maxRowFingerprints {
		return b, false
	}
	b = append(b, packedVersion, byte(port>>8), byte(port), byte(len(samples)), byte(len(prints)))
	for i := range prints {
		f := &prints[i]
		if f.Packets > packedMaxPackets {
			return b[:from], false
		}
		b = append(b, f.TTL)
		b = binary.BigEndian.AppendUint16(b, f.Window)
		b = append(b, byte(f.Packets>>40), byte(f.Packets>>32), byte(f.Packets>>24), byte(f.Packets>>16), byte(f.Packets>>8), byte(f.Packets))
	}
	for i := range prints {
		options, err := hex.DecodeString(prints[i].Options)
		if err != nil || len(options) > maxSampleOptions || hex.EncodeToString(options) != prints[i].Options {
			return b[:from], false
		}
		b = append(append(b, byte(len(options))), options...)
	}
	for i := range samples {
		if s := &samples[i]; s.When.Sub(window).Abs() > 48*time.Hour || len(s.Options) > maxSampleOptions || len(s.Payload) > maxSamplePayload {
			return b[:from], false
		}
		b = appendPackedSample(b, window, &samples[i])
	}
	return b, true
}

func appendPackedSample(b []byte, window time.Time, s *observation.Sample) []byte {
	bits := byte(0)
	if s.DF {
		bits |= packedDF
	}
	if s.Quoted != nil {
		bits |= packedQuoted
	}
	tcp := s.Flags != 0 || s.Seq != 0 || s.Ack != 0 || s.Window != 0
	if tcp {
		bits |= packedTCP
	}
	b = append(b, bits)
	b = binary.AppendVarint(b, int64(s.When.Sub(window)))
	b = appendPackedAddr(b, s.Destination)
	be := binary.BigEndian
	b = be.AppendUint16(be.AppendUint16(b, s.SourcePort), s.DestPort)
	b = be.AppendUint16(append(b, s.TTL), s.ID)
	if tcp {
		b = be.AppendUint32(append(b, s.Flags), s.Seq)
		b = be.AppendUint16(binary.AppendUvarint(b, uint64(s.Ack)), s.Window)
	}
	b = append(append(b, byte(len(s.Options))), s.Options...)
	b = append(append(b, byte(len(s.Payload))), s.Payload...)
	if q := s.Quoted; q != nil {
		b = append(appendPackedAddr(appendPackedAddr(b, q.Source), q.Destination), q.Proto)
		b = be.AppendUint16(be.AppendUint16(b, q.SourcePort), q.DestPort)
	}
	return b
}

// appendPackedAddr appends the length of an address, 0 for none, and its bytes.
func appendPackedAddr(b []byte, a netip.Addr) []byte {
	bytes := a.Unmap().AsSlice()
	return append(append(b, byte(len(bytes))), bytes...)
}

// decodePacked appends what the column holds to o's slices. Options and payloads
// of samples lie in arena, which is returned grown.
func decodePacked(packed []byte, window time.Time, o *observation.Observation, arena []byte) ([]byte, error) {
	if len(packed) < packedHead || packed[0] != packedVersion {
		return arena, errPacked
	}
	c := packedCursor{b: packed[packedHead:], arena: arena}
	first := len(o.Fingerprints)
	for range packed[4] {
		f := observation.Fingerprint{TTL: uint8(c.uint(1)), Window: uint16(c.uint(2)), Packets: c.uint(packedFingerprint - 3)}
		o.Fingerprints = append(o.Fingerprints, f)
	}
	for i := range packed[4] {
		o.Fingerprints[first+int(i)].Options = hex.EncodeToString(c.take(int(c.uint(1))))
	}
	for range packed[3] {
		o.Samples = append(o.Samples, c.sample(window))
	}
	if c.bad || len(c.b) != 0 {
		return arena, errPacked
	}
	return c.arena, nil
}

// packedCursor reads a packed column; bad is set where it ends too early, and
// everything after that reads as zero.
type packedCursor struct {
	b     []byte
	bad   bool
	arena []byte
}

func (c *packedCursor) take(n int) []byte {
	if c.bad || n > len(c.b) {
		c.bad = true
		return nil
	}
	t := c.b[:n]
	c.b = c.b[n:]
	return t
}

// uint reads a number of n bytes.
func (c *packedCursor) uint(n int) (v uint64) {
	for _, b := range c.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

// keep reads a length and so many bytes, which it copies into the arena.
func (c *packedCursor) keep() []byte {
	t := c.take(int(c.uint(1)))
	if len(t) == 0 {
		return nil
	}
	from := len(c.arena)
	c.arena = append(c.arena, t...)
	return c.arena[from:len(c.arena):len(c.arena)]
}

func (c *packedCursor) addr() netip.Addr {
	n := int(c.uint(1))
	if n == 0 {
		return netip.Addr{}
	}
	a, ok := netip.AddrFromSlice(c.take(n))
	c.bad = c.bad || !ok
	return a
}

func (c *packedCursor) sample(window time.Time) (s observation.Sample) {
	bits := c.uint(1)
	after, n := binary.Varint(c.b)
	if n <= 0 {
		c.bad = true
		return s
	}
	c.take(n)
	s.DF, s.When, s.Destination = bits&packedDF != 0, window.Add(time.Duration(after)), c.addr()
	s.SourcePort, s.DestPort, s.TTL, s.ID = uint16(c.uint(2)), uint16(c.uint(2)), uint8(c.uint(1)), uint16(c.uint(2))
	if bits&packedTCP != 0 {
		s.Flags, s.Seq = uint8(c.uint(1)), uint32(c.uint(4))
		ack, n := binary.Uvarint(c.b)
		if n <= 0 || ack > 1<<32-1 {
			c.bad = true
			return s
		}
		c.take(n)
		s.Ack, s.Window = uint32(ack), uint16(c.uint(2))
	}
	s.Options, s.Payload = c.keep(), c.keep()
	if bits&packedQuoted != 0 {
		s.Quoted = &observation.Quote{Source: c.addr(), Destination: c.addr(), Proto: uint8(c.uint(1)),
			SourcePort: uint16(c.uint(2)), DestPort: uint16(c.uint(2))}
	}
	return s
}

// packer turns the last two columns of ready rows into packed. The rows' text
// stays as it is up to there: a batch's digest is taken of it, and must be the
// same that versions before took.
type packer struct {
	window  time.Time
	prints  []observation.Fingerprint
	samples []observation.Sample
	arena   []byte
	packed  []byte
}

// appendRow appends a row of rowText, which ends with a newline, with its packed
// column.
func (p *packer) appendRow(b, row []byte) []byte {
	row = row[:len(row)-1]
	at := bytes.LastIndexByte(row, '\t')
	before := bytes.LastIndexByte(row[:at], '\t')
	// Where the row names no destination, a letter asks the JSON of its first sample.
	if noDestination(row) || !p.pack(row[before+1:at], row[at+1:]) {
		return append(append(b, row...), "\t\\N\n"...)
	}
	b = append(append(b, row[:before]...), "\t\\N\t\\N\t\\\\x"...)
	return append(hex.AppendEncode(b, p.packed), '\n')
}

// pack packs the two columns, and reports whether there is anything to pack and
// it can be.
func (p *packer) pack(prints, samples []byte) (ok bool) {
	p.prints, p.samples, p.arena = p.prints[:0], p.samples[:0], p.arena[:0]
	null := []byte(`\N`)
	if bytes.Equal(prints, null) && bytes.Equal(samples, null) || bytes.ContainsRune(prints, '\\') && !bytes.Equal(prints, null) {
		return false
	}
	var err error
	if !bytes.Equal(prints, null) {
		if p.prints, err = observation.DecodeFingerprints(prints, p.prints); err != nil {
			return false
		}
	}
	if !bytes.Equal(samples, null) {
		if p.samples, p.arena, err = observation.DecodeSamples(samples, p.samples, p.arena); err != nil {
			return false
		}
	}
	p.packed, ok = appendPacked(p.packed[:0], p.window, p.prints, p.samples)
	return ok
}

// noDestination says whether the eleventh column of a row of rowText is NULL.
func noDestination(row []byte) bool {
	for range 10 {
		row = row[bytes.IndexByte(row, '\t')+1:]
	}
	return bytes.HasPrefix(row, []byte(`\N`))
}

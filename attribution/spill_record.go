package attribution

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"strings"
	"time"

	"teiten/internal/observation"
)

// The kinds of records in temporary files.
const (
	recordProfile = iota
	recordObservation
)

var errRecord = errors.New("read temporary file: a record is cut or damaged")

func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, 0)
	}
	raw := a.AsSlice()
	return append(append(b, byte(len(raw))), raw...)
}

// appendProfile writes all of a profile that observations made.
func appendProfile(b []byte, p *Profile) []byte {
	b = appendAddr(b, p.source)
	b = binary.AppendVarint(b, p.first)
	b = binary.AppendUvarint(b, uint64(p.last-p.first))
	b = binary.AppendUvarint(b, p.packets)
	b = binary.AppendUvarint(b, uint64(math.Float32bits(p.rate)))
	b = binary.AppendVarint(b, int64(p.day))
	b = binary.AppendUvarint(b, uint64(p.sensor))
	b = appendBool(appendBool(b, p.many), p.manyDays)
	b = appendEntry(b, &p.one)
	r := p.more
	if b = appendBool(b, r != nil); r == nil {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(r.entries)))
	for i := range r.entries {
		b = appendEntry(b, &r.entries[i])
	}
	b = binary.AppendUvarint(b, uint64(len(r.dests)))
	for _, d := range r.dests {
		b = binary.LittleEndian.AppendUint64(b, d)
	}
	b = binary.AppendUvarint(b, uint64(len(r.days)))
	for _, d := range r.days {
		b = binary.AppendVarint(b, int64(d))
	}
	b = binary.AppendUvarint(b, uint64(len(r.sensors)))
	for _, s := range r.sensors {
		b = binary.AppendUvarint(b, uint64(s))
	}
	b = binary.AppendUvarint(b, uint64(len(r.payloads)))
	for _, s := range r.payloads {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendEntry(b []byte, e *entry) []byte {
	b = binary.AppendUvarint(b, e.packets)
	b = binary.LittleEndian.AppendUint64(b, e.dest)
	for i := range e.marks {
		b = append(b, byte(e.marks[i]))
		b = binary.AppendUvarint(b, uint64(e.hits[i]))
	}
	for _, v := range [...]uint32{e.days, e.dests, e.destsSum, e.repeats, uint32(e.port), uint32(e.peer), uint32(e.window), uint32(e.flags)} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return append(b, e.proto, byte(e.class), e.ttl, e.options)
}

// recordReader reads what the functions here write; bad is set at the first value that
// is not there.
type recordReader struct {
	b   []byte
	bad bool
}

func (r *recordReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *recordReader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *recordReader) uint64() uint64 {
	if v := r.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (r *recordReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *recordReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// length reads how many values follow, each of a byte at least.
func (r *recordReader) length() int {
	if n := r.uvarint(); n <= uint64(len(r.b)) {
		return int(n)
	}
	r.b, r.bad = nil, true
	return 0
}

func (r *recordReader) addr() netip.Addr {
	a, _ := netip.AddrFromSlice(r.take(int(r.byte())))
	return a
}

func (r *recordReader) err() error {
	if r.bad || len(r.b) > 0 {
		return errRecord
	}
	return nil
}

func (r *recordReader) entry(e *entry) {
	*e = entry{packets: r.uvarint(), dest: r.uint64()}
	for i := range e.marks {
		e.marks[i] = observation.Mark(r.byte())
		e.hits[i] = uint32(r.uvarint())
	}
	e.days, e.dests, e.destsSum, e.repeats = uint32(r.uvarint()), uint32(r.uvarint()), uint32(r.uvarint()), uint32(r.uvarint())
	e.port, e.peer, e.window, e.flags = uint16(r.uvarint()), uint16(r.uvarint()), uint16(r.uvarint()), uint16(r.uvarint())
	e.proto, e.class, e.ttl, e.options = r.byte(), observation.Class(r.byte()), r.byte(), r.byte()
}

// decode reads what appendProfile wrote.
func (p *Profile) decode(b []byte) error {
	r := recordReader{b: b}
	if p.source = r.addr(); !p.source.IsValid() {
		return errRecord
	}
	*p.core = core{}
	p.setAddress(p.source)
	p.first = r.varint()
	p.last = p.first + int64(r.uvarint())
	p.packets = r.uvarint()
	p.rate = math.Float32frombits(uint32(r.uvarint()))
	p.day = int32(r.varint())
	p.sensor = uint16(r.uvarint())
	p.many, p.manyDays = r.byte() != 0, r.byte() != 0
	r.entry(&p.one)
	if r.byte() != 0 {
		p.more = r.rest()
	}
	return r.err()
}

func (r *recordReader) rest() *rest {
	more := &rest{}
	more.entries = make([]entry, r.length())
	for i := range more.entries {
		r.entry(&more.entries[i])
	}
	if len(more.entries) >= indexFrom {
		more.makeIndex()
	}
	more.dests = make([]uint64, r.length())
	for i := range more.dests {
		more.dests[i] = r.uint64()
	}
	more.days = make([]int32, r.length())
	for i := range more.days {
		more.days[i] = int32(r.varint())
	}
	more.sensors = make([]uint16, r.length())
	for i := range more.sensors {
		more.sensors[i] = uint16(r.uvarint())
	}
	for range r.length() {
		more.payloads = append(more.payloads, string(r.take(r.length())))
	}
	return more
}

// appendObservation writes what Profile.add reads of an observation.
func appendObservation(b []byte, sensor uint16, day int32, o *observation.Observation) []byte {
	b = binary.AppendUvarint(b, uint64(sensor))
	b = binary.AppendVarint(b, int64(day))
	b = appendAddr(appendAddr(b, o.Source), o.Destination)
	b = append(b, o.Proto, byte(o.Class))
	for _, v := range [...]uint64{uint64(o.Port), o.Packets, uint64(o.Destinations), uint64(o.PeerPorts)} {
		b = binary.AppendUvarint(b, v)
	}
	b = binary.AppendVarint(b, o.First.UnixNano())
	b = binary.AppendVarint(b, o.Last.UnixNano()-o.First.UnixNano())
	b = binary.AppendUvarint(b, uint64(len(o.Marks)))
	for _, m := range o.Marks {
		b = binary.AppendUvarint(append(b, byte(m.Mark)), m.Packets)
	}
	if b = appendBool(b, len(o.Fingerprints) > 0); len(o.Fingerprints) > 0 {
		f := &o.Fingerprints[0]
		b = binary.AppendUvarint(append(b, f.TTL), uint64(f.Window))
		b = append(b, byte(min(len(f.Options)/2, 255)))
	}
	b = binary.AppendUvarint(b, uint64(len(o.Samples)))
	for i := range o.Samples {
		s := &o.Samples[i]
		for _, v := range [...]uint16{s.SourcePort, s.DestPort, s.Window} {
			b = binary.AppendUvarint(b, uint64(v))
		}
		b = append(b, s.TTL, s.Flags, byte(min(len(s.Options), 255)))
		b = appendBool(b, s.DF)
		b = append(binary.AppendUvarint(b, uint64(len(s.Payload))), s.Payload...)
		if b = appendBool(b, s.Quoted != nil); s.Quoted != nil {
			b = appendBool(append(b, s.Quoted.Proto), s.Quoted.Source == s.Destination)
		}
	}
	return b
}

// decodeObservation reads what appendObservation wrote. The payloads of samples are
// parts of b.
func decodeObservation(b []byte, o *observation.Observation) (sensor uint16, day int32, err error) {
	r := recordReader{b: b}
	sensor, day = uint16(r.uvarint()), int32(r.varint())
	o.Source, o.Destination = r.addr(), r.addr()
	o.Proto, o.Class = r.byte(), observation.Class(r.byte())
	o.Port, o.Packets, o.Destinations, o.PeerPorts = uint16(r.uvarint()), r.uvarint(), uint32(r.uvarint()), uint16(r.uvarint())
	first := r.varint()
	last := first + r.varint()
	o.First, o.Last = time.Unix(0, first).UTC(), time.Unix(0, last).UTC()
	for range r.length() {
		o.Marks = append(o.Marks, observation.MarkCount{Mark: observation.Mark(r.byte()), Packets: r.uvarint()})
	}
	if r.byte() != 0 {
		f := observation.Fingerprint{TTL: r.byte(), Window: uint16(r.uvarint())}
		f.Options = strings.Repeat("0", 2*int(r.byte())) // only the length counts
		o.Fingerprints = append(o.Fingerprints, f)
	}
	for range r.length() {
		s := observation.Sample{Destination: o.Destination, SourcePort: uint16(r.uvarint()), DestPort: uint16(r.uvarint()), Window: uint16(r.uvarint())}
		s.TTL, s.Flags = r.byte(), r.byte()
		s.Options = make([]byte, r.byte())
		s.DF = r.byte() != 0
		s.Payload = r.take(r.length())
		if r.byte() != 0 {
			s.Quoted = &observation.Quote{Proto: r.byte()}
			if r.byte() != 0 {
				s.Quoted.Source = s.Destination
			}
		}
		o.Samples = append(o.Samples, s)
	}
	return sensor, day, r.err()
}

package capture

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"

	"teiten/internal/observation"
)

// batchWriter turns a window into a batch. Its buffers serve every batch.
type batchWriter struct {
	t      *tally
	w      *window
	names  map[uint32]string // of option combinations
	order  []sortItem
	spare  []sortItem
	sorted bool

	o       observation.Observation
	quotes  []observation.Quote
	samples []uint32
	consts  []unicornConst
	touch   uint32 // keeps the look-ahead's loads from being optimised away
}

// ahead is how many entries ahead of the one yielded are fetched.
const ahead = 8

// batch returns the batch of a window, valid until release.
func (b *batchWriter) batch(t *tally, e emission) *observation.Batch {
	w := e.w
	b.t, b.w, b.names, b.sorted = t, w, e.combinations, false
	return &observation.Batch{
		Sensor:       t.opt.Sensor,
		Window:       time.Unix(0, w.start).UTC(),
		Length:       time.Duration(w.end - w.start),
		Seq:          w.seq,
		Packets:      w.packets,
		Copies:       w.copies,
		Keys:         w.entries.len(),
		Partial:      e.partial,
		Observations: b.observations,
	}
}

func (b *batchWriter) release() { b.w, b.names = nil, nil }

func (b *batchWriter) observations(yield func(*observation.Observation) bool) {
	if b.w == nil {
		return
	}
	if !b.sorted {
		b.order, b.spare = b.w.sorted(b.order, b.spare)
		b.unicornscan()
		b.sorted = true
	}
	sum := uint32(0)
	for i, item := range b.order {
		if i+ahead < len(b.order) { // fetch an entry that will be needed soon
			e := b.w.entries.at(b.order[i+ahead].entry)
			sum += e.packets + e.firstDst
		}
		b.fill(item.entry)
		if !yield(&b.o) {
			break
		}
	}
	b.touch += sum
}

// fill sets b.o to an entry.
func (b *batchWriter) fill(number uint32) {
	w, o := b.w, &b.o
	e := w.entries.at(number)
	o.Window = time.Unix(0, w.start).UTC()
	if e.key&keyV6 != 0 {
		o.Source = netip.AddrFrom16(w.addrs.all[keySource(e.key)])
	} else {
		o.Source = addr4(keySource(e.key))
	}
	o.Proto = keyProto(e.key)
	o.Port = keyPort(e.key)
	o.Class = keyClass(e.key)
	o.Packets = uint64(e.packets)
	o.Bytes = e.bytes
	o.Destinations, o.DestinationsExact = w.dests.destinations(e)
	o.PeerPorts = 0
	if e.bits&(bitPorts|bitQuote) != 0 {
		o.PeerPorts = uint16(e.peerN)
	}
	o.First, o.Last = time.Unix(0, e.first).UTC(), time.Unix(0, e.last).UTC()

	o.Marks = o.Marks[:0]
	if e.counted[0] != observation.MarkNone || e.ext != 0 {
		b.marks(e)
	}

	o.Fingerprints = o.Fingerprints[:0]
	b.fingerprint(e.print)
	if e.ext != 0 {
		for _, f := range w.extras.at(e.ext).prints {
			b.fingerprint(f)
		}
		slices.SortFunc(o.Fingerprints, func(x, y observation.Fingerprint) int {
			return cmp.Or(-cmp.Compare(x.Packets, y.Packets), cmp.Compare(x.TTL, y.TTL),
				cmp.Compare(x.Window, y.Window), strings.Compare(x.Options, y.Options))
		})
	}

	o.Samples = o.Samples[:0]
	b.quotes = slices.Grow(b.quotes[:0], 16)
	b.sample(o, &sample{
		when: e.when, dst: e.firstDst, seq: e.seq, ack: e.ack, blob: e.blob, id: e.id, win: e.win,
		peer: e.peers[0], optLen: e.optLen, payLen: e.payLen, ttl: e.ttl, flags: e.flags, bits: e.bits,
	})
	o.Destination = o.Samples[0].Destination
	if e.ext != 0 {
		b.samples = b.samples[:0]
		for n := w.extras.at(e.ext).samples; n != 0; n = w.samples.at(n).next {
			b.samples = append(b.samples, n)
		}
		for _, n := range slices.Backward(b.samples) {
			b.sample(o, w.samples.at(n))
		}
	}
}

// marks sets the marks of b.o.
func (b *batchWriter) marks(e *entry) {
	for m := range observation.Marks {
		n := b.w.marked(e, m)
		if n == 0 || !b.w.hidden.holds(m, e) {
			continue
		}
		b.o.Marks = append(b.o.Marks, observation.MarkCount{Mark: m, Packets: uint64(n)})
		if e.ext == 0 && e.counted[1] == observation.MarkNone {
			return // it was the only one
		}
	}
}

func (b *batchWriter) fingerprint(f fingerprint) {
	if f.n == 0 {
		return
	}
	c := observation.Fingerprint{TTL: f.ttl, Window: f.win, Packets: uint64(f.n)}
	if f.opt != 0 {
		b.t.combinationsMu.Lock()
		c.Options = b.names[f.opt]
		b.t.combinationsMu.Unlock()
	}
	b.o.Fingerprints = append(b.o.Fingerprints, c)
}

// sample appends a packet to the samples of o. Its options and payload point
// into the window's memory.
func (b *batchWriter) sample(o *observation.Observation, s *sample) {
	n := 0
	if s.bits&bitV6 != 0 {
		n = 16
	}
	blob := b.w.blobs.load(s.blob, n+int(s.optLen)+int(s.payLen))
	out := observation.Sample{
		When:   time.Unix(0, s.when).UTC(),
		Source: o.Source,
		TTL:    s.ttl,
		ID:     s.id,
		DF:     s.bits&bitDF != 0,
		Flags:  s.flags,
		Seq:    s.seq,
		Ack:    s.ack,
		Window: s.win,
	}
	if o.Proto != protoTCP || o.Class.ICMPError() {
		out.Ack = 0 // no acknowledgement number
	}
	switch {
	case s.bits&bitV6 == 0:
		out.Destination = addr4(s.dst)
	case len(blob) >= 16:
		out.Destination = netip.AddrFrom16([16]byte(blob))
		blob = blob[16:]
	}
	if s.optLen > 0 {
		out.Options = blob[:s.optLen:s.optLen]
	}
	if s.payLen > 0 {
		out.Payload = blob[s.optLen:]
	}
	if s.bits&bitPorts != 0 {
		out.SourcePort, out.DestPort = s.peer, o.Port
		if o.Class.FromService() {
			out.SourcePort, out.DestPort = o.Port, s.peer
		}
	}
	if s.bits&bitQuote != 0 {
		if q, ok := parseQuote(out.Payload); ok {
			src, _ := netip.AddrFromSlice(q.src)
			dst, _ := netip.AddrFromSlice(q.dst)
			b.quotes = append(b.quotes, observation.Quote{Source: src, Destination: dst, Proto: q.proto, SourcePort: q.sport, DestPort: q.dport})
			out.Quoted = &b.quotes[len(b.quotes)-1]
		}
	}
	if len(out.Payload) > b.t.payload {
		if out.Payload = out.Payload[:b.t.payload]; b.t.payload == 0 {
			out.Payload = nil
		}
	}
	o.Samples = append(o.Samples, out)
}

func addr4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

// unicornConst is the constant of one observation's first packet.
type unicornConst struct {
	value uint32
	entry uint32
	seq   uint32
}

// unicornscan finds the constant of unicornscan across the observations of a
// source, of which each may hold a single packet.
func (b *batchWriter) unicornscan() {
	const source = ^uint64(1<<keySrcShift - 1)
	for i := 0; i < len(b.order); {
		k := i + 1
		for k < len(b.order) && b.order[k].key&source == b.order[i].key&source {
			k++
		}
		if k-i > 1 && b.order[i].key&keyV6 == 0 {
			b.unicornSource(b.order[i:k])
		}
		i = k
	}
}

func (b *batchWriter) unicornSource(items []sortItem) {
	for _, swap := range []bool{false, true} {
		b.consts = b.consts[:0]
		for _, item := range items {
			e := b.w.entries.at(item.entry)
			// A packet with a tool's mark, this one included, needs no other mark.
			if e.bits&bitSYNv4 == 0 || e.seq == e.firstDst || e.counted[1] != observation.MarkNone ||
				e.counted[0] != observation.MarkNone && e.counted[0] != observation.MarkWindow8192 {
				continue
			}
			v := e.seq ^ (uint32(keyPort(e.key))<<16 + uint32(e.peers[0]))
			if swap {
				v ^= bits.ReverseBytes32(e.firstDst)
			} else {
				v ^= e.firstDst
			}
			b.consts = append(b.consts, unicornConst{v, item.entry, e.seq})
		}
		if len(b.consts) < 2 {
			return
		}
		slices.SortFunc(b.consts, func(x, y unicornConst) int {
			return cmp.Or(cmp.Compare(x.value, y.value), cmp.Compare(x.entry, y.entry))
		})
		for i := 0; i < len(b.consts); {
			k := i + 1
			varied := false
			for k < len(b.consts) && b.consts[k].value == b.consts[i].value {
				varied = varied || b.consts[k].seq != b.consts[i].seq
				k++
			}
			if varied {
				for _, c := range b.consts[i:k] {
					b.w.mark(b.w.entries.at(c.entry), observation.MarkUnicornscan, 1)
				}
			}
			i = k
		}
	}
}

// median returns the middle one of some numbers, which it reorders.
func median(v []int64) int64 {
	slices.Sort(v)
	return v[len(v)/2]
}

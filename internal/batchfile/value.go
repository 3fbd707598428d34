package batchfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"

	"teiten/internal/observation"
)

// Bounds of what an observation has, as package capture keeps it.
const (
	maxPrints      = 8
	maxSamples     = 16
	maxOptions     = 40
	maxPayload     = 64
	maxPrintsText  = 4 << 10
	maxSamplesText = 16 << 10
	maxPeers       = 1 << 10
	// slack is how far a packet's time may lie outside of its window: the clock of a
	// sensor can be put right while a window is open.
	slack = 24 * time.Hour
)

// observation fills o from the row; the error says which value no observation has.
func (r *row) observation(f *File, o *observation.Observation) error {
	*o = observation.Observation{Window: f.Window.Window, Marks: o.Marks[:0], Fingerprints: o.Fingerprints[:0], Samples: o.Samples[:0]}
	var ok bool
	if r.Sensor != f.Sensor || r.Window != f.Window.Window.UnixNano() {
		return errors.New("another sensor or window")
	}
	var err error
	if o.Source, err = address(r.Source); err != nil || !o.Source.IsValid() {
		return fmt.Errorf("source %.60q", r.Source)
	}
	if o.Destination, err = address(r.Destination); err != nil {
		return fmt.Errorf("destination %.60q", r.Destination)
	}
	if o.Proto, ok = protoNumber(r.Proto); !ok {
		return fmt.Errorf("protocol %.20q", r.Proto)
	}
	if o.Class, ok = observation.ParseClass(r.Class); !ok || o.Class == observation.ClassNone {
		return fmt.Errorf("class %.20q", r.Class)
	}
	switch {
	case r.Port < 0 || r.Port > 65535:
		return fmt.Errorf("port %d", r.Port)
	case r.PeerPorts < 0 || r.PeerPorts > maxPeers:
		return fmt.Errorf("%d ports on the other side", r.PeerPorts)
	case r.Packets < 1 || r.Packets > maxCount || r.Bytes < 0 || r.Bytes > maxCount:
		return fmt.Errorf("%d packets, %d bytes", r.Packets, r.Bytes)
	case r.Destinations < 1 || r.DestinationsExact && r.Destinations > r.Packets || r.Destinations > 1<<32-1:
		return fmt.Errorf("%d destinations of %d packets", r.Destinations, r.Packets)
	}
	o.Port, o.PeerPorts = uint16(r.Port), uint16(r.PeerPorts)
	o.Packets, o.Bytes, o.Destinations, o.DestinationsExact = uint64(r.Packets), uint64(r.Bytes), uint32(r.Destinations), r.DestinationsExact
	o.First, o.Last = time.Unix(0, r.First).UTC(), time.Unix(0, r.Last).UTC()
	from, to := f.span()
	if o.Last.Before(o.First) || o.First.Before(from.Add(-slack)) || o.Last.After(to.Add(slack)) {
		return fmt.Errorf("packets from %s to %s", o.First.Format(time.RFC3339Nano), o.Last.Format(time.RFC3339Nano))
	}
	for m := range observation.Marks {
		n := *r.Mark(m)
		if n < 0 || n > r.Packets {
			return fmt.Errorf("mark %s on %d of %d packets", m, n, r.Packets)
		}
		if n > 0 {
			o.Marks = append(o.Marks, observation.MarkCount{Mark: m, Packets: uint64(n)})
		}
	}
	if err := r.prints(o); err != nil {
		return err
	}
	return r.samples(f, o)
}

// address reads an address in the one form that String gives; "" is none.
func address(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !plain(a) || a.String() != text {
		return netip.Addr{}, errors.New("not an address")
	}
	return a, nil
}

// plain reports whether an address is one, and not an IPv4 address as IPv6 or one
// with a zone.
func plain(a netip.Addr) bool { return a.IsValid() && !a.Is4In6() && a.Zone() == "" }

func (r *row) prints(o *observation.Observation) error {
	if r.Fingerprints == "" {
		return nil
	}
	var err error
	if len(r.Fingerprints) <= maxPrintsText {
		o.Fingerprints, err = observation.DecodeFingerprints([]byte(r.Fingerprints), o.Fingerprints)
	}
	if err != nil || len(o.Fingerprints) < 1 || len(o.Fingerprints) > maxPrints {
		return errors.New("fingerprints that cannot be read")
	}
	for _, p := range o.Fingerprints {
		if b, err := hex.DecodeString(p.Options); err != nil || len(b) > maxOptions || hex.EncodeToString(b) != p.Options || p.Packets < 1 || p.Packets > maxCount {
			return fmt.Errorf("a fingerprint of %d packets with options %.90q", p.Packets, p.Options)
		}
	}
	return nil
}

func (r *row) samples(f *File, o *observation.Observation) error {
	if r.Samples == "" {
		return nil
	}
	var err error
	if len(r.Samples) <= maxSamplesText && utf8.ValidString(r.Samples) {
		o.Samples, f.arena, err = observation.DecodeSamples([]byte(r.Samples), o.Samples, f.arena[:0])
	}
	if err != nil || len(o.Samples) < 1 || len(o.Samples) > maxSamples {
		return errors.New("samples that cannot be read")
	}
	from, to := f.span()
	for i := range o.Samples {
		s := &o.Samples[i]
		s.Source = o.Source
		if len(s.Options) > maxOptions || len(s.Payload) > maxPayload || s.When.Before(from.Add(-slack)) || s.When.After(to.Add(slack)) ||
			s.Destination.IsValid() && !plain(s.Destination) {
			return fmt.Errorf("sample %d", i)
		}
		s.When = s.When.UTC()
		if q := s.Quoted; q != nil && (!plain(q.Source) || !plain(q.Destination)) {
			return fmt.Errorf("sample %d quotes no packet", i)
		}
	}
	return nil
}

// Package observation has the words of the wire: class, mark, sample, observation, batch. It imports no other package of teiten.
package observation

import (
	"net/netip"
	"slices"
	"time"
)

// MarkCount is the number of packets of an observation that show a mark.
type MarkCount struct {
	Mark    Mark
	Packets uint64
}

// Fingerprint counts the packets of an observation with one combination of
// TTL, TCP window and TCP option bytes. Window and Options are zero for other
// protocols. Option values that a stack fills again for each packet (all but
// maximum segment size and window scale: timestamps, cookies) are zeros.
type Fingerprint struct {
	TTL     uint8  `json:"ttl"`
	Window  uint16 `json:"win"`
	Options string `json:"opt"` // lower-case hexadecimal, without padding after end-of-options
	Packets uint64 `json:"n"`
}

// Sample is one packet kept as evidence. Destination, Seq and ID betray the
// sensor (Masscan and Mirai derive them from its address), so they never leave
// the case database together with it: see the notify package.
type Sample struct {
	When        time.Time  `json:"when"`
	Source      netip.Addr `json:"-"` // as in the observation
	Destination netip.Addr `json:"dst"`
	SourcePort  uint16     `json:"sport"`
	DestPort    uint16     `json:"dport"`
	TTL         uint8      `json:"ttl"`
	ID          uint16     `json:"id"` // IPv4 identification
	DF          bool       `json:"df,omitempty"`
	Flags       uint8      `json:"flags,omitempty"` // all eight TCP flag bits
	Seq         uint32     `json:"seq,omitempty"`
	Ack         uint32     `json:"ack,omitempty"`
	Window      uint16     `json:"win,omitempty"`
	Options     []byte     `json:"opt,omitempty"`     // TCP option bytes (at most 40)
	Payload     []byte     `json:"payload,omitempty"` // first bytes of the transport payload (at most 64)
	Quoted      *Quote     `json:"quoted,omitempty"`  // what an ICMP error quotes
}

// Quote is the packet inside an ICMP error.
type Quote struct {
	Source      netip.Addr `json:"src"` // should be the sensor; else the error is not about a packet forged as ours
	Destination netip.Addr `json:"dst"` // the attacked host
	Proto       uint8      `json:"proto"`
	SourcePort  uint16     `json:"sport"`
	DestPort    uint16     `json:"dport"` // the attacked port
}

// Observation is the tally of one source, protocol, port and class at one
// sensor in one window.
//
// An Observation handed to a callback by package capture is reused: a
// callback that keeps it must copy it, slices included (Clone).
type Observation struct {
	Window time.Time // start of the window, UTC
	Source netip.Addr
	// Proto is the IP protocol number; of an ICMP error that quotes a packet it is
	// the quoted packet's, because Port is a port of that protocol.
	Proto uint8
	// Port is the service port: the destination port of a probe, the source
	// port of backscatter (synack, rst, udp-answer; for an ICMP error the quoted
	// destination port), 0 for ICMP echo and replies, type<<8|code for other
	// ICMP, 0 where there is none. Before CountRule 2, echo and replies had
	// type<<8|code too.
	Port  uint16
	Class Class

	Packets           uint64
	Bytes             uint64     // IP length, headers included
	Destinations      uint32     // distinct destination addresses
	DestinationsExact bool       // false: Destinations is an estimate
	Destination       netip.Addr // the first destination seen
	// PeerPorts is the number of distinct ports on the other side of the
	// service port (source ports of a probe, destination ports of backscatter),
	// counted up to a small bound: enough to tell "one" from "many".
	PeerPorts uint16

	First, Last time.Time

	// Country is that of the source when the observation was stored, two
	// capitals; CountryUnknown if there is none, empty if it was not looked up.
	Country string

	Marks        []MarkCount   // only those seen, in the order of Marks
	Fingerprints []Fingerprint // the most frequent few, most frequent first
	Samples      []Sample      // bounded; the first packet always
}

// CountryUnknown is the country of a source that the data do not know.
const CountryUnknown = "ZZ"

// Mark returns the number of packets that show m.
func (o *Observation) Mark(m Mark) uint64 {
	for _, c := range o.Marks {
		if c.Mark == m {
			return c.Packets
		}
	}
	return 0
}

// Clone returns a copy that shares nothing with o.
func (o *Observation) Clone() *Observation {
	c := *o
	c.Marks, c.Fingerprints, c.Samples = slices.Clone(o.Marks), slices.Clone(o.Fingerprints), slices.Clone(o.Samples)
	for i := range c.Samples {
		s := &c.Samples[i]
		s.Options, s.Payload = slices.Clone(s.Options), slices.Clone(s.Payload)
		if s.Quoted != nil {
			q := *s.Quoted
			s.Quoted = &q
		}
	}
	return &c
}

// CountRule numbers the way in which packets become observations. A batch keeps
// the number, so that counts of different rules are never added up without a
// word; see docs/decisions/0038.
//
//	1  ports of ICMP echo and replies are type<<8|code, errors are of protocol
//	   ICMP, answers over UDP are of class udp, copies are counted
//	2  the classes and ports of docs/capture.md, copies counted apart
const CountRule = 2

// Batch is all observations of one sensor and window: the unit of transfer.
// Observations yields each one once and reuses the value it points to; it may
// be called more than once and gives the same order each time (source, proto,
// port, class), so a batch has a content digest.
type Batch struct {
	Sensor  string
	Window  time.Time     // start
	Length  time.Duration // of the window
	Seq     int           // 0, or counting up where a window had to be closed in parts (key limit)
	Packets uint64        // sum over the observations
	Copies  uint64        // packets left out as copies of the one before
	Keys    int           // number of observations
	// Partial is true when the window was closed early because of the key limit.
	Partial      bool
	Observations func(yield func(*Observation) bool)
	// Facts are of a batch that was captured live or followed; nil: of a file.
	Facts *Facts
}

// Facts are what a sensor knows of a window besides its observations. The sums are
// of the packets of this batch; where a window comes in parts, they add up.
type Facts struct {
	// From and To are the part of the window in which the sensor listened.
	From, To time.Time
	Records  uint64            // frames that the kernel or the file handed over
	Dropped  uint64            // frames that the kernel dropped
	Skipped  map[string]uint64 // frames in no observation, by the reasons of package capture
	// Elsewhere counts packets to addresses that are not monitored, Own those that
	// the sensor sent and the answers to them; neither is looked at further.
	Elsewhere, Own uint64
	Late           uint64 // packets of an earlier window that was closed
	// Networks were monitored in this window.
	Networks []netip.Prefix
	// Inputs are the interfaces or files that were read.
	Inputs []string
}

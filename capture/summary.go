package capture

import (
	"fmt"
	"maps"
	"time"
)

// Reasons why a record is counted in Counts.Skipped and in no observation.
const (
	SkipEmpty     = "empty"       // a record without a byte
	SkipLinkType  = "link-type"   // a link type that is not read
	SkipLink      = "link-header" // the link header is cut or makes no sense
	SkipNonIP     = "not-ip"      // neither IPv4 nor IPv6, nor ARP
	SkipARP       = "arp"         // address resolution
	SkipIPHeader  = "ip-header"   // the IP header is cut or makes no sense
	SkipExtension = "ipv6-extension"
	SkipTime      = "time"       // no time, or one outside 1970 to 2262
	SkipTimeOrder = "time-order" // too late for every open window, too often
	SkipPanic     = "decoder"    // the general decoder failed
	SkipTunnel    = "tunnel"     // inside a tunnel of the link layer, such as MPLS
)

// Counts are the figures of `teiten stats --summary` about one file, or about all.
type Counts struct {
	// Packets is the number of records read, decoded or not.
	Packets uint64 `json:"packets"`
	// Observations is the number of distinct keys (window, source, protocol,
	// port, class); where a window was closed in parts a key counts once in
	// each part.
	Observations uint64 `json:"observations"`
	// Sources is the number of distinct source addresses.
	Sources uint64 `json:"sources"`
	// SourcesExact is false where there were too many sources to hold and
	// Sources is an estimate (standard error 0.8 %).
	SourcesExact bool `json:"sources_exact"`
	// Skipped is the number of records that are in no observation, by reason.
	Skipped map[string]uint64 `json:"skipped"`
	// Copies is the number of packets that are copies of the one before, as mirror
	// ports make them; they are in no observation either.
	Copies uint64 `json:"copies"`
	// Tunnels is the number of packets that are inside a tunnel, by its name.
	Tunnels map[string]uint64 `json:"tunnels"`
	// Late is the number of packets that came after their window had been
	// closed; they are in the observations all the same, in another part.
	Late uint64 `json:"late"`
	// Truncated is true if the input ends, or stops making sense, before its end.
	Truncated bool `json:"truncated"`
	// First and Last are the earliest and latest packet time; nil without packets.
	First *time.Time `json:"first"`
	Last  *time.Time `json:"last"`
}

// FileResult is the result of reading one file.
type FileResult struct {
	File   string `json:"file"`
	Format string `json:"format"` // pcap or pcapng
	Counts
	// Warning says what was wrong with a file of which a part could be read,
	// with the byte offset (after decompression).
	Warning string `json:"warning,omitempty"`
	// Unread names the link types of packets that were not read, where others were.
	Unread string `json:"unread,omitempty"`
}

// Warnings lists what a user must know of a file that was read, one line each.
func (f *FileResult) Warnings() (lines []string) {
	if f.Warning != "" {
		lines = append(lines, f.Warning)
	}
	if f.Unread != "" {
		lines = append(lines, fmt.Sprintf("%s: of %d packets %s", f.File, f.Packets, f.Unread))
	}
	if line := f.tunnelLine(); line != "" {
		lines = append(lines, f.File+": "+line)
	}
	return lines
}

// Summary is the answer of `teiten stats --summary`.
type Summary struct {
	Counts
	// Batches is the number of batches handed to the sink, and PartialBatches
	// how many of them hold a part of a window only.
	Batches        uint64       `json:"batches"`
	PartialBatches uint64       `json:"partial_batches"`
	Files          []FileResult `json:"files"`
}

func (c *Counts) skip(reason string, n uint64) {
	if c.Skipped == nil {
		c.Skipped = make(map[string]uint64)
	}
	c.Skipped[reason] += n
}

func (c *Counts) tunnel(name string, n uint64) {
	if c.Tunnels == nil {
		c.Tunnels = make(map[string]uint64)
	}
	c.Tunnels[name] += n
}

// add merges the counts that add up; observations and sources do not.
func (c *Counts) add(d *Counts) {
	c.Packets += d.Packets
	c.Late += d.Late
	c.Copies += d.Copies
	for name, n := range d.Tunnels {
		c.tunnel(name, n)
	}
	c.Truncated = c.Truncated || d.Truncated
	for r, n := range d.Skipped {
		c.skip(r, n)
	}
	if d.First != nil && (c.First == nil || d.First.Before(*c.First)) {
		c.First = d.First
	}
	if d.Last != nil && (c.Last == nil || d.Last.After(*c.Last)) {
		c.Last = d.Last
	}
}

func (c Counts) clone() Counts {
	c.Skipped = maps.Clone(c.Skipped)
	if c.Skipped == nil {
		c.Skipped = make(map[string]uint64)
	}
	c.Tunnels = maps.Clone(c.Tunnels)
	if c.Tunnels == nil {
		c.Tunnels = make(map[string]uint64)
	}
	return c
}

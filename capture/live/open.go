package live

import (
	"net/netip"
	"slices"
	"sync"

	"teiten/capture"
)

// Options say what is captured.
type Options struct {
	// Interfaces are read by name; each may be away for some time.
	Interfaces []string
	// Live says how packets are tallied. Its Networks, Peers and Inputs are
	// filled in from what follows and from Interfaces.
	Live capture.LiveOptions
	// Networks are monitored; Auto adds the interfaces' own global addresses.
	Networks []netip.Prefix
	Auto     bool
	// Peers are what the sensor talks to; Management are prefixes of which every
	// packet is left out.
	Peers      []netip.AddrPort
	Management []netip.Prefix
	// Blocks is the size of each interface's ring in MiB, 64 if it is 0.
	Blocks int
	// Warn is told of what goes wrong while the capture goes on; it may be nil.
	Warn func(error)
}

// Stats are counts since the start.
type Stats struct {
	capture.LiveTotals
	Networks   []netip.Prefix
	Interfaces []Interface
}

// Interface is the state of one interface.
type Interface struct {
	Name string
	Up   bool
}

// settings are what Set changes.
type settings struct {
	networks   []netip.Prefix
	auto       bool
	peers      []netip.AddrPort
	management []netip.Prefix
}

// shared is what other goroutines than Run's see.
type shared struct {
	mu      sync.Mutex // guards what follows
	set     settings
	changed bool
	stats   Stats
}

// Set changes what is monitored and what the sensor talks to, within a second.
func (c *Capture) Set(networks []netip.Prefix, auto bool, peers []netip.AddrPort, management []netip.Prefix) {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	c.shared.set = settings{slices.Clone(networks), auto, slices.Clone(peers), slices.Clone(management)}
	c.shared.changed = true
}

// Stats returns the counts as of the last second.
func (c *Capture) Stats() Stats {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	s := c.shared.stats
	s.Networks, s.Interfaces = slices.Clone(s.Networks), slices.Clone(s.Interfaces)
	return s
}

// doorPeers puts peers and management prefixes into the words of a Door.
func (s *settings) doorPeers() []capture.Peer {
	var all []capture.Peer
	for _, p := range s.peers {
		if a := p.Addr().Unmap(); a.IsValid() {
			all = append(all, capture.Peer{Prefix: netip.PrefixFrom(a, a.BitLen()), Port: p.Port()})
		}
	}
	for _, p := range s.management {
		all = append(all, capture.Peer{Prefix: p})
	}
	return all
}

package sensor

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// maxPeers bounds the ends that are remembered; a sensor talks to one hub, a proxy
// and a few name servers.
const maxPeers = 64

// peers are the far ends of the sensor's own connections: what comes from there
// is an answer, not an observation.
type peers struct {
	mu  sync.Mutex // guards all
	all []netip.AddrPort
}

func newPeers() *peers { return &peers{} }

// dial wraps a dialer: the far end is noted before the first packet is sent, so
// that its first answer is known.
func (p *peers) dial(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		number, err := net.DefaultResolver.LookupPort(ctx, network, port)
		if err != nil {
			return nil, err
		}
		addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			p.add(netip.AddrPortFrom(a.Unmap(), uint16(number)))
		}
		return d.DialContext(ctx, network, address)
	}
}

func (p *peers) add(a netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range p.all {
		if known == a {
			return
		}
	}
	p.all = append(p.all, a)
	if len(p.all) > maxPeers {
		p.all = append([]netip.AddrPort(nil), p.all[len(p.all)-maxPeers:]...)
	}
}

// list returns the far ends.
func (p *peers) list() []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]netip.AddrPort(nil), p.all...)
}

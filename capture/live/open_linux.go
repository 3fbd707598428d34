package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"teiten/capture"
	"teiten/internal/observation"
)

const (
	defaultBlocks = 64
	snapBytes     = 512 // headers with all options, and more than a sample keeps
	// blocksInTurn bounds what one interface is read before the next one.
	blocksInTurn = 16

	linkTypeEthernet = 1 // LINKTYPE_ values
	linkTypeRaw      = 101
)

// Capture reads interfaces.
type Capture struct {
	opt      Options
	inputs   []*input
	networks []netip.Prefix // monitored now
	peers    []capture.Peer
	live     *capture.Live
	shared   shared
}

// input is one interface; ring is nil while it is away.
type input struct {
	name  string
	index int
	link  Link
	ring  *Ring
}

// Open opens the interfaces, of which at least one must be there.
func Open(opt Options) (*Capture, error) {
	if len(opt.Interfaces) == 0 {
		return nil, errors.New("capture live: no interface")
	}
	if opt.Blocks == 0 {
		opt.Blocks = defaultBlocks
	}
	c := &Capture{opt: opt}
	c.shared.set = settings{opt.Networks, opt.Auto, opt.Peers, opt.Management}
	c.networks, c.peers = c.wanted(&c.shared.set), c.shared.set.doorPeers()
	var errs []error
	for _, name := range opt.Interfaces {
		in := &input{name: name}
		c.inputs = append(c.inputs, in)
		if err := c.reopen(in); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(c.inputs) {
		return nil, fmt.Errorf("capture live: %w", errors.Join(errs...))
	}
	for _, err := range errs {
		c.warn(err)
	}
	return c, nil
}

func (c *Capture) warn(err error) {
	if c.opt.Warn != nil {
		c.opt.Warn(err)
	}
}

// wanted returns the networks to monitor. In auto mode the interfaces are asked
// for their addresses (rtnetlink, by package net).
func (c *Capture) wanted(s *settings) []netip.Prefix {
	all := slices.Clone(s.networks)
	if !s.auto {
		return all
	}
	for _, name := range c.opt.Interfaces {
		nic, err := net.InterfaceByName(name)
		if err != nil {
			continue // it is away, and so are its addresses
		}
		addrs, err := nic.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				ip, _ := netip.AddrFromSlice(n.IP)
				if ip = ip.Unmap(); ip.IsGlobalUnicast() {
					all = append(all, netip.PrefixFrom(ip, ip.BitLen()))
				}
			}
		}
	}
	return all
}

// reopen makes the ring of an interface that is there and up.
func (c *Capture) reopen(in *input) error {
	nic, err := net.InterfaceByName(in.name)
	if err != nil {
		return fmt.Errorf("open interface %s: %w", in.name, err)
	}
	if nic.Flags&net.FlagUp == 0 {
		return fmt.Errorf("open interface %s: %w", in.name, unix.ENETDOWN)
	}
	// A tunnel of IP packets has no hardware address.
	in.link, in.index = Ethernet, nic.Index
	if len(nic.HardwareAddr) == 0 && nic.Flags&net.FlagLoopback == 0 {
		in.link = Raw
	} else if n := len(nic.HardwareAddr); n != 0 && n != 6 {
		return fmt.Errorf("open interface %s: hardware addresses of %d bytes are not read", in.name, n)
	}
	prog, err := filterFor(in.link, c.networks)
	if err != nil {
		return fmt.Errorf("open interface %s: %w", in.name, err)
	}
	if in.ring, err = OpenRing(nic.Index, c.opt.Blocks, prog); err != nil {
		return fmt.Errorf("open interface %s: %w", in.name, err)
	}
	return nil
}

// filterFor makes the kernel's filter. If there are too many networks for it, all
// IP packets pass, and the tally's door does the work alone.
func filterFor(link Link, networks []netip.Prefix) ([]bpf.Instruction, error) {
	prog, err := Filter(link, networks, snapBytes)
	if errors.Is(err, ErrFilterTooLong) {
		return Filter(link, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, snapBytes)
	}
	return prog, err
}

// Run captures until ctx ends or the sink fails; it may be called once.
func (c *Capture) Run(ctx context.Context, sink func(*observation.Batch) error) (err error) {
	opt := c.opt.Live
	opt.Networks, opt.Peers, opt.Inputs = c.networks, c.peers, c.opt.Interfaces
	if opt.Start.IsZero() {
		opt.Start = time.Now()
	}
	if c.live, err = capture.NewLive(opt, sink); err != nil {
		return err
	}
	defer func() {
		for _, in := range c.inputs {
			c.lose(in)
		}
		err = errors.Join(err, c.live.Close())
	}()
	var chores time.Time
	for ctx.Err() == nil {
		if now := time.Now(); now.Sub(chores) >= time.Second || now.Before(chores) {
			chores = now
			if err := c.chores(now); err != nil {
				return err
			}
		}
		if err := c.read(ringTimeout); err != nil {
			return err
		}
	}
	// The block that the kernel is filling comes after its time-out.
	for end := time.Now().Add(3 * ringTimeout * time.Millisecond); time.Now().Before(end); {
		if err := c.read(ringTimeout); err != nil {
			return err
		}
	}
	return c.chores(time.Now())
}

// read waits for packets and tallies those that are there.
func (c *Capture) read(milliseconds int) error {
	var rings []*Ring
	for _, in := range c.inputs {
		if in.ring != nil {
			rings = append(rings, in.ring)
		}
	}
	var lost []*Ring
	if err := waitRings(rings, milliseconds, func(r *Ring) { lost = append(lost, r) }); err != nil {
		return err
	}
	for _, in := range c.inputs {
		for n := 0; in.ring != nil; n++ {
			more, err := in.ring.next(c.frame)
			if err != nil {
				c.warn(fmt.Errorf("read interface %s: %w", in.name, err))
			}
			// What a lost interface still delivered is read before it is given up.
			if last := slices.Contains(lost, in.ring); !more && last {
				c.warn(fmt.Errorf("read interface %s: %w", in.name, unix.ENETDOWN))
				c.lose(in)
			} else if !more || !last && n >= blocksInTurn {
				break
			}
		}
	}
	return nil
}

func (c *Capture) frame(f *Frame) {
	link := uint32(linkTypeRaw)
	if f.LinkType == unix.ARPHRD_ETHER || f.LinkType == unix.ARPHRD_LOOPBACK {
		link = linkTypeEthernet
	}
	c.live.Add(link, f.When, f.Data, int(f.Length))
}

// lose closes the ring of an interface and keeps its last drops.
func (c *Capture) lose(in *input) {
	if in.ring == nil {
		return
	}
	c.drops(in)
	if err := in.ring.Close(); err != nil {
		c.warn(fmt.Errorf("close interface %s: %w", in.name, err))
	}
	in.ring = nil
}

func (c *Capture) drops(in *input) {
	n, err := in.ring.Dropped()
	if err != nil {
		c.warn(fmt.Errorf("interface %s: %w", in.name, err))
	}
	c.live.Dropped(n)
}

// chores are due each second: drops, the clock, settings, interfaces that are
// back, and the counts for others to see.
func (c *Capture) chores(now time.Time) error {
	c.shared.mu.Lock()
	set, changed := c.shared.set, c.shared.changed
	c.shared.changed = false
	c.shared.mu.Unlock()
	for _, in := range c.inputs {
		if in.ring == nil {
			_ = c.reopen(in) // its loss was told
		} else if nic, err := net.InterfaceByName(in.name); err == nil && nic.Index != in.index {
			c.lose(in) // another interface has taken the name
		} else {
			c.drops(in)
		}
	}
	if networks := c.wanted(&set); !slices.Equal(networks, c.networks) {
		c.networks = networks
		c.live.SetNetworks(networks)
		if err := c.refilter(); err != nil {
			return err
		}
	}
	if changed {
		c.peers = set.doorPeers()
		c.live.SetPeers(c.peers)
	}
	c.live.Tick(now)
	stats := Stats{LiveTotals: c.live.Totals(), Networks: c.networks}
	for _, in := range c.inputs {
		stats.Interfaces = append(stats.Interfaces, Interface{in.name, in.ring != nil})
	}
	c.shared.mu.Lock()
	c.shared.stats = stats
	c.shared.mu.Unlock()
	return c.live.Err()
}

// refilter gives all rings the filter of the networks.
func (c *Capture) refilter() error {
	for _, in := range c.inputs {
		if in.ring == nil {
			continue
		}
		prog, err := filterFor(in.link, c.networks)
		if err == nil {
			err = in.ring.Filter(prog)
		}
		if err != nil {
			return fmt.Errorf("interface %s: %w", in.name, err)
		}
	}
	return nil
}

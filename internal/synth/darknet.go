package synth

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Darknet describes a made-up darknet capture: what a network telescope of
// unused addresses sees in a day, after the published descriptions of Internet
// background radiation. A population of sources with heavy-tailed packet counts
// probes mostly one port each, some a handful, a few all of them; about 83 % of
// the packets are TCP SYN, 8 % UDP, 5 % backscatter, 3 % ICMP and 1 % odd
// (fragments, IP options, a VLAN tag, cut headers, other protocols). ZMap,
// Masscan and Mirai leave their marks. Sources are in 240.0.0.0/4, which nobody
// has, destinations in 198.18.0.0/15 (RFC 2544).
type Darknet struct {
	Packets int
	Sources int // 0: one for 50 packets
	Dark    int // destination addresses, 0: 1024
	Seed    uint64
	Start   time.Time
	Span    time.Duration // 0: 24 hours
	Odd     float64       // share of odd packets, 0: 1 %; negative: none
}

// DarknetTruth is what a reader of the capture must find.
type DarknetTruth struct {
	Packets, IPBytes uint64
	Sources          int
	// Keys is the number of distinct (hour, source, protocol, service port,
	// class), and PeakKeys the number in the hour with most.
	Keys, PeakKeys int
	Classes        map[string]uint64 // packets by class
	// Packets that obey the rules of ZMap, Masscan and Mirai.
	ZMap, Masscan, Mirai uint64
	First, Last          time.Time
}

// darkSource is one remote host and its habits.
type darkSource struct {
	addr    uint32
	seq     uint32
	port    uint16
	sport   uint16
	window  uint16
	habit   uint8 // one of the dark constants
	plan    uint8
	ttl     uint8
	variety uint8
}

// What a source sends.
const (
	darkZMap = iota
	darkMasscan
	darkMirai
	darkLinux
	darkWindows
	darkMSS
	darkBare
	darkUDP
	darkSYNACK
	darkRST
	darkEcho
	darkUnreachable
)

// How a source chooses ports.
const (
	portOne = iota
	portFew
	portMany
	portAll
)

var (
	darkPorts = []uint16{23, 445, 22, 6379, 80, 8080, 443, 3389, 5555, 1433, 2323, 8443, 5900, 3306, 81, 8081,
		2222, 5060, 8888, 21, 25, 5432, 1723, 9200, 7547, 37215, 52869, 60023, 2375, 110}
	darkMiraiPorts   = []uint16{23, 23, 23, 2323, 5555, 80, 37215, 52869}
	darkUDPPorts     = []uint16{53, 161, 123, 1900, 5060, 11211, 389, 137, 5353, 19, 111, 500, 69, 1434}
	darkServicePorts = []uint16{80, 443, 22, 53, 25565, 8080, 3389, 6667}

	darkOptionsLinux   = []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7}
	darkOptionsWindows = []byte{2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2}
	darkOptionsMSS     = []byte{2, 4, 5, 0xb4}
)

const darkBase = 198<<24 | 18<<16

type darkGen struct {
	Darknet
	rng     *rand.Rand
	ranked  []uint16
	zipf    *rand.Zipf
	sources []darkSource
	truth   DarknetTruth
	keys    map[darkKey]struct{} // of the current hour
	hour    int64
	seen    map[uint32]struct{}
	buf     [512]byte
}

type darkKey struct {
	src   uint32
	port  uint16
	proto uint8
	class string
}

// Write writes the capture as a pcap file of Ethernet frames and returns the
// truth about it. The same Darknet gives the same bytes. It takes eight bytes of
// memory per packet.
func (d Darknet) Write(w io.Writer) (DarknetTruth, error) {
	if d.Sources == 0 {
		d.Sources = max(1, d.Packets/50)
	}
	if d.Dark == 0 {
		d.Dark = 1024
	}
	if d.Span == 0 {
		d.Span = 24 * time.Hour
	}
	if d.Odd == 0 {
		d.Odd = 0.01
	}
	if d.Packets < d.Sources || d.Sources < 1 || d.Sources >= 1<<24 || d.Dark < 1 || d.Dark > 1<<17 || d.Span < 0 || d.Span > 30*24*time.Hour {
		return DarknetTruth{}, fmt.Errorf("darknet: out of range: %+v", d)
	}
	g := &darkGen{Darknet: d, rng: rand.New(rand.NewPCG(d.Seed, 1)), keys: make(map[darkKey]struct{}), seen: make(map[uint32]struct{})}
	g.truth.Classes = make(map[string]uint64)
	events := g.plan()
	if err := g.write(w, events); err != nil {
		return DarknetTruth{}, err
	}
	g.endHour()
	g.truth.Sources = len(g.seen)
	return g.truth, nil
}

// plan draws the sources and returns their packets in order of time: the
// microsecond since the start in the upper 40 bits, the source below.
func (g *darkGen) plan() []uint64 {
	r := g.rng
	g.ranked = slices.Clone(darkPorts)
	for _, p := range r.Perm(65535) {
		if !slices.Contains(darkPorts, uint16(p+1)) {
			g.ranked = append(g.ranked, uint16(p+1))
		}
	}
	g.zipf = rand.NewZipf(r, 1.35, 1.5, uint64(len(g.ranked)-1))

	weights := make([]float64, g.Sources)
	sum, ceiling := 0.0, float64(g.Packets)/60
	for i := range weights { // Pareto
		weights[i] = min(math.Pow(1-r.Float64(), -1/1.05), ceiling)
		sum += weights[i]
	}
	events := make([]uint64, 0, g.Packets)
	span := float64(g.Span.Microseconds())
	// Shares by packets; heavy sources take what lags most.
	shares := [...]float64{0.84, 0.08, 0.05, 0.03}
	var given [len(shares)]float64
	rest, used, total := float64(g.Packets-g.Sources), 0, 0.0
	g.sources = make([]darkSource, g.Sources)
	cum := 0.0
	for i := range g.sources {
		cum += weights[i] / sum * rest
		n := int(cum+0.5) - used
		if i == g.Sources-1 {
			n = g.Packets - g.Sources - used
		}
		used += n
		n++
		group := 0
		if n < g.Packets/5000 {
			for u := r.Float64(); group < len(shares)-1 && u > shares[group]; group++ {
				u -= shares[group]
			}
		} else {
			lag := math.Inf(-1)
			for k, share := range shares {
				if d := share*(total+float64(n)) - given[k]; d > lag {
					lag, group = d, k
				}
			}
		}
		given[group] += float64(n)
		total += float64(n)
		// An odd multiplier permutes the 28 bits, so every source is another.
		g.sources[i] = g.source(240<<24|uint32(i+1)*0x2c1b3c6d&0x0fffffff, group, n)
		length := span * min(1, math.Exp(r.NormFloat64()*2-5)*math.Sqrt(float64(n)))
		from := r.Float64() * (span - length)
		for range n {
			events = append(events, uint64(from+r.Float64()*length)<<24|uint64(i))
		}
	}
	slices.Sort(events)
	return events
}

func (g *darkGen) source(addr uint32, group, n int) darkSource {
	r := g.rng
	s := darkSource{
		addr: addr, seq: r.Uint32(), sport: g.high(), window: g.high(),
		ttl: uint8(32 + r.IntN(90)), variety: uint8(2 + r.IntN(7)),
	}
	switch group {
	case 0:
		s.port = g.popular()
		cuts := [...]int{22, 42, 58, 72, 84, 93, 100}
		u := r.IntN(100)
		for u >= cuts[s.habit] {
			s.habit++
		}
		if s.habit == darkMirai {
			s.port = darkMiraiPorts[r.IntN(len(darkMiraiPorts))]
			break
		}
		if s.habit == darkZMap {
			s.ttl = 255 - s.ttl/2 // less the hops
		}
		u = r.IntN(100)
		if n > 2000 {
			u += 30
		}
		switch {
		case u < 72:
		case u < 92:
			s.plan = portFew
		case u < 122:
			s.plan = portMany
		default:
			s.plan = portAll
		}
	case 1:
		s.habit = darkUDP
		s.port = darkUDPPorts[min(int(math.Abs(r.NormFloat64())*4), len(darkUDPPorts)-1)]
	case 2:
		s.habit = darkSYNACK
		if r.IntN(5) == 0 {
			s.habit = darkRST
		}
		s.port = darkServicePorts[min(int(math.Abs(r.NormFloat64())*2.5), len(darkServicePorts)-1)]
	default:
		s.habit = darkEcho
		if r.IntN(5) == 0 {
			s.habit = darkUnreachable
		}
	}
	return s
}

func (g *darkGen) high() uint16 { return uint16(1024 + g.rng.IntN(64512)) }

func (g *darkGen) popular() uint16 { return g.ranked[g.zipf.Uint64()] }

func (g *darkGen) write(w io.Writer, events []uint64) error {
	if _, err := newPcapWriter(w); err != nil {
		return err
	}
	le := binary.LittleEndian
	start := g.Start.UnixMicro()
	out := make([]byte, 0, 1<<20)
	for _, e := range events {
		us := start + int64(e>>24)
		frame := g.frame(&g.sources[e&(1<<24-1)], us)
		out = le.AppendUint32(out, uint32(us/1e6))
		out = le.AppendUint32(out, uint32(us%1e6))
		out = le.AppendUint32(out, uint32(len(frame)))
		out = le.AppendUint32(out, uint32(len(frame)))
		out = append(out, frame...)
		if len(out) > 1<<20-1024 {
			if _, err := w.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	_, err := w.Write(out)
	return err
}

func (g *darkGen) count(k darkKey, us int64, ipLen int) {
	t := &g.truth
	at := time.UnixMicro(us).UTC()
	if t.Packets == 0 {
		t.First = at
	}
	t.Last = at
	t.Packets++
	t.IPBytes += uint64(ipLen)
	t.Classes[k.class]++
	g.seen[k.src] = struct{}{}
	if hour := us / time.Hour.Microseconds(); hour != g.hour {
		g.endHour()
		g.hour = hour
	}
	g.keys[k] = struct{}{}
}

func (g *darkGen) endHour() {
	g.truth.Keys += len(g.keys)
	g.truth.PeakKeys = max(g.truth.PeakKeys, len(g.keys))
	clear(g.keys)
}

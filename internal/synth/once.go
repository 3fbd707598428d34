package synth

import (
	"bufio"
	"io"
	"math/rand/v2"
	"time"
)

// Once describes what is most of a telescope's sources: each sends one packet
// and is never seen again. The darknet is 198.51.100.0/24.
type Once struct {
	Sources int
	Seed    uint64
	Start   time.Time
	Length  time.Duration // from the first packet to the last
}

// Write writes the capture: a SYN to one of many ports from each source, with
// the window and options of common stacks and nothing that names a tool.
func (o Once) Write(w io.Writer) error {
	rng := rand.New(rand.NewPCG(o.Seed, 0x0ce))
	bw := bufio.NewWriterSize(w, 1<<16)
	p, err := newPcapWriter(bw)
	if err != nil {
		return err
	}
	ports := []uint16{22, 80, 81, 443, 445, 1433, 3389, 5555, 8080, 8443}
	windows := []uint16{8192, 29200, 42340, 64240, 65535}
	options := [][]byte{{2, 4, 5, 180}, {2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2}, {2, 4, 5, 172, 4, 2, 1, 3, 3, 7}}
	step := o.Length / time.Duration(max(1, o.Sources))
	for i := range o.Sources {
		// An odd multiplier gives each number below 2^29 another address, from
		// 11.0.0.0 to 42.255.255.255.
		n := uint32(i) * 0x9e3779b1 % (1 << 29)
		src := v4(11+byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		f := frame{at: o.Start.Add(time.Duration(i) * step), src: src, dst: v4(198, 51, 100, byte(1+rng.IntN(254))),
			ttl: uint8(40 + rng.IntN(20)), id: uint16(rng.Uint32()), proto: protoTCP, df: true}
		f.l4 = tcpSegment(uint16(1024+rng.IntN(64000)), ports[rng.IntN(len(ports))], rng.Uint32(), 0, flagSYN,
			windows[rng.IntN(len(windows))], options[rng.IntN(len(options))], nil)
		if err := p.write(&f); err != nil {
			return err
		}
	}
	return bw.Flush()
}

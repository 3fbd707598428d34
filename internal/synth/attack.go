package synth

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Attack describes what a darknet at 198.51.100.0/24 sees of a SYN flood with
// forged sources: the victim's answers, each repeated twice, as stacks do.
type Attack struct {
	Victim   netip.Addr
	Port     uint16
	Start    time.Time
	Packets  int           // SYNs whose answers reach the darknet
	Interval time.Duration // between them
	Fixed    int           // of ten SYNs so many have one and the same sequence number
	Errors   bool          // the victim's router answers with ICMP errors instead
}

// Write writes the capture.
func (a Attack) Write(w io.Writer) error {
	rng := rand.New(rand.NewPCG(uint64(a.Packets), 0xa77ac))
	bw := bufio.NewWriterSize(w, 1<<16)
	p, err := newPcapWriter(bw)
	if err != nil {
		return err
	}
	for i := range a.Packets {
		ours := v4(198, 51, 100, byte(1+rng.IntN(254)))
		sport, seq := uint16(1024+rng.IntN(64000)), uint32(0x11223344)
		if i%10 >= a.Fixed {
			seq = rng.Uint32()
		}
		f := frame{at: a.Start.Add(time.Duration(i) * a.Interval), src: a.Victim, dst: ours, ttl: 50, proto: protoTCP, df: true}
		repeated := 3
		if a.Errors {
			forged := frame{src: ours, dst: a.Victim, ttl: 40, proto: protoTCP, l4: tcpSegment(sport, a.Port, seq, 0, flagSYN, 512, nil, nil)}
			f.proto, f.l4 = protoICMP, icmpMessage(3, 13, 0, forged.ipPacket()[:28])
			repeated = 1
		} else {
			f.l4 = tcpSegment(a.Port, sport, rng.Uint32(), seq+1, flagSYN|flagACK, 29200, nil, nil)
		}
		for range repeated { // a stack repeats its SYN/ACK later; a packet right behind would be a mirror's copy
			if err := p.write(&f); err != nil {
				return err
			}
			f.at = f.at.Add(a.Interval / 4)
		}
	}
	return bw.Flush()
}

package synth

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// SampleSpan is the time the sample capture covers.
const SampleSpan = 48 * time.Hour

// WriteSample writes the sample capture: two days, from start on, of what a
// darknet at 198.51.100.0/24 and 2001:db8:ffff::/64 might see. All addresses
// are documentation addresses. The bytes are a function of start and seed.
//
// What is in it:
//
//   - hosts with the traits of the 445/TCP worm (window 8192) in three Japanese
//     networks and one Korean, and Mirai in two;
//   - a ZMap, a Masscan and an untold scanner, and one in IPv6;
//   - two victims of denial-of-service attacks (SYN/ACK, ICMP unreachable), a
//     host in whose name reflectors are looked for, and noise.
func WriteSample(w io.Writer, start time.Time, seed uint64) error {
	s := &sample{rng: rand.New(rand.NewPCG(seed, 0x7e17e)), start: start.UTC()}
	s.worms()
	s.mirai()
	s.scanners()
	s.victims()
	s.noise()
	return s.save(w)
}

// save writes the frames in order of time.
func (s *sample) save(w io.Writer) error {
	slices.SortStableFunc(s.frames, func(a, b frame) int { return a.at.Compare(b.at) })
	bw := bufio.NewWriterSize(w, 1<<16)
	p, err := newPcapWriter(bw)
	if err != nil {
		return err
	}
	for i := range s.frames {
		if err := p.write(&s.frames[i]); err != nil {
			return err
		}
	}
	return bw.Flush()
}

type sample struct {
	rng    *rand.Rand
	start  time.Time
	frames []frame
}

func v4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }

// dark is a random address of the darknet.
func (s *sample) dark() netip.Addr { return v4(198, 51, 100, byte(1+s.rng.IntN(254))) }

// at is a random time in hours from to of the sample.
func (s *sample) at(from, to float64) time.Time {
	h := from + s.rng.Float64()*(to-from)
	return s.start.Add(time.Duration(h * float64(time.Hour))).Truncate(time.Microsecond)
}

func (s *sample) port() uint16 { return uint16(1024 + s.rng.IntN(64000)) }

func (s *sample) add(f frame) { s.frames = append(s.frames, f) }

// windowsSYN is the option list of Windows 7 and 2008.
var windowsSYN, _ = hex.DecodeString("020405b40103030201010402")

var mssOnly, _ = hex.DecodeString("020405b4")

// worms: each probe is a SYN to 445/TCP with window 8192, sent again after
// three seconds by the stack.
func (s *sample) worms() {
	hosts := []netip.Addr{v4(192, 0, 2, 140), v4(192, 0, 2, 200)}
	for i := byte(10); i <= 15; i++ {
		hosts = append(hosts, v4(192, 0, 2, i))
	}
	for i := byte(70); i <= 72; i++ {
		hosts = append(hosts, v4(192, 0, 2, i))
	}
	for n, h := range hosts {
		for range 60 + 15*n {
			at, dst, sport, seq := s.at(0, 47.9), s.dark(), s.port(), s.rng.Uint32()
			for try := range 2 {
				s.add(frame{at: at.Add(time.Duration(try) * 3 * time.Second), src: h, dst: dst, ttl: 112, df: true,
					id: uint16(s.rng.Uint32()), proto: protoTCP,
					l4: tcpSegment(sport, 445, seq, 0, flagSYN, 8192, windowsSYN, nil)})
			}
		}
	}
}

// mirai: SYN to telnet with the destination address as the sequence number.
func (s *sample) mirai() {
	for _, h := range []netip.Addr{v4(192, 0, 2, 20), v4(192, 0, 2, 21), v4(192, 0, 2, 80)} {
		window := uint16(1000 + s.rng.IntN(60000))
		for range 140 {
			dst, port := s.dark(), uint16(23)
			if s.rng.IntN(10) == 0 {
				port = 2323
			}
			d := dst.As4()
			s.add(frame{at: s.at(3, 47), src: h, dst: dst, ttl: 47, id: uint16(s.rng.Uint32()), proto: protoTCP,
				l4: tcpSegment(s.port(), port, binary.BigEndian.Uint32(d[:]), 0, flagSYN, window, nil, nil)})
		}
	}
}

func (s *sample) scanners() {
	zmap, masscan, hand := v4(203, 0, 113, 10), v4(203, 0, 113, 70), v4(203, 0, 113, 75)
	for i := range 254 {
		dst := v4(198, 51, 100, byte(i+1))
		s.add(frame{at: s.at(30, 30.4), src: zmap, dst: dst, ttl: 242, id: 54321, proto: protoTCP,
			l4: tcpSegment(uint16(32768+s.rng.IntN(28232)), 443, s.rng.Uint32(), 0, flagSYN, 65535, nil, nil)})
		for _, port := range []uint16{22, 3389} {
			seq := s.rng.Uint32()
			d := dst.As4()
			id := uint16(binary.BigEndian.Uint32(d[:]) ^ uint32(port) ^ seq)
			s.add(frame{at: s.at(12, 14), src: masscan, dst: dst, ttl: 238, id: id, proto: protoTCP,
				l4: tcpSegment(61000, port, seq, 0, flagSYN, 1024, nil, nil)})
		}
	}
	for _, port := range []uint16{21, 22, 25, 80, 110, 143, 443, 993, 3306, 5432, 8080, 8443} {
		for range 8 {
			s.add(frame{at: s.at(20, 23), src: hand, dst: s.dark(), ttl: 49, df: true, id: uint16(s.rng.Uint32()), proto: protoTCP,
				l4: tcpSegment(s.port(), port, s.rng.Uint32(), 0, flagSYN, 64240, mssOnly, nil)})
		}
	}
	six := netip.MustParseAddr("2001:db8:1::5")
	dark6 := netip.MustParseAddr("2001:db8:ffff::").As16()
	for i := range 64 {
		dark6[15] = byte(i + 1)
		s.add(frame{at: s.at(8, 9), src: six, dst: netip.AddrFrom16(dark6), ttl: 55, proto: protoTCP,
			l4: tcpSegment(s.port(), 443, s.rng.Uint32(), 0, flagSYN, 64240, mssOnly, nil)})
	}
}

func (s *sample) victims() {
	web, dns, forged := v4(203, 0, 113, 130), v4(203, 0, 113, 131), v4(203, 0, 113, 140)
	for range 400 {
		at, dst, dport, seq := s.at(26, 26.5), s.dark(), s.port(), s.rng.Uint32()
		for try := range 2 {
			s.add(frame{at: at.Add(time.Duration(try) * time.Second), src: web, dst: dst, ttl: 51, df: true, proto: protoTCP,
				l4: tcpSegment(80, dport, seq, s.rng.Uint32(), flagSYN|flagACK, 29200, mssOnly, nil)})
		}
	}
	for range 150 {
		dst := s.dark()
		quoted := frame{src: dst, dst: dns, ttl: 51, id: uint16(s.rng.Uint32()), proto: protoUDP, l4: udpDatagram(s.port(), 53, make([]byte, 20))}
		s.add(frame{at: s.at(33, 33.3), src: dns, dst: dst, ttl: 54, proto: protoICMP,
			l4: icmpMessage(3, 3, 0, quoted.ipPacket()[:28])})
	}
	// One DNS ANY query with one transaction id to twenty-four addresses, again
	// and again: the attacker who sends it wants the answers to hit the forged source.
	query, _ := hex.DecodeString("abcd01000001000000000001076578616d706c65036e65740000ff00010000291000000000000000")
	for i := range 24 {
		for range 8 {
			s.add(frame{at: s.at(40, 41), src: forged, dst: v4(198, 51, 100, byte(10+i)), ttl: 240, id: uint16(s.rng.Uint32()), proto: protoUDP,
				l4: udpDatagram(41414, 53, query)})
		}
	}
}

func (s *sample) noise() {
	for i := byte(200); i <= 230; i++ {
		src := v4(203, 0, 113, i)
		port := []uint16{23, 80, 443, 5060, 8080}[s.rng.IntN(5)]
		for range 1 + s.rng.IntN(4) {
			s.add(frame{at: s.at(0, 48), src: src, dst: s.dark(), ttl: uint8(40 + s.rng.IntN(20)), df: true, id: uint16(s.rng.Uint32()), proto: protoTCP,
				l4: tcpSegment(s.port(), port, s.rng.Uint32(), 0, flagSYN, 29200, mssOnly, nil)})
		}
	}
}

// WriteOutbreak writes a capture of one day in which hosts (at most 254)
// addresses of 192.0.2.0/24, from .1 on, show the traits of the 445/TCP worm:
// a case for each owner they have. Every host sends twelve SYN.
func WriteOutbreak(w io.Writer, start time.Time, hosts int, seed uint64) error {
	s := &sample{rng: rand.New(rand.NewPCG(seed, 0x07b)), start: start.UTC()}
	for h := range min(hosts, 254) {
		for range 6 {
			at, dst, sport, seq := s.at(0, 23.9), s.dark(), s.port(), s.rng.Uint32()
			for try := range 2 {
				s.add(frame{at: at.Add(time.Duration(try) * 3 * time.Second), src: v4(192, 0, 2, byte(h+1)), dst: dst, ttl: 112, df: true,
					id: uint16(s.rng.Uint32()), proto: protoTCP,
					l4: tcpSegment(sport, 445, seq, 0, flagSYN, 8192, windowsSYN, nil)})
			}
		}
	}
	return s.save(w)
}

// Owners is a capture of one day of what hosts of many small networks send:
// 2001:db8:N::/48 is owner N's, from 1 on.
type Owners struct {
	Count int // of owners
	// Crowded owners have so many infected hosts that their letters get long.
	Crowded map[int]bool
	Seed    uint64
}

// crowd is the number of infected hosts of a crowded owner.
const crowd = 120

// Kinds says which kinds of sources an owner has: infected hosts always, a
// scanner three owners of four, a misconfigured host three of four.
func (o Owners) Kinds(n int) (scanner, misconfigured bool) { return n%4 != 3, n%4 != 0 }

// Write writes the capture, from start on.
func (o Owners) Write(w io.Writer, start time.Time) error {
	s := &sample{rng: rand.New(rand.NewPCG(o.Seed, 0x0e25)), start: start.UTC()}
	for n := 1; n <= o.Count; n++ {
		hosts := 2
		if o.Crowded[n] {
			hosts = crowd
		}
		for h := range hosts {
			for range 6 {
				at, dst, sport, seq := s.at(0, 23.9), s.dark6(), s.port(), s.rng.Uint32()
				for try := range 2 {
					s.add(frame{at: at.Add(time.Duration(try) * 3 * time.Second), src: owner6(n, 1+h), dst: dst, ttl: 112, proto: protoTCP,
						l4: tcpSegment(sport, 445, seq, 0, flagSYN, 8192, windowsSYN, nil)})
				}
			}
		}
		scanner, misconfigured := o.Kinds(n)
		if scanner {
			for port := range uint16(14) {
				s.add(frame{at: s.at(2, 9), src: owner6(n, 0x5000), dst: s.dark6(), ttl: 55, proto: protoTCP,
					l4: tcpSegment(s.port(), 8000+port, s.rng.Uint32(), 0, flagSYN, 64240, mssOnly, nil)})
			}
		}
		if misconfigured {
			for range 12 {
				s.add(frame{at: s.at(0, 23), src: owner6(n, 0x6000), dst: netip.MustParseAddr("ff0e::c"), ttl: 5, proto: protoUDP,
					l4: udpDatagram(1900, 1900, []byte("NOTIFY * HTTP/1.1\r\n"))})
			}
		}
	}
	return s.save(w)
}

// owner6 is a host of owner n.
func owner6(n, host int) netip.Addr {
	b := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint16(b[4:], uint16(n))
	binary.BigEndian.PutUint16(b[14:], uint16(host))
	return netip.AddrFrom16(b)
}

// dark6 is a random address of the IPv6 darknet.
func (s *sample) dark6() netip.Addr {
	b := netip.MustParseAddr("2001:db8:ffff::").As16()
	binary.BigEndian.PutUint16(b[14:], uint16(1+s.rng.IntN(60000)))
	return netip.AddrFrom16(b)
}

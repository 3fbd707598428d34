package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"teiten/internal/corpus"
	"teiten/internal/observation"
)

// compareWithGopacket decodes a frame with our decoder and with gopacket's
// packet decoder and tells where they differ. What gopacket cannot decode, or
// decodes behind headers that we do not read, is not compared.
func compareWithGopacket(d *decoder, link uint32, frame []byte) error {
	var p packet
	p.when = 1_700_000_000e9
	why := d.decode(link, frame, 0, &p)
	if why == skipPanic {
		return errors.New("the general decoder panicked")
	}
	all := gopacket.NewPacket(frame, layers.LinkType(link), gopacket.DecodeOptions{NoCopy: true}).Layers()
	tags := 0
	for i, l := range all {
		if why == skipIPHeader && i+1 < len(all) && all[i+1].LayerType() == gopacket.LayerTypeDecodeFailure {
			return nil // gopacket shows the header in which it failed
		}
		switch l := l.(type) {
		case *layers.Ethernet, *layers.LinuxSLL, *layers.Loopback:
		case *layers.Dot1Q:
			if tags++; tags >= maxTags {
				return nil
			}
		case *layers.PPPoE, *layers.PPP:
			// gopacket also takes compressed protocol numbers and other codes.
			if why != skipNone {
				return nil
			}
		case *layers.IPv4:
			if l.Version != 4 { // gopacket does not look
				return nil
			}
			if why != skipNone {
				return fmt.Errorf("skipped (%s), gopacket sees IPv4 from %s", skipNames[why], l.SrcIP)
			}
			return compareIPv4(&p, frame, l, all[i+1:])
		case *layers.IPv6:
			if why == skipExtension || l.Version != 6 {
				return nil
			}
			if why != skipNone {
				return fmt.Errorf("skipped (%s), gopacket sees IPv6 from %s", skipNames[why], l.SrcIP)
			}
			return compareIPv6(&p, frame, l, all[i+1:])
		default:
			return nil
		}
	}
	return nil
}

func compareIPv4(p *packet, frame []byte, ip *layers.IPv4, rest []gopacket.Layer) error {
	start := p.pay - uint32(p.net)
	src, dst := [4]byte(frame[start+12:]), [4]byte(frame[start+16:])
	if p.bits&bitV6 != 0 || !bytes.Equal(src[:], ip.SrcIP.To4()) || !bytes.Equal(dst[:], ip.DstIP.To4()) ||
		p.src != uint32(src[0])<<24|uint32(src[1])<<16|uint32(src[2])<<8|uint32(src[3]) ||
		p.dst != uint32(dst[0])<<24|uint32(dst[1])<<16|uint32(dst[2])<<8|uint32(dst[3]) {
		return fmt.Errorf("addresses %08x %08x, gopacket %s %s", p.src, p.dst, ip.SrcIP, ip.DstIP)
	}
	if p.ipLen != uint32(ip.Length) || p.id != ip.Id || p.ttl != ip.TTL || p.proto != uint8(ip.Protocol) && p.bits&bitQuote == 0 {
		return fmt.Errorf("length %d, id %d, ttl %d, proto %d, gopacket %d, %d, %d, %d", p.ipLen, p.id, p.ttl, p.proto, ip.Length, ip.Id, ip.TTL, ip.Protocol)
	}
	if df := p.bits&bitDF != 0; df != (ip.Flags&layers.IPv4DontFragment != 0) {
		return fmt.Errorf("DF %v", df)
	}
	if ip.FragOffset != 0 {
		if p.class != observation.ClassFragment || p.port != 0 {
			return fmt.Errorf("a later fragment is %s with port %d", p.class, p.port)
		}
		return nil
	}
	return compareTransport(p, frame, rest)
}

func compareIPv6(p *packet, frame []byte, ip *layers.IPv6, rest []gopacket.Layer) error {
	start := p.pay - uint32(p.net)
	if p.bits&bitV6 == 0 || p.src != hash16(ip.SrcIP) || p.dst != hash16(ip.DstIP) || !bytes.Equal(frame[start+8:start+24], ip.SrcIP) {
		return fmt.Errorf("addresses differ from gopacket's %s %s", ip.SrcIP, ip.DstIP)
	}
	if p.ttl != ip.HopLimit || ip.Length != 0 && p.ipLen != 40+uint32(ip.Length) {
		return fmt.Errorf("length %d, hop limit %d, gopacket %d, %d", p.ipLen, p.ttl, 40+ip.Length, ip.HopLimit)
	}
	for i, l := range rest {
		switch l := l.(type) {
		case *layers.IPv6HopByHop:
			if int(start)+40+int(ip.Length) < len(frame) {
				return nil // gopacket takes what follows the packet as part of it
			}
		case *layers.IPv6Routing, *layers.IPv6Destination:
		case *layers.IPv6Fragment:
			if l.FragmentOffset != 0 && (p.class != observation.ClassFragment || p.port != 0) {
				return fmt.Errorf("a later fragment is %s with port %d", p.class, p.port)
			}
			return nil
		default:
			return compareTransport(p, frame, rest[i:])
		}
	}
	return nil
}

func compareTransport(p *packet, frame []byte, rest []gopacket.Layer) error {
	if len(rest) == 0 {
		return nil
	}
	if n := len(rest[0].LayerContents()); n < 4 || p.proto == protoTCP && n < 20 || p.proto == protoUDP && n < 8 {
		return nil // gopacket shows the header in which it failed
	}
	want := packet{proto: p.proto, bits: p.bits & bitV6}
	var payload, options []byte
	switch l := rest[0].(type) {
	case *layers.TCP:
		if p.proto != protoTCP {
			return nil
		}
		for bit, on := range []bool{l.FIN, l.SYN, l.RST, l.PSH, l.ACK, l.URG, l.ECE, l.CWR} {
			if on {
				want.flags |= 1 << bit
			}
		}
		want.class = tcpClass(want.flags)
		want.port, want.peer = uint16(l.DstPort), uint16(l.SrcPort)
		if want.class == observation.ClassSYNACK || want.class == observation.ClassRST {
			want.port, want.peer = want.peer, want.port
		}
		want.seq, want.ack, want.win = l.Seq, l.Ack, l.Window
		payload, options = l.Payload, l.Contents[20:]
	case *layers.UDP:
		if p.proto != protoUDP {
			return nil
		}
		want.class = observation.ClassUDP
		want.port, want.peer = uint16(l.DstPort), uint16(l.SrcPort)
		payload = l.Payload
		want.ack = hashPayload(payload)
		if p.class == observation.ClassUDPAnswer { // which payload is one is TestUDPAnswers' matter
			want.class, want.port, want.peer = p.class, want.peer, want.port
		}
	case *layers.ICMPv4:
		if p.bits&bitQuote == 0 && p.proto != protoICMP || p.bits&bitV6 != 0 {
			return nil
		}
		payload = l.Payload
		want.class, want.port, want.peer, want.ack = icmpWant(uint8(l.TypeCode>>8), uint8(l.TypeCode), payload,
			map[uint8]observation.Class{8: observation.ClassICMPEcho, 0: observation.ClassICMPReply, 3: observation.ClassICMPUnreach, 4: observation.ClassICMPQuench, 5: observation.ClassICMPRedirect, 11: observation.ClassICMPExceeded, 12: observation.ClassICMPParam,
				14: observation.ClassICMPReply, 16: observation.ClassICMPReply, 18: observation.ClassICMPReply},
			[]uint8{3, 4, 5, 11, 12})
	case *layers.ICMPv6:
		if p.bits&bitQuote == 0 && p.proto != protoICMPv6 || p.bits&bitV6 == 0 {
			return nil
		}
		payload = l.Payload
		if len(payload) >= 4 {
			payload = payload[4:] // gopacket's ICMPv6 header has four bytes
		} else {
			payload = nil
		}
		want.class, want.port, want.peer, want.ack = icmpWant(uint8(l.TypeCode>>8), uint8(l.TypeCode), payload,
			map[uint8]observation.Class{128: observation.ClassICMPEcho, 129: observation.ClassICMPReply, 1: observation.ClassICMPUnreach, 2: observation.ClassICMPTooBig, 3: observation.ClassICMPExceeded, 4: observation.ClassICMPParam, 137: observation.ClassICMPRedirect,
				140: observation.ClassICMPReply},
			[]uint8{1, 2, 3, 4})
	default:
		return nil
	}
	if p.class == observation.ClassFragment { // a first fragment that is too short for its header
		return nil
	}
	if p.class != want.class || p.port != want.port || p.peer != want.peer || p.seq != want.seq || p.ack != want.ack ||
		p.win != want.win || p.flags != want.flags {
		return fmt.Errorf("%s port %d peer %d seq %d ack %d win %d flags %02x, gopacket %s %d %d %d %d %d %02x",
			p.class, p.port, p.peer, p.seq, p.ack, p.win, p.flags,
			want.class, want.port, want.peer, want.seq, want.ack, want.win, want.flags)
	}
	if got := frame[p.pay-uint32(p.optLen) : p.pay]; !bytes.Equal(got, options) {
		return fmt.Errorf("options %x, gopacket %x", got, options)
	}
	if got := frame[p.pay : p.pay+uint32(p.payLen)]; !bytes.Equal(got, payload[:min(len(payload), maxPayload)]) {
		return fmt.Errorf("payload %x, gopacket %x", got, payload)
	}
	return nil
}

// icmpWant is what an ICMP message should become; the quoted packet is decoded
// with gopacket.
func icmpWant(kind, code uint8, payload []byte, classes map[uint8]observation.Class, errs []uint8) (c observation.Class, port, peer uint16, seq uint32) {
	c, ok := classes[kind]
	if !ok {
		c = observation.ClassICMPOther
	}
	switch {
	case bytes.Contains(errs, []byte{kind}):
	case ok:
		return c, 0, 0, 0
	default:
		return c, uint16(kind)<<8 | uint16(code), 0, 0
	}
	if len(payload) == 0 {
		return c, 0, 0, 0
	}
	var proto uint8
	var ports []byte
	switch payload[0] >> 4 {
	case 4:
		if ip, ok := gopacket.NewPacket(payload, layers.LayerTypeIPv4, gopacket.NoCopy).Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok && ip.FragOffset == 0 {
			proto, ports = uint8(ip.Protocol), ip.Payload
		} else {
			q, _ := parseQuote(payload) // gopacket refuses what we salvage
			return c, q.dport, q.sport, q.seq
		}
	case 6:
		q, _ := parseQuote(payload)
		return c, q.dport, q.sport, q.seq
	}
	if len(ports) >= 4 && hasPorts(proto) {
		if proto == protoTCP && len(ports) >= 8 {
			seq = binary.BigEndian.Uint32(ports[4:])
		}
		return c, uint16(ports[2])<<8 | uint16(ports[3]), uint16(ports[0])<<8 | uint16(ports[1]), seq
	}
	if proto != 0 && hasPorts(proto) {
		q, _ := parseQuote(payload) // the quoted length may be below what is quoted
		return c, q.dport, q.sport, q.seq
	}
	return c, 0, 0, 0
}

// packetReader is what pcapgo's readers have in common.
type packetReader interface {
	ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
}

// TestCorpusEqualsGopacket reads every capture of the corpus with pcapgo and
// gopacket too: the same records, times and packets must come out.
func TestCorpusEqualsGopacket(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "pcaps", func(t *testing.T, c corpus.Corpus) { equalsGopacket(t, c.Dir) })
}

func equalsGopacket(t *testing.T, dir string) {
	names, err := filepath.Glob(filepath.Join(dir, "*.pcap*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatalf("no captures in %s", dir)
	}
	packets := 0
	for _, name := range names {
		packets += compareFile(t, name)
	}
	t.Logf("%d packets of %d files compared", packets, len(names))
}

// compareFile reads a capture with both, and returns how many packets it has.
func compareFile(t *testing.T, name string) (n int) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Base(name)
	res, err := Read(t.Context(), bytes.NewReader(raw), base, Options{}, discard)
	if err != nil && !errors.Is(err, ErrNothingRead) {
		t.Errorf("%s: %v", base, err)
		return n
	}
	var r packetReader
	link := uint32(math.MaxUint32)
	if res.Format == "pcapng" {
		r, err = pcapgo.NewNgReader(bytes.NewReader(raw), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	} else {
		var pr *pcapgo.Reader
		if pr, err = pcapgo.NewReader(bytes.NewReader(raw)); err == nil {
			r, link = pr, uint32(pr.LinkType())
		}
	}
	if err != nil {
		t.Errorf("%s: pcapgo: %v", base, err)
		return n
	}
	d := decoder{}
	var first, last time.Time
	for {
		frame, ci, err := r.ReadPacketData()
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			t.Errorf("%s: pcapgo: %v", base, err)
			break
		}
		n++
		// Times outside of 1970 to 2262 are skipped; pcapgo has a year for them.
		if y := ci.Timestamp.Year(); y >= 1970 && y < 2262 {
			if first.IsZero() || ci.Timestamp.Before(first) {
				first = ci.Timestamp
			}
			if last.IsZero() || ci.Timestamp.After(last) {
				last = ci.Timestamp
			}
		}
		l := link
		if l == math.MaxUint32 {
			l = uint32(ci.AncillaryData[0].(layers.LinkType))
		}
		if err := compareWithGopacket(&d, l, frame); err != nil {
			t.Errorf("%s: packet %d: %v", base, n, err)
		}
	}
	if uint64(n) != res.Packets {
		t.Errorf("%s: %d records, pcapgo reads %d", base, res.Packets, n)
	}
	if base == "fmt_micro_bad_timestamp.pcap" {
		return n // pcapgo multiplies the impossible fraction in 32 bits
	}
	if res.First != nil && (!res.First.Equal(first) || !res.Last.Equal(last)) {
		t.Errorf("%s: %s to %s, pcapgo %s to %s", base, res.First, res.Last, first, last)
	}
	return n
}

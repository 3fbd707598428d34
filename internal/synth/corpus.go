package synth

import (
	"bytes"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

//go:embed corpus
var corpusText embed.FS

// WriteCorpus writes a made-up miniature of a corpus into dir, with the folders
// and lists that the corpus of real input has: captures (pcaps/SOURCES.tsv says
// how many packets each has, pcaps/expect.tsv what its sources are), answers of
// registries (rdap/index.tsv), mails (mails/SOURCES.txt) and lists of scanners.
// Names of captures begin with "made_". The bytes are the same every time.
func WriteCorpus(dir string) error {
	text, err := fs.Sub(corpusText, "corpus")
	if err != nil {
		return fmt.Errorf("write corpus: %w", err)
	}
	if err := os.CopyFS(dir, text); err != nil {
		return fmt.Errorf("write corpus: %w", err)
	}
	if err := os.CopyFS(filepath.Join(dir, "rdap", "ip"), RDAPAnswers()); err != nil {
		return fmt.Errorf("write corpus: %w", err)
	}
	sources := bytes.NewBufferString("file\tmade by\tpath\tlicence\tlink_type\tpackets\n")
	for _, c := range corpusCaptures() {
		var file bytes.Buffer
		if err := c.write(&file); err != nil {
			return fmt.Errorf("write corpus: %s: %w", c.name, err)
		}
		raw := file.Bytes()[:file.Len()-c.cut]
		if err := os.WriteFile(filepath.Join(dir, "pcaps", c.name), raw, 0o644); err != nil {
			return fmt.Errorf("write corpus: %w", err)
		}
		packets := len(c.frames)
		if c.cut > 0 {
			packets--
		}
		fmt.Fprintf(sources, "%s\tteiten/internal/synth\t-\tApache-2.0\t%s\t%d\n", c.name, c.link, packets)
	}
	if err := os.WriteFile(filepath.Join(dir, "pcaps", "SOURCES.tsv"), sources.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write corpus: %w", err)
	}
	return nil
}

// corpusCapture is one capture: a habit of one source or few, or a form of file.
type corpusCapture struct {
	name, link string
	frames     []frame
	cut        int // bytes missing at the end
}

func (c *corpusCapture) write(w io.Writer) error {
	switch c.link {
	case "raw":
		return writeRaw(w, c.frames)
	case "pcapng":
		return writeNg(w, c.frames)
	}
	s := &sample{frames: c.frames}
	return s.save(w)
}

// corpusStart is when the captures of the corpus begin.
var corpusStart = time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)

func corpusCaptures() []corpusCapture {
	scan := corpusScan(54321, 242, 65535, 443)
	return []corpusCapture{
		{name: "made_zmap.pcap", link: "ether", frames: scan},
		{name: "made_truncated.pcap", link: "ether", frames: scan, cut: 7},
		{name: "made_raw_ip.pcap", link: "raw", frames: scan},
		{name: "made_zmap.pcapng", link: "pcapng", frames: scan},
		{name: "made_empty.pcap", link: "ether"},
		{name: "made_masscan.pcap", link: "ether", frames: corpusMasscan()},
		{name: "made_mirai.pcap", link: "ether", frames: corpusMirai()},
		{name: "made_worm445.pcap", link: "ether", frames: corpusWorm()},
		{name: "made_fin_scan.pcap", link: "ether", frames: corpusFlags(func(int) uint8 { return 0x01 }, 200)},
		{name: "made_all_tcp_flags.pcap", link: "ether", frames: corpusFlags(func(n int) uint8 { return uint8(n + 1) }, 63)},
		{name: "made_backscatter_synack.pcap", link: "ether", frames: corpusSYNACK()},
		{name: "made_backscatter_unreachable.pcap", link: "ether", frames: corpusUnreachable()},
		{name: "made_reflection_dns.pcap", link: "ether", frames: corpusReflection()},
		{name: "made_ipv6_scan.pcap", link: "ether", frames: corpusIPv6()},
		{name: "made_neg_few_packets.pcap", link: "ether", frames: corpusFew()},
	}
}

func corpusSample(stream uint64) *sample {
	return &sample{rng: rand.New(rand.NewPCG(1, stream)), start: corpusStart}
}

// darkAt is the n-th address of the darknet, from 0 on.
func darkAt(n int) netip.Addr { return v4(198, 51, 100, byte(1+n%254)) }

// corpusScan is a SYN to one port of every address, all with the same IP id.
func corpusScan(id uint16, ttl uint8, window, port uint16) []frame {
	s := corpusSample(1)
	for n := range 254 {
		s.add(frame{at: corpusStart.Add(time.Duration(n) * time.Second), src: v4(203, 0, 113, 10), dst: darkAt(n), ttl: ttl, id: id, proto: protoTCP,
			l4: tcpSegment(uint16(32768+s.rng.IntN(28232)), port, s.rng.Uint32(), 0, flagSYN, window, nil, nil)})
	}
	return s.frames
}

// corpusMasscan: the IP id is the lower half of destination, port and sequence
// number, exclusive or.
func corpusMasscan() []frame {
	s := corpusSample(2)
	for n := range 254 {
		for _, port := range []uint16{22, 3389} {
			dst, seq := darkAt(n), s.rng.Uint32()
			d := dst.As4()
			s.add(frame{at: corpusStart.Add(time.Duration(n) * time.Second), src: v4(203, 0, 113, 70), dst: dst, ttl: 238, proto: protoTCP,
				id: uint16(binary.BigEndian.Uint32(d[:]) ^ uint32(port) ^ seq), l4: tcpSegment(61000, port, seq, 0, flagSYN, 1024, nil, nil)})
		}
	}
	return s.frames
}

func corpusMirai() []frame {
	s := corpusSample(3)
	for n := range 120 {
		dst, port := darkAt(n*7), uint16(23)
		if n%10 == 0 {
			port = 2323
		}
		d := dst.As4()
		s.add(frame{at: corpusStart.Add(time.Duration(n) * time.Minute), src: v4(192, 0, 2, 20), dst: dst, ttl: 47, id: uint16(s.rng.Uint32()), proto: protoTCP,
			l4: tcpSegment(s.port(), port, binary.BigEndian.Uint32(d[:]), 0, flagSYN, 14600, nil, nil)})
	}
	return s.frames
}

// corpusWorm: SYN to 445/TCP as Windows 7 sends them, each repeated once.
func corpusWorm() []frame {
	s := corpusSample(4)
	for n := range 60 {
		sport, seq := s.port(), s.rng.Uint32()
		for try := range 2 {
			s.add(frame{at: corpusStart.Add(time.Duration(n)*time.Minute + time.Duration(try)*3*time.Second), src: v4(192, 0, 2, 10), dst: darkAt(n * 3), ttl: 112, df: true,
				id: uint16(s.rng.Uint32()), proto: protoTCP, l4: tcpSegment(sport, 445, seq, 0, flagSYN, 8192, windowsSYN, nil)})
		}
	}
	return s.frames
}

// corpusFlags: segments without a connection, each to another port.
func corpusFlags(flags func(n int) uint8, count int) []frame {
	s := corpusSample(5)
	for n := range count {
		s.add(frame{at: corpusStart.Add(time.Duration(n) * time.Second), src: v4(203, 0, 113, 75), dst: darkAt(0), ttl: 49, id: uint16(s.rng.Uint32()), proto: protoTCP,
			l4: tcpSegment(40000, uint16(1+n), s.rng.Uint32(), 0, flags(n), 1000, nil, nil)})
	}
	return s.frames
}

func corpusSYNACK() []frame {
	s := corpusSample(6)
	for n := range 400 {
		s.add(frame{at: corpusStart.Add(time.Duration(n) * time.Second), src: v4(203, 0, 113, 130), dst: darkAt(s.rng.IntN(254)), ttl: 51, df: true, proto: protoTCP,
			l4: tcpSegment(80, s.port(), s.rng.Uint32(), s.rng.Uint32(), flagSYN|flagACK, 29200, mssOnly, nil)})
	}
	return s.frames
}

// corpusUnreachable: a name server's host refuses queries in our name.
func corpusUnreachable() []frame {
	s := corpusSample(7)
	victim := v4(203, 0, 113, 131)
	for n := range 150 {
		dst := darkAt(n)
		quoted := frame{src: dst, dst: victim, ttl: 51, id: uint16(s.rng.Uint32()), proto: protoUDP, l4: udpDatagram(s.port(), 53, make([]byte, 20))}
		s.add(frame{at: corpusStart.Add(time.Duration(n) * time.Second), src: victim, dst: dst, ttl: 54, proto: protoICMP,
			l4: icmpMessage(3, 3, 0, quoted.ipPacket()[:28])})
	}
	return s.frames
}

// corpusReflection: one DNS ANY query, again and again, in a victim's name.
func corpusReflection() []frame {
	s := corpusSample(8)
	query, _ := hex.DecodeString("abcd01000001000000000001076578616d706c65036e65740000ff00010000291000000000000000")
	for n := range 192 {
		s.add(frame{at: corpusStart.Add(time.Duration(n) * time.Second), src: v4(203, 0, 113, 140), dst: darkAt(n % 24), ttl: 240, id: uint16(s.rng.Uint32()),
			proto: protoUDP, l4: udpDatagram(41414, 53, query)})
	}
	return s.frames
}

func corpusIPv6() []frame {
	s := corpusSample(9)
	dst := netip.MustParseAddr("2001:db8:ffff::").As16()
	for n := range 128 {
		dst[15] = byte(n + 1)
		s.add(frame{at: corpusStart.Add(time.Duration(n) * time.Second), src: netip.MustParseAddr("2001:db8:1::5"), dst: netip.AddrFrom16(dst), ttl: 55, proto: protoTCP,
			l4: tcpSegment(s.port(), 443, s.rng.Uint32(), 0, flagSYN, 64240, mssOnly, nil)})
	}
	return s.frames
}

// corpusFew: ordinary hosts that came by with a packet or two.
func corpusFew() []frame {
	s := corpusSample(10)
	for n := range 10 {
		for try := range 2 {
			s.add(frame{at: corpusStart.Add(time.Duration(n)*time.Minute + time.Duration(try)*time.Second), src: v4(203, 0, 113, byte(200+n)), dst: darkAt(n), ttl: 50,
				df: true, id: uint16(s.rng.Uint32()), proto: protoTCP, l4: tcpSegment(50000, 443, 7, 0, flagSYN, 29200, mssOnly, nil)})
		}
	}
	return s.frames
}

// writeRaw writes a classic pcap file of packets without a link header, its
// numbers in big endian and its times in nanoseconds.
func writeRaw(w io.Writer, frames []frame) error {
	be := binary.BigEndian
	b := be.AppendUint32(nil, 0xa1b23c4d)
	b = append(b, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0)
	b = be.AppendUint32(b, 262144)
	b = be.AppendUint32(b, 101) // LINKTYPE_RAW
	for i := range frames {
		ip := frames[i].ipPacket()
		b = be.AppendUint32(b, uint32(frames[i].at.Unix()))
		b = be.AppendUint32(b, uint32(frames[i].at.Nanosecond()))
		b = be.AppendUint32(b, uint32(len(ip)))
		b = be.AppendUint32(b, uint32(len(ip)))
		b = append(b, ip...)
	}
	_, err := w.Write(b)
	return err
}

// writeNg writes a pcapng file: a section header, one interface of raw IP whose
// times are in microseconds (the default), and enhanced packet blocks.
func writeNg(w io.Writer, frames []frame) error {
	le := binary.LittleEndian
	var file []byte
	block := func(kind uint32, body []byte) {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		length := uint32(12 + len(body))
		file = le.AppendUint32(file, kind)
		file = le.AppendUint32(file, length)
		file = append(file, body...)
		file = le.AppendUint32(file, length)
	}
	block(0x0a0d0d0a, append(le.AppendUint32(nil, 0x1a2b3c4d), 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
	block(1, le.AppendUint32([]byte{101, 0, 0, 0}, 262144))
	for i := range frames {
		ip, at := frames[i].ipPacket(), uint64(frames[i].at.UnixMicro())
		body := le.AppendUint32(nil, 0)
		body = le.AppendUint32(body, uint32(at>>32))
		body = le.AppendUint32(body, uint32(at))
		body = le.AppendUint32(body, uint32(len(ip)))
		body = le.AppendUint32(body, uint32(len(ip)))
		block(6, append(body, ip...))
	}
	_, err := w.Write(file)
	return err
}

package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"pgregory.net/rapid"

	"teiten/internal/corpus"
	"teiten/internal/observation"
)

// readAll reads a capture with everything that its batches add up to.
func readAll(file []byte) (res FileResult, packets, copies uint64, obs []*observation.Observation, err error) {
	in, err := Decompress(nopCloser{bytes.NewReader(file)})
	if err != nil {
		return res, 0, 0, nil, err
	}
	defer in.Close()
	res, err = Read(context.Background(), in, "x", Options{}, func(b *observation.Batch) error {
		packets += b.Packets
		copies += b.Copies
		for o := range b.Observations {
			obs = append(obs, o.Clone())
		}
		return nil
	})
	return res, packets, copies, obs, err
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// TestFieldCaptures reads the captures that users had trouble with.
func TestFieldCaptures(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "field/captures", func(t *testing.T, c corpus.Corpus) {
		if c.MadeUp {
			t.Skip("the generators of this file make the like")
		}
		for _, tt := range []struct {
			file   string
			says   string // in a warning or in the error
			fails  bool
			counts func(res FileResult, obs []*observation.Observation) bool
		}{
			{file: "mirai1_dup4.pcap", counts: func(res FileResult, obs []*observation.Observation) bool {
				return res.Packets == 4 && res.Copies == 3 && len(obs) == 1 && obs[0].Packets == 1
			}},
			{file: "mirai_doff6.pcap", counts: func(_ FileResult, obs []*observation.Observation) bool {
				return sumMark(obs, observation.MarkMirai) == 8
			}},
			{file: "tun_gre.pcap", says: "of 60 packets 60 are inside GRE", counts: func(res FileResult, _ []*observation.Observation) bool {
				return res.Tunnels["GRE"] == 60
			}},
			{file: "tun_mpls.pcap", says: "60 are inside MPLS", fails: true},
			{file: "lt_ppp9.pcap", says: "60 have link type 9 (PPP)", fails: true},
			{file: "cat2.pcap.gz", counts: func(res FileResult, obs []*observation.Observation) bool {
				return res.Packets == 60 && sumMark(obs, observation.MarkZMap) == 60 && !res.Truncated
			}},
			{file: "c.pcap.xz", says: "xz -dc FILE", fails: true},
			{file: "dns_answers_dport53_120.pcap", counts: func(_ FileResult, obs []*observation.Observation) bool {
				return len(obs) == 1 && obs[0].Class == observation.ClassUDPAnswer && obs[0].Port == 53
			}},
			{file: "quic_backscatter_one.pcap", counts: func(_ FileResult, obs []*observation.Observation) bool {
				return len(obs) == 1 && obs[0].Class == observation.ClassUDPAnswer && obs[0].Port == 443
			}},
			{file: "control_zmap_60.pcap", counts: func(res FileResult, obs []*observation.Observation) bool {
				return sumMark(obs, observation.MarkZMap) == 60 && res.Copies == 0
			}},
		} {
			var obs []*observation.Observation
			r, err := NewReader(Options{}, func(b *observation.Batch) error {
				for o := range b.Observations {
					obs = append(obs, o.Clone())
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			res, err := r.ReadFile(t.Context(), filepath.Join(c.Dir, tt.file))
			if e := r.Close(); e != nil {
				t.Fatal(e)
			}
			if (err != nil) != tt.fails {
				t.Errorf("%s: error %v", tt.file, err)
			}
			if said := fmt.Sprint(err, res.Warnings()); !strings.Contains(said, tt.says) || tt.says == "" && len(res.Warnings()) > 0 {
				t.Errorf("%s: says %q, want %q", tt.file, said, tt.says)
			}
			if tt.counts != nil && !tt.counts(res, obs) {
				t.Errorf("%s: %+v, %d observations", tt.file, res, len(obs))
			}
		}
	})
}

func sumMark(obs []*observation.Observation, m observation.Mark) (n uint64) {
	for _, o := range obs {
		n += o.Mark(m)
	}
	return n
}

var fieldStart = time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)

// drawFrame makes packets of all kinds, of which no two with different n are equal.
func drawFrame(t *rapid.T, n int) frame {
	f := frame{src: "198.51.100.7", dst: "192.0.2.1", id: uint16(n), sport: uint16(1024 + n), dport: rapid.Uint16().Draw(t, "port"),
		ttl: rapid.Uint8Range(40, 60).Draw(t, "ttl"), seq: uint32(n)}
	if rapid.Bool().Draw(t, "v6") {
		f.src, f.dst = "2001:db8::7", "2001:db8::1"
	}
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		f.proto, f.flags = protoTCP, rapid.Uint8().Draw(t, "flags")
	case 1:
		f.proto, f.payload = protoUDP, fmt.Append(nil, n, " ", rapid.String().Draw(t, "payload"))
	case 2:
		f.proto = protoICMP
		kind := byte(8)
		if strings.Contains(f.src, ":") {
			f.proto, kind = protoICMPv6, 128
		}
		f.payload = append([]byte{kind, 0, 0, 0, 0, 1, byte(n >> 8), byte(n)}, make([]byte, rapid.IntRange(1, 60).Draw(t, "data"))...)
	case 3:
		f.proto, f.payload = 99, fmt.Append(nil, "packet ", n)
	default: // later fragments of one datagram, alike but for their place
		f.src, f.dst, f.proto, f.frag, f.id, f.payload = "198.51.100.7", "192.0.2.1", protoUDP, uint16(2+n)|0x2000, 7, make([]byte, 64)
	}
	return f
}

// TestCopiesAreCountedApart delivers each packet up to four times within ten
// milliseconds, with another TTL or tag and between others, and some again later.
func TestCopiesAreCountedApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type delivery struct {
			at    time.Duration
			frame []byte
		}
		var all []delivery
		packets := rapid.IntRange(1, 20).Draw(t, "packets")
		times, copies := 0, 0
		places := map[uint64]bool{}
		for n := range packets {
			f := drawFrame(t, n)
			if place := placeOf(t, f); places[place] {
				t.Skip("two packets of one place in the table push each other out")
			} else {
				places[place] = true
			}
			at := time.Duration(rapid.IntRange(0, 9000).Draw(t, "at")) * time.Microsecond
			for range rapid.IntRange(1, 2).Draw(t, "times") { // the second time is no copy
				times++
				for k := range rapid.IntRange(1, 4).Draw(t, "delivered") {
					g := f
					if copies += min(k, 1); k > 0 {
						g.ttl -= byte(rapid.IntRange(0, 1).Draw(t, "hop"))
						if rapid.Bool().Draw(t, "tagged") {
							g.tags = []uint16{etherVLAN}
						}
					}
					all = append(all, delivery{at + time.Duration(k)*2500*time.Microsecond, g.bytes()})
				}
				at += 100 * time.Millisecond
			}
		}
		slices.SortStableFunc(all, func(a, b delivery) int { return int(a.at - b.at) })
		var records []record
		for _, d := range all {
			records = append(records, record{fieldStart.Add(d.at), d.frame})
		}
		res, counted, inBatches, obs, err := readAll(pcapFile(linkEthernet, records...))
		if err != nil || res.Packets != uint64(len(all)) || counted != uint64(times) || res.Copies != uint64(copies) || inBatches != res.Copies {
			t.Fatalf("%v: %d records, %d packets (want %d), %d copies in all and %d in batches (want %d), %d observations",
				err, res.Packets, counted, times, res.Copies, inBatches, copies, len(obs))
		}
	})
}

// placeOf is the slot of the table that a packet has.
func placeOf(t *rapid.T, f frame) uint64 {
	b := f.bytes()
	p := decoded(t, b)
	var table copyTable
	table.copy(&p, b)
	return uint64(slices.IndexFunc(table.slots[:], func(s uint64) bool { return s != 0 }))
}

// TestTunnelsAreNamed puts packets into tunnels of each kind.
func TestTunnelsAreNamed(t *testing.T) {
	t.Parallel()
	inner := func(n int) []byte {
		return frame{src: "198.51.100.7", dst: "192.0.2.1", proto: protoTCP, sport: 4000, dport: uint16(n), flags: flagSYN, id: uint16(n)}.bytes()
	}
	ip := func(proto uint8, head []byte, n int, skip int) []byte {
		return frame{src: "203.0.113.1", dst: "203.0.113.2", proto: proto, id: uint16(n), payload: append(slices.Clone(head), inner(n)[skip:]...)}.bytes()
	}
	udp := func(port uint16, head []byte, n int, skip int) []byte {
		return frame{src: "203.0.113.1", dst: "203.0.113.2", proto: protoUDP, sport: 50000, dport: port, id: uint16(n),
			payload: append(slices.Clone(head), inner(n)[skip:]...)}.bytes()
	}
	ether := func(kind uint16, head []byte, n int, skip int) []byte {
		return append(append(binary.BigEndian.AppendUint16(make([]byte, 12), kind), head...), inner(n)[skip:]...)
	}
	type kind struct {
		name string
		wrap func(n int) []byte
	}
	kinds := []kind{
		{"GRE", func(n int) []byte { return ip(47, []byte{0, 0, 8, 0}, n, 14) }},
		{"GRE", func(n int) []byte { return ip(47, []byte{0x20, 0, 0x65, 0x58, 0, 0, 1, 0}, n, 0) }}, // NVGRE
		{"GRE", func(n int) []byte { return ip(47, []byte{0xb0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2}, n, 14) }},
		{"ERSPAN", func(n int) []byte {
			return ip(47, []byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, byte(n), 0x10, 1, 0, 1, 0, 0, 0, 0}, n, 0)
		}},
		{"ERSPAN", func(n int) []byte {
			return ip(47, append([]byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, byte(n)}, make([]byte, 12)...), n, 0)
		}},
		{"IP in IP", func(n int) []byte { return ip(4, nil, n, 14) }},
		{"EtherIP", func(n int) []byte { return ip(97, []byte{0x30, 0}, n, 0) }},
		{"VXLAN", func(n int) []byte { return udp(4789, []byte{8, 0, 0, 0, 0, 0, 7, 0}, n, 0) }},
		{"VXLAN", func(n int) []byte { return udp(4790, []byte{0x0c, 0, 0, 1, 0, 0, 7, 0}, n, 14) }},
		{"GENEVE", func(n int) []byte { return udp(6081, []byte{0, 0, 0x65, 0x58, 0, 0, 7, 0}, n, 0) }},
		{"GENEVE", func(n int) []byte {
			return udp(6081, append([]byte{2, 0, 8, 0, 0, 0, 7, 0}, make([]byte, 8)...), n, 14)
		}},
		{"TZSP", func(n int) []byte { return udp(37008, []byte{1, 0, 0, 1, 1}, n, 0) }},
		{"GTP-U", func(n int) []byte { return udp(2152, []byte{0x30, 0xff, 0, 40, 0, 0, 0, 1}, n, 14) }},
		{"MPLS", func(n int) []byte { return udp(6635, []byte{0, 1, 1, 64}, n, 14) }},
		{"MPLS", func(n int) []byte { return ether(etherMPLS, []byte{0, 1, 1, 64}, n, 14) }},
		{"MPLS", func(n int) []byte { return ether(etherMPLSmc, []byte{0, 1, 0, 64, 0, 2, 1, 64}, n, 14) }},
		{"PBB (802.1ah)", func(n int) []byte { return ether(etherPBB, []byte{0, 0, 0, 7}, n, 0) }},
		{"TRILL", func(n int) []byte { return ether(etherTRILL, []byte{0, 0, 0, 1, 0, 2}, n, 0) }},
	}
	for _, several := range [][]kind{kinds[:6], kinds[6:12], kinds[12:]} {
		rapid.Check(t, func(t *rapid.T) {
			tt := rapid.SampledFrom(several).Draw(t, "kind")
			n, others := rapid.IntRange(1, 60).Draw(t, "packets"), rapid.IntRange(0, 200).Draw(t, "others")
			var records []record
			for i := range n {
				records = append(records, record{fieldStart.Add(time.Duration(i) * time.Second), tt.wrap(i)})
			}
			for i := range others {
				records = append(records, record{fieldStart.Add(time.Hour + time.Duration(i)*time.Second), inner(i)})
			}
			res, _, _, _, err := readAll(pcapFile(linkEthernet, records...))
			said := fmt.Sprint(err, res.Warnings())
			want := fmt.Sprintf("%d are inside %s", n, tt.name)
			if res.Tunnels[tt.name] != uint64(n) || strings.Contains(said, want) != (100*n >= n+others) {
				t.Fatalf("%s: %v, says %q", tt.name, res.Tunnels, said)
			}
			if nothing := others == 0 && res.Skipped[SkipTunnel] > 0; errors.Is(err, ErrNothingRead) != nothing {
				t.Fatalf("%s: error %v", tt.name, err)
			}
		})
	}
	// Probes that look for tunnels and headers that are none stay unnamed.
	for _, f := range []frame{
		{src: "198.51.100.7", dst: "192.0.2.1", proto: 47, payload: []byte{0, 0, 8, 0, 1}},
		{src: "198.51.100.7", dst: "192.0.2.1", proto: 47, payload: []byte{0x30, 1, 0x88, 0x0b, 0, 0, 0, 0}},
		{src: "198.51.100.7", dst: "192.0.2.1", proto: protoUDP, sport: 4000, dport: 4789, payload: []byte("hello, world")},
		{src: "198.51.100.7", dst: "192.0.2.1", proto: protoUDP, sport: 4000, dport: 6081},
	} {
		if res, _, _, _, err := readAll(pcapFile(linkEthernet, record{fieldStart, f.bytes()})); err != nil || len(res.Tunnels) > 0 {
			t.Errorf("%+v: %v, %v", f, res.Tunnels, err)
		}
	}
}

// TestNothingReadIsAnError: a file of which no packet is understood says its link
// type; one with something in it, or with what links have anyway, is no error.
func TestNothingReadIsAnError(t *testing.T) {
	t.Parallel()
	known := []uint32{linkNull, linkEthernet, linkRaw12, linkRaw14, linkRaw, linkLoop, linkSLL, linkIPv4, linkIPv6, linkSLL2}
	ip := frame{src: "198.51.100.7", dst: "192.0.2.1", proto: protoTCP, flags: flagSYN}.bytes()
	rapid.Check(t, func(t *rapid.T) {
		link := rapid.Uint32Range(0, 300).Filter(func(n uint32) bool { return !slices.Contains(known, n) }).Draw(t, "link")
		n := rapid.IntRange(1, 50).Draw(t, "packets")
		var records []record
		for i := range n {
			records = append(records, record{fieldStart.Add(time.Duration(i) * time.Second), ip[14:]})
		}
		res, _, _, _, err := readAll(pcapFile(link, records...))
		if !errors.Is(err, ErrNothingRead) || !strings.Contains(err.Error(), fmt.Sprintf("%d have %s", n, linkName(link))) || res.Packets != uint64(n) {
			t.Fatalf("%v, %+v", err, res)
		}
		// The same beside packets that are read: a warning.
		ng := append(append(ngHeader(), ngIfaceBlock(linkEthernet, 6)...), ngIfaceBlock(uint16(link), 6)...)
		ng = append(ng, ngPacketBlock(0, uint64(fieldStart.UnixMicro()), ip)...)
		for range n {
			ng = append(ng, ngPacketBlock(1, uint64(fieldStart.UnixMicro()), ip[14:])...)
		}
		res, _, _, _, err = readAll(ng)
		if err != nil || !strings.Contains(fmt.Sprint(res.Warnings()), linkName(link)) {
			t.Fatalf("%v, %q", err, res.Warnings())
		}
	})
	stp := append([]byte{1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 38, 0x42, 0x42, 3}, make([]byte, 43)...)
	lldp := append(append(make([]byte, 12), 0x88, 0xcc), make([]byte, 46)...)
	arp := append(append(make([]byte, 12), 8, 6), make([]byte, 46)...)
	other := append(append(make([]byte, 12), 0x12, 0x34), make([]byte, 46)...)
	for _, tt := range []struct {
		frame []byte
		fails bool
	}{{stp, false}, {lldp, false}, {arp, false}, {other, true}, {ip[14:], true}} {
		if _, _, _, _, err := readAll(pcapFile(linkEthernet, record{fieldStart, tt.frame})); errors.Is(err, ErrNothingRead) != tt.fails {
			t.Errorf("% x: %v", tt.frame[:16], err)
		}
	}
}

// TestCapturesBehindEachOther reads files that were put into one, in any format,
// with or without compression, and padding behind.
func TestCapturesBehindEachOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var whole, packed bytes.Buffer
		want := 0
		for k := range rapid.IntRange(1, 5).Draw(t, "files") {
			n := rapid.IntRange(0, 30).Draw(t, "packets")
			want += n
			file := fieldFile(t, k, n)
			whole.Write(file)
			z := gzip.NewWriter(&packed)
			if _, err := z.Write(file); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
		}
		packed.Write(make([]byte, rapid.IntRange(0, 2000).Draw(t, "padding")))
		for _, file := range [][]byte{whole.Bytes(), packed.Bytes()} {
			res, packets, _, _, err := readAll(file)
			if err != nil || res.Packets != uint64(want) || packets != uint64(want) || res.Truncated || len(res.Skipped) > 0 {
				t.Fatalf("%v: %d packets of %d, %+v", err, packets, want, res)
			}
		}
	})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(pcapFile(linkRaw, record{fieldStart, frame{src: "198.51.100.7", dst: "192.0.2.1", proto: protoTCP}.bytes()[14:]}))
	z.Close()
	packed.WriteString("\x00\x00something else")
	if res, packets, _, _, err := readAll(packed.Bytes()); err != nil || packets != 1 || !res.Truncated {
		t.Errorf("something behind gzip: %v, %+v", err, res)
	}
}

// fieldFile makes the k-th file, of n packets.
func fieldFile(t *rapid.T, k, n int) []byte {
	at := func(i int) time.Time { return fieldStart.Add(time.Duration(100*k+i) * time.Second) }
	packet := func(i int) []byte {
		return frame{src: "198.51.100.7", dst: "192.0.2.1", proto: protoTCP, sport: 4000, dport: uint16(i), seq: uint32(100*k + i), flags: flagSYN}.bytes()
	}
	switch rapid.IntRange(0, 3).Draw(t, "format") {
	case 0:
		b := append(ngHeader(), ngIfaceBlock(linkEthernet, 6)...)
		for i := range n {
			b = append(b, ngPacketBlock(0, uint64(at(i).UnixMicro()), packet(i))...)
		}
		return b
	case 1: // big endian, nanoseconds
		be := binary.BigEndian
		b := be.AppendUint32(nil, pcapMagicNano)
		b = append(b, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0)
		b = be.AppendUint32(b, linkRaw)
		for i := range n {
			b = be.AppendUint32(b, uint32(at(i).Unix()))
			b = append(b, 0, 0, 0, 9, 0, 0, 0, 40, 0, 0, 0, 40)
			b = append(b, packet(i)[14:]...)
		}
		return b
	}
	var records []record
	raw := rapid.Bool().Draw(t, "raw")
	link := uint32(linkEthernet)
	for i := range n {
		f := packet(i)
		if raw {
			link, f = linkRaw, f[14:]
		}
		records = append(records, record{at(i), f})
	}
	return pcapFile(link, records...)
}

// TestOtherFormatsAreNamed gives files of formats that are no captures.
func TestOtherFormatsAreNamed(t *testing.T) {
	t.Parallel()
	for half := range 2 {
		rapid.Check(t, func(t *rapid.T) {
			n := len(foreigns) / 2
			f := rapid.SampledFrom(foreigns[half*n:]).Draw(t, "format")
			file := append(make([]byte, f.at), f.magic...)
			if f.at > 0 {
				copy(file, "capture.pcap") // a tar begins with a name
			}
			file = append(file, rapid.SliceOfN(rapid.Byte(), 600, 700).Draw(t, "rest")...)
			_, _, _, _, err := readAll(file)
			if err == nil || !strings.Contains(err.Error(), f.name) || !strings.Contains(err.Error(), f.help) {
				t.Fatalf("%s: %v", f.name, err)
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		var erf []byte
		for i := range rapid.IntRange(1, 20).Draw(t, "records") {
			n := rapid.IntRange(60, 200).Draw(t, "bytes")
			// Of any time but the one in 16 million whose bytes are the magic number of lzma.
			notLZMA := func(fraction uint32) bool { return fraction&0xffffff != 0x5d }
			erf = binary.LittleEndian.AppendUint32(erf, rapid.Uint32().Filter(notLZMA).Draw(t, "fraction"))
			erf = binary.LittleEndian.AppendUint32(erf, uint32(fieldStart.Unix())+uint32(i))
			erf = append(erf, 2, 4, byte((18+n)>>8), byte(18+n), 0, 0, 0, byte(n), 0, 0)
			erf = append(erf, make([]byte, n)...)
		}
		if _, _, _, _, err := readAll(erf); err == nil || !strings.Contains(err.Error(), "ERF") || !strings.Contains(err.Error(), "editcap") {
			t.Fatalf("ERF: %v", err)
		}
	})
}

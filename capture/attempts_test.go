package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/internal/observation"
)

// attemptKind makes the n-th attempt of a tool or worm, and what of it is new if
// the sender's stack repeats it.
type attemptKind struct {
	mark    observation.Mark
	attempt func(n int, dst string, id uint16) frame
	stack   bool // a stack repeats it, with a new id
}

var attemptKinds = []attemptKind{
	{observation.MarkMirai, func(n int, dst string, id uint16) frame {
		return frame{dport: 23, sport: uint16(1024 + n), seq: address(dst), win: id, id: id}
	}, false},
	{observation.MarkZMap, func(n int, _ string, _ uint16) frame {
		return frame{dport: 443, sport: uint16(32768 + n), seq: uint32(n) * 0x9e3779b1, win: 65535, id: 54321, ttl: 240}
	}, false},
	{observation.MarkMasscan, func(n int, dst string, _ uint16) frame {
		seq := uint32(n) * 0x9e3779b1
		return frame{dport: 22, sport: 61000, seq: seq, win: 1024, id: uint16(address(dst)) ^ 22 ^ uint16(seq), ttl: 240}
	}, false},
	{observation.MarkMasscan, func(n int, dst string, _ uint16) frame {
		query := append(binary.BigEndian.AppendUint16(nil, uint16(n)), "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"...)
		return frame{proto: protoUDP, dport: 53, sport: 40000, payload: query, id: uint16(address(dst)) ^ 53 ^ uint16(n), ttl: 240}
	}, false},
	{observation.MarkWorm445, func(n int, _ string, id uint16) frame {
		return frame{dport: 445, sport: uint16(49152 + n), seq: uint32(n) * 0x9e3779b1, win: 8192, id: id, ttl: 113, df: true,
			options: []byte{2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2}}
	}, true},
	{observation.MarkAngryIP, func(n int, _ string, id uint16) frame {
		return frame{proto: protoICMP, id: id, payload: append([]byte{8, 0, 0, 0, 0, 9, byte(n >> 8), byte(n)}, make([]byte, 32)...)}
	}, false},
	{observation.MarkHping, func(n int, _ string, id uint16) frame {
		return frame{dport: 80, sport: uint16(2000 + n), seq: uint32(n) * 0x9e3779b1, win: 512, id: id}
	}, false},
}

func address(text string) uint32 {
	b := netip.MustParseAddr(text).As4()
	return binary.BigEndian.Uint32(b[:])
}

// TestRepetitionsAreNoHits: a mirror that is slow, a stack and a sender repeat
// attempts; the hits are the attempts.
func TestRepetitionsAreNoHits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(attemptKinds).Draw(t, "kind")
		attempts := rapid.IntRange(1, 30).Draw(t, "attempts")
		var records []record
		at := fieldStart
		for n := range attempts {
			dst := fmt.Sprintf("192.0.2.%d", rapid.IntRange(1, 200).Draw(t, "dst"))
			f := kind.attempt(n, dst, uint16(1000+n))
			f.src, f.dst = "198.51.100.7", dst
			if f.proto == 0 {
				f.proto, f.flags = protoTCP, flagSYN
			}
			for k := range rapid.IntRange(1, 4).Draw(t, "times") {
				if kind.stack && k > 0 {
					f.id += 7000 // the stack's next ones
				}
				at = at.Add(time.Duration(rapid.IntRange(20, 3000).Draw(t, "wait")) * time.Millisecond)
				records = append(records, record{at, f.bytes()})
			}
		}
		_, packets, copies, obs, err := readAll(pcapFile(linkEthernet, records...))
		marked, repeats := sumMark(obs, kind.mark), sumMark(obs, observation.MarkRepeat)
		if err != nil || copies != 0 || packets != uint64(len(records)) || marked != packets || marked-repeats != uint64(attempts) {
			t.Fatalf("%s: %v, %d of %d packets marked, %d repeat, want %d attempts", kind.mark, err, marked, packets, repeats, attempts)
		}
	})
}

// hiddenCase is SYNs without options of several sources to rewritten destinations.
type hiddenCase struct {
	sources, dests int
	// number is what a source sends to a destination.
	number func(source, dst int) uint32
}

func (c hiddenCase) read(t *rapid.T, port uint16) []*observation.Observation {
	type sent struct{ source, dst int }
	var all []sent
	for s := range c.sources {
		for d := range c.dests {
			all = append(all, sent{s, d})
		}
	}
	var records []record
	for n, x := range rapid.Permutation(all).Draw(t, "order") {
		f := frame{src: fmt.Sprintf("198.51.100.%d", 1+x.source), dst: fmt.Sprintf("192.0.2.%d", 1+x.dst), proto: protoTCP, flags: flagSYN,
			sport: uint16(1024 + n), dport: port, seq: c.number(x.source, x.dst), id: uint16(n), win: 14600}
		records = append(records, record{fieldStart.Add(time.Duration(n) * time.Second), f.bytes()})
	}
	_, _, _, obs, err := readAll(pcapFile(linkEthernet, records...))
	if err != nil {
		t.Fatal(err)
	}
	return obs
}

// TestHiddenMirai: numbers that are the destinations' are Mirai's, also among
// those of a copied scanner; one for all of them, one destination alone and a pool
// of numbers are not.
func TestHiddenMirai(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.Uint32Range(1, 1<<30).Draw(t, "key")
		ofDst := func(_, dst int) uint32 { return (key + uint32(dst)) * 0x9e3779b1 }
		c := hiddenCase{sources: rapid.IntRange(2, 12).Draw(t, "sources"), dests: rapid.IntRange(2, 12).Draw(t, "dests")}
		mirai := false
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			mirai, c.number = true, ofDst
		case 1: // a copied scanner, or a flood
			c.number = func(int, int) uint32 { return key }
		case 2:
			c.dests, c.number = 1, ofDst
		case 3: // each user of the scanner changed the number
			c.number = func(source, _ int) uint32 { return key + uint32(source%2) }
		default: // a flood with a pool of numbers
			pool := rapid.IntRange(1, c.dests-1).Draw(t, "pool")
			c.number = func(_, dst int) uint32 { return (key + uint32(dst%pool)) * 0x9e3779b1 }
			if pool > 1 && c.dests < 2*pool {
				c.dests = 2 * pool
			}
		}
		want := uint64(0)
		if mirai {
			want = uint64(c.sources * c.dests)
		}
		if got := sumMark(c.read(t, 23), observation.MarkMiraiK); got != want {
			t.Fatalf("%d of %d packets marked, want %d", got, c.sources*c.dests, want)
		}
	})
}

// TestConstantNumberIsNoTool: a scanner with one sequence number, one id and one
// TTL has the related numbers of nmap and the common value of Masscan, but neither
// nmap's TTLs and tries nor a value for each destination.
func TestConstantNumberIsNoTool(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seq, id := rapid.Uint32().Draw(t, "seq"), rapid.Uint16().Draw(t, "id")
		tool := rapid.SampledFrom([]string{"", "nmap", "masscan"}).Draw(t, "tool")
		options := []byte{2, 4, 5, 0xb4}
		if rapid.Bool().Draw(t, "bare") && tool != "nmap" {
			options = nil
		}
		var records []record
		for n := range 60 {
			source, dst := n/30, n%30
			f := frame{src: fmt.Sprintf("198.51.100.%d", 1+source), dst: fmt.Sprintf("192.0.2.%d", 1+dst), proto: protoTCP, flags: flagSYN,
				sport: uint16(1024 + n), dport: 80, seq: seq, id: id, win: 1024, ttl: 50, options: slices.Clone(options)}
			if f.id == uint16(address(f.dst))^80^uint16(seq) {
				t.Skip("Masscan's by chance")
			}
			switch tool {
			case "nmap":
				f.id, f.ttl = uint16(n)*40503, uint8(37+n*7%23)
			case "masscan": // whose destination was dst, behind a secret key
				f.seq = uint32(n) * 0x9e3779b1
				f.id = uint16(dst*257) ^ id ^ 80 ^ uint16(f.seq)
			}
			records = append(records, record{fieldStart.Add(time.Duration(n) * time.Second), f.bytes()})
			if tool == "masscan" { // it takes three packets
				f.seq += 0x12345
				f.id, f.sport = uint16(dst*257)^id^80^uint16(f.seq), f.sport+1000
				records = append(records, record{fieldStart.Add(time.Duration(n)*time.Second + 500*time.Millisecond), f.bytes()})
			}
		}
		_, _, _, obs, err := readAll(pcapFile(linkEthernet, records...))
		if err != nil {
			t.Fatal(err)
		}
		nmap, masscan := sumMark(obs, observation.MarkNmap), sumMark(obs, observation.MarkMasscanK)
		if (nmap > 0) != (tool == "nmap") || (masscan > 100) != (tool == "masscan") || tool == "" && masscan > 0 {
			t.Fatalf("%q: nmap %d, masscan %d of %d", tool, nmap, masscan, len(records))
		}
	})
}

// TestZMapIsMoreThanItsID: the id with another TTL, window or port, or with DF, is
// that of a tutorial.
func TestZMapIsMoreThanItsID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := frame{src: "198.51.100.7", dst: "192.0.2.1", proto: protoTCP, flags: flagSYN, sport: uint16(rapid.IntRange(32768, 61000).Draw(t, "sport")),
			dport: 80, seq: 7, id: 54321, ttl: byte(rapid.IntRange(191, 255).Draw(t, "ttl")), win: 65535}
		if rapid.Bool().Draw(t, "udp") {
			f.proto, f.payload = protoUDP, []byte("hello")
		}
		want := uint64(0)
		switch rapid.SampledFrom([]string{"zmap", "ttl", "df", "port", "id", "window", "flags"}).Draw(t, "differs") {
		case "ttl":
			f.ttl = byte(rapid.IntRange(1, 128).Draw(t, "other ttl"))
		case "df":
			f.df = true
		case "port":
			f.sport = uint16(rapid.IntRange(1, 32767).Draw(t, "other port"))
		case "id":
			f.id = 54320
		case "window":
			f.win, f.proto = uint16(rapid.IntRange(0, 65534).Draw(t, "other window")), protoTCP
		case "flags":
			f.flags, f.proto = flagSYN|flagECE|flagCWR, protoTCP
		default:
			want = 1
		}
		_, _, _, obs, err := readAll(pcapFile(linkEthernet, record{fieldStart, f.bytes()}))
		if got := sumMark(obs, observation.MarkZMap); err != nil || got != want {
			t.Fatalf("%v: %+v: mark %d, want %d", err, f, got, want)
		}
	})
}

package live

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
	"pgregory.net/rapid"
)

const snap = 2048

// frame is an IP packet to an address behind a link header with tags.
func frame(link Link, to netip.Addr, tags ...uint16) []byte {
	var f []byte
	if link == Ethernet {
		f = make([]byte, 12)
		for _, tag := range tags {
			f = binary.BigEndian.AppendUint16(f, tag)
			f = append(f, 0, 7)
		}
		if to.Is4() {
			f = append(f, 0x08, 0x00)
		} else {
			f = append(f, 0x86, 0xdd)
		}
	}
	if to.Is4() {
		return append(append(append(f, 0x45), make([]byte, 15)...), to.AsSlice()...)
	}
	return append(append(append(f, 0x60), make([]byte, 23)...), to.AsSlice()...)
}

func passes(t interface{ Fatal(...any) }, prog []bpf.Instruction, f []byte) bool {
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(f)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// near draws an address at an edge of a prefix, within it, or anywhere.
func near(t *rapid.T, p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	first, _ := netip.AddrFromSlice(b)
	for i := range b {
		for bit := range 8 {
			host := 8*i+bit >= p.Bits()
			switch {
			case kind == 4, kind == 2 && host && rapid.Bool().Draw(t, "bit"), kind == 3 && host, kind == 1 && host:
				b[i] |= 0x80 >> bit
			}
		}
	}
	last, _ := netip.AddrFromSlice(b)
	switch {
	case kind == 0 && first.Prev().IsValid():
		return first.Prev()
	case kind == 1 && last.Next().IsValid():
		return last.Next()
	}
	return last
}

func drawPrefix(t *rapid.T) netip.Prefix {
	// Few different high bytes, so that prefixes lie in one another.
	n, pools := 4, [][]byte{{192, 0, 2}, {198, 51, 100}, {203, 0, 113}, {0}, {255, 255, 255}}
	if rapid.Bool().Draw(t, "v6") {
		n, pools = 16, [][]byte{{0x20, 1, 0xd, 0xb8}, {0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 3}, {0xff}}
	}
	b := make([]byte, n)
	k := copy(b, rapid.SampledFrom(pools).Draw(t, "pool"))
	copy(b[k:], rapid.SliceOfN(rapid.Byte(), n-k, n-k).Draw(t, "rest"))
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(a, rapid.IntRange(1, 8*n).Draw(t, "bits"))
}

// The kernel's program and a plain walk through the prefixes agree.
func TestFilterAgreesWithPlainMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefixes := rapid.SliceOfN(rapid.Custom(drawPrefix), 1, 40).Draw(t, "prefixes")
		link := rapid.SampledFrom([]Link{Ethernet, Raw}).Draw(t, "link")
		tags := rapid.SampledFrom([][]uint16{nil, {typeVLAN}, {typeQinQ}}).Draw(t, "tags")
		prog, err := Filter(link, prefixes, snap)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			to := near(t, rapid.SampledFrom(prefixes).Draw(t, "prefix"))
			if to.Is4In6() {
				continue
			}
			want := slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(to) })
			f := frame(link, to, tags...)
			if got := passes(t, prog, f); got != want {
				t.Fatalf("to %v: passes %v, want %v", to, got, want)
			}
			if passes(t, prog, f[:len(f)-1]) && to.Is4() {
				t.Fatalf("to %v: a frame cut in its address passes", to)
			}
		}
	})
}

// As many prefixes as a large darknet has fit, and each address is told right.
func TestFilterOfManyPrefixes(t *testing.T) {
	var prefixes []netip.Prefix
	for i := range 170 {
		prefixes = append(prefixes,
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 2, 0}), 24),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i), 0, 2}), 64))
	}
	prog, err := Filter(Ethernet, prefixes, snap)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bpf.Assemble(prog); err != nil {
		t.Fatal(err)
	}
	for _, p := range prefixes {
		if !passes(t, prog, frame(Ethernet, p.Addr())) || passes(t, prog, frame(Ethernet, p.Addr().Prev())) {
			t.Errorf("prefix %v", p)
		}
	}
	t.Logf("%d instructions", len(prog))
}

func TestFilterRefuses(t *testing.T) {
	mapped := netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.0"), 120)
	for _, p := range []netip.Prefix{{}, mapped} {
		if _, err := Filter(Raw, []netip.Prefix{p}, snap); err == nil {
			t.Errorf("prefix %v is taken", p)
		}
	}
	var many []netip.Prefix
	for i := range 2000 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 30))
	}
	if _, err := Filter(Raw, many, snap); !errors.Is(err, ErrFilterTooLong) {
		t.Errorf("2000 prefixes: %v", err)
	}
}

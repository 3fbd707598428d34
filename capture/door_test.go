package capture

import (
	"net/netip"
	"testing"
)

func doorPacket(src, dst string, proto byte, port uint16) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	var ip []byte
	if s.Is4() {
		ip = append([]byte{0x45, 8: 64, 9: proto, 11: 0}, s.AsSlice()...)
	} else {
		ip = append([]byte{0x60, 6: proto, 7: 64}, s.AsSlice()...)
	}
	return append(append(ip, d.AsSlice()...), byte(port>>8), byte(port), 0, 80)
}

func testDoor() *Door {
	pre := netip.MustParsePrefix
	return NewDoor([]netip.Prefix{{}, pre("192.0.2.7/24"), pre("2001:db8:1::/48")}, []Peer{
		{pre("198.51.100.9/32"), 443}, {pre("203.0.113.0/24"), 0}, {pre("2001:db8:2::1/128"), 53}})
}

func TestDoor(t *testing.T) {
	later := doorPacket("198.51.100.9", "192.0.2.1", 6, 443)
	later[7] = 1 // fragment offset
	for _, c := range []struct {
		name  string
		frame []byte
		want  Passage
	}{
		{"monitored", doorPacket("198.51.100.1", "192.0.2.1", 6, 4000), Admitted},
		{"monitored IPv6", doorPacket("2001:db8:9::1", "2001:db8:1::5", 6, 4000), Admitted},
		{"elsewhere", doorPacket("198.51.100.1", "192.0.3.1", 6, 4000), Elsewhere},
		{"elsewhere IPv6", doorPacket("2001:db8:9::1", "2001:db8:3::5", 6, 4000), Elsewhere},
		{"answer of the hub", doorPacket("198.51.100.9", "192.0.2.1", 6, 443), Own},
		{"answer to an address not monitored", doorPacket("198.51.100.9", "192.0.3.1", 6, 443), Own},
		{"the hub's address, another port", doorPacket("198.51.100.9", "192.0.2.1", 6, 444), Admitted},
		{"the hub's address, ICMP", doorPacket("198.51.100.9", "192.0.2.1", 1, 443), Admitted},
		{"a later fragment has no port", later, Admitted},
		{"management, any port", doorPacket("203.0.113.5", "192.0.2.1", 1, 1), Own},
		{"answer of a resolver, IPv6", doorPacket("2001:db8:2::1", "2001:db8:1::5", 17, 53), Own},
		{"cut in the address", doorPacket("198.51.100.1", "192.0.3.1", 6, 1)[:19], Admitted},
		{"empty", nil, Admitted},
	} {
		if got := testDoor().Admit(linkRaw, c.frame); got != c.want {
			t.Errorf("%s: passage %d, want %d", c.name, got, c.want)
		}
	}
}

func TestDoorAllocatesNothing(t *testing.T) {
	d, f := testDoor(), doorPacket("2001:db8:9::1", "2001:db8:1::5", 6, 4000)
	if n := testing.AllocsPerRun(100, func() { d.Admit(linkRaw, f) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDoor(f *testing.F) {
	f.Add(uint32(linkRaw), doorPacket("198.51.100.1", "192.0.2.1", 6, 4000))
	f.Add(uint32(linkEthernet), make([]byte, 60))
	d := testDoor()
	f.Fuzz(func(t *testing.T, link uint32, frame []byte) {
		if got := d.Admit(link, frame); got > Own {
			t.Errorf("passage %d", got)
		}
	})
}

func BenchmarkDoor(b *testing.B) {
	var many []netip.Prefix
	for i := range 340 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 25))
	}
	d, f := NewDoor(many, nil), doorPacket("198.51.100.1", "10.0.200.1", 6, 4000)
	for b.Loop() {
		d.Admit(linkRaw, f)
	}
}

package live

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each packet on the loopback interface counts once, and others not at all.
func TestRingOnLoopback(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip(err)
	}
	prog, err := Filter(Ethernet, []netip.Prefix{netip.MustParsePrefix("127.0.0.77/32")}, snap)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenRing(lo.Index, 4, prog)
	if errors.Is(err, unix.EPERM) {
		t.Skip("not allowed to capture: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	const sent = 3000
	for _, to := range []string{"127.0.0.77:47123", "127.0.0.78:47123"} {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))
		for range sent {
			if _, err := conn.WriteTo([]byte("x"), addr); err != nil {
				t.Fatal(err)
			}
		}
		_ = conn.Close()
	}
	got := 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		if err := r.Read(context.Background(), func(f *Frame) {
			if f.Length == 14+20+8+1 {
				got++
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if dropped, err := r.Dropped(); got != sent || dropped != 0 || err != nil {
		t.Errorf("%d packets, %d dropped, %v; sent %d", got, dropped, err, sent)
	}
}

func FuzzWalkBlock(f *testing.F) {
	block := make([]byte, 256)
	block[12], block[16] = 1, 48
	block[48+12], block[48+24] = 20, 80
	f.Add(block)
	f.Fuzz(func(t *testing.T, block []byte) {
		_ = walkBlock(block, func(f *Frame) {
			if len(f.Data) > len(block) {
				t.Error("a frame larger than its block")
			}
		})
	})
}

package live

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"teiten/capture"
	"teiten/internal/observation"
)

// pair makes two interfaces with a cable between them.
func pair(t *testing.T) (here, there string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root makes interfaces")
	}
	here, there = fmt.Sprintf("tt%da", os.Getpid()%100000), fmt.Sprintf("tt%db", os.Getpid()%100000)
	cable(t, here, there)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", here).Run() })
	return here, there
}

func cable(t *testing.T, here, there string) {
	t.Helper()
	if out, err := exec.Command("ip", "link", "add", here, "type", "veth", "peer", "name", there).CombinedOutput(); err != nil {
		t.Skipf("no veth: %v %s", err, out)
	}
	for _, name := range []string{here, there} {
		if out, err := exec.Command("ip", "link", "set", name, "up").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
}

// send sends n UDP packets with the identifications from first on.
func send(t *testing.T, name, dst string, vlan bool, first, n int) {
	t.Helper()
	nic, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	frame := []byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1}
	if vlan {
		frame = append(frame, 0x81, 0, 0, 7)
	}
	frame = append(frame, 8, 0)
	ip := len(frame)
	frame = append(frame, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 198, 51, 100, 1)
	frame = append(frame, netip.MustParseAddr(dst).AsSlice()...)
	frame = append(frame, 0x10, 0, 0, 53, 0, 8, 0, 0)
	for i := range n {
		binary.BigEndian.PutUint16(frame[ip+4:], uint16(first+i))
		binary.BigEndian.PutUint16(frame[ip+20:], uint16(1024+first+i))
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: nic.Index}); err != nil {
			t.Fatal(err)
		}
	}
}

func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain: ", what)
		}
	}
}

// Each packet on the wire is counted once: tagged or not, after the interface was
// gone for some time, and after the networks changed.
func TestCaptureCountsWhatWasSent(t *testing.T) {
	here, there := pair(t)
	c, err := Open(Options{Interfaces: []string{here}, Blocks: 4,
		Live:     capture.LiveOptions{Options: capture.Options{Sensor: "s1"}},
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var packets, copies, dropped uint64
	ended := make(chan error, 1)
	go func() {
		ended <- c.Run(ctx, func(b *observation.Batch) error {
			packets, copies, dropped = packets+b.Packets, copies+b.Copies, dropped+b.Facts.Dropped
			return nil
		})
	}()
	up := func(want bool) func() bool {
		return func() bool { s := c.Stats(); return len(s.Interfaces) == 1 && s.Interfaces[0].Up == want }
	}
	counted := func(n uint64) func() bool { return func() bool { return c.Stats().Frames >= n } }
	within(t, "the start", up(true))
	send(t, there, "192.0.2.1", false, 0, 2000)
	send(t, there, "192.0.2.1", true, 2000, 500)
	send(t, there, "203.0.113.1", false, 3000, 100) // not monitored
	within(t, "the first packets", counted(2500))

	if out, err := exec.Command("ip", "link", "del", here).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	within(t, "the loss", up(false))
	cable(t, here, there)
	within(t, "the return", up(true))
	send(t, there, "192.0.2.1", false, 4000, 300)
	within(t, "the packets after the return", counted(2800))

	c.Set([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, true, nil, nil)
	if out, err := exec.Command("ip", "addr", "add", "203.0.113.1/32", "dev", here).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	within(t, "the new address", func() bool { return len(c.Stats().Networks) == 2 })
	send(t, there, "203.0.113.1", false, 5000, 200)
	within(t, "the packets to it", counted(3000))
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if packets != 3000 || copies != 0 || dropped != 0 {
		t.Errorf("%d packets, %d copies, %d dropped", packets, copies, dropped)
	}
}

func TestOpenWithoutInterface(t *testing.T) {
	if _, err := Open(Options{Interfaces: []string{"no-such-nic"}}); err == nil {
		t.Error("no error")
	}
}

// What finds no place in the ring is counted: read and dropped are what was sent.
func TestRingOverflow(t *testing.T) {
	here, there := pair(t)
	nic, err := net.InterfaceByName(here)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := Filter(Ethernet, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, snapBytes)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenRing(nic.Index, 2, prog)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	const sent = 40000
	send(t, there, "192.0.2.1", false, 0, sent)
	var got, dropped uint64
	within(t, "all packets", func() bool {
		for more := true; more && err == nil; {
			more, err = r.next(func(*Frame) { got++ })
		}
		n, derr := r.Dropped()
		dropped += n
		return err != nil || derr != nil || got+dropped >= sent
	})
	if err != nil || got+dropped != sent || dropped == 0 {
		t.Errorf("%d read, %d dropped of %d: %v", got, dropped, sent, err)
	}
}

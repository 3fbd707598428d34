package sensor

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"teiten/internal/observation"
)

// TestInterfaces: packets on a wire become batches at the hub, each packet once,
// through a restart in the middle of a window.
func TestInterfaces(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root opens an interface")
	}
	h := newFakeHub(t)
	h.config.Networks, h.config.WindowSeconds = []netip.Prefix{netip.MustParsePrefix("127.77.0.0/16")}, 3600
	state := h.enrolled()
	const each = 300
	for round := range 3 {
		in := &counted{Interfaces: Interfaces{Names: []string{"lo"}, Log: quietLog(t)}}
		ctx, cancel := context.WithCancel(t.Context())
		type end struct {
			res Result
			err error
		}
		done := make(chan end, 1)
		go func() {
			res, err := Run(ctx, Options{State: state, Input: in, Once: true, Version: "test", Log: quietLog(t), beatEvery: 20 * time.Millisecond}, nil)
			done <- end{res, err}
		}()
		waitFor(t, func() bool { return in.current() != nil })
		time.Sleep(200 * time.Millisecond)                // the ring is open, and read from now on
		c, err := net.ListenPacket("udp4", "127.0.0.1:0") // not connected: nobody listens, and no error comes back
		if err != nil {
			t.Fatal(err)
		}
		for range each {
			if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 77, 0, 9), Port: 4444}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Microsecond)
		}
		c.Close()
		waitFor(t, func() bool { return in.Stats().Packets >= each })
		cancel()
		e := <-done
		if e.err != nil || in.packets.Load() != each || e.res.Dropped != 0 || e.res.Waiting != 0 {
			t.Errorf("round %d: %s, %v; %d packets in batches, sent %d", round, e.res, e.err, in.packets.Load(), each)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.stored) < 3 || len(h.beats) == 0 || len(h.beats[len(h.beats)-1].Interfaces) != 1 {
		t.Errorf("%d batches, %d heartbeats", len(h.stored), len(h.beats))
	}
}

// counted counts the packets of the batches that an input gives.
type counted struct {
	Interfaces
	packets atomic.Uint64
}

func (c *counted) Run(ctx context.Context, set Settings, sink func(*observation.Batch) error) error {
	return c.Interfaces.Run(ctx, set, func(b *observation.Batch) error {
		c.packets.Add(b.Packets + b.Copies)
		return sink(b)
	})
}

// TestNothingToMonitor: a sensor without networks says what to do.
func TestNothingToMonitor(t *testing.T) {
	t.Parallel()
	h := newFakeHub(t)
	if _, err := Run(t.Context(), Options{State: h.enrolled(), Input: &Interfaces{Names: []string{"lo"}, Log: quietLog(t)}, Once: true}, nil); err == nil {
		t.Error("it captures nothing and says nothing")
	}
}

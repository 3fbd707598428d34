package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"teiten/capture"
	"teiten/capture/live"
	"teiten/internal/observation"
	"teiten/internal/sensorwire"
)

// Interfaces is an input that captures from network interfaces. Its windows close by
// the clock.
type Interfaces struct {
	Names []string
	Log   *slog.Logger

	mu      sync.Mutex // guards capture
	capture *live.Capture
}

// ErrNoNetworks is in the error about a sensor that has nothing to monitor.
var ErrNoNetworks = errors.New("no networks are monitored: set them on the hub with teiten sensor set NAME --networks")

// Run captures until ctx ends.
func (i *Interfaces) Run(ctx context.Context, set Settings, sink func(*observation.Batch) error) error {
	if len(set.Config.Networks) == 0 && !set.Config.Auto {
		return ErrNoNetworks
	}
	opt := live.Options{Interfaces: i.Names, Networks: set.Config.Networks, Auto: set.Config.Auto, Peers: set.Peers.list(), Management: set.Config.Management,
		Live: capture.LiveOptions{Options: capture.Options{Sensor: set.Sensor, Window: set.Window, Location: set.Location, KeyLimit: set.Config.KeyLimit},
			Start: time.Now(), Payload: set.Config.PayloadBytes, NextSeq: set.Parts.next,
			Jumped: func(from, to time.Time) {
				i.Log.Warn("the clock jumped forward: the time between has no windows", "from", from, "to", to)
			}},
		Warn: func(err error) { i.Log.Warn("capture", "err", err) }}
	c, err := live.Open(opt)
	if err != nil {
		return fmt.Errorf("capture from %v: %w", i.Names, err)
	}
	i.mu.Lock()
	i.capture = c
	i.mu.Unlock()
	return c.Run(ctx, func(b *observation.Batch) error {
		// A window goes on in parts after a restart: the number is kept before the batch.
		if err := set.Parts.reserve(b); err != nil {
			return err
		}
		return sink(b)
	})
}

// Set puts other networks in force. Another length of windows holds from the next start.
func (i *Interfaces) Set(set Settings) {
	if c := i.current(); c != nil {
		c.Set(set.Config.Networks, set.Config.Auto, set.Peers.list(), set.Config.Management)
	}
}

func (i *Interfaces) current() *live.Capture {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.capture
}

// Stats says what was captured.
func (i *Interfaces) Stats() Stats {
	c := i.current()
	if c == nil {
		return Stats{}
	}
	t := c.Stats()
	return Stats{Packets: t.Frames - t.Elsewhere - t.Own, Dropped: t.Dropped, Copies: t.Copies, Elsewhere: t.Elsewhere, Heartbeat: func(h *sensorwire.Heartbeat) {
		h.Networks = t.Networks
		for _, n := range t.Interfaces {
			h.Interfaces = append(h.Interfaces, sensorwire.InterfaceState{Name: n.Name, Up: n.Up})
		}
	}}
}

package capture

import (
	"fmt"
	"time"
)

// Defaults of Options.
const (
	DefaultWindow           = time.Hour
	DefaultLateness         = time.Minute
	DefaultKeyLimit         = 1 << 20
	DefaultSamplesPerKey    = 4
	DefaultSamplesPerWindow = 16384
)

// Options says how packets are tallied. The zero value means the defaults.
type Options struct {
	// Sensor is the name that observations carry.
	Sensor string
	// Window is the length of a window; windows begin at multiples of it since
	// 1970-01-01 00:00 UTC. From one second to 24 hours.
	Window time.Duration
	// Location is the clock at whose midnight a window ends and the next one
	// begins, whatever their length; nil: windows are not cut.
	Location *time.Location
	// Lateness is how long after its end, in packet time, a window still takes
	// packets.
	Lateness time.Duration
	// KeyLimit is the largest number of distinct keys held at once. When a
	// packet would be one too many, its window is closed in part: the sink gets
	// a batch with Partial set, and the window goes on with the next Seq.
	KeyLimit int
	// SamplesPerKey is the number of packets kept as evidence per observation,
	// the first one included; negative means the first one only.
	SamplesPerKey int
	// SamplesPerWindow bounds the samples of a window beyond the first of each
	// observation.
	SamplesPerWindow int
}

func (o Options) withDefaults() (Options, error) {
	if o.Window == 0 {
		o.Window = DefaultWindow
	}
	if o.Window < time.Second || o.Window > 24*time.Hour {
		return o, fmt.Errorf("window %s is not between 1s and 24h", o.Window)
	}
	if o.Lateness == 0 {
		o.Lateness = DefaultLateness
	}
	o.Lateness = max(0, min(o.Lateness, o.Window))
	if o.KeyLimit <= 0 {
		o.KeyLimit = DefaultKeyLimit
	}
	if o.KeyLimit < 16 || o.KeyLimit > 1<<24 {
		return o, fmt.Errorf("key limit %d is not between 16 and %d", o.KeyLimit, 1<<24)
	}
	if o.SamplesPerKey == 0 {
		o.SamplesPerKey = DefaultSamplesPerKey
	}
	o.SamplesPerKey = max(1, min(o.SamplesPerKey, 16))
	if o.SamplesPerWindow == 0 {
		o.SamplesPerWindow = DefaultSamplesPerWindow
	}
	o.SamplesPerWindow = max(0, min(o.SamplesPerWindow, 1<<20))
	return o, nil
}

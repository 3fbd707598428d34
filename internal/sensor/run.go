package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"teiten/capture"
	"teiten/internal/batchfile"
	"teiten/internal/observation"
	"teiten/internal/sensorwire"
	"teiten/internal/spool"
)

// Options say what a sensor does.
type Options struct {
	State string // folder of the identity
	Input Input
	// Window is the length of a window; 0: what the hub says.
	Window time.Duration
	// Once ends the run when the input has ended, after everything was delivered.
	Once bool

	SpoolDir    string // empty: in the state folder
	SpoolBytes  int64  // 0: no bound
	SpoolAge    time.Duration
	SpoolPolicy spool.Policy

	Version string
	Log     *slog.Logger
	Now     func() time.Time

	beatEvery time.Duration // 0: beatEvery
}

// Input is where packets come from. Its batches have the sensor's name and are in
// order of their windows.
type Input interface {
	// Run gives the batches of closed windows to sink until the input or ctx ends, and
	// those of the windows that are open then. It returns nil in both cases.
	Run(ctx context.Context, set Settings, sink func(*observation.Batch) error) error
	// Set puts other settings in force while Run runs.
	Set(Settings)
	// Stats says what was seen since the start.
	Stats() Stats
}

// Settings are what an input takes from the sensor's configuration.
type Settings struct {
	Sensor   string
	Window   time.Duration
	Location *time.Location
	Config   sensorwire.Config
	// Peers are the far ends of the sensor's own connections.
	Peers *peers
	// Parts numbers the parts of windows.
	Parts *parts
}

// Stats are the sums of an input since its start.
type Stats struct {
	Packets, Dropped, Copies, Elsewhere, Answers uint64
	Heartbeat                                    func(*sensorwire.Heartbeat) // more that only the input knows; may be nil
}

// Result is what a run did.
type Result struct {
	Packets   uint64
	Dropped   uint64
	Delivered uint64
	Waiting   int
}

// String is the last line of a run.
func (r Result) String() string {
	return fmt.Sprintf("%d packets read, %d dropped by the kernel, %d batches delivered, %d batches waiting", r.Packets, r.Dropped, r.Delivered, r.Waiting)
}

// runner is a sensor that runs.
type runner struct {
	opt    Options
	state  *state
	id     *identity
	client *client
	spool  *spool.Spool
	parts  *parts
	config atomic.Pointer[sensorwire.Config]
	start  time.Time
	lost   atomic.Uint64 // batches for which the spool had no room
	copies atomic.Uint64
}

// Run captures, spools and delivers until ctx is done or, with Once, until the input
// has ended and all is delivered; giveUp ends that delivery. The error says why a
// run ended otherwise.
func Run(ctx context.Context, opt Options, giveUp <-chan struct{}) (Result, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.beatEvery == 0 {
		opt.beatEvery = beatEvery
	}
	if opt.SpoolDir == "" {
		opt.SpoolDir = filepath.Join(opt.State, "spool")
	}
	st, err := openState(opt.State)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = st.close() }() // it only gives the lock back
	r := &runner{opt: opt, state: st, start: opt.Now()}
	if r.id, err = st.identity(); err != nil {
		return Result{}, err
	}
	if r.parts, err = openParts(st); err != nil {
		return Result{}, err
	}
	if r.client, err = newClient(r.id.Hub, r.id.CA, opt.Now); err != nil {
		return Result{}, err
	}
	r.client.as(r.id.Sensor, r.id.Token)
	if r.spool, err = spool.Open(opt.SpoolDir, spool.Options{MaxBytes: opt.SpoolBytes, MaxAge: opt.SpoolAge, Policy: opt.SpoolPolicy, Now: opt.Now}); err != nil {
		return Result{}, err
	}
	defer func() { _ = r.spool.Close() }() // it only gives the lock back
	c := st.config(r.id.PublicKey)
	if c == nil {
		c = &sensorwire.Config{Sensor: r.id.Sensor, WindowSeconds: 600, PayloadBytes: 64}
	}
	r.config.Store(c)
	return r.run(ctx, giveUp)
}

func (r *runner) run(ctx context.Context, giveUp <-chan struct{}) (Result, error) {
	settings, err := r.settings(r.config.Load())
	if err != nil {
		return Result{}, err
	}
	d := &deliverer{spool: r.spool, client: r.client, log: r.opt.Log}
	b := &beater{client: r.client, state: r.state, id: r.id, log: r.opt.Log, every: r.opt.beatEvery, describe: r.describe,
		inForce: func() int64 { return r.config.Load().Version }, apply: r.apply}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { d.run(background) })
	wg.Go(func() { b.run(background) })

	err = r.opt.Input.Run(ctx, settings, r.keep)
	stop()
	wg.Wait()
	final, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	if !r.opt.Once {
		final, end = context.WithTimeout(final, leaveWithin)
		defer end()
	}
	go func() {
		select {
		case <-giveUp:
			end()
		case <-final.Done():
		}
	}()
	derr := d.drain(final)
	if !r.opt.Once {
		derr = nil // it goes on with the next start
	}
	st := r.opt.Input.Stats()
	result := Result{Packets: st.Packets, Dropped: st.Dropped, Delivered: d.delivered.Load(), Waiting: r.spool.Stats().Batches}
	if err == nil && derr != nil {
		err = fmt.Errorf("deliver what waits: %w", derr)
	}
	if lost := r.lost.Load(); err == nil && lost > 0 && r.opt.Once {
		err = fmt.Errorf("%d batches were lost for want of room", lost)
	}
	return result, err
}

// leaveWithin bounds the delivery after a signal.
const leaveWithin = 10 * time.Second

// settings are what the input needs of a configuration.
func (r *runner) settings(c *sensorwire.Config) (Settings, error) {
	s := Settings{Sensor: r.id.Sensor, Window: r.opt.Window, Config: *c, Peers: r.client.peers, Parts: r.parts}
	if s.Window == 0 {
		s.Window = time.Duration(c.WindowSeconds) * time.Second
	}
	if c.ReportZone != "" {
		var err error
		if s.Location, err = time.LoadLocation(c.ReportZone); err != nil {
			return s, fmt.Errorf("report zone of the configuration: %w", err)
		}
	}
	return s, nil
}

// apply puts a configuration in force.
func (r *runner) apply(c *sensorwire.Config) error {
	s, err := r.settings(c)
	if err != nil {
		return err
	}
	r.config.Store(c)
	r.opt.Input.Set(s)
	return nil
}

// keep is the input's sink. A batch that finds no room is lost, and counted: the
// sensor goes on, because the next window can have room again.
func (r *runner) keep(b *observation.Batch) error {
	id := sensorwire.BatchID{Window: b.Window, Seconds: int(b.Length / time.Second), Seq: b.Seq}
	r.copies.Add(b.Copies)
	err := r.spool.Put(id, func(w io.Writer) error { return batchfile.Write(w, b, r.opt.Version) })
	if errors.Is(err, spool.ErrFull) {
		r.lost.Add(1)
		r.opt.Log.Error("a batch is lost: no room in the spool", "batch", id.String(), "packets", b.Packets, "err", err)
		return nil
	}
	return err
}

// describe says how the sensor is now.
func (r *runner) describe() sensorwire.Heartbeat {
	st := r.opt.Input.Stats()
	h := sensorwire.Heartbeat{Sent: r.opt.Now().UTC(), Started: r.start.UTC(), Version: r.opt.Version, Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Packets: st.Packets, Dropped: st.Dropped, Copies: st.Copies, Elsewhere: st.Elsewhere, Answers: st.Answers,
		Spool: r.spool.Stats(), Config: r.config.Load().Version, Networks: r.config.Load().Networks}
	h.Spool.GivenUp += r.lost.Load()
	var fs syscall.Statfs_t
	if syscall.Statfs(r.opt.SpoolDir, &fs) == nil {
		h.FreeBytes = int64(fs.Bavail) * int64(fs.Bsize)
	}
	if st.Heartbeat != nil {
		st.Heartbeat(&h)
	}
	return h
}

// Stream is an input that reads one capture to its end, such as standard input. Its
// windows close by the times of its packets.
type Stream struct {
	Name string
	In   io.Reader

	mu    sync.Mutex // guards stats
	stats Stats
}

// Run reads the capture.
func (s *Stream) Run(ctx context.Context, set Settings, sink func(*observation.Batch) error) error {
	plain, err := capture.Decompress(io.NopCloser(s.In))
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	defer plain.Close()
	opt := capture.Options{Sensor: set.Sensor, Window: set.Window, Location: set.Location, KeyLimit: set.Config.KeyLimit}
	res, err := capture.Read(ctx, plain, s.Name, opt, func(b *observation.Batch) error {
		listened := &observation.Facts{From: b.Window, To: b.Window.Add(b.Length), Records: b.Packets + b.Copies, Inputs: []string{s.Name}}
		b.Facts = listened
		return sink(b)
	})
	s.mu.Lock()
	s.stats.Packets, s.stats.Copies = res.Packets, res.Copies
	s.mu.Unlock()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// Set has no effect: a capture is read as it was begun.
func (*Stream) Set(Settings) {}

// Stats says what was read.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

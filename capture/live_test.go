package capture

import (
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/internal/observation"
)

var liveStart = time.Date(2026, 1, 15, 9, 0, 20, 0, time.UTC)

// liveSink keeps what the batches say.
type liveSink struct {
	mu      sync.Mutex
	batches []observation.Batch
	all     []*observation.Observation
}

func (s *liveSink) take(b *observation.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, *b)
	for o := range b.Observations {
		s.all = append(s.all, o.Clone())
	}
	return nil
}

func liveOptions() LiveOptions {
	return LiveOptions{
		Options: Options{Sensor: "s1", Window: time.Minute, Lateness: 10 * time.Second}, Start: liveStart,
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Peers:    []Peer{{netip.MustParsePrefix("203.0.113.9/32"), 443}},
	}
}

// liveFrame is a SYN without a frame around it; n makes packets that are no
// copies of each other.
func liveFrame(src, dst string, sport uint16, n int) []byte {
	b := append(doorPacket(src, dst, 6, sport), make([]byte, 16)...)
	b[3] = byte(len(b))
	b[4], b[5] = byte(n>>8), byte(n)
	b[26], b[27] = byte(n>>8), byte(n)
	b[32], b[33] = 5<<4, flagSYN
	return b
}

// drained waits until the sink has what was closed.
func drained(l *Live) {
	for l.queue.heavy.Load() > 0 {
		runtime.Gosched()
	}
}

// liveModel says plainly what should become of each frame.
type liveModel struct {
	clock, first, newest int64
	gap                  bool // the window before newest was never opened
	packets              map[int64]uint64
	windows              map[int64]bool
	late, elsewhere, own uint64
	arp                  uint64
}

func (m *liveModel) advance(now int64) {
	if now <= m.clock {
		return
	}
	const window = int64(time.Minute)
	m.clock = now
	to := now / window * window
	if now-(m.newest+window) > int64(24*time.Hour) {
		m.newest, m.gap = to, true
		m.windows[to] = true
		return
	}
	for m.newest < to {
		m.newest, m.gap = m.newest+window, false
		m.windows[m.newest] = true
	}
}

func (m *liveModel) takes(when int64) bool {
	const window = int64(time.Minute)
	start := when / window * window
	return start == m.newest || !m.gap && start >= m.first && start == m.newest-window &&
		m.clock < m.newest+int64(10*time.Second)
}

// Each frame is counted once, in its own window, and each window has its batch,
// whatever the order of frames, ticks and jumps of the clock.
func TestLiveCountsEachFrameOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		opt := liveOptions()
		opt.KeyLimit = rapid.SampledFrom([]int{16, 1 << 20}).Draw(r, "keys")
		sink := &liveSink{}
		l, err := NewLive(opt, sink.take)
		if err != nil {
			r.Fatal(err)
		}
		now := liveStart.UnixNano()
		first := now / int64(time.Minute) * int64(time.Minute)
		m := &liveModel{clock: now, first: first, newest: first, packets: map[int64]uint64{}, windows: map[int64]bool{first: true}}
		records := uint64(0)
		for n := range rapid.IntRange(0, 200).Draw(r, "events") {
			step := rapid.SampledFrom([]time.Duration{0, time.Second, 7 * time.Second, 50 * time.Second, 3 * time.Minute,
				-time.Second, -15 * time.Second, -2 * time.Minute, 26 * time.Hour}).Draw(r, "step")
			now += int64(step)
			if rapid.Bool().Draw(r, "tick") {
				l.Tick(time.Unix(0, now))
				m.advance(now)
				drained(l)
				continue
			}
			records++
			m.advance(now)
			link, frame := uint32(linkRaw), liveFrame("198.51.100.1", "192.0.2.1", uint16(1000+n), n)
			frame[15] = byte(n % 40) // of forty sources
			switch rapid.IntRange(0, 9).Draw(r, "kind") {
			case 0:
				m.elsewhere++
				frame[18] = 3 // 192.0.3.1
			case 1:
				m.own++
				frame = liveFrame("203.0.113.9", "192.0.2.1", 443, n)
			case 2:
				if link, frame = linkEthernet, append(make([]byte, 12), 8, 6); m.takes(now) {
					m.arp++
				} else {
					m.late++
				}
			default:
				if m.takes(now) {
					m.packets[now/int64(time.Minute)*int64(time.Minute)]++
				} else {
					m.late++
				}
			}
			l.Add(link, now, frame, len(frame))
			drained(l)
		}
		l.Dropped(7)
		if err := l.Close(); err != nil {
			r.Fatal(err)
		}
		checkLive(r, m, sink, records)
	})
}

func checkLive(r *rapid.T, m *liveModel, sink *liveSink, records uint64) {
	var f observation.Facts
	arp, last := uint64(0), map[int64]int{}
	packets := map[int64]uint64{}
	for i := range sink.batches {
		b := &sink.batches[i]
		start := b.Window.UnixNano()
		if seq, ok := last[start]; ok && b.Seq != seq+1 || !ok && b.Seq != 0 {
			r.Fatalf("window %v: number %d after %d", b.Window, b.Seq, seq)
		}
		last[start] = b.Seq
		packets[start] += b.Packets + b.Copies
		sum := b.Packets + b.Copies + b.Facts.Elsewhere + b.Facts.Own + b.Facts.Late + b.Facts.Skipped[SkipARP]
		if sum != b.Facts.Records {
			r.Fatalf("window %v: %d of %d records", b.Window, sum, b.Facts.Records)
		}
		if b.Facts.From.Before(b.Window) || b.Facts.To.After(b.Window.Add(b.Length)) || b.Facts.To.Before(b.Facts.From) {
			r.Fatalf("window %v: listened from %v to %v", b.Window, b.Facts.From, b.Facts.To)
		}
		f.Records += b.Facts.Records
		f.Elsewhere += b.Facts.Elsewhere
		f.Own += b.Facts.Own
		f.Late += b.Facts.Late
		f.Dropped += b.Facts.Dropped
		arp += b.Facts.Skipped[SkipARP]
	}
	if f.Records != records || f.Elsewhere != m.elsewhere || f.Own != m.own || f.Late != m.late || f.Dropped != 7 || arp != m.arp {
		r.Fatalf("facts %+v, ARP %d; want %d records, %+v", f, arp, records, m)
	}
	for start := range m.windows {
		if _, ok := last[start]; !ok {
			r.Fatalf("no batch of %v", time.Unix(0, start).UTC())
		}
		if packets[start] != m.packets[start] {
			r.Fatalf("window %v: %d packets, want %d", time.Unix(0, start).UTC(), packets[start], m.packets[start])
		}
	}
	if len(last) != len(m.windows) {
		r.Fatalf("batches of %d windows, want %d", len(last), len(m.windows))
	}
}

// Add does not wait for a slow sink: what finds no place is counted as dropped.
func TestLiveSlowSink(t *testing.T) {
	hold, sink := make(chan struct{}), &liveSink{}
	l, err := NewLive(liveOptions(), func(b *observation.Batch) error {
		<-hold
		return sink.take(b)
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		f := liveFrame("198.51.100.1", "192.0.2.1", 4000, n)
		l.Add(linkRaw, liveStart.Add(time.Duration(n)*time.Minute).UnixNano(), f, len(f))
	}
	close(hold)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var packets, dropped uint64
	for _, b := range sink.batches {
		packets, dropped = packets+b.Packets, dropped+b.Facts.Dropped
	}
	if len(sink.batches) != 10 || packets+dropped != 10 || dropped == 0 || packets < liveWaiting {
		t.Errorf("%d batches, %d packets, %d dropped", len(sink.batches), packets, dropped)
	}
}

func TestLiveSinkFails(t *testing.T) {
	full, calls := errors.New("disk full"), 0
	l, err := NewLive(liveOptions(), func(*observation.Batch) error { calls++; return full })
	if err != nil {
		t.Fatal(err)
	}
	l.Tick(liveStart.Add(5 * time.Minute))
	if err := l.Close(); !errors.Is(err, full) || !errors.Is(l.Err(), full) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}

// A change of networks ends a part, so that each batch has those of its time.
func TestLiveNetworksChange(t *testing.T) {
	sink := &liveSink{}
	l, err := NewLive(liveOptions(), sink.take)
	if err != nil {
		t.Fatal(err)
	}
	other := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	a, b := liveFrame("203.0.113.1", "192.0.2.1", 4000, 1), liveFrame("203.0.113.1", "198.51.100.1", 4000, 2)
	for i, at := range []time.Duration{time.Second, 3 * time.Second} {
		if i == 1 {
			l.Tick(liveStart.Add(2 * time.Second))
			l.SetNetworks(other)
		}
		l.Add(linkRaw, liveStart.Add(at).UnixNano(), a, len(a))
		l.Add(linkRaw, liveStart.Add(at).UnixNano(), b, len(b))
	}
	l.SetPeers([]Peer{{netip.MustParsePrefix("203.0.113.1/32"), 0}})
	l.Add(linkRaw, liveStart.Add(4*time.Second).UnixNano(), b, len(b))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(sink.batches) != 2 {
		t.Fatalf("%d batches", len(sink.batches))
	}
	x, y := sink.batches[0], sink.batches[1]
	if !x.Partial || x.Packets != 1 || x.Facts.Elsewhere != 1 || x.Facts.Networks[0] == other[0] || !x.Facts.To.Equal(liveStart.Add(2*time.Second)) {
		t.Errorf("first part %+v, %+v", x, x.Facts)
	}
	if y.Partial || y.Packets != 1 || y.Facts.Elsewhere != 1 || y.Facts.Own != 1 || y.Facts.Networks[0] != other[0] || !y.Facts.From.Equal(x.Facts.To) {
		t.Errorf("second part %+v, %+v", y, y.Facts)
	}
}

// A stretch that the clock jumped over is none in which the sensor listened.
func TestLiveJumpIsNotListening(t *testing.T) {
	sink := &liveSink{}
	l, err := NewLive(liveOptions(), sink.take)
	if err != nil {
		t.Fatal(err)
	}
	l.Tick(liveStart.Add(5 * time.Second))
	l.Tick(liveStart.Add(5*time.Minute + 5*time.Second))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	listened := time.Duration(0)
	for _, b := range sink.batches {
		listened += b.Facts.To.Sub(b.Facts.From)
	}
	if len(sink.batches) != 6 || listened != 5*time.Second {
		t.Errorf("%d batches, listened %s", len(sink.batches), listened)
	}
}

func TestLivePayload(t *testing.T) {
	for _, want := range []int{0, 5, 64} {
		opt, sink := liveOptions(), &liveSink{}
		opt.Payload = want
		l, err := NewLive(opt, sink.take)
		if err != nil {
			t.Fatal(err)
		}
		f := append(liveFrame("198.51.100.1", "192.0.2.1", 4000, 1), make([]byte, 80)...)
		f[3] = byte(len(f))
		l.Add(linkRaw, liveStart.UnixNano(), f, len(f))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if len(sink.all) != 1 || len(sink.all[0].Samples[0].Payload) != want {
			t.Errorf("payload of %d: %d observations %+v", want, len(sink.all), sink.all)
		}
	}
}

func TestLiveAllocatesNothing(t *testing.T) {
	l, err := NewLive(liveOptions(), discard)
	if err != nil {
		t.Fatal(err)
	}
	f, when, n := liveFrame("198.51.100.1", "192.0.2.1", 4000, 1), liveStart.UnixNano(), 0
	run := func() {
		n++
		f[26], f[27] = byte(n>>8), byte(n)
		f[19] = byte(n)
		l.Add(linkRaw, when+int64(n), f, len(f))
	}
	for range 5000 {
		run()
	}
	if allocs := testing.AllocsPerRun(1000, run); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkLive(b *testing.B) {
	l, err := NewLive(liveOptions(), discard)
	if err != nil {
		b.Fatal(err)
	}
	f, when, n := liveFrame("198.51.100.1", "192.0.2.1", 4000, 1), liveStart.UnixNano(), 0
	for b.Loop() {
		n++
		f[26], f[27], f[14], f[15] = byte(n>>8), byte(n), byte(n>>12), byte(n>>4)
		l.Add(linkRaw, when+int64(n), f, len(f))
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

package capture

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"teiten/internal/observation"
)

// liveClosed is a closed window, or a part, on its way to the sink; w is nil if
// it has no observations.
type liveClosed struct {
	emission
	start, end int64
	seq        int
	copies     uint64
	facts      liveFacts
}

// liveQueue holds closed windows until the sink has taken them.
type liveQueue struct {
	mu      sync.Mutex // guards closed, ended and err
	more    *sync.Cond
	closed  []liveClosed
	ended   bool
	err     error
	heavy   atomic.Int32 // windows with observations that wait or are with the sink
	workers sync.WaitGroup
}

func (q *liveQueue) start(l *Live) {
	q.more = sync.NewCond(&q.mu)
	q.workers.Go(func() {
		for {
			c, ok := q.take()
			if !ok {
				return
			}
			if err := l.deliver(c); err != nil {
				q.fail(err)
			}
			if c.w != nil {
				q.heavy.Add(-1)
			}
		}
	})
}

// full says that no packet may be added. The sink has one window, others wait.
func (q *liveQueue) full() bool { return q.heavy.Load() > liveWaiting }

func (q *liveQueue) put(c liveClosed) {
	if c.w != nil {
		q.heavy.Add(1)
	}
	q.mu.Lock()
	q.closed = append(q.closed, c)
	q.mu.Unlock()
	q.more.Signal()
}

func (q *liveQueue) take() (c liveClosed, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.closed) == 0 && !q.ended {
		q.more.Wait()
	}
	if len(q.closed) == 0 {
		return c, false
	}
	c = q.closed[0]
	q.closed = slices.Delete(q.closed, 0, 1)
	return c, true
}

func (q *liveQueue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
}

func (q *liveQueue) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}

func (q *liveQueue) stop() error {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	q.more.Signal()
	q.workers.Wait()
	return q.failure()
}

// deliver gives a closed window to the sink, unless it failed before.
func (l *Live) deliver(c liveClosed) error {
	var b *observation.Batch
	if c.w != nil {
		c.w.dests.put(c.w.dests.noted)
		b = l.t.out.batch(l.t, c.emission)
		defer func() {
			l.t.out.release()
			l.t.giveBack(c.w)
		}()
	} else {
		b = &observation.Batch{
			Sensor: l.opt.Sensor, Window: time.Unix(0, c.start).UTC(), Length: time.Duration(c.end - c.start), Seq: c.seq,
			Copies: c.copies, Partial: c.partial, Observations: func(func(*observation.Observation) bool) {},
		}
	}
	if l.queue.failure() != nil {
		return nil
	}
	b.Facts = c.facts.export(l.opt.Inputs)
	if err := l.t.sink(b); err != nil {
		return fmt.Errorf("window %s: %w", b.Window.Format(time.RFC3339), err)
	}
	return nil
}

func (f *liveFacts) export(inputs []string) *observation.Facts {
	out := &observation.Facts{
		From: time.Unix(0, f.from).UTC(), To: time.Unix(0, max(f.from, f.to)).UTC(),
		Records: f.records, Dropped: f.dropped, Elsewhere: f.elsewhere, Own: f.own, Late: f.late,
		Skipped: make(map[string]uint64), Networks: slices.Clone(f.networks), Inputs: slices.Clone(inputs),
	}
	for why, n := range f.skipped {
		if n > 0 {
			out.Skipped[skipNames[why]] = n
		}
	}
	return out
}

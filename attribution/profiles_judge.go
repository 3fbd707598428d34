package attribution

import (
	"runtime"
	"sync"

	"teiten/internal/casedb"
)

// judgeChunk is the number of sources judged at a time by one worker.
const judgeChunk = 512

// chunk is some profiles that follow each other in the order of addresses.
type chunk struct {
	profiles []Profile
	cores    []core // of profiles that were read from a file
}

// chunks yields all profiles in order of address. A chunk belongs to the callee;
// free returns one that it does not need any more, or nil.
func (s *Profiles) chunks(free func() *chunk, yield func(*chunk) bool) {
	if s.sorted != nil {
		s.fail(s.sorted.chunks(s.book, s.company, free, yield))
		return
	}
	for i := 0; i < s.count; i += judgeChunk {
		c := free()
		if c == nil {
			c = &chunk{}
		}
		n := min(judgeChunk, s.count-i)
		if cap(c.profiles) < n {
			c.profiles = make([]Profile, judgeChunk)
		}
		c.profiles = c.profiles[:n]
		for k := range n {
			s.view(&c.profiles[k], s.at(i+k))
		}
		if !yield(c) {
			return
		}
	}
}

// each yields all profiles in order of address, each valid until the next.
func (s *Profiles) each(yield func(*Profile) bool) {
	var c *chunk
	s.chunks(func() *chunk { return c }, func(next *chunk) bool {
		c = next
		for i := range c.profiles {
			if !yield(&c.profiles[i]) {
				return false
			}
		}
		return true
	})
}

// Verdicts judges every source and yields the verdicts in order of address.
// What they point to is the callee's. Aggregates has the events that only
// many sources together show. All processors take part.
func (s *Profiles) Verdicts(yield func(casedb.Verdict) bool) {
	s.finish()
	workers := runtime.GOMAXPROCS(0)
	// Chunks go to the workers in turn; each has channels of its own, so that the
	// reader gets the verdicts in order.
	work, results := make([]chan *chunk, workers), make([]chan []casedb.Verdict, workers)
	used := make(chan *chunk, 4*workers)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	defer wait.Wait()
	defer close(stop)
	for w := range workers {
		work[w], results[w] = make(chan *chunk, 1), make(chan []casedb.Verdict, 2)
		wait.Go(func() { s.judgeChunks(work[w], results[w], used, stop) })
	}
	wait.Go(func() {
		w := 0
		s.chunks(func() *chunk {
			select {
			case c := <-used:
				return c
			default:
				return nil
			}
		}, func(c *chunk) bool {
			select {
			case work[w] <- c:
				w = (w + 1) % workers
				return true
			case <-stop:
				return false
			}
		})
		for _, ch := range work {
			close(ch)
		}
	})
	for w := 0; ; w = (w + 1) % workers {
		list, ok := <-results[w]
		if !ok {
			return // the chunks end at the first worker that gets none
		}
		for _, v := range list {
			if !yield(v) {
				return
			}
		}
	}
}

// judgeChunks judges the chunks of one worker.
func (s *Profiles) judgeChunks(work <-chan *chunk, results chan<- []casedb.Verdict, used chan<- *chunk, stop <-chan struct{}) {
	defer close(results)
	f := &facts{}
	for c := range work {
		list := make([]casedb.Verdict, len(c.profiles))
		for i := range c.profiles {
			list[i] = s.judge(&c.profiles[i], f)
		}
		select {
		case used <- c:
		default:
		}
		select {
		case results <- list:
		case <-stop:
			return
		}
	}
}

// judge judges one source with f as scratch memory.
func (s *Profiles) judge(p *Profile, f *facts) casedb.Verdict {
	p.member = s.member(p, len(s.stages))
	s.acknowledge(p)
	f.draw(p, s.opt.Monitored, s.opt.Definitions)
	p.facts = f
	v := judge(p)
	p.undraw()
	p.ack = nil
	return v
}

func (s *Profiles) acknowledge(p *Profile) {
	if s.opt.Allowlist == nil {
		return
	}
	at := s.opt.At
	if at.IsZero() {
		at = p.Last()
	}
	if m, ok := s.opt.Allowlist.Lookup(p.source, at); ok {
		p.ack = &m
	}
}

package capture

import "sync"

// slab hands out values by number from pages that all slabs of a pool share, so
// that a closed window's memory serves the next one. The zero number is never
// handed out.
type slab[T any] struct {
	pool  *pool[T]
	pages []*[pageLen]T
	n     uint32 // handed out, plus one
}

// pool keeps the pages that are not in use.
type pool[T any] struct {
	mu   sync.Mutex // guards free
	free []*[pageLen]T
}

func (p *pool[T]) get() *[pageLen]T {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := len(p.free)
	if k == 0 {
		return new([pageLen]T)
	}
	page := p.free[k-1]
	p.free = p.free[:k-1]
	return page
}

func (p *pool[T]) put(pages []*[pageLen]T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, pages...)
}

const (
	pageShift = 9
	pageLen   = 1 << pageShift
)

// add hands out the next number. The value is what its last user left there.
func (s *slab[T]) add() uint32 {
	if s.n == 0 {
		s.n = 1
	}
	if int(s.n>>pageShift) == len(s.pages) {
		s.pages = append(s.pages, s.pool.get())
	}
	s.n++
	return s.n - 1
}

func (s *slab[T]) at(i uint32) *T { return &s.pages[i>>pageShift][i&(pageLen-1)] }

// len is the number of values handed out.
func (s *slab[T]) len() int {
	if s.n == 0 {
		return 0
	}
	return int(s.n) - 1
}

// reset gives all pages back.
func (s *slab[T]) reset() {
	s.pool.put(s.pages)
	clear(s.pages)
	s.pages = s.pages[:0]
	s.n = 0
}

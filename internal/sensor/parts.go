package sensor

import (
	"errors"
	"io/fs"
	"sync"
	"time"

	"teiten/internal/observation"
)

// partsFile is where the numbers of parts are kept.
const partsFile = "parts.json"

// partsKept is how long a window's number is kept: no capture goes on in an older one.
const partsKept = 48 * time.Hour

// parts remembers how many parts of a window have batches, also across a restart: two
// batches of one name would be one lost.
type parts struct {
	state *state

	mu   sync.Mutex // guards used
	used map[int64]int
}

// openParts reads the numbers of earlier runs.
func openParts(s *state) (*parts, error) {
	p := &parts{state: s, used: map[int64]int{}}
	err := s.read(partsFile, &p.used)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return p, err
}

// next is the number of the next part of a window.
func (p *parts) next(window time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used[window.Unix()]
}

// reserve keeps the number of a batch before the batch is kept.
func (p *parts) reserve(b *observation.Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[b.Window.Unix()] = max(p.used[b.Window.Unix()], b.Seq+1)
	for start := range p.used {
		if b.Window.Sub(time.Unix(start, 0)) > partsKept {
			delete(p.used, start)
		}
	}
	return p.state.write(partsFile, p.used)
}

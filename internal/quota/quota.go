// Package quota bounds what strangers may use: a bucket of tokens for each of
// them, in a table of bounded size.
package quota

import (
	"container/heap"
	"sync"
	"time"
)

// Buckets is a bucket of tokens per key. A bucket begins full and fills again at a
// steady rate. The table forgets the bucket that is full soonest: making up new
// keys does not refill a bucket that was used more than theirs.
type Buckets struct {
	perSecond, size float64
	most            int

	mu    sync.Mutex // guards the rest
	byKey map[string]*bucket
	soon  buckets // the bucket that is full soonest first
}

// bucket is one that is not full, or was not when it was last used.
type bucket struct {
	key    string
	tokens float64 // at the time at
	at     time.Time
	full   time.Time // when it is full again
	index  int       // in the heap
}

// New returns buckets that hold size tokens, and fill within the given time, for at
// most the given number of keys.
func New(size float64, within time.Duration, keys int) *Buckets {
	return &Buckets{perSecond: size / within.Seconds(), size: size, most: max(keys, 1), byKey: make(map[string]*bucket)}
}

// Take takes n tokens of the key's bucket and reports whether it held them; else it
// takes none.
func (b *Buckets) Take(key string, n float64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	tokens := b.size
	e := b.byKey[key]
	if e != nil {
		tokens = b.tokens(e, now)
	}
	if tokens < n {
		return false
	}
	if e == nil {
		e = b.add(key)
	}
	b.set(e, tokens-n, now)
	return true
}

// Give puts n tokens back into the key's bucket.
func (b *Buckets) Give(key string, n float64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byKey[key]; e != nil {
		b.set(e, min(b.tokens(e, now)+n, b.size), now)
	}
}

// Has reports whether the key's bucket holds n tokens, and takes none.
func (b *Buckets) Has(key string, n float64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.byKey[key]
	return e == nil && b.size >= n || e != nil && b.tokens(e, now) >= n
}

// Forgive fills the key's bucket.
func (b *Buckets) Forgive(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byKey[key]; e != nil {
		heap.Remove(&b.soon, e.index)
		delete(b.byKey, key)
	}
}

// Len returns how many keys the table remembers.
func (b *Buckets) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.byKey)
}

// tokens returns what a bucket holds. A clock that goes back adds nothing.
func (b *Buckets) tokens(e *bucket, now time.Time) float64 {
	return min(b.size, e.tokens+max(now.Sub(e.at).Seconds(), 0)*b.perSecond)
}

// add makes room for a new key.
func (b *Buckets) add(key string) *bucket {
	if len(b.soon) >= b.most {
		delete(b.byKey, heap.Pop(&b.soon).(*bucket).key)
	}
	e := &bucket{key: key}
	b.byKey[key] = e
	heap.Push(&b.soon, e)
	return e
}

func (b *Buckets) set(e *bucket, tokens float64, now time.Time) {
	e.tokens, e.at = tokens, now
	e.full = now.Add(time.Duration((b.size - tokens) / b.perSecond * float64(time.Second)))
	heap.Fix(&b.soon, e.index)
}

// buckets is a heap.
type buckets []*bucket

// Len implements heap.Interface.
func (h buckets) Len() int { return len(h) }

// Less implements heap.Interface.
func (h buckets) Less(i, j int) bool { return h[i].full.Before(h[j].full) }

// Swap implements heap.Interface.
func (h buckets) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *buckets) Push(x any) {
	e := x.(*bucket)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *buckets) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

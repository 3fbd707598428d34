package web

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits bounds what strangers may try. They live in memory: a restart forgives.
type limits struct {
	loginAddress *limiter // tries to log in from one address
	loginAccount *limiter // tries to log in to one account
	register     *limiter // registrations from one address
	registerMail *limiter // registrations with one mail address
	confirm      *limiter // confirmations from one address
	registerAll  *rate.Limiter
}

func newLimits() *limits {
	return &limits{
		loginAddress: newLimiter(rate.Every(10*time.Second), 20),
		loginAccount: newLimiter(rate.Every(15*time.Second), 20),
		register:     newLimiter(rate.Every(time.Minute), 10),
		registerMail: newLimiter(rate.Every(8*time.Hour), 3),
		confirm:      newLimiter(rate.Every(2*time.Second), 60),
		registerAll:  rate.NewLimiter(rate.Every(2*time.Second), 60),
	}
}

// limiterKeys bounds how many keys a limiter remembers; the one unused for
// longest goes first.
const limiterKeys = 10000

// limiter is a token bucket per key.
type limiter struct {
	every rate.Limit
	burst int

	mu      sync.Mutex // guards buckets and recent
	buckets map[string]*list.Element
	recent  *list.List // of *bucket, most recently used first
}

type bucket struct {
	key    string
	tokens *rate.Limiter
}

func newLimiter(every rate.Limit, burst int) *limiter {
	return &limiter{every: every, burst: burst, buckets: make(map[string]*list.Element), recent: list.New()}
}

// allow takes a token of the key's bucket and reports whether there was one.
func (l *limiter) allow(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.buckets[key]
	if e == nil {
		if l.recent.Len() >= limiterKeys {
			old := l.recent.Remove(l.recent.Back()).(*bucket)
			delete(l.buckets, old.key)
		}
		e = l.recent.PushFront(&bucket{key: key, tokens: rate.NewLimiter(l.every, l.burst)})
		l.buckets[key] = e
	}
	l.recent.MoveToFront(e)
	return e.Value.(*bucket).tokens.AllowN(now, 1)
}

// addressKey is the key of a client's address: an IPv6 client is its /64.
func addressKey(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

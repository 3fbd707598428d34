package web

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits bounds what strangers may try. They live in memory: a restart forgives.
type limits struct {
	loginPair    *limiter // wrong passwords for one account from one address
	loginAddress *limiter // wrong passwords from one address
	loginAccount *limiter // wrong passwords for one account
	slowLane     chan struct{}
	slowness     time.Duration
	register     *limiter // registrations from one address
	registerMail *limiter // registrations with one mail address
	confirm      *limiter // confirmations from one address
	registerAll  *rate.Limiter
	owner        *limiter // pages of one owner's link from one address
	ownerGuess   *limiter // links that are none from one address
}

func newLimits() *limits {
	return &limits{
		loginPair:    newLimiter(rate.Every(15*time.Second), 20),
		loginAddress: newLimiter(rate.Every(5*time.Second), 40),
		loginAccount: newLimiter(rate.Every(15*time.Second), 40),
		slowLane:     make(chan struct{}, slowLanes),
		slowness:     time.Second,
		register:     newLimiter(rate.Every(time.Minute), 10),
		registerMail: newLimiter(rate.Every(8*time.Hour), 3),
		confirm:      newLimiter(rate.Every(2*time.Second), 60),
		registerAll:  rate.NewLimiter(rate.Every(2*time.Second), 60),
		owner:        newLimiter(rate.Every(time.Second), 120),
		ownerGuess:   newLimiter(rate.Every(2*time.Second), 60),
	}
}

// slowLanes is how many logins from addresses with many wrong passwords are
// looked at together.
const slowLanes = 4

// slowLogin makes a login wait if its address or account had too many wrong
// passwords. It refuses no login: other people may be behind the same address,
// and strangers may have caused the account's failures. Such addresses share a
// few lanes, so that they cannot keep every processor busy with passwords; an
// account's logins only wait. An error is that of the context.
func (l *limits) slowLogin(ctx context.Context, address, account string, now time.Time) error {
	crowded := !l.loginAddress.has(address, now)
	if !crowded && l.loginAccount.has(account, now) {
		return nil
	}
	if crowded {
		select {
		case l.slowLane <- struct{}{}:
			defer func() { <-l.slowLane }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-time.After(l.slowness):
		return nil
	case <-ctx.Done():
		return ctx.Err()
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
	return l.bucket(key).AllowN(now, 1)
}

// has reports whether the key's bucket holds a token, and takes none.
func (l *limiter) has(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.buckets[key]
	return e == nil || e.Value.(*bucket).tokens.TokensAt(now) >= 1
}

// forgive fills the key's bucket.
func (l *limiter) forgive(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.buckets[key]; e != nil {
		l.recent.Remove(e)
		delete(l.buckets, key)
	}
}

// bucket returns the key's bucket, a full one for a new key. The caller holds
// mu.
func (l *limiter) bucket(key string) *rate.Limiter {
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
	return e.Value.(*bucket).tokens
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

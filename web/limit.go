package web

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"teiten/internal/quota"
)

// limits bounds what strangers may try. They live in memory: a restart forgives.
type limits struct {
	loginPair    *quota.Buckets // wrong passwords for one account from one address
	loginAddress *quota.Buckets // wrong passwords from one address
	loginAccount *quota.Buckets // wrong passwords for one account
	slowLane     chan struct{}
	slowness     time.Duration
	register     *quota.Buckets // registrations from one address
	registerMail *quota.Buckets // registrations with one mail address
	confirm      *quota.Buckets // confirmations from one address
	registerAll  *rate.Limiter
	owner        *quota.Buckets // pages of one owner's link from one address
	ownerGuess   *quota.Buckets // links that are none from one address
}

func newLimits() *limits {
	return &limits{
		loginPair:    newLimiter(15*time.Second, 20),
		loginAddress: newLimiter(5*time.Second, 40),
		loginAccount: newLimiter(15*time.Second, 40),
		slowLane:     make(chan struct{}, slowLanes),
		slowness:     time.Second,
		register:     newLimiter(time.Minute, 10),
		registerMail: newLimiter(8*time.Hour, 3),
		confirm:      newLimiter(2*time.Second, 60),
		registerAll:  rate.NewLimiter(rate.Every(2*time.Second), 60),
		owner:        newLimiter(time.Second, 120),
		ownerGuess:   newLimiter(2*time.Second, 60),
	}
}

// slowLanes is how many logins from addresses with many wrong passwords are
// looked at together.
const slowLanes = 4

// beginLogin takes a token for a login of an account from an address, and of the
// address. It reports whether the pair has none left, which refuses the login. A
// client that breaks off while it waits has made no entry for its account, so
// made-up names do not fill that table. An error is that of the context.
func (l *limits) beginLogin(ctx context.Context, address, account string, now time.Time) (limited bool, err error) {
	if !l.loginPair.Has(pair(address, account), 1, now) {
		return true, nil // without a wait: there is nothing to look at
	}
	if err := l.slowLogin(ctx, address, account, now); err != nil {
		return false, err
	}
	return !l.loginPair.Take(pair(address, account), 1, now), nil
}

// wrongPassword counts one for an account; for the address beginLogin did.
func (l *limits) wrongPassword(account string, now time.Time) { l.loginAccount.Take(account, 1, now) }

// rightPassword gives back what the login took.
func (l *limits) rightPassword(address, account string, now time.Time) {
	l.loginPair.Forgive(pair(address, account))
	l.loginAddress.Give(address, 1, now)
}

func pair(address, account string) string { return account + " " + address }

// slowLogin takes a token of an address, and makes a login wait if the address or
// the account had too many wrong passwords. The caller gives the token back for the
// right one: a login that is broken off has cost it. It refuses no login: other people may be behind the same address,
// and strangers may have caused the account's failures. Such addresses share a
// few lanes, so that they cannot keep every processor busy with passwords; an
// account's logins only wait. An error is that of the context.
func (l *limits) slowLogin(ctx context.Context, address, account string, now time.Time) error {
	crowded := !l.loginAddress.Take(address, 1, now)
	if !crowded && l.loginAccount.Has(account, 1, now) {
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

// limiterKeys bounds how many keys a limiter remembers.
const limiterKeys = 10000

// newLimiter returns a bucket per key that holds size tokens and gets one back in
// each interval.
func newLimiter(interval time.Duration, size int) *quota.Buckets {
	return quota.New(float64(size), time.Duration(size)*interval, limiterKeys)
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

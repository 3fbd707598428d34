package notify

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"teiten/internal/quota"
)

// What one address may do, and how many addresses are remembered.
const (
	defaultPerMinute = 60        // mails
	defaultPerHour   = 100 << 20 // bytes; of all addresses together ten times as many
	maxPerAddress    = 10        // connections at once
	maxVisitors      = 10_000
)

// visitors counts connections, mails and bytes per remote address.
type visitors struct {
	mu        sync.Mutex // guards open
	open      map[string]int
	mails     *quota.Buckets
	bytes     *quota.Buckets
	total     *quota.Buckets // bytes of all addresses, under one key
	localFree bool           // loopback is our own mail server and not limited
	relays    []netip.Prefix // of our own, too
}

// newVisitors limits every address to perMinute mails, and to perHour bytes, and all
// together to total bytes an hour; zero is the default. Without perMinute, loopback
// is let through.
func newVisitors(perMinute int, perHour, total int64) *visitors {
	v := &visitors{open: map[string]int{}, localFree: perMinute <= 0}
	if perMinute <= 0 {
		perMinute = defaultPerMinute
	}
	if perHour <= 0 {
		perHour = defaultPerHour
	}
	if total <= 0 {
		total = 10 * perHour
	}
	v.mails = quota.New(float64(perMinute), time.Minute, maxVisitors)
	v.bytes = quota.New(float64(perHour), time.Hour, maxVisitors)
	v.total = quota.New(float64(total), time.Hour, 1)
	return v
}

// of returns what a remote address is counted as; empty: it is not limited.
func (v *visitors) of(a net.Addr) string {
	if ip, ok := addrOf(a); ok && (v.localFree && ip.IsLoopback() || within(v.relays, ip)) {
		return ""
	}
	return visitor(a)
}

// ours reports whether a remote address is that of a mail server of ours: on this
// machine, or one of the relays.
func ours(a net.Addr, relays []netip.Prefix) bool {
	ip, ok := addrOf(a)
	return ok && (ip.IsLoopback() || within(relays, ip))
}

func within(prefixes []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// addrOf returns the IP address of a remote address.
func addrOf(a net.Addr) (netip.Addr, bool) {
	host := a.String()
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(host)
	return ip.Unmap().WithZone(""), err == nil
}

// enter reports whether one more connection from the address is welcome; then
// leave must be called at its end.
func (v *visitors) enter(address string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open[address] >= maxPerAddress && address != "" {
		return false
	}
	v.open[address]++
	return true
}

func (v *visitors) leave(address string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open[address]--; v.open[address] <= 0 {
		delete(v.open, address)
	}
}

// mail reports whether one more mail from the address is welcome now.
func (v *visitors) mail(address string, now time.Time) bool {
	return address == "" || v.bytes.Has(address, 1, now) && v.mails.Take(address, 1, now)
}

// take counts n more bytes from the address. The error is the reply if they are too
// many.
func (v *visitors) take(address string, n int, now time.Time) error {
	switch {
	case address == "":
		return nil
	case !v.bytes.Take(address, float64(n), now):
		return smtpError(451, 4, 7, 1, "too much mail from your address, come again later")
	case !v.total.Take("", float64(n), now):
		return errNoRoom()
	}
	return nil
}

// visitor returns what a remote address is counted as: itself, or the /64 that
// an IPv6 host takes as many addresses from as it likes.
func visitor(a net.Addr) string {
	ip, ok := addrOf(a)
	if !ok {
		return a.String()
	}
	if ip.Is6() && !ip.IsLoopback() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

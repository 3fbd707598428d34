package casework_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/registrytest"
	"teiten/internal/synth"
)

func TestWorkerAsksOncePerRange(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	h, err := synth.RDAPHandler(synth.RDAPAnswers())
	if err != nil {
		t.Fatal(err)
	}
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); h.ServeHTTP(w, r) })
	d := newDesk(t, c)
	var addrs []netip.Addr
	for i := range 64 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	addrs = append(addrs, netip.MustParseAddr("192.0.2.64"), netip.MustParseAddr("198.51.100.1"))
	if err := d.db.RequestLookups(t.Context(), append(addrs, addrs...), d.now); err != nil {
		t.Fatal(err)
	}
	for d.work() > 0 {
	}
	if asked.Load() != 3 {
		t.Errorf("%d questions, want one for each range and one for the unknown", asked.Load())
	}
	d.want(`select format('%s %s %s', count(*) filter (where state = 'done'), count(*) filter (where state = 'failed'), count(distinct network_id)) from owner_lookup`, "65 1 2")
	// The unknown stays unknown for a week, the known ones are asked about again when they expire.
	d.now = d.now.Add(6 * 24 * time.Hour)
	if err := d.db.RequestLookups(t.Context(), addrs[65:], d.now); err != nil {
		t.Fatal(err)
	}
	if d.work() != 0 {
		t.Error("asked about the unknown again")
	}
	d.now = d.now.Add(2 * 24 * time.Hour)
	if err := d.db.RequestLookups(t.Context(), addrs, d.now); err != nil {
		t.Fatal(err)
	}
	for d.work() > 0 {
	}
	if asked.Load() != 6 {
		t.Errorf("%d questions after a week, want six", asked.Load())
	}
	d.want(`select format('%s %s', count(*), count(superseded_at)) from network`, "4 2")
	d.want(`select format('%s %s', count(*), count(retired_at)) from contact where email = 'abuse@isp.example'`, "1 0")
}

func TestWorkerKeepsApprovalAndRetiresContacts(t *testing.T) {
	t.Parallel()
	body := registrytest.Network(`,"country":"JP","remarks":[{"title":"remarks","description":["abuse: abuse@example.net"]}]` + registrytest.Entities(registrytest.Entity("T", `"technical"`, "old@example.net")))
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	d := newDesk(t, c)
	a := netip.MustParseAddr("192.0.2.5")
	ask := func() {
		if err := d.db.RequestLookups(t.Context(), []netip.Addr{a}, d.now); err != nil {
			t.Fatal(err)
		}
		d.work()
	}
	ask()
	d.exec(`update contact set approved_at = $1, approved_by = 'coordinator' where email = 'abuse@example.net'`, d.now)
	body = registrytest.Network(`,"country":"JP","remarks":[{"title":"remarks","description":["abuse: ABUSE@example.net"]}]` + registrytest.Entities(registrytest.Entity("T", `"technical"`, "new@example.net")))
	d.now = d.now.Add(8 * 24 * time.Hour)
	ask()
	d.want(`select string_agg(format('%s %s %s %s', email, gate, approved_by, retired_at is null), E'\n' order by email) from contact`,
		"abuse@example.net approve coordinator t\nnew@example.net human  t\nold@example.net human  f")
}

// lookupFunc is an owner.Lookup.
type lookupFunc func() error

func (f lookupFunc) Lookup(context.Context, netip.Addr) (owner.RegistryAnswer, error) {
	return owner.RegistryAnswer{}, f()
}

func TestWorkerRetries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		err             error
		state, attempts string
		min, max        time.Duration
	}{
		{"temporary", &owner.LookupError{Kind: owner.LookupTemporary, Asked: true}, "due", "1", 30 * time.Second, time.Minute},
		{"throttled", &owner.LookupError{Kind: owner.LookupThrottled, Asked: true, RetryAfter: time.Hour}, "due", "1", time.Hour, time.Hour},
		{"not asked", &owner.LookupError{Kind: owner.LookupThrottled, RetryAfter: time.Minute}, "due", "0", time.Minute, 2 * time.Minute},
		{"not found", &owner.LookupError{Kind: owner.LookupNotFound, Asked: true}, "failed", "1", 7 * 24 * time.Hour, 7 * 24 * time.Hour},
		{"too large", &owner.LookupError{Kind: owner.LookupTooLarge, Asked: true}, "failed", "1", 24 * time.Hour, 24 * time.Hour},
		{"strange", errors.New("strange\x00\nerror"), "due", "1", 30 * time.Second, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, lookupFunc(func() error { return tt.err }))
			a := netip.MustParseAddr("192.0.2.5")
			if err := d.db.RequestLookups(t.Context(), []netip.Addr{a}, d.now); err != nil {
				t.Fatal(err)
			}
			d.work()
			l, err := d.db.OwnerLookup(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			pause := l.NextAttemptAt.Sub(d.now)
			if string(l.State) != tt.state || fmt.Sprint(l.Attempts) != tt.attempts || pause < tt.min || pause > tt.max || l.LastError == "" {
				t.Errorf("got %+v after %v", l, pause)
			}
			if d.work() != 0 {
				t.Error("the row is due at once")
			}
		})
	}
}

func TestWorkerGivesUp(t *testing.T) {
	t.Parallel()
	asked := 0
	d := newDesk(t, lookupFunc(func() error { asked++; return &owner.LookupError{Kind: owner.LookupTemporary, Asked: true} }))
	if err := d.db.RequestLookups(t.Context(), []netip.Addr{netip.MustParseAddr("192.0.2.5")}, d.now); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		d.work()
		d.now = d.now.Add(13 * time.Hour)
	}
	if asked != 8 {
		t.Errorf("asked %d times, want 8", asked)
	}
	d.want(`select state from owner_lookup`, "failed")
}

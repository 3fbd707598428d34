package notify

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"teiten/internal/soak"
)

// dialFrom connects from a loopback address and reads the greeting.
func dialFrom(t *testing.T, from, to string) (net.Conn, *bufio.Reader, string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("no greeting: %v", err)
	}
	return conn, r, line
}

// dialogue says lines and returns the last reply to each.
func dialogue(t *testing.T, conn net.Conn, r *bufio.Reader, lines ...string) (replies []string) {
	t.Helper()
	for _, l := range lines {
		if _, err := fmt.Fprintf(conn, "%s\r\n", l); err != nil {
			t.Fatal(err)
		}
		for {
			reply, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("after %.60q: %v", l, err)
			}
			if len(reply) > 3 && reply[3] == ' ' {
				replies = append(replies, strings.TrimSpace(reply))
				break
			}
		}
	}
	return replies
}

var toData = []string{"EHLO x.example", "MAIL FROM:<a@x.example>", "RCPT TO:<postmaster@teiten.example>", "DATA"}

// TestOneConnectionTooManyIsTold fills all places from as many addresses as that
// takes: the next client is told to come again instead of waiting in silence.
func TestOneConnectionTooManyIsTold(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	emptyServer(t, InboundConfig{PerMinute: 1000}, l)
	for i := range maxConnections {
		if _, _, line := dialFrom(t, fmt.Sprintf("127.0.1.%d", 1+i/maxPerAddress), l.Addr().String()); !strings.HasPrefix(line, "220 ") {
			t.Fatalf("connection %d is greeted with %q", i, line)
		}
	}
	if _, _, line := dialFrom(t, "127.0.2.1", l.Addr().String()); !strings.HasPrefix(line, "421 4.3.2 ") {
		t.Errorf("one too many is greeted with %q", line)
	}
}

// TestUnfinishedMailsTakeLittleMemory begins 100 mails and ends none. Not parallel:
// it measures the heap.
func TestUnfinishedMailsTakeLittleMemory(t *testing.T) { unfinishedMails(t, 2) }

// TestSoakUnfinishedMailsTakeLittleMemory does so with mails of almost 10 MiB.
func TestSoakUnfinishedMailsTakeLittleMemory(t *testing.T) {
	soak.Start(t)
	unfinishedMails(t, 13)
}

// unfinishedMails begins mails of so many chunks of 800 kB.
func unfinishedMails(t *testing.T, chunks int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	emptyServer(t, InboundConfig{Spool: dir}, l)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	line := strings.Repeat("x", 78) + "\r\n"
	chunk := strings.Repeat(line, 10_000)
	var wg sync.WaitGroup
	for range maxConnections {
		conn, r, _ := dialFrom(t, "127.0.0.1", l.Addr().String())
		if got := dialogue(t, conn, r, toData...)[3]; !strings.HasPrefix(got, "354 ") {
			t.Fatal(got)
		}
		wg.Go(func() {
			for range chunks {
				if _, err := conn.Write([]byte(chunk)); err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	took := float64(int64(heap()-before)) / (1 << 20)
	t.Logf("%d unfinished mails of %d bytes take %.1f MiB of memory", maxConnections, chunks*len(chunk), took)
	if took > 40 {
		t.Errorf("%d unfinished mails take %.1f MiB, want at most 40", maxConnections, took)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("files with names are left in the spool: %v, %v", names, err)
	}
}

// TestSpooledBytesAreBounded: mails under way take no more disk than the bound, and
// give it back.
func TestSpooledBytesAreBounded(t *testing.T) {
	t.Parallel()
	s := newSpool(t.TempDir())
	chunk := make([]byte, 8<<20)
	var mails []*mailUnderWay
	var refused error
	for range maxSpooled/len(chunk) + 1 {
		m := &mailUnderWay{spool: s}
		mails = append(mails, m)
		if _, refused = m.Write(chunk); refused != nil {
			break
		}
	}
	if refused == nil || !strings.HasPrefix(refused.Error(), "SMTP error 452") {
		t.Errorf("the mail after %d bytes: %v", s.within.Load(), refused)
	}
	small := &mailUnderWay{spool: s}
	if _, err := small.Write([]byte("a small mail")); err != nil {
		t.Errorf("a small mail: %v", err)
	}
	if err := mails[0].use(t.Context(), func(raw []byte) error {
		if len(raw) != len(chunk) {
			return fmt.Errorf("%d bytes come back, want %d", len(raw), len(chunk))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	for _, m := range mails {
		m.close()
	}
	if left := s.within.Load(); left != 0 {
		t.Errorf("%d bytes are still counted", left)
	}
}

// TestBytesOfAnAddressAreLimited: an address sends its hour's bytes in any number
// of mails and connections, and no more. The others are not concerned, and the
// table of addresses is bounded.
func TestBytesOfAnAddressAreLimited(t *testing.T) {
	t.Parallel()
	v := newVisitors(0, 0, 0)
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	accepted := 0
	for range 3600 { // an attacker's hour: a mail of 10 MiB a second
		now = now.Add(time.Second)
		for range 10 << 20 / (64 << 10) {
			if v.take("192.0.2.1", 64<<10, now) != nil {
				break
			}
			accepted += 64 << 10
		}
	}
	t.Logf("%d MiB accepted of %d MiB in an hour from one address", accepted>>20, 36_000)
	if accepted > 2*defaultPerHour {
		t.Errorf("%d bytes accepted in an hour, want at most %d", accepted, 2*defaultPerHour)
	}
	for n := 64 << 10; n > 0; n /= 2 { // the rest
		_ = v.take("192.0.2.1", n, now)
	}
	if v.mail("192.0.2.1", now) || !v.mail("192.0.2.2", now) {
		t.Error("the address may begin another mail, or another one may not")
	}
	for i := range 3 * maxVisitors {
		_ = v.take(fmt.Sprintf("2001:db8:%x::/64", i), 1, now)
		v.mail(fmt.Sprintf("2001:db8:%x::/64", i), now)
	}
	if v.mail("192.0.2.1", now) {
		t.Error("many other addresses gave the address its bytes back")
	}
	total := 0
	for i := 0; v.take(fmt.Sprintf("198.51.100.%d", i), 10<<20, now) == nil; i++ {
		total += 10 << 20
	}
	t.Logf("%d MiB accepted at once from many addresses", total>>20)
	if total > 10*defaultPerHour {
		t.Errorf("%d bytes accepted from many addresses, want at most %d", total, 10*defaultPerHour)
	}
	if n, m := v.bytes.Len(), v.mails.Len(); n > maxVisitors || m > maxVisitors {
		t.Errorf("%d and %d addresses are remembered, want at most %d", n, m, maxVisitors)
	}
}

// TestOurOwnServersAreNotLimited: one on this machine, and those that are named.
func TestOurOwnServersAreNotLimited(t *testing.T) {
	t.Parallel()
	v := newVisitors(0, 0, 0)
	v.relays = []netip.Prefix{netip.MustParsePrefix("192.0.2.25/32"), netip.MustParsePrefix("2001:db8:1::25/128")}
	for address, free := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "192.0.2.25:1": true, "[::ffff:192.0.2.25]:1": true, "[2001:db8:1::25]:1": true,
		"192.0.2.26:1": false, "[2001:db8:1::26]:1": false} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.of(a) == ""; got != free || ours(a, v.relays) != free {
			t.Errorf("%s is counted as %q", address, v.of(a))
		}
	}
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	for range 2 * maxPerAddress {
		if !v.enter("") || !v.mail("", now) || v.take("", defaultPerHour, now) != nil {
			t.Fatal("a server of ours is limited")
		}
	}
}

// TestMailIsRefusedForNow: what is over the address's bytes, and all mail while
// there is no room, hears to come again.
func TestMailIsRefusedForNow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config InboundConfig
		body   string
		want   string
	}{
		"no room":         {InboundConfig{Room: func(context.Context) (bool, error) { return false, nil }}, "", "452 4.3.1 "},
		"room not known":  {InboundConfig{Room: func(context.Context) (bool, error) { return true, os.ErrPermission }}, "", "451 4.3.0 "},
		"too many bytes":  {InboundConfig{PerMinute: 100, PerHour: 1000}, strings.Repeat("x\r\n", 1000) + ".", "451 4.7.1 "},
		"a line too long": {InboundConfig{}, strings.Repeat("x", 3*maxLine) + "\r\n.", "554 5.6.0 "},
		"slightly longer": {InboundConfig{}, "Subject: x\r\n\r\n" + strings.Repeat("x", maxLine+100) + "\r\n.", "554 5.6.0 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			emptyServer(t, c.config, l)
			conn, r, _ := dialFrom(t, "127.0.0.1", l.Addr().String())
			lines := append(toData[:len(toData):len(toData)], c.body)
			if c.body == "" {
				lines = toData[:2]
			}
			replies := dialogue(t, conn, r, lines...)
			if got := replies[len(replies)-1]; !strings.HasPrefix(got, c.want) {
				t.Errorf("answered %q, want %q", got, c.want)
			}
		})
	}
}

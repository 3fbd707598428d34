package notify

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// emptyServer is an inbound server without a database: no mail gets that far.
// It waits so long for a command.
func emptyServer(t *testing.T, config InboundConfig, idle time.Duration) string {
	t.Helper()
	var err error
	if config.Tokens, err = NewTokens(bytes.Repeat([]byte("k"), 32), "teiten.example"); err != nil {
		t.Fatal(err)
	}
	s := NewInboundServer(nil, config)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.server.ReadTimeout = idle
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
	})
	return l.Addr().String()
}

// TestSlowClientIsCutOff: a client that sends a byte now and then holds its
// connection no longer than one that sends nothing (slow loris).
func TestSlowClientIsCutOff(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{
		"in its first command": "",
		"in a recipient":       "EHLO slow.example\r\nMAIL FROM:<a@slow.example>\r\nRCPT TO:<",
		"in a mail":            "EHLO slow.example\r\nMAIL FROM:<a@slow.example>\r\nRCPT TO:<postmaster@teiten.example>\r\nDATA\r\n",
		"in a chunk":           "EHLO slow.example\r\nMAIL FROM:<a@slow.example>\r\nRCPT TO:<postmaster@teiten.example>\r\nBDAT 100000 LAST\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := emptyServer(t, InboundConfig{}, 500*time.Millisecond)
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := io.WriteString(conn, before); err != nil {
				t.Fatal(err)
			}
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				_, _ = io.Copy(io.Discard, conn)
			}()
			patience := time.After(time.Minute)
			for {
				select {
				case <-closed:
					return
				case <-patience:
					t.Fatal("still served after a minute")
				case <-time.After(50 * time.Millisecond):
					_, _ = io.WriteString(conn, "x")
				}
			}
		})
	}
}

// TestAMailMayTakeLongerThanACommand: who sends all the time is not cut off
// after the time of one line.
func TestAMailMayTakeLongerThanACommand(t *testing.T) {
	t.Parallel()
	address := emptyServer(t, InboundConfig{MaxBytes: 100}, 4*time.Second)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	begin := time.Now()
	if _, err := io.WriteString(conn, "EHLO slow.example\r\nMAIL FROM:<a@slow.example>\r\nRCPT TO:<postmaster@teiten.example>\r\nDATA\r\n"); err != nil {
		t.Fatal(err)
	}
	for time.Since(begin) < 5*time.Second {
		if _, err := io.WriteString(conn, "x\r\n"); err != nil {
			t.Fatalf("cut off after %s: %v", time.Since(begin), err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	// It is over the limit, so that no database is needed to hear an answer.
	_, _ = io.WriteString(conn, strings.Repeat("x\r\n", 100)+".\r\nQUIT\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "\r\n552 ") {
		t.Errorf("answered %q, %v", answer, err)
	}
}

// TestSilentConnectionsOfOneAddressAreLimited: those that never say EHLO count
// too, so that one address cannot keep all others out.
func TestSilentConnectionsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	address := emptyServer(t, InboundConfig{PerMinute: 1000}, time.Minute) // with a limit loopback is an address as any other
	greeted := func(from string) (net.Conn, string) {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return conn, line
	}
	var silent []net.Conn
	for range maxPerAddress {
		conn, line := greeted("127.0.0.1")
		if !strings.HasPrefix(line, "220 ") {
			t.Fatalf("greeted with %q", line)
		}
		silent = append(silent, conn)
	}
	for range 2 * maxConnections { // they do not take the place of others either
		if _, line := greeted("127.0.0.1"); !strings.HasPrefix(line, "421 ") {
			t.Fatalf("one too many is greeted with %q", line)
		}
	}
	if _, line := greeted("127.0.0.2"); !strings.HasPrefix(line, "220 ") {
		t.Errorf("another address is greeted with %q", line)
	}
	_ = silent[0].Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, line := greeted("127.0.0.1"); strings.HasPrefix(line, "220 ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a connection that ended is not free again")
		}
	}
}

func TestAddressesOfOneIPv6HostAreOneVisitor(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1:25": "192.0.2.1", "[::ffff:192.0.2.1]:25": "192.0.2.1", "[::1]:25": "::1",
		"[2001:db8:1:2:3::4]:25": "2001:db8:1:2::/64", "[2001:db8:1:2:ffff::]:1": "2001:db8:1:2::/64",
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := visitor(a); got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
}

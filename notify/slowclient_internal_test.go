package notify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// emptyServer serves a listener without a database: no mail gets that far.
func emptyServer(t *testing.T, config InboundConfig, l net.Listener) {
	t.Helper()
	var err error
	if config.Tokens, err = NewTokens(bytes.Repeat([]byte("k"), 32), "teiten.example"); err != nil {
		t.Fatal(err)
	}
	s := NewInboundServer(nil, config)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-done); err != nil {
			t.Error(err)
		}
	})
}

// pipes is a listener on which each connection is a pipe in memory, so that a
// minute of waiting takes no time in a bubble of synctest.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

// slowClient is a connection to an empty server, and what the server has said
// once it closed the connection.
type slowClient struct {
	net.Conn
	closed chan struct{}
	said   bytes.Buffer // complete once closed is
}

// newSlowClient must be called in a bubble of synctest.
func newSlowClient(t *testing.T, config InboundConfig) *slowClient {
	t.Helper()
	l := newPipes()
	emptyServer(t, config, l)
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close() })
	l.conns <- theirs
	c := &slowClient{Conn: ours, closed: make(chan struct{})}
	go func() {
		defer close(c.closed)
		_, _ = io.Copy(&c.said, ours)
	}()
	return c
}

// say sends what the server must take.
func (c *slowClient) say(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatalf("cut off: %v", err)
	}
}

// TestSlowClientIsCutOff: a client that sends a byte now and then holds its
// connection no longer than one that sends nothing (slow loris).
func TestSlowClientIsCutOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before string
		most   time.Duration
	}{
		"in its first command": {"", 4*serverIdle + 10*time.Second},
		"in a recipient":       {"EHLO slow.example\r\nMAIL FROM:<a@slow.example>\r\nRCPT TO:<", 5*serverIdle + 10*time.Second},
		"in a mail":            {"EHLO slow.example\r\nMAIL FROM:<a@slow.example>\r\nRCPT TO:<postmaster@teiten.example>\r\nDATA\r\n", rateGrace + 10*time.Second},
		"in a chunk":           {"EHLO slow.example\r\nMAIL FROM:<a@slow.example>\r\nRCPT TO:<postmaster@teiten.example>\r\nBDAT 100000 LAST\r\n", rateGrace + 10*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				before, most := c.before, c.most
				c := newSlowClient(t, InboundConfig{})
				c.say(t, before)
				begin := time.Now()
				for {
					select {
					case <-c.closed:
						if took := time.Since(begin); took > most {
							t.Errorf("cut off after %s, want %s", took, most)
						}
						return
					case <-time.After(10 * time.Second):
						_, _ = io.WriteString(c, "x")
					}
					if time.Since(begin) > 10*serverIdle {
						t.Fatalf("still served after %s", time.Since(begin))
					}
				}
			})
		})
	}
}

// TestAMailMayTakeLongerThanACommand: who sends all the time is not cut off
// after the time of one line.
func TestAMailMayTakeLongerThanACommand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		line := strings.Repeat("x", 80) + "\r\n"
		c := newSlowClient(t, InboundConfig{MaxBytes: 1 << 20})
		c.say(t, "EHLO slow.example\r\nMAIL FROM:<a@slow.example>\r\nRCPT TO:<postmaster@teiten.example>\r\nDATA\r\n")
		for begin := time.Now(); time.Since(begin) < 2*serverIdle; time.Sleep(serverIdle / 10) {
			c.say(t, strings.Repeat(line, 100)) // 8 KiB in 6 seconds
		}
		// It is over the limit, so that no database is needed to hear an answer.
		c.say(t, strings.Repeat(line, 20_000)+".\r\nQUIT\r\n")
		<-c.closed
		if answer := c.said.String(); !strings.Contains(answer, "\r\n552 ") {
			t.Errorf("answered %q", answer)
		}
	})
}

// TestSilentConnectionsOfOneAddressAreLimited: those that never say EHLO count
// too, so that one address cannot keep all others out.
func TestSilentConnectionsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	emptyServer(t, InboundConfig{PerMinute: 1000}, l) // with a limit loopback is an address as any other
	greeted := func(from string) (net.Conn, string) {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
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

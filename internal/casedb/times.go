package casedb

import (
	"context"
	"net"
	"time"
)

// times bound what a server, well or not, can make us wait for.
type times struct {
	connect, statement time.Duration
	silence            time.Duration // of a socket while an answer is awaited: longer than a statement may take
}

// Background work has large statements; a page has small ones.
var (
	workTimes = times{10 * time.Second, time.Hour, 65 * time.Minute}
	pageTimes = times{5 * time.Second, 30 * time.Second, 40 * time.Second}
)

// impatient dials connections that fail when the server says nothing for too long.
// The driver asks such a server to cancel and waits on; PostgreSQL's own time-out
// cannot help when its process is stopped.
type impatient struct{ silence time.Duration }

// Dial implements pq.Dialer.
func (i impatient) Dial(network, address string) (net.Conn, error) {
	return i.DialContext(context.Background(), network, address)
}

// DialTimeout implements pq.Dialer.
func (i impatient) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return i.DialContext(ctx, network, address)
}

// DialContext implements pq.DialerContext.
func (i impatient) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &boundedConn{Conn: c, silence: i.silence}, nil
}

// boundedConn gives each read and write its time. Deadlines that the driver sets
// itself, while it connects, are the shorter ones.
type boundedConn struct {
	net.Conn
	silence time.Duration
	own     bool // the driver has set a deadline
}

// SetDeadline notes whether the driver bounds the connection itself.
func (c *boundedConn) SetDeadline(t time.Time) error {
	c.own = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

// Read waits for the server no longer than silence.
func (c *boundedConn) Read(b []byte) (int, error) {
	if !c.own {
		if err := c.Conn.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// Write waits for the server no longer than silence.
func (c *boundedConn) Write(b []byte) (int, error) {
	if !c.own {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

package notify

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// The manners of a connection that is used for many mails. Servers count
// refusals, and commands that lead to no mail, and slow down or hang up.
const (
	mailsPerConn    = 100
	refusalsPerConn = 5
	freshFor        = time.Second     // after so long a pause the server is asked whether it is still there
	checkTimeout    = 5 * time.Second // for its answer to that, and to QUIT
)

// smtpConn is a connection to the smarthost that has greeted.
type smtpConn struct {
	conn     net.Conn
	client   *smtp.Client
	mails    int
	refusals int
	open     bool        // a transaction was begun and not ended
	idle     time.Time   // since when it is kept
	expiry   *time.Timer // ends it, while it is kept
}

// closeWith closes the connection when ctx is done, until release is called;
// that reports whether the connection was left alone.
func (c *smtpConn) closeWith(ctx context.Context) (release func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.conn.Close() })
}

// send makes one mail transaction (RFC 5321, 3.3).
func (c *smtpConn) send(e Envelope, mail io.Reader) (Receipt, *SendError) {
	// RFC 1870, 6: what is known to be too large is not offered.
	if _, size := c.client.Extension("SIZE"); size != "" {
		if limit, err := strconv.ParseInt(size, 10, 64); err == nil && limit > 0 && e.Size > limit {
			return Receipt{}, &SendError{Permanent: true, Command: "MAIL", Enhanced: "5.3.4",
				Response: fmt.Sprintf("the mail has %d bytes, the server takes %d", e.Size, limit)}
		}
	}
	c.mails++
	// The addresses are ASCII (checkAddress) and so are the mails: SMTPUTF8
	// (RFC 6531) is never needed, and 8BITMIME is but said where it is offered.
	if err := c.client.Mail(e.From, &smtp.MailOptions{Return: smtp.DSNReturnHeaders, EnvelopeID: e.ID, Size: e.Size}); err != nil {
		return Receipt{}, sendError("MAIL", err)
	}
	c.open = true
	err := c.client.Rcpt(e.To, &smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed},
		OriginalRecipientType: smtp.DSNAddressTypeRFC822, OriginalRecipient: e.To})
	if err != nil {
		return Receipt{}, sendError("RCPT", err)
	}
	w, err := c.client.Data()
	if err != nil {
		return Receipt{}, sendError("DATA", err)
	}
	if _, err := io.Copy(w, mail); err != nil {
		return Receipt{}, sendError("DATA", err) // before the final dot: it is not theirs
	}
	response, err := w.CloseWithResponse()
	if err != nil {
		failed := sendError("DATA", err)
		failed.Ambiguous = failed.Code == 0
		c.open = false
		return Receipt{}, failed
	}
	c.open = false
	return Receipt{Code: 250, Response: response.StatusText}, nil
}

// usableAfter reports whether another mail may follow the one that ended so.
func (c *smtpConn) usableAfter(err *SendError) bool {
	if err != nil {
		c.refusals++
		local := err.Code == 0 && err.Permanent // we did not even ask
		if (err.Code == 0 && !local) || err.Code == 421 {
			return false
		}
	}
	return c.mails < mailsPerConn && c.refusals < refusalsPerConn
}

// alive readies a kept connection for the next mail, and reports whether that
// worked.
func (c *smtpConn) alive(ctx context.Context) bool {
	if !c.open && time.Since(c.idle) < freshFor {
		return true // MAIL will show
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	release := c.closeWith(ctx)
	err := c.client.Reset()
	c.open = false
	return release() && err == nil
}

// quit takes leave.
func (c *smtpConn) quit() {
	c.client.CommandTimeout = checkTimeout
	_ = c.client.Quit() // nothing depends on it
	_ = c.client.Close()
}

// connPool keeps the connections that no mail uses. It is safe for concurrent
// use.
type connPool struct {
	mu     sync.Mutex // guards the rest
	idle   []*smtpConn
	closed bool
}

// take returns the connection used last that is still alive, or nil.
func (p *connPool) take(ctx context.Context) *smtpConn {
	for {
		p.mu.Lock()
		if len(p.idle) == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		p.mu.Unlock()
		c.expiry.Stop()
		if c.alive(ctx) {
			return c
		}
		_ = c.client.Close()
	}
}

// put keeps a connection for so long.
func (p *connPool) put(c *smtpConn, idle time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		go c.quit()
		return
	}
	c.idle = time.Now()
	c.expiry = time.AfterFunc(idle, func() {
		if p.remove(c) {
			c.quit()
		}
	})
	p.idle = append(p.idle, c)
}

// remove reports whether c was kept, and keeps it no more.
func (p *connPool) remove(c *smtpConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.idle, c)
	if i < 0 {
		return false
	}
	p.idle = slices.Delete(p.idle, i, i+1)
	return true
}

func (p *connPool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.expiry.Stop()
		c.quit()
	}
}

package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Envelope is the recipient of a mail and the address for its bounces.
type Envelope struct {
	From string
	To   string
	ID   string // RFC 3461, 4.4: comes back in delivery status notifications
	Size int64
}

// Receipt is the server's answer when it took the mail.
type Receipt struct {
	Code     int
	Response string
}

// Transport hands one mail to a server. An error is a *SendError.
type Transport interface {
	Send(ctx context.Context, e Envelope, mail io.Reader) (Receipt, error)
}

// SendError says how sending failed and whether trying again can help. It is
// used as a pointer only.
type SendError struct {
	Permanent bool   // the server will never take this mail for this recipient
	Ambiguous bool   // the connection broke when the server may have had it all
	Code      int    // SMTP reply code, 0 if there was none
	Enhanced  string // RFC 3463 status, "" if there was none
	Command   string // CONNECT, TLS, EHLO, AUTH, MAIL, RCPT, DATA
	Response  string // the server's words, or our error
	Err       error
}

// Error names the failure and the command.
func (e *SendError) Error() string {
	kind := "temporary"
	if e.Permanent {
		kind = "permanent"
	}
	return fmt.Sprintf("%s error at %s: %s", kind, e.Command, e.Response)
}

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }

// TLSMode says when a connection is encrypted.
type TLSMode string

// The modes. A certificate is verified whenever TLS is used.
const (
	TLSNone     TLSMode = "none"
	TLSOptional TLSMode = "optional" // STARTTLS if the server offers it
	TLSRequired TLSMode = "starttls"
	TLSImplicit TLSMode = "implicit" // from the first byte, port 465
)

// SMTPTransport sends through one smarthost. A connection is kept for the next
// mail; there are as many as mails are sent at once. It is safe for concurrent
// use.
type SMTPTransport struct {
	Address   string // host:port
	TLS       TLSMode
	CAs       *x509.CertPool // nil: the system's
	Username  string         // empty: no AUTH
	Password  string
	LocalName string        // for EHLO; empty: localhost
	Timeout   time.Duration // per command; zero: one minute
	IdleTime  time.Duration // how long a connection is kept without a mail; zero: 30 seconds

	pool connPool
}

// ReadCAs reads certificates of authorities from a PEM file.
func ReadCAs(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return pool, nil
}

// Send implements Transport.
func (t *SMTPTransport) Send(ctx context.Context, e Envelope, mail io.Reader) (Receipt, error) {
	c := t.pool.take(ctx)
	for {
		kept := c != nil
		if !kept {
			var err error
			if c, err = t.open(ctx); err != nil {
				return Receipt{}, err
			}
		}
		release := c.closeWith(ctx)
		receipt, err := c.send(e, mail)
		whole := release()
		if whole && c.usableAfter(err) {
			t.pool.put(c, t.idleTime())
		} else {
			_ = c.client.Close() // the answer, if there is one, is in already
		}
		// A connection that the server closed while it was idle is not a
		// failure of this mail: nothing of it has left before MAIL is answered.
		if kept && whole && err != nil && err.Command == "MAIL" && (err.Code == 0 || err.Code == 421) && !err.Permanent {
			c = nil
			continue
		}
		if err != nil {
			return Receipt{}, err
		}
		return receipt, nil
	}
}

// Close ends the connections that are kept.
func (t *SMTPTransport) Close() { t.pool.close() }

func (t *SMTPTransport) idleTime() time.Duration {
	if t.IdleTime > 0 {
		return t.IdleTime
	}
	return 30 * time.Second
}

// open returns a connection that is ready for MAIL.
func (t *SMTPTransport) open(ctx context.Context) (*smtpConn, error) {
	c, err := t.connect(ctx, t.TLS == TLSRequired)
	if err == nil && t.TLS == TLSOptional {
		// The client cannot turn to TLS once it has greeted: start again.
		if offered, _ := c.client.Extension("STARTTLS"); offered {
			_ = c.client.Close() // nothing was said yet
			c, err = t.connect(ctx, true)
		}
	}
	if err != nil {
		return nil, err
	}
	release := c.closeWith(ctx)
	defer release()
	if err := t.authenticate(c.client); err != nil {
		_ = c.client.Close()
		return nil, err
	}
	return c, nil
}

// connect returns a connection that has greeted. It is closed when ctx is done:
// the client's own deadlines overwrite each other.
func (t *SMTPTransport) connect(ctx context.Context, startTLS bool) (*smtpConn, error) {
	timeout := t.Timeout
	if timeout <= 0 {
		timeout = time.Minute
	}
	host, _, err := net.SplitHostPort(t.Address)
	if err != nil {
		return nil, sendError("CONNECT", err)
	}
	dialer := net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return nil, sendError("CONNECT", err)
	}
	c := &smtpConn{conn: conn}
	release := c.closeWith(ctx)
	defer release()
	config := &tls.Config{ServerName: host, RootCAs: t.CAs, MinVersion: tls.VersionTLS12}
	greeting := "EHLO"
	var client *smtp.Client
	switch {
	case t.TLS == TLSImplicit:
		secured := tls.Client(conn, config)
		deadline, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if err := secured.HandshakeContext(deadline); err != nil {
			_ = conn.Close()
			return nil, sendError("TLS", err)
		}
		client = smtp.NewClient(secured)
	case startTLS:
		greeting = "TLS"
		// It greets inside under its own five minutes.
		silence := time.AfterFunc(timeout, func() { _ = conn.Close() })
		client, err = smtp.NewClientStartTLS(conn, config)
		silence.Stop()
		if err != nil {
			_ = conn.Close()
			return nil, sendError("TLS", err)
		}
	default:
		client = smtp.NewClient(conn)
	}
	client.CommandTimeout = timeout
	client.SubmissionTimeout = 2 * timeout
	name := t.LocalName
	if name == "" {
		name = "localhost"
	}
	// A certificate that is not trusted shows here at the earliest.
	if err := client.Hello(name); err != nil {
		_ = client.Close()
		return nil, sendError(greeting, err)
	}
	c.client = client
	return c, nil
}

func (t *SMTPTransport) authenticate(client *smtp.Client) error {
	if t.Username == "" {
		return nil
	}
	if _, encrypted := client.TLSConnectionState(); !encrypted {
		host, _, _ := net.SplitHostPort(t.Address)
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return sendError("AUTH", errors.New("the password is not sent over a connection without TLS"))
		}
	}
	mechanism := sasl.NewPlainClient("", t.Username, t.Password)
	if _, offered := client.Extension("AUTH"); hasWord(offered, sasl.Login) && !hasWord(offered, sasl.Plain) {
		mechanism = sasl.NewLoginClient(t.Username, t.Password)
	}
	if err := client.Auth(mechanism); err != nil {
		return sendError("AUTH", err)
	}
	return nil
}

func hasWord(list, word string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(s string) bool { return strings.EqualFold(s, word) })
}

// sendError types an error. Only what the server says about the mail itself
// can be permanent: a refused log-in or certificate is ours to repair, and the
// mail waits for it.
func sendError(command string, err error) *SendError {
	e := &SendError{Command: command, Response: err.Error(), Err: err}
	var reply *smtp.SMTPError
	if !errors.As(err, &reply) {
		return e
	}
	e.Code, e.Response = reply.Code, strings.TrimSpace(fmt.Sprintf("%d %s", reply.Code, reply.Message))
	if reply.EnhancedCode[0] > 0 {
		c := reply.EnhancedCode
		e.Enhanced = fmt.Sprintf("%d.%d.%d", c[0], c[1], c[2])
		e.Response = fmt.Sprintf("%d %s %s", reply.Code, e.Enhanced, reply.Message)
	}
	aboutMail := command == "MAIL" || command == "RCPT" || command == "DATA"
	e.Permanent = aboutMail && reply.Code >= 500 && reply.Code != 530 && reply.Code != 503
	return e
}

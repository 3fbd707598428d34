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
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Envelope is to whom a mail goes and where its bounces go.
type Envelope struct {
	From string
	To   string
	ID   string // RFC 3461, 4.4: comes back in delivery status notifications
	Size int64
}

// Receipt is what the server said when it took the mail.
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

// Error says what happened at which command.
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

// SMTPTransport sends through one smarthost, one connection per mail. It is
// safe for concurrent use.
type SMTPTransport struct {
	Address   string // host:port
	TLS       TLSMode
	CAs       *x509.CertPool // nil: the system's
	Username  string         // empty: no AUTH
	Password  string
	LocalName string        // for EHLO; empty: localhost
	Timeout   time.Duration // per command; zero: one minute
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
	client, err := t.connect(ctx, t.TLS == TLSRequired)
	if err == nil && t.TLS == TLSOptional {
		// The client cannot turn to TLS once it has greeted: start again.
		if offered, _ := client.Extension("STARTTLS"); offered {
			_ = client.Close() // nothing was said yet
			client, err = t.connect(ctx, true)
		}
	}
	if err != nil {
		return Receipt{}, err
	}
	defer func() { _ = client.Close() }() // the answer is in already
	if err := t.authenticate(client); err != nil {
		return Receipt{}, err
	}
	if err := client.Mail(e.From, &smtp.MailOptions{Return: smtp.DSNReturnHeaders, EnvelopeID: e.ID, Size: e.Size}); err != nil {
		return Receipt{}, sendError("MAIL", err)
	}
	err = client.Rcpt(e.To, &smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed},
		OriginalRecipientType: smtp.DSNAddressTypeRFC822, OriginalRecipient: e.To})
	if err != nil {
		return Receipt{}, sendError("RCPT", err)
	}
	w, err := client.Data()
	if err != nil {
		return Receipt{}, sendError("DATA", err)
	}
	if _, err := io.Copy(w, mail); err != nil {
		return Receipt{}, sendError("DATA", err)
	}
	response, err := w.CloseWithResponse()
	if err != nil {
		failed := sendError("DATA", err)
		failed.Ambiguous = failed.Code == 0
		return Receipt{}, failed
	}
	_ = client.Quit() // the mail is theirs whatever they say to that
	return Receipt{Code: 250, Response: response.StatusText}, nil
}

// connect returns a client that has greeted. Its connection is closed when ctx
// is done: the client's own deadlines overwrite each other.
func (t *SMTPTransport) connect(ctx context.Context, startTLS bool) (*smtp.Client, error) {
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
	context.AfterFunc(ctx, func() { _ = conn.Close() })
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
	return client, nil
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
	if err := client.Auth(sasl.NewPlainClient("", t.Username, t.Password)); err != nil {
		return sendError("AUTH", err)
	}
	return nil
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

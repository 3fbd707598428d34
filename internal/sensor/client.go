package sensor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"teiten/internal/sensorwire"
)

// The limits of a request to the hub. A batch may take as long as a slow line
// needs, but the hub must begin to answer soon after it has everything.
const (
	connectTimeout = 15 * time.Second
	answerTimeout  = time.Minute
	requestTimeout = 15 * time.Minute
	maxAnswer      = 1 << 20
)

// client talks to the hub in a sensor's name.
type client struct {
	hub    *url.URL
	sensor string
	token  atomic.Pointer[string]
	http   *http.Client
	now    func() time.Time
	// skew is the hub's clock minus ours in nanoseconds, by the Date of its last answer.
	skew  atomic.Int64
	peers *peers
}

// checkHub reads the address of a hub: https, or http on this machine.
func checkHub(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(text, "/"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("hub: %w", err)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("hub %q is not an address such as https://hub.example", text)
	case u.Scheme == "https":
	case u.Scheme == "http" && onThisMachine(u.Hostname()):
	default:
		return nil, fmt.Errorf("hub %s: it must be https, because only a hub on this machine may be http", text)
	}
	return u, nil
}

func onThisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || strings.EqualFold(host, "localhost")
}

// newClient returns a client of the hub. ca is PEM, empty for the authorities of
// the system.
func newClient(hub, ca string, now func() time.Time) (*client, error) {
	u, err := checkHub(hub)
	if err != nil {
		return nil, err
	}
	roots, err := authorities(ca)
	if err != nil {
		return nil, err
	}
	c := &client{hub: u, now: now, peers: newPeers()}
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	c.http = &http.Client{
		Timeout: requestTimeout,
		// A hub that sends us elsewhere is not our hub: the token goes to one place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           c.peers.dial(dialer),
			TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   connectTimeout,
			ResponseHeaderTimeout: answerTimeout,
			IdleConnTimeout:       2 * time.Minute,
			MaxIdleConnsPerHost:   2,
			ForceAttemptHTTP2:     true,
			DisableCompression:    true,
		},
	}
	return c, nil
}

// authorities reads certificates in PEM; nil are those of the system.
func authorities(pem string) (*x509.CertPool, error) {
	if pem == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, errors.New("the file of the certificate authority has no certificate in PEM")
	}
	return pool, nil
}

// as makes the client speak for a sensor.
func (c *client) as(sensor, token string) *client {
	c.sensor = sensor
	c.token.Store(&token)
	return c
}

// hubError is an answer of the hub other than success.
type hubError struct {
	sensorwire.Problem
	// After is how long the hub wants to be left alone; 0 if it does not say.
	After time.Duration
}

// Error says what the hub said.
func (e *hubError) Error() string {
	text := "the hub answers " + strconv.Itoa(e.Status)
	for _, s := range []string{e.Title, e.Detail} {
		if s != "" {
			text += ": " + s
		}
	}
	return text
}

// request is one question to the hub.
type request struct {
	method, path string
	body         io.Reader
	size         int64
	header       http.Header
}

// do asks the hub and reads its JSON answer into value.
func (c *client) do(ctx context.Context, q request, value any) error {
	path := strings.Replace(q.path, "{sensor}", url.PathEscape(c.sensor), 1)
	req, err := http.NewRequestWithContext(ctx, q.method, c.hub.String()+path, q.body)
	if err != nil {
		return fmt.Errorf("ask hub: %w", err)
	}
	if q.header != nil {
		req.Header = q.header
	}
	req.ContentLength = q.size
	req.Header.Set(sensorwire.ProtocolHeader, strconv.Itoa(sensorwire.Protocol))
	if t := c.token.Load(); t != nil {
		req.Header.Set("Authorization", "Bearer "+*t)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask hub: %w", err)
	}
	defer res.Body.Close()
	c.noteClock(res.Header)
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask hub: %w", err)
	}
	if res.StatusCode == http.StatusNotModified && value == nil {
		return errNotModified
	}
	if res.StatusCode != http.StatusOK {
		return problem(res, body, c.now())
	}
	if value == nil {
		return nil
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("ask hub: the answer is not what a hub of teiten says: %w", err)
	}
	return nil
}

var errNotModified = errors.New("not modified")

// post sends a value as JSON.
func (c *client) post(ctx context.Context, path string, send, receive any) error {
	b, err := json.Marshal(send)
	if err != nil {
		return fmt.Errorf("ask hub: %w", err)
	}
	return c.do(ctx, request{method: http.MethodPost, path: path, body: bytes.NewReader(b), size: int64(len(b)),
		header: http.Header{"Content-Type": {"application/json"}}}, receive)
}

// noteClock compares the clocks by the Date of an answer (RFC 9110, 6.6.1), which
// has whole seconds: half a second more is the best guess.
func (c *client) noteClock(h http.Header) {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		c.skew.Store(int64(t.Add(500 * time.Millisecond).Sub(c.now())))
	}
}

// problem makes an error of an answer. What stands between hub and sensor answers
// in its own way, so the type is read only where there is one.
func problem(res *http.Response, body []byte, now time.Time) error {
	e := &hubError{}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
		_ = json.Unmarshal(body, &e.Problem) // without a type it is judged by its status
	}
	e.Status = res.StatusCode
	if e.Title == "" {
		e.Title = http.StatusText(res.StatusCode)
	}
	// RFC 9110, 10.2.3: seconds, or a date.
	after := res.Header.Get("Retry-After")
	if n, err := strconv.Atoi(after); err == nil && n > 0 {
		e.After = time.Duration(min(n, 86400)) * time.Second
	} else if t, err := http.ParseTime(after); err == nil {
		e.After = max(0, min(t.Sub(now), 24*time.Hour))
	}
	return e
}

package owner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/openrdap/rdap"
)

const (
	maxRedirects       = 5
	defaultEvery       = time.Second
	lacnicEvery        = 6 * time.Second // LACNIC takes ten questions a minute
	defaultRDAPTimeout = 20 * time.Second
)

// RDAPConfig says how registries are asked.
type RDAPConfig struct {
	// BaseURL is the one server to ask for everything, "http://127.0.0.1:8081/":
	// the recorded answers, or an operator's own relay. It may lie at a private
	// address. Empty: IANA's bootstrap (RFC 9224) tells whom to ask.
	BaseURL string
	// Every is the shortest time between two questions to one server. Zero
	// means a second.
	Every time.Duration
	// Timeout bounds one lookup with all its redirects. Zero means 20 seconds.
	Timeout time.Duration
	// UserAgent tells the registries who asks.
	UserAgent string
	// BootstrapURL is where IANA's lists come from. Empty means IANA.
	BootstrapURL string
	// Transport replaces the network, for tests of the bootstrap. Nil means
	// one that refuses private addresses.
	Transport http.RoundTripper
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// RDAPClient asks registries over RDAP (RFC 7480, 9082). It is a Lookup
// and safe for concurrent use.
type RDAPClient struct {
	base      *url.URL // nil: bootstrap
	timeout   time.Duration
	userAgent string
	now       func() time.Time
	http      *http.Client
	bootstrap *bootstrapper
}

// NewRDAPClient makes a client; the error is about the configuration.
func NewRDAPClient(cfg RDAPConfig) (*RDAPClient, error) {
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultRDAPTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &RDAPClient{timeout: cfg.Timeout, userAgent: cfg.UserAgent, now: cfg.Now}
	allowed := ""
	if cfg.BaseURL != "" {
		u, err := url.Parse(cfg.BaseURL)
		if err != nil {
			return nil, fmt.Errorf("RDAP base URL: %w", err)
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return nil, fmt.Errorf("RDAP base URL %q: it must be http://host/ or https://host/", u.Redacted())
		}
		c.base, allowed = u, hostPort(u)
	}
	transport := cfg.Transport
	if transport == nil {
		transport = publicTransport(allowed)
	}
	c.http = &http.Client{
		Transport:     &manners{next: transport, servers: newServers(func(host string) time.Duration { return rateFor(host, cfg.Every) }, cfg.Now)},
		CheckRedirect: guardRedirect,
	}
	if c.base == nil {
		b, err := newBootstrapper(cfg.BootstrapURL, c.http, cfg.Now)
		if err != nil {
			return nil, err
		}
		c.bootstrap = b
	}
	return c, nil
}

// rateFor is the time between two questions to a server, by its host.
func rateFor(host string, every time.Duration) time.Duration {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if name == "lacnic.net" || strings.HasSuffix(name, ".lacnic.net") || strings.HasSuffix(name, ".registro.br") {
		return max(every, lacnicEvery)
	}
	return every
}

// Lookup asks the registry that is responsible for the address. Its errors are
// of type *LookupError, or ctx's.
func (c *RDAPClient) Lookup(ctx context.Context, addr netip.Addr) (RegistryAnswer, error) {
	lookupCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	addr = addr.Unmap().WithZone("")
	server := c.base
	if server == nil {
		var err error
		if server, err = c.bootstrap.serverFor(lookupCtx, addr); err != nil {
			return RegistryAnswer{}, withCtx(ctx, err)
		}
	}
	// Neither the client nor the server's URL, which it writes to, is safe for
	// concurrent use; each lookup has its own.
	own := *server
	client := rdap.Client{HTTP: c.http, UserAgent: c.userAgent}
	req := rdap.NewIPRequest(net.IP(addr.AsSlice())).WithServer(&own).WithContext(lookupCtx)
	resp, err := client.Do(req)
	if resp == nil || len(resp.HTTP) == 0 {
		return RegistryAnswer{}, withCtx(ctx, &LookupError{Kind: LookupTemporary, Server: server.Host, Err: err})
	}
	last := resp.HTTP[len(resp.HTTP)-1]
	answer, err := readResponse(server.Host, last, c.now())
	if err == nil {
		answer, err = c.withCards(lookupCtx, answer, last.Response)
	}
	return answer, withCtx(ctx, err)
}

// withCtx returns ctx's error in place of what it caused.
func withCtx(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("look up owner: %w", ctx.Err())
	}
	return err
}

// readResponse tells a good answer from all others. openrdap makes one text
// error of them, so it looks at the response itself, and reads the body with
// our own limits.
func readResponse(host string, h *rdap.HTTPResponse, now time.Time) (RegistryAnswer, error) {
	if h.Response != nil && h.Response.Request != nil {
		host = h.Response.Request.URL.Host // after redirects
	}
	status := 0
	if h.Response != nil {
		status = h.Response.StatusCode
	}
	var typed *LookupError
	switch {
	case errors.As(h.Error, &typed):
		return RegistryAnswer{}, typed
	case h.Error != nil && (h.Response == nil || len(h.Body) == 0):
		return RegistryAnswer{}, &LookupError{Kind: LookupTemporary, Server: host, Status: status, Asked: true, Err: h.Error}
	case h.Response == nil:
		return RegistryAnswer{}, &LookupError{Kind: LookupTemporary, Server: host, Asked: true, Err: errors.New("no answer")}
	}
	e := &LookupError{Server: host, Status: status, Asked: true}
	if pause, asked := retryAfter(h.Response, now); asked {
		e.Kind, e.RetryAfter, e.Err = LookupThrottled, pause, errors.New("too many questions")
		return RegistryAnswer{}, e
	}
	switch {
	case status == http.StatusNotFound:
		e.Kind = LookupNotFound
		return RegistryAnswer{}, e
	case status >= 500:
		e.Kind = LookupTemporary
		return RegistryAnswer{}, e
	case status < 200 || status > 299:
		e.Kind = LookupMalformed
		return RegistryAnswer{}, e
	}
	answer, err := ParseAnswer(h.Body)
	switch {
	case err == nil:
		return answer, nil
	case errors.Is(err, ErrAnswerTooLarge):
		e.Kind, e.Err = LookupTooLarge, err
	case isErrorObject(h.Body, http.StatusNotFound):
		e.Kind = LookupNotFound
	default:
		e.Kind, e.Err = LookupMalformed, err
	}
	return RegistryAnswer{}, e
}

// isErrorObject reports whether a body is an RDAP error (RFC 9083, 6) with the
// code, which registries write as a number or as a string.
func isErrorObject(body []byte, code int) bool {
	var o struct {
		ErrorCode any `json:"errorCode"`
	}
	return json.Unmarshal(body, &o) == nil && text(o.ErrorCode) == fmt.Sprint(code)
}

// guardRedirect refuses redirects that no registry makes.
func guardRedirect(req *http.Request, via []*http.Request) error {
	refuse := func(why string) error {
		return &LookupError{Kind: LookupRefused, Server: req.URL.Host, Asked: true, Err: errors.New(why)}
	}
	if s := req.URL.Scheme; s != "http" && s != "https" {
		return refuse("a redirect to another scheme")
	}
	if req.URL.User != nil {
		return refuse("a redirect with a password")
	}
	if len(via) > maxRedirects {
		return refuse("too many redirects")
	}
	for _, v := range via {
		if v.URL.String() == req.URL.String() {
			return refuse("a redirect in a circle")
		}
	}
	return nil
}

// hostPort is the address that an http.Transport dials for the URL.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// publicTransport dials public addresses only, checked after the name was
// resolved, and the one host and port that the operator named.
func publicTransport(allowed string) *http.Transport {
	plain := &net.Dialer{Timeout: 10 * time.Second}
	public := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !isPublic(ap.Addr()) {
			return &LookupError{Kind: LookupRefused, Server: address, Err: errors.New("not a public address")}
		}
		return nil
	}}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == allowed {
				return plain.DialContext(ctx, network, address)
			}
			return public.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 15 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true,
	}
}

// privateNetworks are the ranges in which no registry's server lies (RFC 6890),
// in addition to those that netip knows.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("::/96"),
}

func isPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range privateNetworks {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

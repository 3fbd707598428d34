package owner_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/registrytest"
	"teiten/internal/synth"
)

func lookupError(t *testing.T, c *owner.RDAPClient) *owner.LookupError {
	t.Helper()
	_, err := c.Lookup(t.Context(), netip.MustParseAddr("192.0.2.5"))
	var e *owner.LookupError
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a LookupError", err)
	}
	return e
}

// faultTest is a server that misbehaves and what the client makes of it.
type faultTest struct {
	name    string
	handler http.HandlerFunc
	want    owner.LookupErrorKind
	again   bool
	after   time.Duration
}

func TestRDAPClientFaults(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Error("a private address was asked after a redirect")
	}))
	t.Cleanup(elsewhere.Close)
	page := func(code int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	tests := []faultTest{
		{"404", page(404, `{"errorCode":404}`), owner.LookupNotFound, false, 0},
		{"404 in a 200", page(200, `{"errorCode":"404","title":"x"}`), owner.LookupNotFound, false, 0},
		{"429", page(429, "slow down", "Retry-After", "120"), owner.LookupThrottled, true, 2 * time.Minute},
		{"429 without a time", page(429, ""), owner.LookupThrottled, true, time.Minute},
		{"429 for ever", page(429, "", "Retry-After", "99999999999"), owner.LookupThrottled, true, 24 * time.Hour},
		{"503 with a time", page(503, "", "Retry-After", "30"), owner.LookupThrottled, true, 30 * time.Second},
		{"500", page(500, `{"errorCode":500}`), owner.LookupTemporary, true, 0},
		{"HTML", page(200, "<html>Access denied</html>", "Content-Type", "text/html"), owner.LookupMalformed, true, 0},
		{"empty", page(200, ""), owner.LookupMalformed, true, 0},
		{"403", page(403, "no"), owner.LookupMalformed, true, 0},
		{"40 MB announced", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(40<<20))
			_, _ = io.CopyN(w, spaces{}, 40<<20)
		}, owner.LookupTooLarge, false, 0},
		{"40 MB", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = io.CopyN(w, spaces{}, 40<<20)
		}, owner.LookupTooLarge, false, 0},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"objectClassName":"ip network",`)
		}, owner.LookupMalformed, true, 0},
		{"gzip bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.CopyN(z, spaces{}, 8<<20)
			_ = z.Close()
		}, owner.LookupTooLarge, false, 0},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, registrytest.Network("")[:60]) }, owner.LookupMalformed, true, 0},
		{"UTF-16", page(200, "{\x00\"\x00h\x00\"\x00:\x001\x00}\x00"), owner.LookupMalformed, true, 0},
		{"100,000 brackets", page(200, strings.Repeat("[", 100_000)), owner.LookupMalformed, true, 0},
		{"entities in entities", page(200, registrytest.Network(`,"entities":[`+strings.Repeat(`{"entities":[`, 200)+strings.Repeat(`]}`, 200)+`]`)), owner.LookupTooLarge, false, 0},
		{"hung up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, owner.LookupTemporary, true, 0},
		{"circle", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/ip/"+map[bool]string{true: "a", false: "b"}[strings.HasSuffix(r.URL.Path, "b")], http.StatusFound)
		}, owner.LookupRefused, false, 0},
		{"endless", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }, owner.LookupRefused, false, 0},
		{"private address", redirect(elsewhere.URL + "/ip/192.0.2.5"), owner.LookupRefused, false, 0},
		{"private address by name", redirect(strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)), owner.LookupRefused, false, 0},
		{"metadata service", redirect("http://169.254.169.254/latest"), owner.LookupRefused, false, 0},
		{"private IPv6", redirect("http://[::ffff:127.0.0.1]:1/"), owner.LookupRefused, false, 0},
		{"another scheme", redirect("file:///etc/passwd"), owner.LookupRefused, false, 0},
		{"password", redirect("http://user:secret@registry.example/"), owner.LookupRefused, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkFault(t, tt) })
	}
}

// checkFault compares the error that a server causes with the one that is wanted.
func checkFault(t *testing.T, tt faultTest) {
	t.Parallel()
	c, _ := registrytest.RDAPServer(t, tt.handler)
	e := lookupError(t, c)
	if e.Kind != tt.want || e.Retryable() != tt.again {
		t.Errorf("got %v (again %v), want %s (again %v)", e, e.Retryable(), tt.want, tt.again)
	}
	if !e.Asked && tt.want != owner.LookupRefused {
		t.Error("the error does not say that the server was asked")
	}
	if tt.after != e.RetryAfter {
		t.Errorf("retry after %v, want %v", e.RetryAfter, tt.after)
	}
}

// spaces is an endless stream of blanks.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestRDAPClientTimesOut(t *testing.T) {
	t.Parallel()
	c, _ := registrytest.RDAPServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		func(cfg *owner.RDAPConfig) { cfg.Timeout = 100 * time.Millisecond })
	if e := lookupError(t, c); e.Kind != owner.LookupTemporary {
		t.Errorf("got %v, want temporary", e)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Lookup(ctx, netip.MustParseAddr("192.0.2.5")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestRDAPClientHonoursPause(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	now := time.Now()
	clock := func() time.Time { return now }
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", now.Add(90*time.Second).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusTooManyRequests)
	}, func(cfg *owner.RDAPConfig) { cfg.Now = clock })
	lookupError(t, c)
	e := lookupError(t, c)
	if e.Kind != owner.LookupThrottled || e.Asked || e.RetryAfter < 80*time.Second || asked.Load() != 1 {
		t.Errorf("got %v (asked %v, after %v) and %d questions, want one", e, e.Asked, e.RetryAfter, asked.Load())
	}
	now = now.Add(2 * time.Minute)
	if e := lookupError(t, c); !e.Asked || asked.Load() != 2 {
		t.Errorf("after the pause: %v, %d questions", e, asked.Load())
	}
}

func TestRDAPClientLeavesBrokenServerAlone(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	})
	for range 10 {
		lookupError(t, c)
	}
	if e := lookupError(t, c); asked.Load() != 5 || e.Asked || e.RetryAfter == 0 {
		t.Errorf("%d questions, last error %v, want five and a pause", asked.Load(), e)
	}
}

func TestRDAPClientAsksOneQuestionAtATime(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		if n > most.Load() {
			most.Store(n)
		}
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
		_, _ = io.WriteString(w, registrytest.Network(""))
	})
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := c.Lookup(t.Context(), netip.MustParseAddr("192.0.2.5")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d questions at once", most.Load())
	}
}

func TestRDAPClientKeepsRate(t *testing.T) {
	t.Parallel()
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, registrytest.Network("")) },
		func(cfg *owner.RDAPConfig) { cfg.Every = time.Hour })
	if _, err := c.Lookup(t.Context(), netip.MustParseAddr("192.0.2.5")); err != nil {
		t.Fatal(err)
	}
	if e := lookupError(t, c); e.Kind != owner.LookupThrottled || e.Asked || e.RetryAfter < 50*time.Minute {
		t.Errorf("got %v, want our own pause", e)
	}
}

// transport answers for the whole Internet.
type transport func(*http.Request) (int, string)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	code, body := f(r)
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(body)), Header: make(http.Header), Request: r}, nil
}

func TestRDAPClientFindsRegistry(t *testing.T) {
	t.Parallel()
	lists := map[string]string{
		"https://data.iana.org/rdap/ipv4.json": `{"version":"1.0","services":[[["192.0.2.0/24"],["http://old.example/","https://rdap.registry.example/x/"]]]}`,
		"https://data.iana.org/rdap/ipv6.json": `{"version":"1.0","services":[[["2001:db8::/32"],["https://six.example/"]]]}`,
	}
	for _, tt := range []struct {
		name, query, want string
		iana              bool
	}{
		{"IANA's list", "192.0.2.5", "https://rdap.registry.example/x/ip/192.0.2.5", true},
		{"IANA's list, IPv6", "2001:db8::5", "https://six.example/ip/2001:db8::5", true},
		{"IANA away", "192.0.2.5", "https://rdap.arin.net/registry/ip/192.0.2.5", false},
		{"IANA away, APNIC", "203.0.113.5", "https://rdap.apnic.net/ip/203.0.113.5", false},
		{"IANA away, IPv6", "2001:db8::5", "https://rdap.apnic.net/ip/2001:db8::5", false},
		{"IANA away, redirected by ARIN", "198.51.100.5", "https://rdap.arin.net/registry/ip/198.51.100.5", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			c, err := owner.NewRDAPClient(owner.RDAPConfig{Every: time.Nanosecond, Transport: transport(func(r *http.Request) (int, string) {
				asked = append(asked, r.URL.String())
				if list := lists[r.URL.String()]; list != "" && tt.iana {
					return 200, list
				}
				return 404, ""
			})})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				var e *owner.LookupError
				if _, err := c.Lookup(t.Context(), netip.MustParseAddr(tt.query)); !errors.As(err, &e) || e.Kind != owner.LookupNotFound {
					t.Fatal(err)
				}
			}
			if len(asked) != 3 || asked[1] != tt.want || asked[2] != tt.want {
				t.Errorf("asked %q, want IANA once and then %s", asked, tt.want)
			}
		})
	}
}

func TestRDAPClientSparesLACNIC(t *testing.T) {
	t.Parallel()
	asked := 0
	c, err := owner.NewRDAPClient(owner.RDAPConfig{Every: time.Nanosecond, Transport: transport(func(r *http.Request) (int, string) {
		if r.URL.Host == "data.iana.org" {
			return 200, `{"version":"1.0","services":[[["192.0.2.0/24"],["https://rdap.lacnic.net/rdap/"]]]}`
		}
		asked++
		return 404, ""
	})})
	if err != nil {
		t.Fatal(err)
	}
	lookupError(t, c)
	if e := lookupError(t, c); asked != 1 || e.Kind != owner.LookupThrottled || e.RetryAfter < 5*time.Second {
		t.Errorf("%d questions, %v after %v; want one in six seconds", asked, e, e.RetryAfter)
	}
}

func TestNewRDAPClientRefusesBadURLs(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"ftp://registry.example/", "registry.example", "http://user:secret@registry.example/", "http://%zz/"} {
		if _, err := owner.NewRDAPClient(owner.RDAPConfig{BaseURL: u}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", u, err)
		}
	}
}

func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	h, err := synth.RDAPHandler(synth.RDAPAnswers())
	if err != nil {
		t.Fatal(err)
	}
	c, _ := registrytest.RDAPServer(t, h.ServeHTTP)
	for _, tt := range []struct{ addr, want string }{
		{"192.0.2.10", "192.0.2.0/26 JP ja | Example Internet Service (Japan) apnic:ORG-EISJ1-AP | abuse@isp.example abuse-role auto true"},
		{"192.0.2.70", "192.0.2.64/26 JP ja | Example University apnic:net:192.0.2.64 - 192.0.2.127 | abuse@university.example remark approve -"},
		{"192.0.2.140", "192.0.2.128/26 JP ja | Example Trading apnic:net:192.0.2.128 - 192.0.2.191 |  none human -"},
		{"192.0.2.200", "192.0.2.192/26 KR en | Example Telecom Korea apnic:net:192.0.2.192 - 192.0.2.255 | abuse@telecom.example local-part approve -"},
		{"203.0.113.10", "203.0.113.0/26 US en | Example Research Institute arin:ERI-7 | security@research.example abuse-role auto true"},
		{"203.0.113.70", "203.0.113.64/26 US en | Example Hosting arin:EXH-12 | abuse@hosting.example abuse-role auto true"},
		{"203.0.113.230", "203.0.113.128/25 NL en | Example Datacenter ripe:ORG-EDC1-RIPE | abuse@dc.example abuse-role auto -"},
		{"2001:db8:1::5", "2001:db8::/32 JP ja | Example IPv6 Network apnic:IRT-EX-V6-JP | abuse@v6.example abuse-role auto true"},
	} {
		addr := netip.MustParseAddr(tt.addr)
		a, err := c.Lookup(t.Context(), addr)
		if err != nil {
			t.Errorf("%s: %v", tt.addr, err)
			continue
		}
		ch := owner.ChooseContact(a, addr, owner.DefaultContactConfig())
		valid := "-"
		if ch.Contact.Valid != nil {
			valid = fmt.Sprint(*ch.Contact.Valid)
		}
		got := fmt.Sprintf("%s %s %s | %s %s | %s %s %s %s", ch.Network.Range, ch.Network.Country, ch.Language, ch.OwnerName, ch.OwnerKey,
			ch.Contact.Email, ch.Contact.Provenance, ch.Contact.Gate, valid)
		if got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.addr, got, tt.want)
		}
	}
	var e *owner.LookupError
	if _, err := c.Lookup(t.Context(), netip.MustParseAddr("198.51.100.1")); !errors.As(err, &e) || e.Kind != owner.LookupNotFound {
		t.Errorf("got %v, want not found", err)
	}
}

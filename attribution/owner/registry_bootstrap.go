package owner

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/openrdap/rdap/bootstrap"
	"github.com/openrdap/rdap/bootstrap/cache"
)

//go:embed registries/*.json
var registrySeed embed.FS

const (
	bootstrapLife  = 24 * time.Hour
	bootstrapAgain = time.Hour // after IANA could not be read
)

// bootstrapper knows which registry is responsible for an address (RFC 9224).
// It reads IANA's lists once a day and does with a small list of its own until,
// and when, they cannot be had.
type bootstrapper struct {
	mu     sync.Mutex // guards client, which is not safe for concurrent use
	client *bootstrap.Client
}

func newBootstrapper(from string, client *http.Client, now func() time.Time) (*bootstrapper, error) {
	b := &bootstrapper{client: &bootstrap.Client{
		HTTP:    client,
		Cache:   &seededCache{now: now, files: make(map[string]cachedFile)},
		Verbose: func(string) {},
	}}
	if from != "" {
		u, err := url.Parse(from)
		if err != nil {
			return nil, fmt.Errorf("RDAP bootstrap URL: %w", err)
		}
		b.client.BaseURL = u
	}
	return b, nil
}

// serverFor returns the base URL of the registry, HTTPS if there is one.
func (b *bootstrapper) serverFor(ctx context.Context, addr netip.Addr) (*url.URL, error) {
	question := &bootstrap.Question{RegistryType: bootstrap.IPv4, Query: addr.String()}
	if addr.Is6() {
		question.RegistryType = bootstrap.IPv6
	}
	b.mu.Lock()
	answer, err := b.client.Lookup(question.WithContext(ctx))
	b.mu.Unlock()
	if err != nil {
		return nil, &LookupError{Kind: LookupTemporary, Err: fmt.Errorf("bootstrap: %w", err)}
	}
	var found *url.URL
	for _, u := range answer.URLs {
		if u.Scheme == "https" || u.Scheme == "http" && found == nil {
			found = u
		}
		if u.Scheme == "https" {
			break
		}
	}
	if found == nil {
		return nil, &LookupError{Kind: LookupNotFound, Err: errors.New("no registry is responsible for the address")}
	}
	return found, nil
}

// seededCache holds IANA's lists in memory and answers from the seed while
// there are none. It is used under the bootstrapper's lock.
type seededCache struct {
	now   func() time.Time
	files map[string]cachedFile
}

type cachedFile struct {
	data   []byte
	loaded bool      // the client has it in memory
	until  time.Time // when to ask IANA again
}

// SetTimeout does nothing; the lists live a day.
func (c *seededCache) SetTimeout(time.Duration) {}

// Save keeps a list that was fetched.
func (c *seededCache) Save(name string, data []byte) error {
	c.files[seedName(name)] = cachedFile{data: data, loaded: true, until: c.now().Add(bootstrapLife)}
	return nil
}

// Load returns the list, or the seed.
func (c *seededCache) Load(name string) ([]byte, error) {
	name = seedName(name)
	f := c.files[name]
	if f.data == nil {
		seed, err := registrySeed.ReadFile("registries/" + name)
		if err != nil {
			return nil, fmt.Errorf("seed of the bootstrap: %w", err)
		}
		f.data = seed
	}
	f.loaded = true
	c.files[name] = f
	return f.data, nil
}

// State says Expired, which makes the client fetch, at most once in an hour.
func (c *seededCache) State(name string) cache.FileState {
	name = seedName(name)
	f := c.files[name]
	if now := c.now(); !f.until.After(now) {
		f.until = now.Add(bootstrapAgain)
		c.files[name] = f
		return cache.Expired
	}
	if f.loaded {
		return cache.Good
	}
	return cache.ShouldReload
}

// seedName is ipv4.json or ipv6.json; with a bootstrap service other than
// IANA's the client puts a digest in front.
func seedName(name string) string {
	for _, known := range []string{"ipv4.json", "ipv6.json"} {
		if strings.HasSuffix(name, known) {
			return known
		}
	}
	return name
}

package owner

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"
)

const (
	// patience is how long a question waits for its turn before it is put off.
	patience = 2 * time.Second
	// defaultPause is the pause after a 429 without Retry-After.
	defaultPause = time.Minute
	// longestPause bounds what a Retry-After may ask for.
	longestPause = 24 * time.Hour
	// maxServers bounds the servers that are remembered.
	maxServers = 256
)

// manners is an http.RoundTripper that is polite to each server and reads no
// answer larger than MaxAnswerBytes.
type manners struct {
	next    http.RoundTripper
	servers *servers
}

// servers are the registries' servers, over RDAP and WHOIS, as we have met
// them: each is asked one question at a time, no more than at its rate, and
// none while it asks for a pause or is down.
type servers struct {
	every func(host string) time.Duration
	now   func() time.Time
	mu    sync.Mutex // guards known
	known map[string]*server
}

// server is the state that we keep about one server.
type server struct {
	turn    chan struct{} // holds one token; the goroutine that has it asks
	limiter *rate.Limiter
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	mu      sync.Mutex // guards until
	until   time.Time  // no question before
}

func newServers(every func(host string) time.Duration, now func() time.Time) *servers {
	return &servers{every: every, now: now, known: make(map[string]*server)}
}

func (s *servers) get(host string) (*server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known[host]; known != nil {
		return known, nil
	}
	if len(s.known) >= maxServers {
		return nil, errors.New("too many different servers")
	}
	n := &server{
		turn:    make(chan struct{}, 1),
		limiter: rate.NewLimiter(rate.Every(s.every(host)), 1),
		breaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name: host, Timeout: time.Minute,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		}),
	}
	n.turn <- struct{}{}
	s.known[host] = n
	return n, nil
}

// question is one question to a server: report must be called once, with what
// came of it, and leave when the answer has been read.
type question struct {
	server *server
	report func(err error) // nil: the server is well
}

// enter waits for the server's turn, longest at most. Its errors are of type
// *LookupError.
func (s *servers) enter(ctx context.Context, host string, longest time.Duration) (question, error) {
	known, err := s.get(host)
	if err != nil {
		return question{}, &LookupError{Kind: LookupRefused, Server: host, Err: err}
	}
	if err := known.wait(ctx, s.now, host, longest); err != nil {
		return question{}, err
	}
	done, err := known.breaker.Allow()
	if err != nil {
		known.turn <- struct{}{}
		return question{}, &LookupError{Kind: LookupThrottled, Server: host, RetryAfter: time.Minute, Err: err}
	}
	return question{server: known, report: done}, nil
}

// leave gives the server's turn to the next.
func (v question) leave() { v.server.turn <- struct{}{} }

// RoundTrip asks when it is our turn. Its errors are of type *LookupError.
func (m *manners) RoundTrip(req *http.Request) (*http.Response, error) {
	host := strings.ToLower(req.URL.Host)
	longest := patience
	if req.Response != nil {
		longest = time.Minute // a redirect: the question is under way already
	}
	v, err := m.servers.enter(req.Context(), host, longest)
	if err != nil {
		return nil, err
	}
	resp, err := m.next.RoundTrip(req)
	if err != nil {
		v.report(err)
		v.leave()
		if refused := (*LookupError)(nil); errors.As(err, &refused) {
			return nil, refused
		}
		return nil, &LookupError{Kind: LookupTemporary, Server: host, Asked: true, Err: err}
	}
	if resp.StatusCode >= 500 {
		v.report(errors.New(resp.Status))
	} else {
		v.report(nil)
	}
	if pause, asked := retryAfter(resp, m.servers.now()); asked {
		v.server.pause(m.servers.now().Add(pause))
	}
	resp.Body = &cappedBody{body: resp.Body, left: MaxAnswerBytes, host: host, leave: v.leave}
	if resp.ContentLength > MaxAnswerBytes {
		_ = resp.Body.Close() // nothing of it was read
		return nil, &LookupError{Kind: LookupTooLarge, Server: host, Status: resp.StatusCode, Asked: true, Err: ErrAnswerTooLarge}
	}
	return resp, nil
}

// wait takes the server's turn at a time when it may be asked.
func (s *server) wait(ctx context.Context, now func() time.Time, host string, longest time.Duration) error {
	s.mu.Lock()
	until := s.until
	s.mu.Unlock()
	if pause := until.Sub(now()); pause > 0 {
		return &LookupError{Kind: LookupThrottled, Server: host, RetryAfter: pause, Err: errors.New("the server asked for a pause")}
	}
	select {
	case <-s.turn:
	case <-ctx.Done():
		return &LookupError{Kind: LookupTemporary, Server: host, Err: ctx.Err()}
	}
	r := s.limiter.Reserve()
	delay := r.Delay()
	if delay > longest {
		r.Cancel()
		s.turn <- struct{}{}
		return &LookupError{Kind: LookupThrottled, Server: host, RetryAfter: delay, Err: errors.New("our own rate for this server")}
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		r.Cancel()
		s.turn <- struct{}{}
		return &LookupError{Kind: LookupTemporary, Server: host, Err: ctx.Err()}
	}
}

func (s *server) pause(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until.After(s.until) {
		s.until = until
	}
}

// retryAfter reads how long a server that refuses us for now wants us to wait
// (RFC 6585, 4; RFC 9110, 10.2.3).
func retryAfter(resp *http.Response, now time.Time) (time.Duration, bool) {
	value := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if resp.StatusCode != http.StatusTooManyRequests && (resp.StatusCode != http.StatusServiceUnavailable || value == "") {
		return 0, false
	}
	pause := defaultPause
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		pause = min(time.Duration(seconds), longestPause/time.Second) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		pause = at.Sub(now)
	}
	return min(max(pause, time.Second), longestPause), true
}

// cappedBody reads at most left bytes and gives the server's turn back when it
// is closed.
type cappedBody struct {
	body   io.ReadCloser
	left   int64
	host   string
	leave  func()
	closed sync.Once
}

// Read fails with a *LookupError when the body goes on behind the limit.
func (b *cappedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if int64(n) > b.left {
		n = int(b.left)
		b.left = 0
		return n, &LookupError{Kind: LookupTooLarge, Server: b.host, Asked: true, Err: ErrAnswerTooLarge}
	}
	b.left -= int64(n)
	return n, err
}

// Close closes the body; it may be called again.
func (b *cappedBody) Close() error {
	err := b.body.Close()
	b.closed.Do(b.leave)
	return err
}

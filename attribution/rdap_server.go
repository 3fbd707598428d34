package attribution

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
	// maxServers bounds the servers that manners are remembered for.
	maxServers = 256
)

// manners is an http.RoundTripper that is polite to each server: one question
// at a time, no more than its rate, none while it asks for a pause or is down;
// and that reads no answer larger than MaxAnswerBytes.
type manners struct {
	next   http.RoundTripper
	every  func(host string) time.Duration
	now    func() time.Time
	mu     sync.Mutex // guards servers
	server map[string]*server
}

// server is what we remember of one RDAP server.
type server struct {
	turn    chan struct{} // holds one token; whoever has it asks
	limiter *rate.Limiter
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	mu      sync.Mutex // guards until
	until   time.Time  // no question before
}

func (m *manners) serverFor(host string) (*server, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.server[host]; s != nil {
		return s, nil
	}
	if len(m.server) >= maxServers {
		return nil, errors.New("too many different RDAP servers")
	}
	s := &server{
		turn:    make(chan struct{}, 1),
		limiter: rate.NewLimiter(rate.Every(m.every(host)), 1),
		breaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name: host, Timeout: time.Minute,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		}),
	}
	s.turn <- struct{}{}
	m.server[host] = s
	return s, nil
}

// RoundTrip asks when it is our turn. Its errors are of type *LookupError.
func (m *manners) RoundTrip(req *http.Request) (*http.Response, error) {
	host := strings.ToLower(req.URL.Host)
	s, err := m.serverFor(host)
	if err != nil {
		return nil, &LookupError{Kind: LookupRefused, Server: host, Err: err}
	}
	longest := patience
	if req.Response != nil {
		longest = time.Minute // a redirect: the question is under way already
	}
	if err := s.wait(req.Context(), m.now, host, longest); err != nil {
		return nil, err
	}
	done, err := s.breaker.Allow()
	if err != nil {
		s.turn <- struct{}{}
		return nil, &LookupError{Kind: LookupThrottled, Server: host, RetryAfter: time.Minute, Err: err}
	}
	resp, err := m.next.RoundTrip(req)
	if err != nil {
		done(err)
		s.turn <- struct{}{}
		if refused := (*LookupError)(nil); errors.As(err, &refused) {
			return nil, refused
		}
		return nil, &LookupError{Kind: LookupTemporary, Server: host, Asked: true, Err: err}
	}
	if resp.StatusCode >= 500 {
		done(errors.New(resp.Status))
	} else {
		done(nil)
	}
	if pause, asked := retryAfter(resp, m.now()); asked {
		s.pause(m.now().Add(pause))
	}
	resp.Body = &cappedBody{body: resp.Body, left: MaxAnswerBytes, host: host, turn: s.turn}
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
	turn   chan struct{}
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
	b.closed.Do(func() { b.turn <- struct{}{} })
	return err
}

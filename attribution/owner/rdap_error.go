package owner

import (
	"cmp"
	"fmt"
	"time"
)

// LookupErrorKind says why a lookup failed.
type LookupErrorKind string

// The kinds of failed lookups.
const (
	// LookupNotFound: the registry knows no network around the address.
	LookupNotFound LookupErrorKind = "not-found"
	// LookupThrottled: the server asked for a pause, or the pause is ours. See
	// LookupError.RetryAfter.
	LookupThrottled LookupErrorKind = "throttled"
	// LookupTemporary: no connection, time-out, a server error.
	LookupTemporary LookupErrorKind = "temporary"
	// LookupMalformed: something else than an RDAP answer, HTML for instance.
	LookupMalformed LookupErrorKind = "malformed"
	// LookupTooLarge: more than MaxAnswerBytes.
	LookupTooLarge LookupErrorKind = "too-large"
	// LookupRefused: we did not ask, because of where the question would go:
	// a redirect in a circle, to another scheme, to a private address.
	LookupRefused LookupErrorKind = "refused"
)

// LookupError is why a lookup failed. It is always used as a pointer.
type LookupError struct {
	Kind LookupErrorKind
	// Protocol is "WHOIS"; empty means RDAP.
	Protocol string
	Server   string // host, or empty
	Status   int    // HTTP status, 0 without an answer
	// RetryAfter is how long to wait at least; 0: the caller decides.
	RetryAfter time.Duration
	// Asked says that the question reached a server; a wait of our own making
	// does not count as an attempt.
	Asked bool
	Err   error
}

// Error says what happened, with the server.
func (e *LookupError) Error() string {
	s := cmp.Or(e.Protocol, "RDAP") + " " + string(e.Kind)
	if e.Server != "" {
		s += " at " + e.Server
	}
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *LookupError) Unwrap() error { return e.Err }

// Retryable reports whether asking again within the day can help.
func (e *LookupError) Retryable() bool {
	return e.Kind == LookupThrottled || e.Kind == LookupTemporary || e.Kind == LookupMalformed
}

// Package work runs background work: one loop that does what is due, sleeps when nothing is, backs off when it
// fails, and ends with its context. What is due, and who does it, is for rows in the database to say; the loop
// keeps no state that matters. It reads nothing and writes logs and metrics.
package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

const (
	defaultEvery      = 3 * time.Second
	defaultBackoffMin = time.Second
	defaultBackoffMax = time.Minute
)

// Loop is one kind of background work. Name and Do must be set.
type Loop struct {
	// Name is the loop's label in logs and metrics, a word or two in lower case.
	Name string
	// Every is the pause after a call that found nothing to do. Zero means 3 seconds.
	Every time.Duration
	// Wake, when something arrives on it, ends such a pause at once. Nil means that only time does. Give it
	// room for one value, and send without blocking.
	Wake <-chan struct{}
	// Do does a batch of what is due and says how many pieces it did. It returns soon after ctx is done. It must
	// be right to call it again after an error or a panic: what failed is due again, or moved into the future,
	// in the database.
	Do func(ctx context.Context) (n int, err error)
	// BackoffMin and BackoffMax bound the pause after an error, which doubles with each error in a row and is
	// shortened at random by up to half. Zero means 1 second and 1 minute.
	BackoffMin, BackoffMax time.Duration
	// Logger gets errors and panics. Nil means silence.
	Logger *slog.Logger
	// Metrics counts runs. Nil means that runs are not counted.
	Metrics *Metrics
}

// PanicError is a panic of Do, turned into an error.
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Stack is the stack of the goroutine at that moment.
	Stack []byte
}

// Error says what was given to panic.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Run calls Do until ctx is done: again at once while there is something to do, else after Every or a wake-up,
// and after an error only when its back-off is over. It returns when the last call of Do has.
func (l Loop) Run(ctx context.Context) {
	if l.Every <= 0 {
		l.Every = defaultEvery
	}
	if l.BackoffMin <= 0 {
		l.BackoffMin = defaultBackoffMin
	}
	if l.BackoffMax < l.BackoffMin {
		l.BackoffMax = max(defaultBackoffMax, l.BackoffMin)
	}
	if l.Logger == nil {
		l.Logger = slog.New(slog.DiscardHandler)
	}
	l.Metrics.start(l.Name)
	failures := 0
	for ctx.Err() == nil {
		begun := time.Now()
		n, err := l.do(ctx)
		if err != nil && ctx.Err() != nil {
			return // the error is the stop's
		}
		l.Metrics.observe(l.Name, n, err, time.Since(begun))
		switch {
		case err != nil:
			pause := Backoff(failures, l.BackoffMin, l.BackoffMax)
			failures++
			l.logFailure(err, failures, pause)
			sleep(ctx, nil, pause)
		case n > 0:
			failures = 0
		default:
			failures = 0
			sleep(ctx, l.Wake, l.Every)
		}
	}
}

// do calls Do and turns a panic into an error.
func (l Loop) do(ctx context.Context) (n int, err error) {
	defer func() {
		if value := recover(); value != nil {
			n, err = 0, &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return l.Do(ctx)
}

func (l Loop) logFailure(err error, failures int, pause time.Duration) {
	attrs := []any{"loop", l.Name, "err", err, "attempt", failures, "pause", pause.Round(time.Millisecond)}
	if p := (*PanicError)(nil); errors.As(err, &p) {
		attrs = append(attrs, "stack", string(p.Stack))
	}
	l.Logger.Error("background work failed", attrs...)
}

// Backoff returns the pause after the given number of earlier failures in a row: first, doubled with each, at
// most limit, shortened at random by up to half so that those who failed together do not come back together.
func Backoff(failures int, first, limit time.Duration) time.Duration {
	pause := first
	for range failures {
		if pause >= limit/2 {
			pause = limit
			break
		}
		pause *= 2
	}
	pause = min(pause, limit)
	if half := int64(pause / 2); half > 0 {
		pause -= time.Duration(rand.Int64N(half + 1))
	}
	return pause
}

func sleep(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

package work_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"teiten/internal/work"
)

var errBroken = errors.New("broken")

// step is one call of Do: what it returns, and whether it panics.
type step struct {
	n      int
	err    error
	panics bool
}

// play runs a loop over the steps, in made-up time, and returns when each call began. The loop ends with the
// last step.
func play(t *testing.T, l work.Loop, steps []step) (at []time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := time.Now()
	l.Do = func(context.Context) (int, error) {
		s := steps[len(at)]
		at = append(at, time.Since(begun))
		if len(at) == len(steps) {
			cancel()
		}
		if s.panics {
			panic("torn")
		}
		return s.n, s.err
	}
	l.Run(ctx)
	return at
}

func TestLoopGoesOnAtOnceWhileThereIsWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := play(t, work.Loop{Name: "test", Every: time.Hour}, []step{{n: 3}, {n: 1}, {n: 0}, {n: 0}})
		want := []time.Duration{0, 0, 0, time.Hour}
		for i := range want {
			if at[i] != want[i] {
				t.Errorf("got call %d at %s, want %s", i, at[i], want[i])
			}
		}
	})
}

func TestWakeEndsThePause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{}, 1)
		go func() {
			time.Sleep(time.Second)
			wake <- struct{}{}
		}()
		at := play(t, work.Loop{Name: "test", Every: time.Hour, Wake: wake}, []step{{}, {}})
		if at[1] != time.Second {
			t.Errorf("got the second call at %s, want one second", at[1])
		}
	})
}

func TestErrorsAndPanicsBackOffAndAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		registry := prometheus.NewRegistry()
		wake := make(chan struct{}, 1)
		wake <- struct{}{} // must not shorten a back-off
		at := play(t, work.Loop{
			Name: "test", Every: time.Hour, Wake: wake,
			BackoffMin: 10 * time.Second, BackoffMax: 30 * time.Second,
			Logger:  slog.New(slog.NewTextHandler(&logged, nil)),
			Metrics: work.NewMetrics(registry),
		}, []step{{err: errBroken}, {panics: true}, {err: errBroken}, {err: errBroken}, {n: 2}, {err: errBroken}, {n: 1}})
		bounds := []struct{ low, high time.Duration }{
			{5 * time.Second, 10 * time.Second},
			{10 * time.Second, 20 * time.Second},
			{15 * time.Second, 30 * time.Second},
			{15 * time.Second, 30 * time.Second},
			{0, 0},
			{5 * time.Second, 10 * time.Second}, // work done forgets earlier failures
		}
		for i, b := range bounds {
			if pause := at[i+1] - at[i]; pause < b.low || pause > b.high {
				t.Errorf("got a pause of %s after call %d, want %s to %s", pause, i, b.low, b.high)
			}
		}
		want := map[string]float64{"done": 2, "error": 4, "idle": 0, "panic": 1, "": 3}
		got := map[string]float64{}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				switch family.GetName() {
				case "teiten_work_runs_total":
					got[metric.GetLabel()[1].GetValue()] = metric.GetCounter().GetValue()
				case "teiten_work_items_total":
					got[""] = metric.GetCounter().GetValue()
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("got runs by result (and items) %v, want %v", got, want)
		}
		for _, part := range []string{"panic: torn", "loop_test.go", "broken", "attempt=4"} {
			if !strings.Contains(logged.String(), part) {
				t.Errorf("got a log without %q:\n%s", part, logged.String())
			}
		}
	})
}

func TestStopDuringWorkIsNoFailure(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	work.Loop{
		Name:   "test",
		Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		Do: func(ctx context.Context) (int, error) {
			cancel()
			<-ctx.Done()
			return 0, ctx.Err()
		},
	}.Run(ctx)
	if logged.Len() > 0 {
		t.Errorf("got a log %q, want silence", logged.String())
	}
}

func TestStopEndsThePause(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		work.Loop{Name: "test", Every: time.Hour, Do: func(context.Context) (int, error) { return 0, nil }}.Run(ctx)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the loop sleeps on after its context's end")
	}
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	for failures := range 200 {
		if got := work.Backoff(failures, time.Second, time.Minute); got < time.Second/2 || got > time.Minute {
			t.Errorf("got %s after %d failures, want 0.5 s to 1 m", got, failures)
		}
	}
}

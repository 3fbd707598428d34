package work

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The results of a call of Do, as they appear in the label "result".
const (
	resultDone  = "done"
	resultIdle  = "idle"
	resultError = "error"
	resultPanic = "panic"
)

// Metrics counts what loops do. All loops of a program share one.
type Metrics struct {
	runs     *prometheus.CounterVec
	items    *prometheus.CounterVec
	duration *prometheus.CounterVec
	success  *prometheus.GaugeVec
}

// NewMetrics registers the metrics of all loops with registerer. It panics when they are registered already.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "teiten_work_runs_total",
			Help: "Calls of background work by loop and result: done, idle, error or panic.",
		}, []string{"loop", "result"}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "teiten_work_items_total",
			Help: "Pieces of background work done.",
		}, []string{"loop"}),
		duration: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "teiten_work_run_seconds_total",
			Help: "Time spent in calls of background work.",
		}, []string{"loop"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "teiten_work_last_success_timestamp_seconds",
			Help: "When background work last ran without an error, 0 before the first time.",
		}, []string{"loop"}),
	}
	registerer.MustRegister(m.runs, m.items, m.duration, m.success)
	return m
}

// start makes a loop's series appear with zeros.
func (m *Metrics) start(loop string) {
	if m == nil {
		return
	}
	for _, result := range []string{resultDone, resultIdle, resultError, resultPanic} {
		m.runs.WithLabelValues(loop, result)
	}
	m.items.WithLabelValues(loop)
	m.duration.WithLabelValues(loop)
	m.success.WithLabelValues(loop)
}

func (m *Metrics) observe(loop string, n int, err error, took time.Duration) {
	if m == nil {
		return
	}
	result := resultIdle
	switch p := (*PanicError)(nil); {
	case errors.As(err, &p):
		result = resultPanic
	case err != nil:
		result = resultError
	case n > 0:
		result = resultDone
	}
	m.runs.WithLabelValues(loop, result).Inc()
	m.duration.WithLabelValues(loop).Add(took.Seconds())
	if n > 0 {
		m.items.WithLabelValues(loop).Add(float64(n))
	}
	if err == nil {
		m.success.WithLabelValues(loop).SetToCurrentTime()
	}
}

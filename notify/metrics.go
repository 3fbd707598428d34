package notify

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"teiten/internal/casedb"
)

// Metrics counts mails. A nil *Metrics counts nothing.
type Metrics struct {
	attempts *prometheus.CounterVec
	inbound  *prometheus.CounterVec
	waiting  *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
	stalls   prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "teiten_notify_messages_total",
			Help: "Messages that were due, by what became of them."}, []string{"result"}),
		inbound: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "teiten_notify_inbound_total",
			Help: "Mails that came in, by class."}, []string{"class"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "teiten_notify_due_rows",
			Help: "Rows that are due, by queue."}, []string{"queue"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "teiten_notify_oldest_due_seconds",
			Help: "How long the oldest due row has been due, by queue."}, []string{"queue"}),
		stalls: prometheus.NewGauge(prometheus.GaugeOpts{Name: "teiten_notify_inbound_stalled",
			Help: "Mails that came in and are still being read beyond their deadline; they were put aside."}),
	}
	for _, result := range []string{"sent", "temporary", "permanent", "unknown", "canceled", "held", "suppressed"} {
		m.attempts.WithLabelValues(result)
	}
	for _, class := range []string{"bounce", "delay", "autoreply", "feedback", "challenge", "human", "failed"} {
		m.inbound.WithLabelValues(class)
	}
	for _, queue := range []string{"outgoing", "held", "inbound"} {
		m.waiting.WithLabelValues(queue)
		m.oldest.WithLabelValues(queue)
	}
	for _, c := range []prometheus.Collector{m.attempts, m.inbound, m.waiting, m.oldest, m.stalls} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) result(result string) {
	if m != nil {
		m.attempts.WithLabelValues(result).Inc()
	}
}

func (m *Metrics) class(class string) {
	if m != nil {
		m.inbound.WithLabelValues(class).Inc()
	}
}

// stalled counts mails that are read beyond their deadline, up or down.
func (m *Metrics) stalled(by float64) {
	if m != nil {
		m.stalls.Add(by)
	}
}

// measure sets the gauges of the outgoing queue.
func (m *Metrics) measure(ctx context.Context, db *casedb.DB, now time.Time) error {
	if m == nil || ctx.Err() != nil {
		return nil
	}
	out, err := db.SendBacklog(ctx, now)
	if err != nil {
		return err
	}
	in, err := db.InboundBacklog(ctx, now)
	if err != nil {
		return err
	}
	m.waiting.WithLabelValues("outgoing").Set(float64(out.Due))
	m.waiting.WithLabelValues("held").Set(float64(out.Held))
	m.waiting.WithLabelValues("inbound").Set(float64(in.Due))
	for queue, b := range map[string]casedb.Backlog{"outgoing": out, "inbound": in} {
		age := 0.0
		if b.Oldest.Valid {
			age = max(0, now.Sub(b.Oldest.Time).Seconds())
		}
		m.oldest.WithLabelValues(queue).Set(age)
	}
	return nil
}

package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"teiten/internal/casedb"
)

// newRegistry returns a registry with the metrics of the process and the
// database; the packages add their own.
func newRegistry(db *casedb.DB, log *slog.Logger) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&backlogCollector{db: db, log: log})
	return r
}

var (
	dueRows = prometheus.NewDesc("teiten_attribution_due_rows", "Rows that are due and wait for a worker.", []string{"queue"}, nil)
	waiting = prometheus.NewDesc("teiten_attribution_waiting_rows", "Rows that are not done, due or put off.", []string{"queue"}, nil)
	oldest  = prometheus.NewDesc("teiten_attribution_oldest_due_seconds", "How long the longest waiting row has been due.", []string{"queue"}, nil)
	newest  = prometheus.NewDesc("teiten_sensor_newest_window_age_seconds", "Age of the newest window that came from the sensor.", []string{"sensor"}, nil)
)

// backlogCollector asks the database at each scrape.
type backlogCollector struct {
	db  *casedb.DB
	log *slog.Logger
}

// Describe implements prometheus.Collector.
func (*backlogCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- dueRows
	ch <- waiting
	ch <- oldest
	ch <- newest
}

// Collect implements prometheus.Collector. If the database is away, the
// series are left out: a gap says more than an old number.
func (c *backlogCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	now := time.Now()
	backlogs, err := c.db.AttributionBacklog(ctx, now)
	if err != nil {
		c.log.Warn("cannot collect metrics", "err", err)
		return
	}
	for _, b := range backlogs {
		age := 0.0
		if b.Oldest != nil {
			age = now.Sub(*b.Oldest).Seconds()
		}
		ch <- prometheus.MustNewConstMetric(dueRows, prometheus.GaugeValue, float64(b.Due), b.Queue)
		ch <- prometheus.MustNewConstMetric(waiting, prometheus.GaugeValue, float64(b.Waiting), b.Queue)
		ch <- prometheus.MustNewConstMetric(oldest, prometheus.GaugeValue, age, b.Queue)
	}
	sensors, err := c.db.SensorsNewest(ctx)
	if err != nil {
		c.log.Warn("cannot collect metrics", "err", err)
		return
	}
	for _, s := range sensors {
		if s.Window != nil {
			ch <- prometheus.MustNewConstMetric(newest, prometheus.GaugeValue, now.Sub(*s.Window).Seconds(), s.Sensor)
		}
	}
}

package settle

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/fenflow/fenflow/pkg/pay"
)

type metrics struct {
	entries *prometheus.CounterVec
	letters *prometheus.CounterVec
	batch   prometheus.Histogram
	seconds prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	return metrics{
		entries: factory.NewCounterVec(prometheus.CounterOpts{Name: "fenflow_settled_entries_total", Help: "Notifications settled, by outcome."}, []string{"outcome"}),
		letters: factory.NewCounterVec(prometheus.CounterOpts{Name: "fenflow_letters_total", Help: "Dead letters written, by reason."}, []string{"reason"}),
		batch:   factory.NewHistogram(prometheus.HistogramOpts{Name: "fenflow_settle_batch_entries", Help: "Entries in one commit.", Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 250, 500}}),
		seconds: factory.NewHistogram(prometheus.HistogramOpts{Name: "fenflow_settle_commit_seconds", Help: "Time of one settling commit.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 12)}),
	}
}

func (m metrics) settled(settled pay.Settled, took time.Duration) {
	m.batch.Observe(float64(len(settled.Results)))
	m.seconds.Observe(took.Seconds())
	for _, result := range settled.Results {
		m.entries.WithLabelValues(string(result.Outcome)).Inc()
		if result.Letter != nil {
			m.letters.WithLabelValues(string(result.Letter.Reason)).Inc()
		}
	}
}

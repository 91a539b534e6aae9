package outbox

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/fenflow/fenflow/pkg/pay"
)

// The two ways to the stream, as metric labels.
const (
	pathFast  = "fast"
	pathSweep = "sweep"
)

type metrics struct {
	published  *prometheus.CounterVec
	duplicates prometheus.Counter
	dropped    prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	return metrics{
		published:  factory.NewCounterVec(prometheus.CounterOpts{Name: "fenflow_outbox_published_total", Help: "Events with a receipt of the broker, by the way they took."}, []string{"path"}),
		duplicates: factory.NewCounter(prometheus.CounterOpts{Name: "fenflow_outbox_duplicates_total", Help: "Events that the stream had already."}),
		dropped:    factory.NewCounter(prometheus.CounterOpts{Name: "fenflow_outbox_handover_dropped_total", Help: "Events that found no room in memory and waited for the sweep."}),
	}
}

func (m metrics) count(receipts []pay.Publication, path string) {
	m.published.WithLabelValues(path).Add(float64(len(receipts)))
	for _, receipt := range receipts {
		if receipt.Duplicate {
			m.duplicates.Inc()
		}
	}
}

package queue

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/telemetry"
)

// How a task ended, as metric labels.
const (
	outcomeDone     = "done"
	outcomeFailed   = "failed"
	outcomePanicked = "panicked"
	outcomeDropped  = "dropped" // could not be read
)

// kindUnknown labels what another version, or somebody else, put in the queue.
const kindUnknown Kind = "unknown"

type metrics struct {
	tasks *prometheus.CounterVec
	up    prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) metrics {
	return metrics{
		tasks: telemetry.Counter(r, "queue_tasks", "Tasks taken from the queue, by kind and how they ended.", "kind", "outcome"),
		up:    telemetry.Gauge(r, "queue", "up", "1 if Redis answered when it was last looked at, which is each second.").WithLabelValues(),
	}
}

func (m metrics) count(k Kind, outcome string) {
	if !k.isKnown() {
		k = kindUnknown
	}
	m.tasks.WithLabelValues(string(k), outcome).Inc()
}

package front

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/telemetry"
)

// Metrics are the front door's numbers.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	slowed   *prometheus.CounterVec
	panics   *prometheus.CounterVec
}

// NewMetrics registers the front door's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	return &Metrics{
		requests: telemetry.Counter(r, "front_requests", "Requests at the front door by route and status; a browser's questions before a request (CORS) are not among them.", "route", "status"),
		seconds:  telemetry.Seconds(r, "front_request", "From a request at the front door to its answer.", "route"),
		refused:  telemetry.Counter(r, "front_sessions_refused", "Sessions that were turned away, by reason.", "reason"),
		slowed:   telemetry.Counter(r, "front_slowed", "Requests answered 429: an address or a buyer that asks too often."),
		panics:   telemetry.Counter(r, "front_panics", "Requests at the front door that ended in a panic: each is a bug."),
	}
}

func (m *Metrics) requested(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

func (m *Metrics) panicked() { m.panics.WithLabelValues().Inc() }

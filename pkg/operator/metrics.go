package operator

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/telemetry"
)

// Why a request was turned away before anything was looked at.
const (
	refusedNoToken      = "no_token"
	refusedUnknownToken = "unknown_token"
	refusedLockedOut    = "locked_out"
	refusedTooFast      = "too_fast"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	panics   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	return &metrics{
		requests: telemetry.Counter(r, "operator_requests", "Requests of operators by route and status.", "route", "status"),
		seconds:  telemetry.Seconds(r, "operator_request", "From an operator's request to its answer.", "route"),
		refused:  telemetry.Counter(r, "operator_refusals", "Requests turned away for their token: none, unknown, from an address that is locked out, or too many.", "reason"),
		panics:   telemetry.Counter(r, "operator_panics", "Requests that ended in a panic: each is a bug."),
	}
}

func (m *metrics) requested(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

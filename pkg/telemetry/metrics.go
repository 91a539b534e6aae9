package telemetry

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Namespace begins the name of every metric.
const Namespace = "fenflow"

// NewRegistry makes a registry with what every role tells about itself:
// process, runtime, and which build of which role this is.
func NewRegistry(role, version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: Name("build_info"), Help: "Always 1; the labels say which build of which role runs.",
		ConstLabels: prometheus.Labels{"role": role, "version": version},
	})
	build.Set(1)
	r.MustRegister(build,
		prometheus.NewGoCollector(),                                       //nolint:staticcheck // its successor's package brings database/sql, which the edge must not hold
		prometheus.NewProcessCollector(prometheus.ProcessCollectorOpts{}), //nolint:staticcheck // the same
	)
	return r
}

// Name makes a metric's name from a thing and its unit: Name("outbox_oldest",
// "seconds") is fenflow_outbox_oldest_seconds. Counters end in "total".
func Name(parts ...string) string {
	return Namespace + "_" + strings.Join(parts, "_")
}

// Counter registers a counter with labels from closed sets; the name gets
// "total" behind it.
func Counter(r prometheus.Registerer, thing, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: Name(thing, "total"), Help: help}, labels)
	r.MustRegister(c)
	return c
}

// Gauge registers a gauge of a thing in a unit.
func Gauge(r prometheus.Registerer, thing, unit, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: Name(thing, unit), Help: help}, labels)
	r.MustRegister(g)
	return g
}

// Seconds registers a histogram of durations, from half a millisecond to about
// 16 seconds: an fsync is near the low end, a call to WeChat Pay near the high.
func Seconds(r prometheus.Registerer, thing, help string, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: Name(thing, "seconds"), Help: help, Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
	}, labels)
	r.MustRegister(h)
	return h
}

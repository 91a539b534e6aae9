package command

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	commands *prometheus.CounterVec
	calls    *prometheus.CounterVec
	acts     *prometheus.CounterVec
	seconds  prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	return metrics{
		commands: factory.NewCounterVec(prometheus.CounterOpts{Name: "fenflow_commands_total", Help: "Commands finished, by kind and outcome."}, []string{"kind", "outcome"}),
		calls:    factory.NewCounterVec(prometheus.CounterOpts{Name: "fenflow_wechatpay_calls_total", Help: "Calls to WeChat Pay, by API and class of the answer."}, []string{"api", "class"}),
		acts:     factory.NewCounterVec(prometheus.CounterOpts{Name: "fenflow_acts_total", Help: "Acts asked for and answered at once, by act and HTTP status."}, []string{"act", "status"}),
		seconds:  factory.NewHistogram(prometheus.HistogramOpts{Name: "fenflow_command_seconds", Help: "Time from a command's receipt to its end.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14)}),
	}
}

func (m metrics) acted(act string, status int) {
	m.acts.WithLabelValues(act, strconv.Itoa(status)).Inc()
}

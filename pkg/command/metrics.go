package command

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	commands *prometheus.CounterVec
	calls    *prometheus.CounterVec
	seconds  prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) metrics {
	factory := promauto.With(registry)
	return metrics{
		commands: factory.NewCounterVec(prometheus.CounterOpts{Name: "fenflow_commands_total", Help: "Commands finished, by kind and outcome."}, []string{"kind", "outcome"}),
		calls:    factory.NewCounterVec(prometheus.CounterOpts{Name: "fenflow_wechatpay_calls_total", Help: "Calls to WeChat Pay, by API and class of the answer."}, []string{"api", "class"}),
		seconds:  factory.NewHistogram(prometheus.HistogramOpts{Name: "fenflow_command_seconds", Help: "Time from a command's receipt to its end.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14)}),
	}
}

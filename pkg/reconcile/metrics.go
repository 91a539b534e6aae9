package reconcile

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/telemetry"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

type metrics struct {
	queries *prometheus.CounterVec
	booked  *prometheus.CounterVec
	missing *prometheus.CounterVec
	refunds *prometheus.CounterVec
	bound   *prometheus.GaugeVec
	money   *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) metrics {
	return metrics{
		queries: telemetry.Counter(r, "reconcile_queries", "Calls to WeChat Pay, by API and class of the answer.", "api", "class"),
		booked:  telemetry.Counter(r, "reconcile_answers", "Answers about orders and refunds that were booked, by outcome.", "outcome"),
		missing: telemetry.Counter(r, "reconcile_orders_missing", "Answers that WeChat Pay does not know an order which it should know, by the order's state.", "state"),
		refunds: telemetry.Counter(r, "reconcile_refund_attempts", "Calls that sent refunds, by outcome.", "outcome"),
		bound:   telemetry.Gauge(r, "reconcile_bound", "seconds", "Within how long a payment without notification is found, while its merchant is in the tight gear.", "mchid"),
		money:   telemetry.Gauge(r, "refunds_waiting_for", "money", "Refunds that WeChat Pay last refused to this process for want of money in the merchant's account.", "mchid"),
	}
}

// count counts a call.
func (m metrics) count(api pay.API, err error) {
	class := "ok"
	switch {
	case err == nil:
	case wechatpay.IsNotExist(err):
		class = "not_exist"
	default:
		class = string(wechatpay.ClassOf(err))
	}
	m.queries.WithLabelValues(string(api), class).Inc()
}

package ingest

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/telemetry"
)

// unknownMerchant is the label of whatever names no configured merchant: a
// label must come from a closed set, and the path is anybody's to write.
const unknownMerchant = "unknown"

// Metrics are the edge's numbers. One value serves both listeners.
type Metrics struct {
	notifications *prometheus.CounterVec
	notifySeconds *prometheus.HistogramVec
	publishing    *prometheus.HistogramVec
	samples       *prometheus.CounterVec
	refreshes     *prometheus.CounterVec
	unknownKeys   *prometheus.CounterVec
	requests      *prometheus.CounterVec
	apiSeconds    *prometheus.HistogramVec
	panics        *prometheus.CounterVec
}

// NewMetrics registers the edge's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	return &Metrics{
		notifications: telemetry.Counter(r, "notifications", "Notifications by how they ended. Only \"accepted\" was answered 2xx.", "mchid", "outcome"),
		notifySeconds: telemetry.Seconds(r, "notification", "From a notification's headers to its answer. WeChat Pay gives up after 5 s.", "kind"),
		publishing:    telemetry.Seconds(r, "notification_publish", "Waiting for the PubAck.", "kind"),
		samples:       telemetry.Counter(r, "rejected_samples", "Samples of refused notifications: kept, dropped (queue full) or failed.", "outcome"),
		refreshes:     telemetry.Counter(r, "key_refreshes", "Requests to a worker to fetch platform certificates, because of an unknown serial.", "mchid", "outcome"),
		unknownKeys:   telemetry.Counter(r, "unknown_public_keys", "Notifications that name a PUB_KEY_ID_… which is not configured: alert on any.", "mchid"),
		requests:      telemetry.Counter(r, "api_requests", "Requests of shops by route and status.", "route", "status"),
		apiSeconds:    telemetry.Seconds(r, "api_request", "From a shop's request to its answer, waiting included.", "route"),
		panics:        telemetry.Counter(r, "ingest_panics", "Requests that ended in a panic: each is a bug."),
	}
}

// RegisterState registers what is asked at scrape time: the gate, and the
// number of usable keys of each merchant.
func RegisterState(registry prometheus.Registerer, gate *Gate, keys *Keys, merchants Merchants, now func() time.Time) {
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: telemetry.Name("gate", "open"), Help: "1 while the broker's durability is proven; at 0 no traffic is taken."}, func() float64 {
			if gate.Open() != nil {
				return 0
			}
			return 1
		}),
		&keyGauge{desc: prometheus.NewDesc(telemetry.Name("merchant", "keys"), "Keys that can verify now, by merchant: alert on 0.", []string{"mchid"}, nil), keys: keys, merchants: merchants, now: now},
	)
}

type keyGauge struct {
	desc      *prometheus.Desc
	keys      *Keys
	merchants Merchants
	now       func() time.Time
}

func (g *keyGauge) Describe(ch chan<- *prometheus.Desc) { ch <- g.desc }

func (g *keyGauge) Collect(ch chan<- prometheus.Metric) {
	for _, m := range g.merchants.All() {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(g.keys.Count(m.MchID, g.now())), string(m.MchID))
	}
}

func (m *Metrics) notified(id pay.MchID, kind pay.DeliveryKind, outcome Outcome, took time.Duration) {
	label := string(id)
	if outcome == UnknownMerchant || label == "" {
		label = unknownMerchant
	}
	m.notifications.WithLabelValues(label, string(outcome)).Inc()
	m.notifySeconds.WithLabelValues(string(kind)).Observe(took.Seconds())
}

func (m *Metrics) requested(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.apiSeconds.WithLabelValues(route).Observe(took.Seconds())
}

func (m *Metrics) panicked() { m.panics.WithLabelValues().Inc() }

package reconciler

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/telemetry"
)

const gaugesEvery = 5 * time.Second

// gauges say how far the reconcilers are behind, all of them together.
type gauges struct {
	books    *store.Store
	lag      *prometheus.GaugeVec
	abnormal prometheus.Gauge
}

func newGauges(env boot.Env, books *store.Store) gauges {
	return gauges{
		books:    books,
		lag:      telemetry.Gauge(env.Registry, "reconcile_lag", "seconds", "By how much the most overdue call is overdue, by what it is about.", "what"),
		abnormal: telemetry.Gauge(env.Registry, "refunds", "abnormal", "Refunds whose money cannot reach the buyer: an operator has to say where it shall go.").WithLabelValues(),
	}
}

func (g gauges) keep(ctx context.Context) error {
	ticker := time.NewTicker(gaugesEvery)
	defer ticker.Stop()
	for {
		g.measure(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (g gauges) measure(ctx context.Context) {
	ages, err := g.books.OldestAges(ctx)
	if err != nil {
		return // the health check tells of a database that is away
	}
	g.lag.WithLabelValues("orders").Set(ages.UnresolvedOrders.Seconds())
	g.lag.WithLabelValues("refunds").Set(ages.UnresolvedRefunds.Seconds())
	g.abnormal.Set(float64(ages.AbnormalRefunds))
}

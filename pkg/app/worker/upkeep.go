package worker

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/telemetry"
)

// The rhythm of housekeeping. Doubled runs by several workers do no harm.
const (
	agesEvery       = 5 * time.Second
	tidyEvery       = time.Minute
	partitionsEvery = time.Hour

	// A subscriber that is told of something all day leaves 21,600 samples.
	bite  = 1000
	bites = 100
)

// upkeep makes partitions ahead of time, drops what the bus no longer needs,
// and measures how old the oldest waiting thing is.
type upkeep struct {
	parts  parts
	env    boot.Env
	ages   *prometheus.GaugeVec
	rows   *prometheus.GaugeVec
	stream *prometheus.GaugeVec
	behind *prometheus.GaugeVec
	fill   map[string]bus.Fill
}

func newUpkeep(p parts, env boot.Env) *upkeep {
	return &upkeep{
		parts: p, env: env, fill: map[string]bus.Fill{},
		ages:   telemetry.Gauge(env.Registry, "oldest", "seconds", "Age of the oldest thing that waits, by what it is.", "what"),
		rows:   telemetry.Gauge(env.Registry, "waiting", "rows", "Rows that wait, by what they are.", "what"),
		stream: telemetry.Gauge(env.Registry, "stream", "bytes", "Bytes stored in a stream of the bus.", "stream"),
		behind: telemetry.Gauge(env.Registry, "stream_pending", "messages", "Messages of a stream that are not acknowledged.", "stream"),
	}
}

func (u *upkeep) keep(ctx context.Context) error {
	ages, tidy, partitions := time.NewTicker(agesEvery), time.NewTicker(tidyEvery), time.NewTicker(partitionsEvery)
	defer ages.Stop()
	defer tidy.Stop()
	defer partitions.Stop()
	u.makePartitions(ctx)
	u.tidy(ctx)
	u.forget(ctx)
	for {
		select {
		case <-ages.C:
			u.measure(ctx)
		case <-tidy.C:
			u.tidy(ctx)
		case <-partitions.C:
			u.makePartitions(ctx)
			u.forget(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

func (u *upkeep) makePartitions(ctx context.Context) {
	if err := u.parts.plain.EnsurePartitions(ctx, time.Now()); err != nil && ctx.Err() == nil {
		u.env.Logger.ErrorContext(ctx, "partitions were not made; new rows go to the default partition", "error", err)
	}
	dropped, err := u.parts.plain.DropOldDeliveries(ctx, time.Now())
	if len(dropped) > 0 {
		u.env.Logger.InfoContext(ctx, "old days of the archive were dropped", "partitions", dropped)
	}
	if err != nil && ctx.Err() == nil {
		u.env.Logger.WarnContext(ctx, "old days of the archive were not dropped; tried again in an hour", "error", err)
	}
}

// forget drops what is too old.
func (u *upkeep) forget(ctx context.Context) {
	u.inBites(ctx, "old samples of acknowledgements", u.parts.settlement.DropOldAcks)
	u.inBites(ctx, "memories of old messages", u.parts.plain.ForgetMessages)
	u.inBites(ctx, "tickets of logins that ran out", u.parts.plain.DropOldTickets)
}

// inBites drops little by little, so that no statement takes long.
func (u *upkeep) inBites(ctx context.Context, what string, drop func(context.Context, time.Time, int) (int64, error)) {
	for range bites {
		dropped, err := drop(ctx, time.Now(), bite)
		if err != nil && ctx.Err() == nil {
			u.env.Logger.WarnContext(ctx, what+" were not dropped; tried again in an hour", "error", err)
		}
		if err != nil || dropped < bite {
			return
		}
	}
}

func (u *upkeep) tidy(ctx context.Context) {
	streams, err := u.parts.bus.Tidy(ctx, time.Now())
	if err != nil && ctx.Err() == nil {
		u.env.Logger.WarnContext(ctx, "streams were not tidied", "error", err)
	}
	for _, s := range streams {
		u.stream.WithLabelValues(s.Stream).Set(float64(s.Bytes))
		u.behind.WithLabelValues(s.Stream).Set(float64(s.Pending))
		if s.Fill != u.fill[s.Stream] && s.Fill != bus.FillOK {
			u.env.Logger.ErrorContext(ctx, "a stream fills up; when it is full, publishing fails", "stream", s.Stream, "fill", s.Fill, "bytes", s.Bytes, "max_bytes", s.MaxBytes)
		}
		u.fill[s.Stream] = s.Fill
	}
}

func (u *upkeep) measure(ctx context.Context) {
	ages, err := u.parts.plain.OldestAges(ctx)
	if err != nil {
		return // the health check tells of a database that is away
	}
	for what, age := range map[string]time.Duration{
		"outbox": ages.Outbox, "letters_waiting": ages.WaitingLetters, "letters_open": ages.OpenLetters,
		"order_checks_overdue": ages.UnresolvedOrders, "refund_checks_overdue": ages.UnresolvedRefunds, "anomalies_open": ages.OpenAnomalies,
	} {
		u.ages.WithLabelValues(what).Set(age.Seconds())
	}
	for what, rows := range map[string]int64{
		"outbox": ages.OutboxRows, "letters_waiting": ages.WaitingLetterRows, "letters_open": ages.OpenLetterRows,
		"order_checks_overdue": ages.OverdueOrders, "refund_checks_overdue": ages.OverdueRefunds, "refunds_abnormal": ages.AbnormalRefunds,
		"anomalies_open": ages.OpenAnomalyRows, "deliveries_default_partition": ages.StrayRows,
	} {
		u.rows.WithLabelValues(what).Set(float64(rows))
	}
}

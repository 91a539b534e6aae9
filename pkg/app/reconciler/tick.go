package reconciler

import (
	"context"
	"time"

	"github.com/fenflow/fenflow/pkg/reconcile"
)

const (
	tickEvery = 500 * time.Millisecond
	// idleFor: sweeps begin each second while Redis is there.
	idleFor = 2 * time.Second
)

// tick sweeps whenever nobody has begun to for two seconds, here or in another
// process: that work is done does not rest on Redis.
func (r *role) tick(ctx context.Context) error {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.sweepIfIdle(ctx, reconcile.SweepOrders, r.service.SweepOrders)
			r.sweepIfIdle(ctx, reconcile.SweepRefunds, r.service.SweepRefunds)
		case <-ctx.Done():
			return nil
		}
	}
}

// sweepIfIdle starts a sweep and does not wait for it, so that one kind's sweep
// keeps nobody from the other's. The use case runs one of a kind at a time.
func (r *role) sweepIfIdle(ctx context.Context, kind string, sweep func(context.Context) error) {
	mine, err := r.books.SweepIfIdle(ctx, kind, idleFor)
	if err != nil || !mine {
		return // a database that is away is told of by the health check and by sweeps
	}
	r.sweeps.Go(func() {
		if err := sweep(ctx); err != nil && ctx.Err() == nil {
			r.env.Logger.ErrorContext(ctx, "a sweep failed; what is due stays due", "kind", kind, "error", err)
		}
	})
}

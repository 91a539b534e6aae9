package reconciler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/queue"
	"github.com/fenflow/fenflow/pkg/reconcile"
	"github.com/fenflow/fenflow/pkg/store"
)

// Main runs the reconciler until ctx ends and what it had begun is booked.
func Main(ctx context.Context, env boot.Env) error {
	known, err := newMerchants(env)
	if err != nil {
		return err
	}
	begun := &boot.Start{}
	env.Health.Add("start", begun.Check)
	books, err := open(ctx, env, begun)
	if err != nil {
		return err
	}
	defer func() {
		if err := books.Close(); err != nil {
			env.Logger.Warn("the database was left without a farewell", "error", err)
		}
	}()
	env.Health.Add("postgres", books.Ping)
	r := &role{env: env, books: books, merchants: known, service: wire(env, books, known)}
	if err := begun.Insist(ctx, env.Logger, "load platform certificates", store.Retryable, func() error { return known.load(ctx, books) }); err != nil {
		return err
	}
	begun.Done()
	return r.run(ctx)
}

// role is the reconciler with all its parts.
type role struct {
	env       boot.Env
	books     *store.Store
	merchants *merchants
	service   *reconcile.Service
	sweeps    sync.WaitGroup // those that the ticker started
}

func wire(env boot.Env, books *store.Store, known *merchants) *reconcile.Service {
	budgets, waits := env.Config.Budgets, env.Config.Waits
	return reconcile.New(reconcile.Options{
		Books: books, Merchants: known,
		Budget: reconcile.Budget{
			OrderQuery: budgets.OrderQuery, OrderClose: budgets.OrderClose, Refund: budgets.Refund, RefundQuery: budgets.RefundQuery,
		},
		Waits: reconcile.Waits{
			RefundGap: waits.RefundGap, RefundPoll: waits.RefundPoll, RefundBackoff: waits.RefundBackoff,
			FrequencyLimited: waits.FrequencyLimited, NotEnough: waits.NotEnough, UnknownQuarantine: waits.UnknownQuarantine,
		},
		NotifyURL: known.notifyURL, Retryable: store.Retryable, Now: time.Now,
		Log: env.Logger, Registry: env.Registry,
	})
}

// run is the role's life. The use case ends last: it waits for the calls that
// were begun and books their answers, while nobody begins new ones.
func (r *role) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.service.Run(ctx) })
	group.Go(func() error { return r.merchants.keep(ctx, r.books) })
	group.Go(func() error { return r.tick(ctx) })
	group.Go(func() error { return newGauges(r.env, r.books).keep(ctx) })
	group.Go(func() error { return r.listen(ctx) })
	err := group.Wait()
	r.sweeps.Wait()
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	return nil
}

// listen takes sweeps and wake-ups from Redis. Without an address of one the
// ticker does all the work, a little later.
func (r *role) listen(ctx context.Context) error {
	url := r.env.Config.Redis.URL.Reveal()
	if url == "" {
		r.env.Logger.WarnContext(ctx, "redis.url is not set: sweeps start from this process's own clock every two seconds, and nobody can wake it in between")
		return nil
	}
	if err := queue.Run(ctx, queue.Options{
		RedisURL: url, Handle: r.handle, Sweeps: []queue.Kind{queue.SweepOrders, queue.SweepRefunds}, Every: time.Second,
		Log: r.env.Logger, Registry: r.env.Registry,
	}); err != nil {
		return fmt.Errorf("listen to the queue: %w", err)
	}
	return nil
}

func (r *role) handle(ctx context.Context, t queue.Task) error {
	switch t.Kind {
	case queue.SweepOrders:
		return r.service.SweepOrders(ctx)
	case queue.SweepRefunds:
		return r.service.SweepRefunds(ctx)
	case queue.QueryOrder:
		return r.service.CheckOrder(ctx, t.MchID, pay.OutTradeNo(t.Number))
	case queue.SubmitRefund:
		return r.service.SubmitRefund(ctx, t.MchID, pay.OutRefundNo(t.Number))
	case queue.Upkeep: // the worker does it
	}
	return nil
}

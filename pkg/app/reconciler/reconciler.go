package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/store"
)

// The pauses while the database is away.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Main runs the reconciler until ctx ends.
func Main(ctx context.Context, env boot.Env) error {
	books, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer func() {
		if err := books.Close(); err != nil {
			env.Logger.Warn("the database was left without a farewell", "error", err)
		}
	}()
	broker, err := bus.Connect(ctx, bus.Config{
		URL: env.Config.NATS.URL, Role: "reconciler", Password: env.Config.NATSPassword("reconciler").Reveal(),
		Replicas: env.Config.NATS.Replicas, Logger: env.Logger,
	})
	if err != nil {
		return problem.Wrap(problem.BrokerUnavailable, err, "NATS refuses the reconciler")
	}
	defer broker.Close()
	env.Health.Add("postgres", books.Ping)
	env.Health.Add("nats", func(context.Context) error {
		if !broker.Connected() {
			return errors.New("NATS is away")
		}
		return nil
	})
	env.Logger.InfoContext(ctx, "the reconciler schedules nothing in this version: open orders are not queried yet")
	<-ctx.Done()
	return nil
}

// open waits for the database without end.
func open(ctx context.Context, env boot.Env) (*store.Store, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		books, err := store.Open(ctx, store.Config{URL: env.Config.Postgres.URL.Reveal(), MaxConns: env.Config.Postgres.MaxConnections, Name: "fenflow-reconciler"})
		if err == nil {
			return books, nil
		}
		if !store.Retryable(err) {
			return nil, fmt.Errorf("open database: %w", err)
		}
		env.Logger.WarnContext(ctx, "waiting", "for", "open database", "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("open database: %w", ctx.Err())
		}
	}
}

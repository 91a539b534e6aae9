package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say what a queue does.
type Options struct {
	RedisURL string
	Handle   Handler
	// Sweeps are the kinds that the clock rings for: sweeps each Every, Upkeep
	// each minute.
	Sweeps      []Kind
	Every       time.Duration         // whole seconds; 0: 1 s
	Concurrency int                   // tasks at a time, of all kinds together; 0: 10
	Log         *slog.Logger          // nil: none
	Registry    prometheus.Registerer // nil: none
}

// Defaults of Options.
const (
	defaultEvery       = time.Second
	defaultConcurrency = 10
)

// Run rings by the clock and handles tasks until the context ends, then stops
// within ten seconds. It never ends because Redis is away, at the start or
// later: it waits and goes on. Only options that make no sense are an error.
func Run(ctx context.Context, o Options) error {
	r, err := newRunner(ctx, o.orDefaults())
	if err != nil {
		return fmt.Errorf("set up the queue: %w", err)
	}
	defer r.stop()
	r.watch.look(ctx)
	// Neither of the two asks Redis for anything before it returns.
	if err := r.server.Start(r.work); err != nil {
		return fmt.Errorf("start asynq's server: %w", err)
	}
	if err := r.manager.Start(); err != nil {
		return fmt.Errorf("start asynq's scheduler: %w", err)
	}
	r.watch.follow(ctx)
	return nil
}

func (o Options) orDefaults() Options {
	if o.Every <= 0 {
		o.Every = defaultEvery
	}
	if o.Concurrency <= 0 {
		o.Concurrency = defaultConcurrency
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	return o
}

func (o Options) check() error {
	if o.Handle == nil {
		return errors.New("Options.Handle is missing: there is nothing to do with a task")
	}
	if o.Every%time.Second != 0 {
		return fmt.Errorf("Options.Every is %s: asynq's clock knows whole seconds only", o.Every)
	}
	return nil
}

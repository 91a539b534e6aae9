package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Limits of a queue.
const (
	// idlePoll: asynq waits between a half and one and a half of it before it
	// looks into an empty queue again, so a wake-up starts within 180 ms.
	idlePoll = 120 * time.Millisecond
	// dialTimeout and ioTimeout are for a Redis in the same network.
	dialTimeout = time.Second
	ioTimeout   = 2 * time.Second
	// stopPatience is how long handlers may go on once the queue was told to
	// stop; then their contexts end. asynq waits a second longer.
	stopPatience = 5 * time.Second
	// cutAfter ends every connection to a Redis that hangs, and giveUpAfter is
	// when Run returns in any case.
	cutAfter    = 7 * time.Second
	giveUpAfter = 9 * time.Second
)

// runner is a queue with all its parts, over one client.
type runner struct {
	log     *slog.Logger
	redis   *redis.Client
	server  *asynq.Server
	manager *asynq.PeriodicTaskManager
	work    *work
	watch   *watch
	abort   context.CancelFunc // ends the contexts of handlers
	cut     context.CancelFunc // ends the connections
}

func newRunner(ctx context.Context, o Options) (*runner, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	entries, err := newCalendar(o.Sweeps, o.Every)
	if err != nil {
		return nil, err
	}
	options, err := parseURL(o.RedisURL)
	if err != nil {
		return nil, err
	}
	// The end of ctx is a wish to stop; what is under way has some time left.
	lasting := context.WithoutCancel(ctx)
	life, cut := context.WithCancel(lasting)
	handling, abort := context.WithCancel(lasting)
	away, m := &atomic.Bool{}, newMetrics(o.Registry)
	client := newRedis(life, options, away)
	r := &runner{
		log: o.Log, redis: client, abort: abort, cut: cut,
		work: &work{
			handle: o.Handle, log: o.Log, metrics: m,
			whenStopped: func(f func()) func() bool { return context.AfterFunc(handling, f) },
		},
		watch: &watch{redis: client, tidier: newTidier(client), log: o.Log, metrics: m, away: away},
	}
	says := newAsynqLog(o.Log, away)
	r.server = newServer(lasting, client, o.Concurrency, says)
	if r.manager, err = newManager(client, entries, says); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// newRedis makes the client that all parts share.
func newRedis(life context.Context, options *redis.Options, away *atomic.Bool) *redis.Client {
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = dialTimeout, ioTimeout, ioTimeout
	options.MaxRetries = 1
	options.Dialer = dialUntil(life, options)
	client := redis.NewClient(options)
	client.AddHook(pacer{away: away, over: life.Done()})
	return client
}

// newServer makes the part of asynq that takes tasks.
func newServer(base context.Context, client *redis.Client, concurrency int, log asynq.Logger) *asynq.Server {
	return asynq.NewServerFromRedisClient(client, asynq.Config{
		Concurrency:       concurrency,
		Queues:            map[string]int{queueName: 1},
		BaseContext:       func() context.Context { return base },
		TaskCheckInterval: idlePoll,
		ShutdownTimeout:   stopPatience + time.Second,
		Logger:            log,
	})
}

// newManager makes the part of asynq that rings by the clock.
func newManager(client *redis.Client, entries calendar, log asynq.Logger) (*asynq.PeriodicTaskManager, error) {
	m, err := asynq.NewPeriodicTaskManager(asynq.PeriodicTaskManagerOpts{
		PeriodicTaskConfigProvider: entries,
		RedisUniversalClient:       client,
		SchedulerOpts:              &asynq.SchedulerOpts{Logger: log},
	})
	if err != nil {
		return nil, fmt.Errorf("make asynq's scheduler: %w", err)
	}
	return m, nil
}

// stop lets handlers end, then ends them, then everything.
func (r *runner) stop() {
	defer time.AfterFunc(stopPatience, r.abort).Stop()
	defer time.AfterFunc(cutAfter, r.cut).Stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.manager.Shutdown()
		r.server.Shutdown()
		r.work.finish()
	}()
	late := time.NewTimer(giveUpAfter)
	defer late.Stop()
	select {
	case <-ended:
		r.close()
	case <-late.C:
		// The client stays open: asynq may still use it, and see connect.go.
		r.log.Warn("the queue did not end in time; is there a handler that does not heed its context?", "waited", giveUpAfter.String())
	}
}

func (r *runner) close() {
	if err := r.redis.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		r.log.Debug("Redis was left without a farewell", "error", err)
	}
	r.abort()
	r.cut()
}

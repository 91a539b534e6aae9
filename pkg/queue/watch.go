package queue

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	lookEvery   = time.Second
	lookTimeout = time.Second
)

// watch looks at Redis each second, says once when it goes and once when it is
// back, and has leftovers tidied.
type watch struct {
	redis   *redis.Client
	tidier  tidier
	log     *slog.Logger
	metrics metrics
	away    *atomic.Bool // also set by the pacer, which notices first

	state state
	since time.Time
}

type state int

const (
	notSeen state = iota
	isUp
	isAway
)

// follow looks until the context ends.
func (w *watch) follow(ctx context.Context) {
	look, tidy := time.NewTicker(lookEvery), time.NewTicker(tidyEvery)
	defer look.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-look.C:
			w.look(ctx)
		case <-tidy.C:
			w.tidy(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (w *watch) look(ctx context.Context) {
	asked, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := w.redis.Ping(asked).Err()
	switch {
	case ctx.Err() != nil: // told to stop: that says nothing about Redis
	case err != nil:
		w.gone(ctx, err)
	default:
		w.there(ctx)
	}
}

func (w *watch) gone(ctx context.Context, err error) {
	w.away.Store(true)
	w.metrics.up.Set(0)
	if w.state != isAway {
		w.log.WarnContext(ctx, "Redis is away: no wake-ups and no timer until it is back; what is due stays due in the database. Check redis.url and the server", "error", err)
		w.state, w.since = isAway, time.Now()
	}
}

func (w *watch) there(ctx context.Context) {
	w.away.Store(false)
	w.metrics.up.Set(1)
	if w.state == isAway {
		w.log.InfoContext(ctx, "Redis is back", "away", time.Since(w.since).Round(time.Millisecond).String())
	}
	if w.state != isUp {
		w.advise(ctx)
	}
	w.state = isUp
}

// advise warns of a Redis that may throw tasks away. INFO tells the policy to
// more users than CONFIG does; who may not even ask gets no advice.
func (w *watch) advise(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	info, err := w.redis.Info(ctx, "memory").Result()
	if err != nil {
		return
	}
	for line := range strings.Lines(info) {
		policy, found := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:")
		if found && policy != "noeviction" {
			w.log.WarnContext(ctx, "Redis may throw away tasks when its memory is full, and asynq then loses track of them: set maxmemory-policy to noeviction in redis.conf (now: redis-cli CONFIG SET maxmemory-policy noeviction)", "maxmemory_policy", policy)
		}
	}
}

func (w *watch) tidy(ctx context.Context) {
	if w.state != isUp {
		return
	}
	archived, stuck, err := w.tidier.tidy(ctx, time.Now())
	if archived+stuck > 0 {
		w.log.InfoContext(ctx, "tasks that asynq left behind were removed; what was due is still due", "archived", archived, "stuck", stuck)
	}
	if err != nil && ctx.Err() == nil {
		w.log.DebugContext(ctx, "the queue was not tidied; tried again in 10 seconds", "error", err)
	}
}

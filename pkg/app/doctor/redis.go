package doctor

import (
	"context"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/queue"
)

// redisSlow is what a wake-up should not take: it is given 200 ms in all.
const redisSlow = 50 * time.Millisecond

// nothingLost is what to know before Redis worries anybody.
const nothingLost = "Nothing is lost without it: what is due is in PostgreSQL, and reconcilers sweep by themselves."

// redis looks at where the schedule lives.
func (d *doctor) redis() []check {
	c, there := d.of(config.RoleReconciler, config.RoleWorker)
	if !there {
		return nil
	}
	address := c.Redis.URL.Reveal()
	var state queue.ServerState
	reach := check{name: "redis.reachable", look: func(ctx context.Context) []outcome {
		if address == "" {
			return skipped("redis.url is not set. " + nothingLost)
		}
		var err error
		if state, err = queue.LookAtServer(ctx, address); err != nil {
			return fail("Start Redis, or correct redis.url. "+nothingLost, "%s", withoutSecret(err, c.Redis.URL))
		}
		return redisServer(state)
	}}
	after := []string{reach.id()}
	return []check{
		reach,
		{name: "redis.policy", needs: after, look: func(context.Context) []outcome {
			if state.Policy != "noeviction" {
				return fail("Set maxmemory-policy noeviction in redis.conf (now: `redis-cli CONFIG SET maxmemory-policy noeviction`). "+nothingLost,
					"maxmemory-policy is %s: it throws tasks away when its memory is full, and asynq loses track of them", state.Policy)
			}
			return ok("maxmemory-policy is noeviction")
		}},
		{name: "redis.persistence", needs: after, look: func(context.Context) []outcome {
			switch {
			case !state.AOF:
				return warn("Set appendonly yes in redis.conf. "+nothingLost, "it keeps no append-only file: a restart forgets the wake-ups")
			case !state.AOFOK:
				return fail("Look at its log and its disk. "+nothingLost, "its last write to the append-only file failed")
			}
			return ok("keeps an append-only file")
		}},
	}
}

func redisServer(s queue.ServerState) []outcome {
	major, _, _ := strings.Cut(s.Version, ".")
	switch {
	case len(major) == 1 && major < "4": // what asynq asks for
		return fail("Upgrade Redis to 4 or newer. "+nothingLost, "it is version %s, and 4 is the oldest that is supported", s.Version)
	case s.Latency >= redisSlow:
		return warn("Look at its load, and run it near the roles. "+nothingLost, "version %s answers after %s; a wake-up has 200 ms", s.Version, s.Latency.Round(time.Millisecond))
	}
	return ok("version %s, answers within %s", s.Version, redisSlow)
}

package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	// tidyEvery is how often leftovers are removed.
	tidyEvery = 10 * time.Second
	// tidyTimeout bounds one round.
	tidyTimeout = 2 * time.Second
	// tidyBatch bounds how long one round keeps Redis busy.
	tidyBatch = 1000
	// leaseOver: a lease lasts 30 s and asynq's recoverer looks each minute for
	// those over for 30 s more. What it did not find by then it never will.
	leaseOver = 3 * time.Minute
	// historyKept: asynq keeps up to a thousand lines about each entry of a
	// scheduler for ever, unless that scheduler ends in order.
	historyKept = time.Hour
)

// tidyScript removes what asynq 0.26 leaves behind: its archive (tasks whose
// handler overran, or whose process died), tasks that are active without a
// lease, which no worker can be at (hibiken/asynq#1051), and leases that its
// recoverer cannot resolve (hibiken/asynq#764). None of it is run again. The
// Inspector deletes no active task, and nothing at all after a FLUSHALL.
//
// KEYS: active, lease, archived. ARGV: prefix of task keys, latest end of a
// lease that is over, batch.
const tidyScript = `
local function drop(id)
	redis.call("LREM", KEYS[1], 0, id)
	redis.call("ZREM", KEYS[2], id)
	redis.call("ZREM", KEYS[3], id)
	redis.call("DEL", ARGV[1] .. id)
	return 1
end
local archived = redis.call("ZRANGE", KEYS[3], 0, ARGV[3] - 1)
for _, id in ipairs(archived) do drop(id) end
local over = redis.call("ZRANGEBYSCORE", KEYS[2], "-inf", ARGV[2], "LIMIT", 0, ARGV[3])
for _, id in ipairs(over) do drop(id) end
local stuck = #over
local active = redis.call("LRANGE", KEYS[1], -ARGV[3], -1)
for _, id in ipairs(active) do stuck = stuck + (redis.call("ZSCORE", KEYS[2], id) and 0 or drop(id)) end
return {#archived, stuck}`

// tidier removes leftovers.
type tidier struct {
	redis     *redis.Client
	script    *redis.Script
	inspector *asynq.Inspector
}

func newTidier(client *redis.Client) tidier {
	return tidier{redis: client, script: redis.NewScript(tidyScript), inspector: asynq.NewInspectorFromRedisClient(client)}
}

// tidy says how many archived and how many stuck tasks it removed.
func (t tidier) tidy(ctx context.Context, now time.Time) (archived, stuck int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, tidyTimeout)
	defer cancel()
	const prefix = "asynq:{" + queueName + "}:"
	removed, err := t.script.Run(ctx, t.redis, []string{prefix + "active", prefix + "lease", prefix + "archived"},
		prefix+"t:", now.Add(-leaseOver).Unix(), tidyBatch).Int64Slice()
	if err != nil {
		return 0, 0, fmt.Errorf("remove left tasks: %w", err)
	}
	if err := t.shortenHistory(ctx); err != nil {
		return removed[0], removed[1], err
	}
	return removed[0], removed[1], nil
}

// shortenHistory has the history of our schedulers run out once they are gone.
func (t tidier) shortenHistory(ctx context.Context) error {
	entries, err := t.inspector.SchedulerEntries()
	if err != nil {
		return fmt.Errorf("list scheduler entries: %w", err)
	}
	for _, entry := range entries {
		if !Kind(entry.Task.Type()).isPeriodic() {
			continue // another program's
		}
		if err := t.redis.Expire(ctx, "asynq:scheduler_history:"+entry.ID, historyKept).Err(); err != nil {
			return fmt.Errorf("shorten scheduler history: %w", err)
		}
	}
	return nil
}

package queue_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/queue"
)

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

const (
	pending  = "asynq:{fenflow}:pending"
	active   = "asynq:{fenflow}:active"
	lease    = "asynq:{fenflow}:lease"
	archived = "asynq:{fenflow}:archived"
)

// taken has a worker of asynq's take the pending task, and die: it is active.
func (b *bundle) taken() (id, key string) {
	b.t.Helper()
	id, err := b.raw.RPopLPush(b.t.Context(), pending, active).Result()
	require.NoError(b.t, err)
	key = "asynq:{fenflow}:t:" + id
	require.NoError(b.t, b.raw.HSet(b.t.Context(), key, "state", "active").Err())
	return id, key
}

func (b *bundle) leased(id string, until time.Time) {
	b.t.Helper()
	require.NoError(b.t, b.raw.ZAdd(b.t.Context(), lease, redis.Z{Score: float64(until.Unix()), Member: id}).Err())
}

// leftover is a task that something went wrong with.
type leftover struct {
	name  string
	task  queue.Task
	leave func(b *bundle)
	stays bool // until its lease is over
}

func leftovers() []leftover {
	return []leftover{
		{name: "archived", task: queue.Task{Kind: queue.SweepOrders}, leave: func(b *bundle) {
			id, key := b.taken()
			require.NoError(b.t, b.raw.LRem(b.t.Context(), active, 0, id).Err())
			require.NoError(b.t, b.raw.HSet(b.t.Context(), key, "state", "archived").Err())
			require.NoError(b.t, b.raw.ZAdd(b.t.Context(), archived, redis.Z{Score: float64(time.Now().Unix()), Member: id}).Err())
		}},
		{name: "active without a lease", task: queue.Task{Kind: queue.SweepRefunds}, leave: func(b *bundle) { b.taken() }},
		{name: "wake-up active without a lease", task: order("T00000001"), leave: func(b *bundle) { b.taken() }},
		{name: "active with a lease, its worker dead", task: order("T00000002"), stays: true, leave: func(b *bundle) {
			id, _ := b.taken()
			b.leased(id, time.Now().Add(30*time.Second))
		}},
		{name: "active with an old lease and no message", task: order("T00000003"), leave: func(b *bundle) {
			id, key := b.taken()
			require.NoError(b.t, b.raw.HDel(b.t.Context(), key, "msg").Err())
			b.leased(id, time.Now().Add(-time.Hour))
		}},
		{name: "an old lease and nothing else", task: order("T00000004"), leave: func(b *bundle) {
			id, _ := b.taken()
			require.NoError(b.t, b.raw.LRem(b.t.Context(), active, 0, id).Err())
			b.leased(id, time.Now().Add(-time.Hour))
		}},
	}
}

func TestRun_a_task_left_behind_keeps_no_other_out_for_long(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	client, keys := b.client(), map[string]leftover{}
	for _, l := range leftovers() {
		require.NoError(t, client.Wake(t.Context(), l.task))
		for _, id := range b.raw.LRange(t.Context(), pending, 0, -1).Val() {
			keys["asynq:{fenflow}:t:"+id] = l
		}
		l.leave(b)
	}
	require.Len(t, keys, len(leftovers()))
	b.run(queue.Options{Handle: c.handle, Sweeps: []queue.Kind{queue.SweepOrders, queue.SweepRefunds}})
	for _, l := range leftovers() {
		require.Eventually(t, func() bool {
			if l.task.Number != "" {
				require.NoError(t, client.Wake(t.Context(), l.task))
			}
			return slices.Contains(c.all(), l.task)
		}, blocked, 100*time.Millisecond, "%s keeps the next one out", l.name)
	}
	for key, l := range keys {
		b.eventually(l.name+": not tidied", func() bool {
			id := strings.TrimPrefix(key, "asynq:{fenflow}:t:")
			gone := b.raw.Exists(t.Context(), key).Val() == 0 && !slices.Contains(b.raw.LRange(t.Context(), active, 0, -1).Val(), id) &&
				errors.Is(b.raw.ZScore(t.Context(), lease, id).Err(), redis.Nil) && errors.Is(b.raw.ZScore(t.Context(), archived, id).Err(), redis.Nil)
			return gone || l.stays
		})
	}
	for key, l := range keys {
		require.False(t, l.stays && b.raw.Exists(t.Context(), key).Val() == 0, "a task that a worker may be at is left alone")
	}
}

func TestRun_a_handler_that_errs_or_panics_leaves_nothing_behind(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	r := b.run(queue.Options{Handle: func(_ context.Context, task queue.Task) error {
		c.add(task)
		if task.Kind == queue.QueryOrder {
			panic("a secret of the payer's")
		}
		return errors.New("the database is away")
	}})
	client := b.client()
	require.NoError(t, client.Wake(t.Context(), queue.Task{Kind: queue.QueryOrder, MchID: "1900000109", Number: "T00000001"}))
	require.NoError(t, client.Wake(t.Context(), queue.Task{Kind: queue.SubmitRefund, MchID: "1900000109", Number: "R00000001"}))
	b.eventually("no outcome", func() bool {
		return r.metric(t, "fenflow_queue_tasks_total", "order.query", "panicked") == 1 &&
			r.metric(t, "fenflow_queue_tasks_total", "refund.submit", "failed") == 1
	})
	b.nothingLeft()
	require.Equal(t, 1, r.log.times("the database is away"), "logged once")
	require.Equal(t, 1, r.log.times("panic in a task"))
	require.NotContains(t, r.log.String(), "secret", "a panic's value stays out of the log")
	require.Equal(t, 2, c.count(), "nothing is tried again by asynq")
}

func (b *bundle) nothingLeft() {
	b.t.Helper()
	b.eventually("something is left", func() bool {
		return len(b.raw.Keys(b.t.Context(), "asynq:{fenflow}:t:*").Val()) == 0 &&
			b.raw.Exists(b.t.Context(), active, lease, archived, "asynq:{fenflow}:retry").Val() == 0
	})
}

func TestRun_drops_what_it_cannot_read(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	foreign := asynq.NewClientFromRedisClient(b.raw)
	for _, task := range []*asynq.Task{
		asynq.NewTask("order.cancel", []byte(`{}`)),
		asynq.NewTask("order.query", []byte(`not JSON`)),
		asynq.NewTask("order.query", []byte(`{"mchid":"1900000109"}`)),
	} {
		_, err := foreign.EnqueueContext(t.Context(), task, asynq.Queue("fenflow"))
		require.NoError(t, err)
	}
	r := b.run(queue.Options{Handle: c.handle})
	b.eventually("not dropped", func() bool {
		return r.metric(t, "fenflow_queue_tasks_total", "unknown", "dropped") == 1 &&
			r.metric(t, "fenflow_queue_tasks_total", "order.query", "dropped") == 2
	})
	b.nothingLeft()
	require.Zero(t, c.count())
}

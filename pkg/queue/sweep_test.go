package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/queue"
)

func TestRun_sweeps_about_each_second_from_two_reconcilers_at_once(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	o := queue.Options{Handle: c.handle, Sweeps: []queue.Kind{queue.SweepOrders}}
	one, two := b.run(o), b.run(o)
	lasted := func() time.Duration {
		at := c.times()
		if len(at) == 0 {
			return 0
		}
		return at[len(at)-1].Sub(at[0])
	}
	b.eventually("sweeps stopped", func() bool { return lasted() > 5*time.Second })
	at := c.times()
	for i := range at[1:] {
		require.Less(t, at[i+1].Sub(at[i]), 2500*time.Millisecond, "a second was left out")
	}
	require.LessOrEqual(t, len(at), 2*int(lasted()/time.Second+2), "each reconciler rings once a second at most")
	handled := one.metric(t, "fenflow_queue_tasks_total", "sweep.orders", "done") + two.metric(t, "fenflow_queue_tasks_total", "sweep.orders", "done")
	require.GreaterOrEqual(t, handled, 5.0)
	require.Equal(t, queue.Task{Kind: queue.SweepOrders}, c.all()[0])
	require.Empty(t, one.log.complaints(), "in order, nothing is complained about")
}

func TestRun_sweeps_of_several_kinds(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	b.run(queue.Options{Handle: c.handle, Sweeps: []queue.Kind{queue.SweepOrders, queue.SweepRefunds}})
	for _, kind := range []queue.Kind{queue.SweepOrders, queue.SweepRefunds} {
		b.eventually(string(kind), func() bool {
			n := 0
			for _, task := range c.all() {
				if task.Kind == kind {
					n++
				}
			}
			return n >= 2
		})
	}
}

// A kill leaves asynq's scheduler history in Redis, up to a thousand lines an
// entry, for ever: it must have an end of its own.
func TestRun_leaves_no_history_in_Redis_for_ever(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	b.run(queue.Options{Handle: c.handle, Sweeps: []queue.Kind{queue.SweepOrders}})
	b.eventually("the history has no end", func() bool {
		keys, err := b.raw.Keys(t.Context(), "asynq:scheduler_history:*").Result()
		require.NoError(t, err)
		return len(keys) == 1 && b.raw.TTL(t.Context(), keys[0]).Val() > 0
	})
}

func TestRun_leaves_nothing_but_counters_when_it_stops(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	r := b.run(queue.Options{Handle: c.handle, Sweeps: []queue.Kind{queue.SweepOrders}})
	b.eventually("no sweep", func() bool { return c.count() >= 2 })
	require.Less(t, r.stop(), 3*time.Second, "an idle queue stops at once")
	require.Empty(t, r.log.complaints())
	for _, leftover := range []string{"*:t:*", "*:active", "*:archived", "*:lease", "*:scheduler_history:*"} {
		require.Empty(t, b.raw.Keys(t.Context(), leftover).Val())
	}
}

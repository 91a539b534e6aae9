package queue_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/queue"
)

func sweeping(c *calls) queue.Options {
	return queue.Options{Handle: c.handle, Sweeps: []queue.Kind{queue.SweepOrders}}
}

// goesOn waits for three more sweeps.
func (b *bundle) goesOn(c *calls) {
	b.t.Helper()
	before := c.count()
	b.eventually("sweeps do not go on", func() bool { return c.count() >= before+3 })
}

func TestRun_goes_on_while_Redis_is_flushed_again_and_again(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	r := b.run(sweeping(c))
	ctx, cancel := context.WithCancel(t.Context())
	flushed := make(chan int)
	go func() {
		// Not a whole part of a second: otherwise each flush could hit the same
		// moment after each ring.
		ticker, n := time.NewTicker(90*time.Millisecond), 0
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if b.raw.FlushAll(ctx).Err() == nil {
					n++
				}
			case <-ctx.Done():
				flushed <- n
				return
			}
		}
	}()
	b.goesOn(c)
	cancel()
	require.Greater(t, <-flushed, 10)
	b.goesOn(c)
	require.Zero(t, r.log.times("Redis is away"), "a Redis that forgets is not away")
}

func TestRun_outlives_a_Redis_that_is_killed(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	r := b.run(sweeping(c))
	b.goesOn(c)
	require.InDelta(t, 1, r.metric(t, "fenflow_queue_up"), 0)
	// asynq complains each 3 and each 5 seconds; the second outage is short.
	for outage, lasts := range []time.Duration{7 * time.Second, 0} {
		outage++
		require.NoError(t, b.redis.Kill())
		b.eventually("nobody noticed", func() bool { return r.metric(t, "fenflow_queue_up") == 0 && r.log.times("Redis is away") == outage })
		<-time.After(lasts)
		require.NoError(t, b.redis.Restart())
		b.goesOn(c)
		b.eventually("not back", func() bool { return r.metric(t, "fenflow_queue_up") == 1 && r.log.times("Redis is back") == outage })
	}
	require.Len(t, r.log.complaints(), 2, "once when it goes, and no more: %s", r.log)
	require.NotContains(t, r.log.complaints()[0], "asynq says")
}

func TestRun_waits_for_a_Redis_that_is_absent_at_the_start(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	require.NoError(t, b.redis.Stop())
	r := b.run(sweeping(c))
	b.eventually("nothing is said", func() bool { return r.log.times("Redis is away") == 1 })
	<-time.After(2 * time.Second)
	require.Zero(t, c.count())
	require.NoError(t, b.redis.Restart())
	b.goesOn(c)
	require.Len(t, r.log.complaints(), 1, r.log)
}

// asynq 0.26 cannot mark a task as done once that failed: it stays active
// until its lease is over, and the next of its kind must not wait for that.
func TestRun_sweeps_again_after_Redis_went_in_the_middle_of_a_sweep(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	release, started := make(chan struct{}), make(chan struct{}, 100)
	b.run(queue.Options{Sweeps: []queue.Kind{queue.SweepOrders}, Handle: func(ctx context.Context, task queue.Task) error {
		started <- struct{}{}
		<-release
		return c.handle(ctx, task)
	}})
	<-started
	require.NoError(t, b.redis.Kill())
	close(release)
	b.eventually("the sweep does not end", func() bool { return c.count() == 1 })
	require.NoError(t, b.redis.Restart())
	require.Eventually(t, func() bool { return c.count() >= 3 }, blocked, poll)
}

func TestRun_stops_in_time_when_Redis_hangs(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	r := b.run(sweeping(c))
	b.goesOn(c)
	b.freeze()
	b.eventually("nobody noticed", func() bool { return r.metric(t, "fenflow_queue_up") == 0 })
	require.Less(t, r.stop(), 10*time.Second)
	require.Zero(t, r.log.times("did not end in time"))
}

// freeze has Redis take connections and commands and answer none, until the
// test ends.
func (b *bundle) freeze() {
	b.t.Helper()
	require.NoError(b.t, syscall.Kill(b.redis.Pid(), syscall.SIGSTOP))
	b.t.Cleanup(func() { require.NoError(b.t, syscall.Kill(b.redis.Pid(), syscall.SIGCONT)) })
}

func TestRun_stops_in_time_when_Redis_is_gone(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	r := b.run(sweeping(c))
	b.goesOn(c)
	require.NoError(t, b.redis.Kill())
	<-time.After(4 * time.Second) // until the client has given up dialling for each command
	require.Less(t, r.stop(), 10*time.Second)
	require.Len(t, r.log.complaints(), 1)
}

// Without a pause asynq asks a Redis that answers with an error thousands of
// times a second.
func TestRun_does_not_hammer_a_Redis_that_refuses(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	r := b.run(sweeping(c))
	b.goesOn(c)
	require.NoError(t, b.raw.ConfigSet(t.Context(), "maxmemory", "1").Err())
	b.eventually("nothing is said", func() bool { return r.log.times("OOM command not allowed") > 0 })
	const span = 3
	before := b.refused()
	<-time.After(span * time.Second)
	require.Positive(t, b.refused()-before)
	require.Less(t, b.refused()-before, span*30, "refused in %d seconds", span)
	require.NoError(t, b.raw.ConfigSet(t.Context(), "maxmemory", "0").Err())
	b.goesOn(c)
}

// refused is how many commands Redis has answered with an error so far.
func (b *bundle) refused() int {
	b.t.Helper()
	stats := b.raw.InfoMap(b.t.Context(), "stats").Val()
	return atoi(b.t, stats["Stats"]["total_error_replies"])
}

package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/queue"
)

func TestRun_a_stop_lets_handlers_end_and_then_ends_them(t *testing.T) {
	t.Parallel()
	b := setup(t)
	started, ended := make(chan struct{}), make(chan time.Duration, 1)
	r := b.run(queue.Options{Handle: func(ctx context.Context, _ queue.Task) error {
		close(started)
		began := time.Now()
		deadline, bounded := ctx.Deadline()
		require.True(t, bounded)
		require.Less(t, deadline.Sub(began), 25*time.Second, "asynq archives what runs for 25 seconds")
		<-ctx.Done()
		ended <- time.Since(began)
		return ctx.Err()
	}})
	require.NoError(t, b.client().Wake(t.Context(), order("T00000001")))
	<-started
	took := r.stop()
	require.Greater(t, <-ended, 4*time.Second, "a handler has five seconds to end by itself")
	require.Less(t, took, 10*time.Second)
	b.nothingLeft()
}

func TestRun_a_stop_waits_for_the_handler_that_ends_in_time(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	started := make(chan struct{})
	r := b.run(queue.Options{Handle: func(ctx context.Context, task queue.Task) error {
		close(started)
		<-time.After(time.Second)
		require.NoError(t, ctx.Err())
		return c.handle(ctx, task)
	}})
	require.NoError(t, b.client().Wake(t.Context(), order("T00000001")))
	<-started
	require.Less(t, r.stop(), 4*time.Second)
	require.Equal(t, 1, c.count(), "Run returned before its handler")
	b.nothingLeft()
}

func TestRun_returns_in_time_from_a_handler_that_heeds_nothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	started, release := make(chan struct{}), make(chan struct{})
	r := b.run(queue.Options{Handle: func(context.Context, queue.Task) error {
		close(started)
		<-release
		return nil
	}})
	require.NoError(t, b.client().Wake(t.Context(), order("T00000001")))
	<-started
	require.Less(t, r.stop(), 10*time.Second)
	require.Equal(t, 1, r.log.times("did not end in time"))
	close(release)
}

func TestRun_advises_a_Redis_that_throws_nothing_away(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	first := b.run(sweeping(c))
	b.goesOn(c)
	require.Zero(t, first.log.times("noeviction"), "it is set")
	first.stop()
	require.NoError(t, b.raw.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	second := b.run(sweeping(c))
	b.eventually("no advice", func() bool { return second.log.times("CONFIG SET maxmemory-policy noeviction") == 1 })
	require.Contains(t, second.log.String(), "maxmemory_policy=allkeys-lru")
	b.goesOn(c)
}

func TestRun_refuses_options_that_make_no_sense(t *testing.T) {
	t.Parallel()
	c := &calls{}
	for want, o := range map[string]queue.Options{
		"Options.Handle is missing":                    {},
		"Options.Every is 1.5s":                        {Handle: c.handle, Every: 1500 * time.Millisecond},
		`"order.query" cannot stand in the calendar`:   {Handle: c.handle, Sweeps: []queue.Kind{queue.QueryOrder}},
		`"sweep.parcels" cannot stand in the calendar`: {Handle: c.handle, Sweeps: []queue.Kind{"sweep.parcels"}},
	} {
		o.RedisURL = "redis://127.0.0.1:1/0"
		require.ErrorContains(t, queue.Run(t.Context(), o), want)
	}
}

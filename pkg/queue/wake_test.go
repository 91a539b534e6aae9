package queue_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/queue"
	"github.com/fenflow/fenflow/pkg/testkit"
)

func order(number string) queue.Task {
	return queue.Task{Kind: queue.QueryOrder, MchID: "1900000109", Number: number}
}

func TestWake_brings_kind_merchant_and_number(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	b.run(queue.Options{Handle: c.handle})
	require.NoError(t, b.client().Wake(t.Context(), order("T_-|*00001")))
	b.eventually("nobody wakes", func() bool { return c.count() == 1 })
	require.Equal(t, []queue.Task{order("T_-|*00001")}, c.all())
}

// asynq's own pace would be a second.
func TestWake_starts_its_task_at_once(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	b.run(queue.Options{Handle: c.handle})
	client := b.client()
	var took []time.Duration
	for i := range 9 {
		began := time.Now()
		require.NoError(t, client.Wake(t.Context(), order("T0000000"+string(rune('0'+i)))))
		require.Eventually(t, func() bool { return c.count() == i+1 }, soon, time.Millisecond)
		took = append(took, c.times()[i].Sub(began))
	}
	slices.Sort(took)
	require.Less(t, took[len(took)/2], 300*time.Millisecond, "%v", took)
}

func TestWake_doubled_is_one_task_and_no_error(t *testing.T) {
	t.Parallel()
	b, c := setup(t), &calls{}
	release := make(chan struct{})
	b.run(queue.Options{Handle: func(ctx context.Context, task queue.Task) error {
		defer func() { <-release }()
		return c.handle(ctx, task)
	}})
	client := b.client()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { require.NoError(t, client.Wake(t.Context(), order("T00000001"))) })
	}
	all.Wait()
	b.eventually("nobody wakes", func() bool { return c.count() == 1 })
	require.NoError(t, client.Wake(t.Context(), order("T00000002")), "another number is another task")
	b.eventually("the other waits", func() bool { return c.count() == 2 })
	close(release)
	b.eventually("once done, it can be woken again", func() bool {
		require.NoError(t, client.Wake(t.Context(), order("T00000001")))
		return c.count() >= 3
	})
}

func TestWake_gives_up_in_time_when_Redis_is_away(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never says a word
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, silent.Close()) })
	b, f := setup(t), setup(t)
	killed, frozen := b.client(), f.client()
	require.NoError(t, killed.Wake(t.Context(), order("T00000001")))
	require.NoError(t, frozen.Wake(t.Context(), order("T00000001")))
	require.NoError(t, b.redis.Kill())
	f.freeze()
	absent, err := queue.NewClient("redis://" + testkit.FreeAddr(t) + "/0")
	require.NoError(t, err)
	hanging, err := queue.NewClient("redis://" + silent.Addr().String() + "/0")
	require.NoError(t, err)
	for name, client := range map[string]*queue.Client{"killed": killed, "frozen": frozen, "absent": absent, "hanging": hanging} {
		for range 12 {
			began := time.Now()
			err := client.Wake(t.Context(), order("T00000001"))
			require.ErrorContains(t, err, "wake a reconciler for order.query: Redis did not take it", name)
			require.Less(t, time.Since(began), 300*time.Millisecond, name)
		}
	}
	require.NoError(t, absent.Close())
	require.NoError(t, hanging.Close())
	require.NoError(t, b.redis.Restart())
	b.eventually("Redis is back and the client is not", func() bool { return killed.Wake(t.Context(), order("T00000002")) == nil })
}

func TestWake_refuses_a_task_that_makes_no_sense(t *testing.T) {
	t.Parallel()
	client, err := queue.NewClient("redis://127.0.0.1:1/0") // never asked
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	for want, task := range map[string]queue.Task{
		`kind "order.cancel" is not known`:                  {Kind: "order.cancel", MchID: "1900000109", Number: "T00000001"},
		"order.query needs a merchant and a number":         {Kind: queue.QueryOrder, MchID: "1900000109"},
		"refund.submit needs a merchant and a number":       {Kind: queue.SubmitRefund, Number: "R00000001"},
		"sweep.orders takes no merchant and no number":      {Kind: queue.SweepOrders, Number: "T00000001"},
		"a task of kind upkeep takes no merchant and no nu": {Kind: queue.Upkeep, MchID: "1900000109"},
	} {
		require.ErrorContains(t, client.Wake(t.Context(), task), want)
	}
}

func TestNewClient_repeats_no_password_of_a_bad_address(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "redis://:hunter2@h:63x79/0", "http://:hunter2@h", "redis://:hunter2@h:6379/zero", "redis://h/0?hunter2=1", "redis://:hun%ter2@h:6379/0"} {
		_, err := queue.NewClient(address)
		require.ErrorContains(t, err, "redis.url: is not a Redis address")
		require.NotContains(t, err.Error(), "ter2")
		require.ErrorContains(t, queue.Run(t.Context(), queue.Options{RedisURL: address, Handle: (&calls{}).handle}), "redis.url: is not a Redis address")
	}
}

package bus

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// ledger remembers what a handler was handed.
type ledger struct {
	mu      sync.Mutex
	times   map[string]int
	batches []int
	last    wechatpay.Arrival
}

func (l *ledger) take(batch []wechatpay.Arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times == nil {
		l.times = map[string]int{}
	}
	for _, a := range batch {
		l.times[string(a.Envelope.DeliveryID)]++
		l.last = a
	}
	l.batches = append(l.batches, len(batch))
}

func (l *ledger) handle(_ context.Context, batch []wechatpay.Arrival) error {
	l.take(batch)
	return nil
}

func (l *ledger) distinct() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.times)
}

func publishMany(t testing.TB, p *Packer, from, to int) {
	t.Helper()
	var wg sync.WaitGroup
	for n := from; n < to; n++ {
		wg.Go(func() { require.NoError(t, p.Publish(t.Context(), envelope(n))) })
	}
	wg.Wait()
}

func (w world) settled(t testing.TB, durable string) func() bool {
	t.Helper()
	return func() bool {
		c, err := w.worker.js.Consumer(t.Context(), StreamNotify, durable)
		if err != nil {
			return false
		}
		return c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	}
}

func TestConsumeNotifications_hands_out_single_envelopes_in_batches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publishMany(t, NewPacker(w.notify, "1"), 0, 1500)
	var l ledger
	w.consume(t, ConsumeOptions{}, func(_ context.Context, batch []wechatpay.Arrival) error {
		l.take(batch)
		return nil
	})
	require.Eventually(t, func() bool { return l.distinct() == 1500 }, soon, often)
	require.Eventually(t, w.settled(t, "settle-live"), soon, often)
	for _, n := range l.batches {
		require.LessOrEqual(t, n, 500)
	}
	for id, times := range l.times {
		require.Equal(t, 1, times, id)
	}
	require.Equal(t, StreamNotify, l.last.Position.Stream)
	require.Equal(t, 1, l.last.Deliveries)
	require.NotEmpty(t, l.last.Envelope.Body)
}

func TestConsumeNotifications_waits_for_nobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := make(chan int, 10)
	w.consume(t, ConsumeOptions{}, func(_ context.Context, batch []wechatpay.Arrival) error {
		got <- len(batch)
		return nil
	})
	p := NewPacker(w.notify, "1")
	require.NoError(t, p.Publish(t.Context(), envelope(0)))
	require.Equal(t, 1, <-got)
	begin := time.Now()
	require.NoError(t, p.Publish(t.Context(), envelope(1)))
	require.Equal(t, 1, <-got)
	require.Less(t, time.Since(begin), time.Second)
}

func TestConsumeNotifications_tries_a_failed_batch_again_and_loses_nothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publishMany(t, NewPacker(w.notify, "1"), 0, 20)
	var l ledger
	var failures int
	var mu sync.Mutex
	w.consume(t, ConsumeOptions{Workers: 1}, func(_ context.Context, batch []wechatpay.Arrival) error {
		mu.Lock()
		defer mu.Unlock()
		if failures++; failures <= 2 {
			return errors.New("the database is away")
		}
		l.take(batch)
		return nil
	})
	require.Eventually(t, func() bool { return l.distinct() == 20 }, soon, often)
	require.Eventually(t, w.settled(t, "settle-live"), soon, often)
	require.Equal(t, 1, l.last.Deliveries, "a retry in hand is no new delivery")
}

func TestConsumeNotifications_keeps_a_slow_batch_in_hand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var l ledger
	w.consume(t, ConsumeOptions{AckWait: 2 * time.Second}, func(_ context.Context, batch []wechatpay.Arrival) error {
		l.take(batch)
		<-time.After(5 * time.Second) // more than two AckWaits
		return nil
	})
	require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(1)))
	require.Eventually(t, func() bool { return l.distinct() == 1 && w.settled(t, "settle-live")() }, soon, often)
	require.Equal(t, []int{1}, l.batches)
}

func TestConsumeNotifications_gives_back_what_a_killed_worker_held(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(1)))
	// A worker that takes the pack and is gone without a word.
	doomed := connect(t, w.server, "worker")
	taken := make(chan struct{})
	hold := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = doomed.ConsumeNotifications(ctx, ConsumeOptions{AckWait: time.Second}, func(context.Context, []wechatpay.Arrival) error {
			close(taken)
			<-hold
			return nil
		})
	})
	<-taken
	doomed.Close()
	var l ledger
	w.consume(t, ConsumeOptions{AckWait: time.Second}, func(_ context.Context, batch []wechatpay.Arrival) error {
		l.take(batch)
		return nil
	})
	require.Eventually(t, func() bool { return l.distinct() == 1 }, soon, often)
	require.Equal(t, 2, l.last.Deliveries)
	close(hold)
	cancel()
	wg.Wait()
}

func TestConsumeNotifications_finishes_the_batch_in_hand_at_a_stop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(1)))
	began, proceed := make(chan struct{}), make(chan struct{})
	stop := w.consume(t, ConsumeOptions{}, func(ctx context.Context, _ []wechatpay.Arrival) error {
		close(began)
		<-proceed
		return ctx.Err()
	})
	<-began
	go close(proceed)
	stop()
	require.NoError(t, w.worker.conn.Flush())
	require.Eventually(t, w.settled(t, "settle-live"), soon, often)
}

func TestConsumeNotifications_resumes_after_a_restart_of_the_broker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var l ledger
	w.consume(t, ConsumeOptions{AckWait: 2 * time.Second}, func(_ context.Context, batch []wechatpay.Arrival) error {
		l.take(batch)
		return nil
	})
	p := NewPacker(w.notify, "1")
	publishMany(t, p, 0, 10)
	require.Eventually(t, func() bool { return l.distinct() == 10 }, soon, often)
	require.NoError(t, w.server.Restart())
	require.Eventually(t, func() bool { return p.Publish(t.Context(), envelope(10)) == nil }, soon, often)
	require.Eventually(t, func() bool { return l.distinct() == 11 }, 2*soon, often)
}

func TestConsumeNotifications_hands_out_what_cannot_be_read_marked_and_goes_on(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	garbage := []byte("this is no pack")
	err := w.notify.publish(t.Context(), &nats.Msg{Subject: "pay.notify.live.1", Data: garbage}, StreamNotify)
	require.NoError(t, err)
	spoilt := pack(t, envelope(1), envelope(2))
	spoilt[len(spoilt)-1] ^= 1
	err = w.notify.publish(t.Context(), &nats.Msg{Subject: "pay.notify.live.1", Data: spoilt}, StreamNotify)
	require.NoError(t, err)
	got := make(chan wechatpay.Arrival, 10)
	w.consume(t, ConsumeOptions{}, func(_ context.Context, batch []wechatpay.Arrival) error {
		for _, a := range batch {
			got <- a
		}
		return nil
	})
	first, second, third := <-got, <-got, <-got
	require.Equal(t, garbage, first.Envelope.Body)
	require.NotEmpty(t, first.Unreadable)
	require.Empty(t, first.Envelope.Kind)
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, string(first.Envelope.DeliveryID))
	require.WithinDuration(t, time.Now(), first.Envelope.ReceivedAt, time.Minute)
	require.Empty(t, second.Unreadable)
	require.Equal(t, envelope(1), second.Envelope)
	require.Contains(t, third.Unreadable, "checksum")
	require.Contains(t, string(third.Envelope.Body), string(envelope(2).DeliveryID))
	require.Equal(t, 1, third.Position.Index)
	require.Eventually(t, w.settled(t, "settle-live"), soon, often)
}

func TestConsumeNotifications_keeps_the_replay_lane_apart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := w.worker.publish(t.Context(), &nats.Msg{Subject: SubjectReplay, Data: pack(t, envelope(7))}, StreamNotify)
	require.NoError(t, err)
	require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(8)))
	var live, replay ledger
	w.consume(t, ConsumeOptions{}, func(_ context.Context, b []wechatpay.Arrival) error { live.take(b); return nil })
	w.consume(t, ConsumeOptions{Subject: SubjectReplay}, func(_ context.Context, b []wechatpay.Arrival) error { replay.take(b); return nil })
	require.Eventually(t, func() bool { return live.distinct() == 1 && replay.distinct() == 1 }, soon, often)
	require.Equal(t, envelope(8), live.last.Envelope)
	require.Equal(t, envelope(7), replay.last.Envelope)
}

func TestConsumeNotifications_gives_no_more_than_it_can_hold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publishMany(t, NewPacker(w.notify, "1"), 0, 3000)
	began := make(chan struct{}, 1)
	proceed := make(chan struct{})
	var l ledger
	w.consume(t, ConsumeOptions{Workers: 1, MaxBatch: 100}, func(_ context.Context, b []wechatpay.Arrival) error {
		select {
		case began <- struct{}{}:
		default:
		}
		<-proceed
		l.take(b)
		return nil
	})
	<-began
	close(proceed)
	require.Eventually(t, func() bool { return l.distinct() == 3000 }, soon, often)
	for _, n := range l.batches {
		require.LessOrEqual(t, n, maxPackEnvelopes, "a batch is one pack or at most 100 envelopes")
	}
}

func TestConsumeNotifications_drains_full_packs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	env := envelope(0)
	env.Body = make([]byte, 120<<10) // two in a pack: 60 packs are 15 MB, several times what is fetched ahead
	p := NewPacker(w.notify, "1")
	var wg sync.WaitGroup
	for n := range 120 {
		env := env
		env.DeliveryID = envelope(n).DeliveryID
		wg.Go(func() { require.NoError(t, p.Publish(t.Context(), env)) })
	}
	wg.Wait()
	var l ledger
	w.consume(t, ConsumeOptions{}, l.handle)
	require.Eventually(t, func() bool { return l.distinct() == 120 }, soon, often)
	require.Eventually(t, w.settled(t, "settle-live"), soon, often)
}

func TestDrain_lets_what_is_under_way_end(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(1)))
	require.NoError(t, w.notify.Drain(t.Context()))
	require.ErrorIs(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(2)), ErrUnavailable)
	require.NoError(t, w.notify.Drain(t.Context()), "twice is once")
}

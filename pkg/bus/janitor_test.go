package bus

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func (w world) tidy(t testing.TB, now time.Time) map[string]StreamHealth {
	t.Helper()
	all, err := w.worker.Tidy(t.Context(), now)
	require.NoError(t, err)
	byName := map[string]StreamHealth{}
	for _, h := range all {
		byName[h.Stream] = h
	}
	return byName
}

func TestTidy_drops_only_what_is_settled_and_old(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := NewPacker(w.notify, "1")
	for n := range 10 {
		require.NoError(t, p.Publish(t.Context(), envelope(n)))
	}
	later := time.Now().Add(73 * time.Hour)
	require.Zero(t, w.tidy(t, later)[StreamNotify].Purged, "nobody has settled anything")

	got := make(chan int, 100)
	proceed := make(chan error, 1)
	w.consume(t, ConsumeOptions{Workers: 1, MaxBatch: 1}, func(ctx context.Context, b []wechatpay.Arrival) error {
		got <- len(b)
		if b[0].Position.Sequence > 6 {
			select {
			case err := <-proceed:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range 7 {
		<-got
	}
	require.Zero(t, w.tidy(t, later)[StreamNotify].Purged, "the lane of replays has no consumer yet")
	w.consume(t, ConsumeOptions{Subject: SubjectReplay}, func(context.Context, []wechatpay.Arrival) error { return nil })
	require.Eventually(t, func() bool {
		_, err := w.worker.js.Consumer(t.Context(), StreamNotify, durableReplay)
		return err == nil
	}, soon, often)
	require.Eventually(t, func() bool {
		c, err := w.worker.js.Consumer(t.Context(), StreamNotify, "settle-live")
		return err == nil && c.CachedInfo().AckFloor.Stream == 6
	}, soon, often)
	require.Zero(t, w.tidy(t, time.Now())[StreamNotify].Purged, "what is settled stays for 72 hours")
	h := w.tidy(t, later)[StreamNotify]
	require.EqualValues(t, 6, h.Purged)
	require.EqualValues(t, 4, h.Messages)
	require.EqualValues(t, 4, h.Pending)
	require.EqualValues(t, 7, w.stream(t, StreamNotify).State.FirstSeq)
	close(proceed)
	require.Eventually(t, w.settled(t, "settle-live"), soon, often)
	require.EqualValues(t, 4, w.tidy(t, later)[StreamNotify].Purged)
	require.Zero(t, w.tidy(t, later)[StreamNotify].Messages)
	require.NoError(t, p.Publish(t.Context(), envelope(11)))
	require.EqualValues(t, 11, w.stream(t, StreamNotify).State.LastSeq)
}

// A consumer that is gone, or that a cluster cannot list, has settled nothing,
// even when all others have.
func TestTidy_drops_nothing_while_the_live_consumer_is_missing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.consume(t, ConsumeOptions{Subject: SubjectReplay}, func(context.Context, []wechatpay.Arrival) error { return nil })
	require.Eventually(t, func() bool {
		_, err := w.worker.js.Consumer(t.Context(), StreamNotify, durableReplay)
		return err == nil
	}, soon, often)
	for n := range 3 {
		require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(n)))
	}
	h := w.tidy(t, time.Now().Add(73*time.Hour))[StreamNotify]
	require.Zero(t, h.Purged)
	require.EqualValues(t, 3, h.Messages)
}

func TestTidy_says_how_full_the_streams_are(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Limits.Notify = 100 << 10 })
	p := NewPacker(w.notify, "1")
	env := envelope(1)
	env.Body = make([]byte, 10<<10)
	var levels []Fill
	for range 9 {
		require.NoError(t, p.Publish(t.Context(), env))
		levels = append(levels, w.tidy(t, time.Now())[StreamNotify].Fill)
	}
	require.Equal(t, []Fill{FillOK, FillOK, FillOK, FillOK, FillOK, FillWarn, FillWarn}, levels[:7])
	require.Equal(t, FillAlarm, levels[8])
}

func TestTidy_gets_past_a_merchant_that_is_idle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := connect(t, w.server, "api")
	w.commands(t, CommandOptions{}, okCommand, "1900000001", "1900000002")
	for n := range 5 {
		_, replied, err := api.SubmitCommand(t.Context(), command(n, "1900000001"), soon)
		require.NoError(t, err)
		require.True(t, replied)
	}
	require.Eventually(t, func() bool {
		return w.tidy(t, time.Now().Add(8*24*time.Hour))[StreamCommand].Messages == 0
	}, soon, often, "the second merchant never had a command")
}

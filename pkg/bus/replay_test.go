package bus

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

func envelopes(n int) []wechatpay.Envelope {
	all := make([]wechatpay.Envelope, n)
	for i := range all {
		all[i] = envelope(i)
	}
	return all
}

func TestPublishReplays_keeps_every_byte_and_its_lane_tells_when_all_is_settled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sent := envelopes(120)
	sent[7].Body = make([]byte, 120<<10)
	sent[8].Body = make([]byte, 120<<10)
	sent[9].Body = make([]byte, 120<<10)
	last, err := w.worker.PublishReplays(t.Context(), sent)
	require.NoError(t, err)
	require.Equal(t, w.stream(t, StreamNotify).State.LastSeq, last)
	require.Greater(t, last, uint64(3), "no pack holds more than fifty, or more bytes than a pack may")

	_, err = w.worker.ReplayLane(t.Context())
	require.Error(t, err, "nobody settles the lane yet")
	var open atomic.Bool
	var l ledger
	w.consume(t, ConsumeOptions{Subject: SubjectReplay, MaxBatch: 50, Workers: 1}, func(_ context.Context, b []wechatpay.Arrival) error {
		if !open.Load() {
			return errors.New("not yet")
		}
		l.take(b)
		return nil
	})
	require.Eventually(t, func() bool {
		lane, err := w.worker.ReplayLane(t.Context())
		return err == nil && lane.Waiting > 0 && lane.Acknowledged < last
	}, soon, often)
	open.Store(true)
	require.Eventually(t, func() bool {
		lane, err := w.worker.ReplayLane(t.Context())
		return err == nil && lane.Acknowledged == last && lane.Waiting == 0
	}, soon, often)
	require.Equal(t, 120, l.distinct())
	require.Equal(t, sent[119], l.last.Envelope)
	// What is on the live lane is none of its business.
	require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(500)))
	lane, err := w.worker.ReplayLane(t.Context())
	require.NoError(t, err)
	require.Equal(t, last, lane.Acknowledged)
	again, err := w.worker.PublishReplays(t.Context(), sent[:1])
	require.NoError(t, err)
	require.Equal(t, last+2, again)
	require.Eventually(t, func() bool {
		lane, err := w.worker.ReplayLane(t.Context())
		return err == nil && lane.Acknowledged == again
	}, soon, often)
}

func TestPublishReplays_says_that_the_broker_is_away(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	last, err := w.worker.PublishReplays(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, last)
	require.NoError(t, w.server.Stop())
	_, err = w.worker.PublishReplays(t.Context(), envelopes(1))
	require.Error(t, err)
	_, err = w.worker.ReplayLane(shortly(t))
	require.Error(t, err)
}

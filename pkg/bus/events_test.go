package bus

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// received fetches all events as a business system does.
func received(t testing.TB, w world, n int) map[uint64]string {
	t.Helper()
	js, err := jetstream.NewWithAPIPrefix(raw(t, w.server, "subscriber", nil), SubscriberAPIPrefix)
	require.NoError(t, err)
	c, err := js.Consumer(t.Context(), StreamEvent, SubscriberConsumer)
	require.NoError(t, err)
	it, err := c.Messages()
	require.NoError(t, err)
	defer it.Stop()
	got := map[uint64]string{}
	for len(got) < n {
		msg, err := it.Next(jetstream.NextMaxWait(soon))
		require.NoError(t, err)
		meta, err := msg.Metadata()
		require.NoError(t, err)
		got[meta.Sequence.Stream] = msg.Headers().Get(jetstream.MsgIDHeader)
		require.NoError(t, msg.DoubleAck(t.Context()))
	}
	return got
}

func events(from, to int) []pay.Outgoing {
	var all []pay.Outgoing
	for n := from; n < to; n++ {
		all = append(all, event(n))
	}
	return all
}

func TestPublishEvents_gives_each_event_its_position(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.worker.PublishEvents(t.Context(), events(0, 1))
	require.NoError(t, err)
	published, err := w.worker.PublishEvents(t.Context(), events(1, 1202)) // 500, 500 and 201
	require.NoError(t, err)
	require.Len(t, published, 1201)
	stored := received(t, w, 1202)
	for i, p := range published {
		require.Equal(t, event(i+1).EventID, p.EventID)
		require.Equal(t, p.EventID, stored[p.Sequence])
		require.False(t, p.Duplicate)
	}
	require.EqualValues(t, 1202, w.stream(t, StreamEvent).State.Msgs)
}

func TestPublishEvents_counts_what_is_stored_already_as_success(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.worker.PublishEvents(t.Context(), events(0, 10))
	require.NoError(t, err)
	again, err := w.worker.PublishEvents(t.Context(), events(5, 15))
	require.NoError(t, err)
	require.Len(t, again, 10)
	positions := map[string]uint64{}
	for _, p := range first {
		positions[p.EventID] = p.Sequence
	}
	for _, p := range again {
		if at, known := positions[p.EventID]; known {
			require.True(t, p.Duplicate)
			require.Equal(t, at, p.Sequence)
		} else {
			require.False(t, p.Duplicate)
		}
	}
	require.EqualValues(t, 15, w.stream(t, StreamEvent).State.Msgs)

	one, err := w.worker.PublishEvents(t.Context(), events(3, 4))
	require.NoError(t, err)
	require.True(t, one[0].Duplicate)
	twice, err := w.worker.PublishEvents(t.Context(), append(events(20, 21), events(20, 21)...))
	require.NoError(t, err, "the same event twice in one call")
	require.Equal(t, twice[0].Sequence, twice[1].Sequence)
	require.EqualValues(t, 16, w.stream(t, StreamEvent).State.Msgs)
}

func TestPublishEvents_recognises_repeats_across_a_restart_of_the_broker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.worker.PublishEvents(t.Context(), events(0, 50))
	require.NoError(t, err)
	require.NoError(t, w.server.Restart())
	var published []pay.Publication
	require.Eventually(t, func() bool {
		published, err = w.worker.PublishEvents(t.Context(), events(0, 51))
		return err == nil
	}, soon, often)
	require.Len(t, published, 51)
	require.EqualValues(t, 51, w.stream(t, StreamEvent).State.Msgs)
}

func TestPublishEvents_reports_what_went_wrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Limits.Event = 8 << 10 })
	var err error
	var done []pay.Publication
	for n := 0; n < 200 && err == nil; n += 10 {
		done, err = w.worker.PublishEvents(t.Context(), events(n, n+10))
	}
	require.ErrorIs(t, err, ErrFull)
	require.Empty(t, done, "a batch is stored whole or not at all")
	bad := event(1)
	bad.MchID = "a.b"
	_, err = w.worker.PublishEvents(t.Context(), []pay.Outgoing{bad})
	require.ErrorContains(t, err, "cannot be part of a subject")
	require.NoError(t, w.server.Stop())
	require.Eventually(t, func() bool { return !w.worker.Connected() }, soon, often)
	_, err = w.worker.PublishEvents(t.Context(), events(0, 2))
	require.ErrorIs(t, err, ErrUnavailable)
	_, err = w.worker.PublishEvents(t.Context(), events(0, 1))
	require.ErrorIs(t, err, ErrUnavailable)
}

func TestPublishEvents_splits_by_bytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := events(0, 30)
	for i := range all {
		all[i].Payload = []byte(strings.Repeat("x", 100<<10))
	}
	published, err := w.worker.PublishEvents(t.Context(), all)
	require.NoError(t, err)
	require.Len(t, published, 30)
}

func TestEvents_reach_a_subscriber_under_both_forms_of_acknowledgement(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{"today's": "", "scoped": "\nfeature_flags { js_ack_fc_v2: true }\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldWith(t, change)
			_, err := w.worker.PublishEvents(t.Context(), events(0, 5))
			require.NoError(t, err)
			require.Len(t, received(t, w, 5), 5)
			require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(1)))
			var l ledger
			w.consume(t, ConsumeOptions{}, l.handle)
			require.Eventually(t, w.settled(t, "settle-live"), soon, often)
			require.Eventually(t, func() bool { return l.distinct() == 1 }, soon, often)
		})
	}
}

func BenchmarkPublishEvents(b *testing.B) {
	for _, size := range []int{1, 50, 500} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := newWorld(b)
			b.ResetTimer()
			for n := 0; n < b.N; n += size {
				_, err := w.worker.PublishEvents(context.Background(), events(n, n+size))
				require.NoError(b, err)
			}
		})
	}
}

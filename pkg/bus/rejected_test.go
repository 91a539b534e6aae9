package bus

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// rejects stores samples as the edge does, numbered from 1.
func (w world) rejects(t testing.TB, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, w.notify.PublishRejected(t.Context(), wechatpay.Rejected{Envelope: envelope(i + 1), Reason: "bad_signature", Detail: fmt.Sprintf("sample %d", i+1)}))
	}
}

func (w world) walked(t testing.TB, before uint64, most int) (got []wechatpay.Sample) {
	t.Helper()
	require.NoError(t, w.worker.WalkSamples(t.Context(), before, func(s wechatpay.Sample) bool {
		got = append(got, s)
		return len(got) < most
	}))
	return got
}

func TestWalkSamples_gives_what_was_turned_away_the_newest_first(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Empty(t, w.walked(t, 0, 9))
	const all = 2*sampleChunk + 3
	w.rejects(t, all)
	got := w.walked(t, 0, 1000)
	require.Len(t, got, all)
	for i, s := range got {
		n := all - i
		require.EqualValues(t, n, s.Sequence)
		require.Equal(t, envelope(n), s.Envelope, "byte for byte")
		require.Equal(t, "bad_signature", s.Reason)
		require.Equal(t, fmt.Sprintf("sample %d", n), s.Detail)
		require.Empty(t, s.Unreadable)
		require.False(t, s.StoredAt.IsZero())
	}
	require.Len(t, w.walked(t, 0, 5), 5)
	require.EqualValues(t, 3, w.walked(t, 4, 9)[0].Sequence, "from the one before")
	require.Empty(t, w.walked(t, 1, 9))
	require.Len(t, w.walked(t, all+100, 1000), all)
}

func TestWalkSamples_passes_over_what_was_dropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Limits.Rejected = 4 << 10 })
	w.rejects(t, 40)
	got := w.walked(t, 0, 1000)
	require.NotEmpty(t, got)
	require.Less(t, len(got), 40, "old ones drop")
	require.EqualValues(t, 40, got[0].Sequence)
	_, found, err := w.worker.Sample(t.Context(), 1)
	require.NoError(t, err)
	require.False(t, found)
	_, found, err = w.worker.Sample(t.Context(), 41)
	require.NoError(t, err)
	require.False(t, found, "never was")
}

// Whoever may publish as the edge may publish anything.
func TestSample_tells_what_cannot_be_read_and_believes_no_other_merchant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js, err := jetstream.New(raw(t, w.server, "notify", nil))
	require.NoError(t, err)
	record, err := encodeEnvelope(envelope(1))
	require.NoError(t, err)
	for subject, body := range map[string][]byte{
		"pay.rejected.1900000109": []byte("no pack"),
		"pay.rejected.1900000110": encodePack([][]byte{record}),
		"pay.rejected.1900000111": encodePack([][]byte{record, record}),
		"pay.rejected.1900000112": encodePack([][]byte{record[:len(record)-1]}),
	} {
		_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: body})
		require.NoError(t, err)
	}
	got := w.walked(t, 0, 9)
	require.Len(t, got, 4)
	for _, s := range got {
		require.NotEmpty(t, s.Unreadable)
		require.Empty(t, s.Envelope.Kind, "nothing in it is believed")
		require.Empty(t, s.Envelope.DeliveryID)
		require.NotEmpty(t, s.Envelope.MchID)
		require.NotEmpty(t, s.Envelope.Body)
	}
}

func TestSample_waits_for_no_broker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rejects(t, 1)
	require.NoError(t, w.server.Close())
	_, _, err := w.worker.Sample(shortly(t), 1)
	require.Error(t, err)
}

func TestPublishReplay_hands_the_envelope_to_the_replay_lane(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := make(chan wechatpay.Arrival, 1) // one is published
	stop := w.consume(t, ConsumeOptions{Subject: SubjectReplay}, func(_ context.Context, all []wechatpay.Arrival) error {
		for _, a := range all {
			got <- a
		}
		return nil
	})
	defer stop()
	require.NoError(t, w.worker.PublishReplay(t.Context(), envelope(7)))
	require.Equal(t, envelope(7), (<-got).Envelope)
	require.Error(t, w.notify.PublishReplay(shortly(t), envelope(8)), "the edge may not")
	big := envelope(9)
	big.Body = make([]byte, maxPackBytes)
	require.ErrorIs(t, w.worker.PublishReplay(t.Context(), big), ErrTooLarge)
}

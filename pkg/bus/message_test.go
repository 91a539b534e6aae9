package bus

import (
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

// messages fetches what is stored on MESSAGE, as the business system does.
func messages(t testing.TB, n *servers.NATS, want int) []jetstream.Msg {
	t.Helper()
	js, err := jetstream.NewWithAPIPrefix(raw(t, n, "subscriber", nil), SubscriberAPIPrefix)
	require.NoError(t, err)
	consumer, err := js.Consumer(t.Context(), StreamMessage, MessageConsumer)
	require.NoError(t, err)
	var all []jetstream.Msg
	for range want {
		msg, err := consumer.Next(jetstream.FetchMaxWait(soon))
		require.NoError(t, err)
		require.NoError(t, msg.DoubleAck(t.Context()))
		all = append(all, msg)
	}
	info, err := consumer.Info(t.Context())
	require.NoError(t, err)
	require.Zero(t, info.NumPending, "and no more than that")
	return all
}

func TestPublishMessage_is_stored_once_and_reaches_the_business_system(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, m := range [][2]string{{"text", "1"}, {"event_SUBSCRIBE", "2"}, {"text", "1"}} {
		require.NoError(t, w.worker.PublishMessage(t.Context(), "wx1", m[0], m[1], []byte(`{"id":"`+m[1]+`"}`)))
	}
	got := messages(t, w.server, 2)
	require.Equal(t, "pay.message.wx1.text", got[0].Subject())
	require.Equal(t, "pay.message.wx1.event_subscribe", got[1].Subject())
	require.JSONEq(t, `{"id":"1"}`, string(got[0].Data()))
	require.Equal(t, "application/cloudevents+json", got[0].Headers().Get("Content-Type"))
	messages(t, w.server, 0)
}

func TestPublishMessage_lets_no_stranger_shape_a_subject(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]string{
		"text": "text", "event_CLICK": "event_click", "": "other", "a.b": "other", "*": "other", ">": "other", "a b": "other",
		"微信": "other", "event_x\r\nPUB y": "other", fmt.Sprintf("%065d", 1): "other", fmt.Sprintf("%064d", 1): fmt.Sprintf("%064d", 1),
	} {
		require.Equal(t, want, messageType(typ), "%q", typ)
	}
	w := newWorld(t)
	require.ErrorContains(t, w.worker.PublishMessage(t.Context(), "wx1.>", "text", "1", nil), "cannot be part of a subject")
}

func TestPublishMessage_stores_twins_once_across_a_restart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publish := func() error {
		return w.worker.PublishMessage(t.Context(), "wx1", "text", "same", []byte("{}"))
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := publish(); err != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
	all.Wait()
	require.NoError(t, w.server.Restart())
	w.back(t, w.worker)
	require.Eventually(t, func() bool { return publish() == nil }, soon, often)
	messages(t, w.server, 1)
}

func TestPublishMessage_says_that_the_stream_is_full_or_away(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Limits.Message = 4 << 10 })
	var err error
	for n := 0; n < 100 && err == nil; n++ {
		err = w.worker.PublishMessage(t.Context(), "wx1", "text", fmt.Sprint(n), make([]byte, 512))
	}
	require.ErrorIs(t, err, ErrFull, "nothing old is dropped for it")
	require.NoError(t, w.server.Stop())
	require.Eventually(t, func() bool { return !w.worker.Connected() }, soon, often)
	require.ErrorIs(t, w.worker.PublishMessage(t.Context(), "wx1", "text", "x", nil), ErrUnavailable)
}

func TestEnsureStreams_mends_the_consumer_of_messages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.worker.PublishMessage(t.Context(), "wx1", "text", "1", []byte("{}")))
	messages(t, w.server, 1)
	require.NoError(t, w.worker.EnsureStreams(t.Context()), "it goes on where it was")
	messages(t, w.server, 0)
	require.Equal(t, messageAge, w.stream(t, StreamMessage).Config.MaxAge)
	require.Equal(t, jetstream.DiscardNew, w.stream(t, StreamMessage).Config.Discard)
}

func TestPublishMessage_reaches_the_business_system_under_both_forms_of_acknowledgement(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{"today's": "", "scoped": "\nfeature_flags { js_ack_fc_v2: true }\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldWith(t, change)
			require.NoError(t, w.worker.PublishMessage(t.Context(), "wx1", "text", "1", []byte("{}")))
			messages(t, w.server, 1)
		})
	}
}

package bus

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// forgedAcks acknowledge message 1 of a consumer in all the forms that a server
// might take for one. In the last two, today's form wears the clothes of the form to
// come: what stands where that one has stream and consumer is a count to the server.
func forgedAcks(stream, consumer, own string) []string {
	victim := stream + "." + consumer
	return []string{
		"$JS.ACK." + victim + ".1.1.1.0.0",
		"$JS.ACK._.hash." + victim + ".1.1.1.0.0",
		"$JS.ACK." + victim + ".EVENT.1.1.0.0",
		"$JS.ACK." + victim + ".EVENT." + own + ".1.0.0",
	}
}

// outstanding is how many messages a consumer has handed out and waits for.
func (w world) outstanding(t testing.TB, stream, consumer string) int {
	t.Helper()
	c, err := w.worker.js.Consumer(t.Context(), stream, consumer)
	require.NoError(t, err)
	return c.CachedInfo().NumAckPending
}

// settled: what conn sent before has been dealt with once its own question is answered.
func settled(t testing.TB, conn *nats.Conn, consumer string) {
	t.Helper()
	_, err := conn.Request("fenflow.events.CONSUMER.INFO.EVENT."+consumer, nil, soon)
	require.NoError(t, err)
}

func TestPermissions_a_business_system_settles_no_notification(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taken, hold := make(chan struct{}, 1), make(chan struct{}) // it may come a second time
	w.consume(t, ConsumeOptions{Subject: SubjectLive}, func(context.Context, []wechatpay.Arrival) error {
		taken <- struct{}{}
		<-hold
		return nil
	})
	t.Cleanup(func() { close(hold) })
	require.NoError(t, NewPacker(w.notify, "1").Publish(t.Context(), envelope(1)))
	<-taken
	shop := raw(t, w.server, "subscriber", nil)
	for _, subject := range append(forgedAcks(StreamNotify, durableLive, SubscriberConsumer), "$JS.ACK.MESSAGE.messages.NOTIFY."+durableLive+".1.1.1.0.0", "$JS.ACK._.hash.MESSAGE.messages.NOTIFY."+durableLive+".1.1.1.0.0") {
		for _, word := range []string{"", "+ACK", "+TERM", "+NXT"} {
			require.NoError(t, shop.PublishRequest(subject, shop.NewInbox(), []byte(word)))
		}
	}
	settled(t, shop, SubscriberConsumer)
	require.Equal(t, 1, w.outstanding(t, StreamNotify, durableLive), "it is not settled before its handler said so")
}

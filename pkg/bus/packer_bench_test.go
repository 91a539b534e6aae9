package bus

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// BenchmarkPacker compares packs with a message for each envelope, by the
// number of callers at the same time. Every server syncs always.
func BenchmarkPacker(b *testing.B) {
	env := envelope(1)
	env.Body = make([]byte, 1<<10)
	for _, callers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("packed/%d", callers), func(b *testing.B) {
			w := newWorld(b)
			p := NewPacker(w.notify, "1")
			share(b, callers, func() error { return p.Publish(context.Background(), env) })
		})
		b.Run(fmt.Sprintf("single/%d", callers), func(b *testing.B) {
			w := newWorld(b)
			share(b, callers, func() error { return publishAlone(w.notify, env) })
		})
	}
}

func publishAlone(b *Bus, env wechatpay.Envelope) error {
	record, err := encodeEnvelope(env)
	if err != nil {
		return err
	}
	err = b.publish(context.Background(), &nats.Msg{Subject: subjectLive + "1", Data: encodePack([][]byte{record})}, StreamNotify)
	return err
}

func share(b *testing.B, callers int, publish func() error) {
	b.Helper()
	b.ResetTimer()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := c; n < b.N; n += callers {
				require.NoError(b, publish())
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "envelopes/s")
}

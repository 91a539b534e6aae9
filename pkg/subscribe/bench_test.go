package subscribe

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/fenflow/fenflow/pkg/event"
)

// One transaction for each event, with a row for the memory, one for the effect
// and a commit that is on disk, from a backlog under the shipped nats.conf.
func BenchmarkInbox(b *testing.B) {
	for _, concurrency := range []int{1, defaultConcurrency, 16} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			w := newWorld(b)
			w.consumer(b, "business", soon)
			w.db.SetMaxIdleConns(concurrency + 1)
			facts := make([]fact, b.N)
			for n := range facts {
				facts[n] = fact{fmt.Sprintf("BENCH%07d", n), "order.paid", 3}
			}
			w.publish(b, facts...)
			i, _ := w.open(b, func(o *Options) { o.Concurrency = concurrency })
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan struct{})
			b.ResetTimer()
			stop := run(b, i, func(ctx context.Context, tx *sql.Tx, e event.Event) error {
				if left.Add(-1) == 0 {
					defer close(done)
				}
				_, err := tx.ExecContext(ctx, `INSERT INTO deliveries VALUES ($1, $2)`, e.Data.OutTradeNo, e.ID)
				return err
			})
			<-done
			stop()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

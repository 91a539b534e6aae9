package recovery_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// BenchmarkRecover recovers orders that were placed and paid, one in ten of them
// given back: without reading the streams, which package bus measures.
func BenchmarkRecover(b *testing.B) {
	const orders = 1000
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b, openLedger(b), openLedger(b))
		for n := range orders {
			no := pay.OutTradeNo(fmt.Sprintf("BENCH-%06d", n))
			w.paid(no, pay.TransactionID("TX-"+no))
			if n%10 == 0 {
				refund := pay.OutRefundNo("R-" + no)
				w.granted(no, refund, price)
				w.tick()
				w.hears(w.refunds(w.refund(refund), pay.RefundSucceeded), w.clock)
				w.publish(0)
			}
		}
		b.StartTimer()
		began := time.Now()
		require.Zero(b, w.recover().Counts.Problems)
		b.ReportMetric(orders/time.Since(began).Seconds(), "orders/s")
	}
}

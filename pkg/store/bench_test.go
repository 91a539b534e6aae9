package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// BenchmarkSettle500 settles batches of 500 first payments with bodies of the
// size that WeChat Pay sends (about 900 bytes), on one connection.
func BenchmarkSettle500(b *testing.B) {
	const size = 500
	books := setup(b)
	body := make([]byte, 900)
	for i := range body {
		body[i] = byte('a' + i%26)
	}
	orders, elapsed := 0, 0
	for b.Loop() {
		b.StopTimer()
		entries := make([]pay.Entry, size)
		for i, o := range books.placeMany(size) {
			orders++
			entries[i] = arrived(payment(o, pay.TransactionID(fmt.Sprintf("42%015d", orders))))
			entries[i].Delivery.Body = body
		}
		b.StartTimer()
		settled, err := books.Settle(b.Context(), entries, defaults)
		require.NoError(b, err)
		elapsed += len(settled.Events)
	}
	require.Equal(b, orders, elapsed)
	b.ReportMetric(float64(orders)/b.Elapsed().Seconds(), "orders/s")
}

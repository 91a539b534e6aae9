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

// BenchmarkSettleRefunds500 settles batches of 500 notices that a requested
// refund succeeded: two steps, two lines of history and an event each.
func BenchmarkSettleRefunds500(b *testing.B) {
	const size = 500
	books := setup(b)
	settled := 0
	for b.Loop() {
		b.StopTimer()
		paid, asked, gone := make([]pay.Entry, size), make([]pay.Entry, size), make([]pay.Entry, size)
		for i, o := range books.placeMany(size) {
			payment, wished := payment(o, txOf(o)), wish(o, refundOf(o, 1), 40)
			paid[i].Observation, asked[i].Observation = &payment, &wished
			gone[i] = arrived(seen(o, refundOf(o, 1), 40, pay.RefundSucceeded))
		}
		books.settle(paid...)
		books.settle(asked...)
		b.StartTimer()
		result, err := books.Settle(b.Context(), gone, defaults)
		require.NoError(b, err)
		settled += len(result.Events)
	}
	b.ReportMetric(float64(settled)/b.Elapsed().Seconds(), "refunds/s")
	books.mustBalance()
}

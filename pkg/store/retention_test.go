package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestDropOldDeliveries_keeps_half_a_year(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Date(2031, 12, 31, 15, 0, 0, 0, time.UTC)
	limit := now.AddDate(0, 0, -180)
	for _, day := range []time.Time{limit.AddDate(0, 0, -3), limit.AddDate(0, 0, 20)} {
		require.NoError(t, b.EnsurePartitions(t.Context(), day))
	}
	deliver := func(at time.Time) pay.DeliveryID {
		e := arrived(payment(order("T-unknown-order"), "4200"))
		e.Delivery.ID = idAt(at)
		b.settle(e)
		return e.Delivery.ID
	}
	kept, gone := deliver(limit), deliver(limit.AddDate(0, 0, -1))

	// A settlement under way is not held up: the job gives in and comes back.
	busy, err := b.sql.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = busy.ExecContext(t.Context(), `LOCK TABLE deliveries IN ROW EXCLUSIVE MODE`)
	require.NoError(t, err)
	dropped, err := b.DropOldDeliveries(t.Context(), now)
	require.ErrorContains(t, err, "lock timeout")
	require.Empty(t, dropped)
	require.NoError(t, busy.Rollback())

	dropped, err = b.DropOldDeliveries(t.Context(), now)
	require.NoError(t, err)
	require.Contains(t, dropped, "deliveries_"+limit.AddDate(0, 0, -1).Format("20060102"))
	require.NotContains(t, dropped, "deliveries_"+limit.Format("20060102"))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM deliveries WHERE delivery_id = $1`, string(kept)))
	require.Zero(t, b.count(`SELECT count(*) FROM deliveries WHERE delivery_id = $1`, string(gone)))

	again, err := b.DropOldDeliveries(t.Context(), now)
	require.NoError(t, err)
	require.Empty(t, again)
}

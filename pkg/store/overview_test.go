package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestOverview_measures_what_waits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	empty, err := b.Overview(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), empty.At, time.Minute)
	require.Equal(t, pay.Overview{At: empty.At, Gears: map[pay.MchID]pay.Gear{}, Sweeps: map[string]time.Time{}}, empty)

	b.placeFor(other, "T-000001", noon.Add(-time.Hour))
	b.placeFor(shop, "T-000002", noon)
	b.seedOrder(pay.OrderFailed) // it is asked about, and yet resolved
	o := b.paidOrder()
	b.publish()
	b.told(payment(o, "2-"+txOf(o)), wish(o, refundOf(o, 1), 10), seen(o, refundOf(o, 2), 10, pay.RefundSucceeded))
	require.NoError(t, b.exec(`UPDATE outbox SET created_at = $1`, noon))
	require.NoError(t, b.exec(`UPDATE refunds SET created_at = $1`, noon))
	b.lettered(shop, pay.LetterMalformed, noon)
	b.lettered(shop, pay.LetterUnknownOrder, noon.Add(-time.Hour))
	b.forge(`UPDATE anomalies SET state = 'open', decided_at = NULL`)
	require.NoError(t, b.BeginSweep(t.Context(), "tick"))
	require.NoError(t, b.exec(`INSERT INTO merchant_gears (mchid, gear) VALUES ($1, 'tight'), ($2, 'relaxed')`, string(shop), string(other)))

	got, err := b.Overview(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[pay.MchID]pay.Gear{shop: pay.GearTight, other: pay.GearRelaxed}, got.Gears)
	require.Equal(t, pay.QueueAge{Count: 2, OldestAt: noon.Add(-time.Hour)}, got.Orders)
	require.Equal(t, pay.QueueAge{Count: 2, OldestAt: noon}, got.Refunds, "the wish and the policy's")
	require.Equal(t, pay.QueueAge{Count: 1, OldestAt: noon}, got.Letters, "one that waits needs nobody")
	require.Equal(t, pay.QueueAge{Count: 1, OldestAt: noon.Add(-time.Hour)}, got.LettersWaiting)
	require.Equal(t, pay.QueueAge{Count: b.count(`SELECT count(*) FROM outbox`), OldestAt: noon}, got.Outbox)
	require.Equal(t, b.count(`SELECT count(*) FROM anomalies`), got.AnomaliesOpen)
	require.WithinDuration(t, time.Now(), got.Sweeps["tick"], time.Minute)
	require.Len(t, got.Sweeps, 1)
}

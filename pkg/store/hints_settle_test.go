package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// hinted is a notice that nobody signed: it names a refund and proves nothing.
func hinted(no pay.OutRefundNo) pay.Entry {
	return pay.Entry{
		Hint: &pay.RefundHint{MchID: shop, OutRefundNo: no, OutTradeNo: "T-hinted", Protocol: pay.ProtocolV2},
		Delivery: &pay.Delivery{
			ID: pay.DeliveryID(uuid.Must(uuid.NewV7()).String()), MchID: shop, Kind: pay.DeliveryNotifyV2Refund, ReceivedAt: noon,
			Body: []byte("<xml><return_code>SUCCESS</return_code></xml>"),
		},
	}
}

func TestSettle_takes_a_hint_as_a_question_only(t *testing.T) {
	t.Parallel()
	b := setup(t)
	far := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	later := func(no pay.OutRefundNo) {
		require.NoError(t, b.exec(`UPDATE refunds SET next_check_at = $2, leased_until = $2 WHERE out_refund_no = $1`, string(no), far))
	}
	refund := func(states ...pay.RefundState) pay.OutRefundNo {
		o := b.paidOrder()
		b.told(wish(o, refundOf(o, 1), 40))
		for _, state := range states {
			b.told(seen(o, refundOf(o, 1), 40, state))
		}
		return refundOf(o, 1)
	}
	for name, is := range map[string]struct {
		no  pay.OutRefundNo
		api pay.API
	}{
		"requested":  {refund(), pay.APIRefund},
		"processing": {refund(pay.RefundProcessing), pay.APIRefundQuery},
		"abnormal":   {refund(pay.RefundAbnormal), pay.APIRefundQuery},
	} {
		t.Run(name+" is due at once", func(t *testing.T) {
			t.Parallel()
			later(is.no)
			before := b.refund(is.no)
			settled := b.settle(hinted(is.no), hinted(is.no))
			require.Equal(t, []pay.Outcome{pay.OutcomeArchived, pay.OutcomeArchived}, outcomes(settled))
			require.Empty(t, settled.Events)
			after := b.refund(is.no)
			require.WithinDuration(t, time.Now(), after.NextCheckAt, time.Minute)
			require.Equal(t, is.api, after.CheckAPI)
			before.NextCheckAt = after.NextCheckAt
			require.Equal(t, before, after, "nothing else moved")
			require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE out_refund_no = $1 AND leased_until = $2`, string(is.no), far), "the lease stands")
			require.Zero(t, b.count(`SELECT count(*) FROM refund_hints WHERE out_refund_no = $1`, string(is.no)))
		})
	}
	t.Run("one that ended is left alone", func(t *testing.T) {
		t.Parallel()
		no := refund(pay.RefundSucceeded)
		before := b.refund(no)
		b.settle(hinted(no))
		require.Equal(t, before, b.refund(no))
		require.Zero(t, b.count(`SELECT count(*) FROM refund_hints WHERE out_refund_no = $1`, string(no)))
	})
	t.Run("one that failed goes on the list as if nobody knew it, under its own order", func(t *testing.T) {
		t.Parallel()
		no := b.seedRefund(pay.RefundFailed)
		before := b.refund(no)
		b.settle(hinted(no), hinted(no))
		require.Equal(t, before, b.refund(no), "a hint moves nothing")
		require.Equal(t, 1, b.count(`SELECT count(*) FROM refund_hints WHERE mchid = $1 AND out_refund_no = $2 AND out_trade_no = $3
			AND protocol = 'v2' AND next_check_at <= now()`, string(shop), string(no), string(before.OutTradeNo)))

		// What WeChat Pay then answers is booked: the money left after all.
		o, found, err := b.Order(t.Context(), shop, before.OutTradeNo)
		require.NoError(t, err)
		require.True(t, found)
		b.told(seen(o, no, 1, pay.RefundSucceeded))
		require.Equal(t, pay.RefundSucceeded, b.refund(no).State)
		require.Equal(t, pay.Fen(1), b.payment(o).Refunded)
	})
	t.Run("one that nobody knows goes on the list, once", func(t *testing.T) {
		t.Parallel()
		first := hinted("R-unknown")
		b.settle(first)
		require.Equal(t, 1, b.count(`SELECT count(*) FROM deliveries WHERE delivery_id = $1 AND kind = 'notify_v2_refund'`, string(first.Delivery.ID)))
		require.NoError(t, b.exec(`UPDATE refund_hints SET next_check_at = $2, check_count = 4 WHERE out_refund_no = $1`, "R-unknown", far))
		b.settle(hinted("R-unknown"), hinted("R-unknown"))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM refund_hints WHERE mchid = $1 AND out_refund_no = 'R-unknown' AND out_trade_no = 'T-hinted'
			AND protocol = 'v2' AND check_count = 4 AND next_check_at <= now()`, string(shop)))
	})
	t.Run("one that names no refund is archived and no more", func(t *testing.T) {
		t.Parallel()
		for _, no := range []pay.OutRefundNo{"", "R\x00", "R\xff", pay.OutRefundNo(longText())} {
			require.Equal(t, []pay.Outcome{pay.OutcomeArchived}, outcomes(b.settle(hinted(no))))
		}
		strange := hinted("R-strange")
		strange.Hint.OutTradeNo = pay.OutTradeNo("T\x00\xff" + longText())
		b.settle(strange)
		require.Equal(t, 1, b.count(`SELECT count(*) FROM refund_hints WHERE out_refund_no = 'R-strange'`))
		require.Zero(t, b.count(`SELECT count(*) FROM refund_hints WHERE out_refund_no = '' OR length(out_refund_no) > 64`))
	})
	t.Run("one that the same batch settles needs no question", func(t *testing.T) {
		t.Parallel()
		o := b.paidOrder()
		b.settle(hinted(refundOf(o, 1)), arrived(seen(o, refundOf(o, 1), 40, pay.RefundSucceeded)))
		require.Equal(t, pay.RefundSucceeded, b.refund(refundOf(o, 1)).State)
		require.Zero(t, b.count(`SELECT count(*) FROM refund_hints WHERE out_refund_no = $1`, string(refundOf(o, 1))))
	})
}

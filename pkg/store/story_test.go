package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestStory_tells_everything_of_one_order(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	entry := arrived(payment(o, txOf(o)))
	b.settle(entry)
	b.settle(arrived(payment(b.paidOrder(), "2-other")))
	b.told(payment(o, "2-"+txOf(o)), wish(o, refundOf(o, 1), 40))
	first := b.attempted(refundOf(o, 1), 1, pay.AttemptUnknown, noon.Add(time.Hour), time.Time{})
	second := b.attempted(refundOf(o, 1), 2, pay.AttemptAccepted, noon.Add(2*time.Hour), noon.Add(2*time.Hour+time.Second))
	b.told(seen(o, refundOf(o, 1), 40, pay.RefundSucceeded))

	story := b.story(o)
	require.Equal(t, b.order(o), story.Order)
	require.Equal(t, entry.Delivery.ID, story.History[1].DeliveryID)
	require.Equal(t, "PUB_KEY_ID_1", story.History[1].KeyID)
	var lines []string
	for i, h := range story.History {
		require.EqualValues(t, i+1, h.Sequence)
		lines = append(lines, h.What+" "+string(h.RefundFrom)+">"+string(h.RefundTo))
	}
	require.Equal(t, []string{
		"created >", "paid >", "double_payment >", "refund_requested >requested", "refund_requested >requested",
		"refund_processing requested>processing", "refund_succeeded processing>succeeded",
	}, lines)
	require.Len(t, story.Payments, 2)
	require.Equal(t, b.payment(o), story.Payments[1])
	require.Equal(t, pay.Fen(40), story.Payments[1].Refunded)
	require.Equal(t, []pay.Attempt{first, second}, story.Refunds[1].Attempts)
	require.Equal(t, b.refund(refundOf(o, 1)), story.Refunds[1].Refund)
	require.Equal(t, pay.AutoRefundNo("2-"+txOf(o)), story.Refunds[0].OutRefundNo)
	require.Empty(t, story.Refunds[0].Attempts)
	require.Equal(t, pay.AnomalyDoublePayment, story.Anomalies[0].Kind)
	require.True(t, story.Anomalies[0].DecidedAt.IsZero())

	_, found, err := b.Story(t.Context(), other, o.OutTradeNo)
	require.NoError(t, err)
	require.False(t, found, "another merchant's order")
	_, found, err = b.Refund(t.Context(), other, refundOf(o, 1))
	require.NoError(t, err)
	require.False(t, found)
	_, found, err = b.Payment(t.Context(), other, txOf(o))
	require.NoError(t, err)
	require.False(t, found)
}

// A story that is read while the order moves is of one moment: its sums fit its
// rows, and its history is as long as its sequence.
func TestStory_is_of_one_moment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	done := make(chan struct{})
	var together errgroup.Group
	together.Go(func() error {
		defer close(done)
		for i := range 40 {
			asked, gone := wish(o, refundOf(o, i), 2), seen(o, refundOf(o, i), 2, pay.RefundSucceeded)
			for _, obs := range []pay.Observation{asked, gone} {
				if _, err := b.Settle(t.Context(), []pay.Entry{{Observation: &obs}}, defaults); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		story := b.story(o)
		require.Len(t, story.History, int(story.Order.Sequence))
		var reserved, refunded pay.Fen
		for _, r := range story.Refunds {
			switch r.State {
			case pay.RefundSucceeded:
				refunded += r.Amount
			default:
				reserved += r.Amount
			}
		}
		require.Equal(t, []pay.Fen{reserved, refunded}, []pay.Fen{story.Payments[0].Reserved, story.Payments[0].Refunded})
	}
	require.NoError(t, together.Wait())
}

func TestWishAbnormal_keeps_a_wish_of_an_abnormal_refund_and_who_had_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	r := refundOf(o, 1)
	wished := func() bool {
		yes, err := b.WishAbnormal(t.Context(), shop, r, []byte(`{"bank_account":"cipher"}`), "PUB_KEY_ID_1", "shop-key", "")
		require.NoError(t, err)
		return yes
	}
	require.False(t, wished(), "nothing there")
	b.told(wish(o, r, 40))
	require.False(t, wished(), "not abnormal yet")
	b.told(seen(o, r, 40, pay.RefundAbnormal))
	require.NoError(t, b.exec(`UPDATE refunds SET next_check_at = '2030-01-01Z', leased_until = '2030-01-01Z'`))
	require.True(t, wished(), "it ends the lease of a question that is under way")
	require.False(t, wished(), "one at a time")
	now := b.refund(r)
	require.Equal(t, pay.RefundAbnormal, now.State)
	require.Equal(t, pay.APIRefundAbnormal, now.CheckAPI)
	require.WithinDuration(t, time.Now(), now.NextCheckAt, time.Minute)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE abnormal_request = '{"bank_account":"cipher"}' AND abnormal_key_id = 'PUB_KEY_ID_1' AND leased_until IS NULL`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE mchid = $1 AND actor = 'shop-key' AND action = 'refund.drive_on' AND subject = $2
		AND detail->>'out_trade_no' = $3 AND detail->>'refund_id' = '50-' || $2 AND detail::text NOT LIKE '%cipher%'`, string(shop), string(r), string(o.OutTradeNo)))

	driven := seen(o, r, 40, pay.RefundProcessing)
	driven.Source, driven.DrivenOn = pay.SourceCall, true
	b.told(driven)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE state = 'processing' AND abnormal_request IS NULL AND check_api = 'refund_query'`))
	_, err := b.WishAbnormal(t.Context(), shop, r, nil, "", "", "")
	require.NoError(t, err, "not abnormal any more: nothing to refuse")
}

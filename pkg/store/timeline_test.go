package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestTimeline_tells_everything_that_happened_to_one_order(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stranger := b.paidOrder()
	tx := txOf(order("T-early-000001"))
	early := arrived(payment(order("T-early-000001"), tx))
	b.settle(early)
	o := b.placeAs("T-early-000001")
	b.settle(early)
	b.publish()
	double := payment(o, "4201")
	double.ObservedAt = noon.Add(time.Minute)
	b.told(double)
	b.told(wish(o, "R-1", 40))
	odd := arrived(payment(o, "4202"))
	odd.Letter = &pay.LetterCause{Reason: pay.LetterMismatch, Detail: "appid"}
	b.settle(odd)
	_, discard, _, err := b.DiscardLetter(t.Context(), odd.Delivery.ID, "token:night-shift", "a test of the bank")
	require.NoError(t, err)
	require.False(t, discard.Again)
	require.NoError(t, b.exec(`INSERT INTO audit (mchid, audit_id, actor, action, subject) VALUES ($1, gen_random_uuid(), 'shop', 'refund.drive_on', 'R-1'),
		($1, gen_random_uuid(), 'shop', 'refund.drive_on', $2), ($3, gen_random_uuid(), 'policy', 'anomaly.hold', $2)`, string(shop), string(o.OutTradeNo), string(other)))

	moments, err := b.Timeline(t.Context(), shop, o.OutTradeNo)
	require.NoError(t, err)
	of := map[string][]pay.Moment{}
	for i, m := range moments {
		require.False(t, m.At.IsZero())
		require.Equal(t, time.UTC, m.At.Location())
		if i > 0 {
			require.False(t, m.At.Before(moments[i-1].At))
		}
		of[m.Kind] = append(of[m.Kind], m)
	}

	var history []string
	for _, m := range of[pay.MomentHistory] {
		history = append(history, m.What+" "+m.From+">"+m.To)
	}
	require.ElementsMatch(t, []string{
		"created created>created", "paid created>paid", "double_payment paid>paid", "refund_requested >requested", "refund_requested >requested",
	}, history)
	paid := of[pay.MomentHistory][1]
	require.Equal(t, pay.Moment{
		At: noon.Add(2 * time.Second), Kind: pay.MomentHistory, What: "paid", Source: "notification", From: "created", To: "paid", Sequence: 2,
		TransactionID: tx, DeliveryID: early.Delivery.ID, KeyID: "PUB_KEY_ID_1",
	}, paid)

	require.Len(t, of[pay.MomentDelivery], 2)
	require.Contains(t, of[pay.MomentDelivery], pay.Moment{
		At: early.Delivery.ReceivedAt, Kind: pay.MomentDelivery, What: "notify_v3", TransactionID: tx, DeliveryID: early.Delivery.ID,
		NotificationID: "EV-1", KeyID: "PUB_KEY_ID_1", Detail: "TRANSACTION.SUCCESS",
	})

	require.Len(t, of[pay.MomentEvent], b.count(`SELECT count(*) FROM outbox WHERE out_trade_no = $1`, string(o.OutTradeNo))+2)
	published := 0
	for _, m := range of[pay.MomentEvent] {
		require.NotEmpty(t, m.EventID)
		require.Positive(t, m.Sequence)
		if !m.PublishedAt.IsZero() {
			published++
			require.Equal(t, noon.Add(time.Hour), m.PublishedAt)
			require.Positive(t, m.StreamSequence)
		}
	}
	require.Equal(t, 2, published, "created and paid")

	letters := of[pay.MomentLetter]
	require.Len(t, letters, 2)
	require.Equal(t, []string{"unknown_order", "resolved"}, []string{letters[0].What, letters[0].State})
	require.Equal(t, []string{"mismatch", "discarded", "appid"}, []string{letters[1].What, letters[1].State, letters[1].Detail})

	var audit []string
	for _, m := range of[pay.MomentAudit] {
		audit = append(audit, m.Actor+" "+m.What+" "+string(m.OutRefundNo)+string(m.DeliveryID)+string(m.TransactionID)+" "+m.Detail)
	}
	require.ElementsMatch(t, []string{
		"policy anomaly.refund 4201 ", "token:night-shift dead_letter.discard " + string(odd.Delivery.ID) + " a test of the bank",
		"shop refund.drive_on R-1 ",
	}, audit)

	for _, no := range []pay.OutTradeNo{"T-nobody-knows", ""} {
		none, err := b.Timeline(t.Context(), shop, no)
		require.NoError(t, err)
		require.Empty(t, none)
	}
	theirs, err := b.Timeline(t.Context(), shop, stranger.OutTradeNo)
	require.NoError(t, err)
	require.NotEmpty(t, theirs)
}

package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func (b *books) find(number string, mchid pay.MchID) []pay.Match {
	b.t.Helper()
	matches, err := b.FindOrders(b.t.Context(), number, mchid)
	require.NoError(b.t, err)
	return matches
}

// publish moves all events of the outbox as the broker's receipts do.
func (b *books) publish() {
	b.t.Helper()
	events, err := b.ClaimOutbox(b.t.Context(), -time.Hour, 1000)
	require.NoError(b.t, err)
	receipts := make([]pay.Publication, len(events))
	for i, e := range events {
		receipts[i] = pay.Publication{EventID: e.EventID, Sequence: uint64(i + 1), At: noon.Add(time.Hour)}
	}
	require.NoError(b.t, b.MarkPublished(b.t.Context(), receipts))
}

func TestFindOrders_by_any_number(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bystander := b.place()
	b.settle(arrived(payment(bystander, txOf(bystander))))

	o := b.place()
	entry := arrived(payment(o, txOf(o)))
	entry.Delivery.NotificationID = "EV-of-mine"
	b.settle(entry)
	b.publish()
	b.told(wish(o, refundOf(o, 1), 40), seen(o, refundOf(o, 1), 40, pay.RefundSucceeded))
	require.NoError(t, b.exec(`UPDATE refunds SET refund_id = 'RID-1' WHERE refund_id = ''`))
	odd := arrived(payment(o, "42-mismatched"))
	odd.Letter = &pay.LetterCause{Reason: pay.LetterMismatch, Detail: "appid"}
	b.settle(odd)

	want := func(by string) []pay.Match { return []pay.Match{{MchID: shop, OutTradeNo: o.OutTradeNo, FoundBy: by}} }
	for _, row := range []struct{ number, by string }{
		{string(o.OutTradeNo), pay.FoundByOutTradeNo},
		{string(txOf(o)), pay.FoundByTransactionID},
		{"42-mismatched", pay.FoundByTransactionID},
		{string(refundOf(o, 1)), pay.FoundByOutRefundNo},
		{b.text(`SELECT refund_id FROM refunds WHERE out_refund_no = $1`, string(refundOf(o, 1))), pay.FoundByRefundID},
		{string(entry.Delivery.ID), pay.FoundByDeliveryID},
		{string(odd.Delivery.ID), pay.FoundByDeliveryID},
		{"EV-of-mine", pay.FoundByNotificationID},
		{b.text(`SELECT event_id::text FROM published WHERE out_trade_no = $1 AND fact = 'order.paid'`, string(o.OutTradeNo)), pay.FoundByEventID},
		{b.text(`SELECT event_id::text FROM outbox WHERE out_trade_no = $1 LIMIT 1`, string(o.OutTradeNo)), pay.FoundByEventID},
	} {
		require.NotEmpty(t, row.number, row.by)
		require.Equal(t, want(row.by), b.find(row.number, ""), row.by)
		require.Equal(t, want(row.by), b.find(row.number, shop), row.by)
		require.Empty(t, b.find(row.number, other), row.by)
	}
	for _, number := range []string{"", "nothing", uuid.NewString(), "\x00", "\xff", string(make([]byte, 300))} {
		require.Empty(t, b.find(number, ""), number)
	}
}

func TestFindOrders_names_every_merchant_that_uses_a_number(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 25 {
		o := order("T-shared-0001")
		o.MchID = pay.MchID(fmt.Sprintf("19000001%02d", i))
		_, _, _, err := b.CreateOrder(t.Context(), o)
		require.NoError(t, err)
	}
	matches := b.find("T-shared-0001", "")
	require.Len(t, matches, 20)
	require.Equal(t, pay.Match{MchID: "1900000100", OutTradeNo: "T-shared-0001", FoundBy: pay.FoundByOutTradeNo}, matches[0])
	require.Len(t, b.find("T-shared-0001", "1900000124"), 1)
	require.Empty(t, b.find("T-shared-0001", "1900000125"))
}

func TestFindOrders_a_letter_leads_nowhere_without_its_order(t *testing.T) {
	t.Parallel()
	b := setup(t)
	early := arrived(payment(order("T-early-000001"), "4200"))
	b.settle(early)
	require.Empty(t, b.find(string(early.Delivery.ID), ""))
	later := arrived(payment(order("T-early-000001"), "4201"))
	b.settle(later)
	for number, want := range map[string][]pay.DeliveryID{
		string(early.Delivery.ID): {early.Delivery.ID}, "4200": {early.Delivery.ID}, "T-early-000001": {later.Delivery.ID, early.Delivery.ID},
		"": nil, "nothing": nil, "\xff": nil, uuid.NewString(): nil,
	} {
		for _, mchid := range []pay.MchID{"", shop} {
			letters, err := b.FindLetters(t.Context(), number, mchid)
			require.NoError(t, err)
			require.Equal(t, want, letters, number)
		}
		letters, err := b.FindLetters(t.Context(), number, other)
		require.NoError(t, err)
		require.Empty(t, letters, number)
	}
	o := b.placeAs("T-early-000001")
	require.Equal(t, []pay.Match{{MchID: shop, OutTradeNo: o.OutTradeNo, FoundBy: pay.FoundByDeliveryID}}, b.find(string(early.Delivery.ID), ""))
	require.Equal(t, pay.FoundByTransactionID, b.find("4200", "")[0].FoundBy)
}

func TestFindOrders_numbers_of_any_length_are_archived(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	long := strings.Repeat("EV-long-", 10_000)
	e := arrived(payment(o, txOf(o)))
	e.Delivery.NotificationID, e.Delivery.TransactionID = long, pay.TransactionID(long)
	e.Letter = &pay.LetterCause{Reason: pay.LetterMismatch, Detail: "appid"}
	b.settle(e)
	require.Equal(t, []pay.Match{{MchID: shop, OutTradeNo: o.OutTradeNo, FoundBy: pay.FoundByTransactionID}}, b.find(long, ""))
}

package pay_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/pay"
)

// anyObservation draws what WeChat, a shop or a query could say about the order.
func anyObservation() *rapid.Generator[pay.Observation] {
	return rapid.Custom(func(t *rapid.T) pay.Observation {
		kind := rapid.SampledFrom([]pay.ObservationKind{pay.ObservedPaid, pay.ObservedOpen, pay.ObservedClosed, pay.ObservedPrepared, pay.ObservedRefused}).Draw(t, "kind")
		if kind != pay.ObservedPaid {
			return says(kind)
		}
		tx := rapid.SampledFrom([]pay.TransactionID{"4200", "4201", "4202"}).Draw(t, "transaction")
		// One transaction always has one amount: that is WeChat's truth.
		return paid(tx, map[pay.TransactionID]pay.Fen{"4200": 100, "4201": 100, "4202": 99}[tx])
	})
}

func bookForProperty() *pay.Book {
	book, _ := pay.NewOrder(pay.Order{
		MchID: "1900000109", OutTradeNo: "T20260301000001", AppID: "wx8888888888888888", Amount: 100, Currency: pay.CNY,
		CreatedAt: noon, NextCheckAt: noon.Add(time.Minute),
	}, pay.SourceCommand)
	return book
}

func TestBook_properties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		given := rapid.SliceOfN(anyObservation(), 0, 12).Draw(t, "observations")
		policies := pay.Policies{LatePayment: rapid.SampledFrom([]pay.Policy{"", pay.PolicyHold, pay.PolicyRefund, pay.PolicyAccept}).Draw(t, "late")}
		book := bookForProperty()
		delivered := 0
		for _, obs := range given {
			from := book.Order.State
			c := book.Apply(obs, policies)
			for _, e := range c.Events {
				if e.Fact == pay.FactOrderPaid {
					delivered++
				}
			}
			if to := book.Order.State; to != from && !pay.CanMove(from, to) {
				t.Fatalf("moved %s → %s, which is not in the table", from, to)
			}
			if again := book.Apply(obs, policies); again.Touched {
				t.Fatalf("applying %s a second time changed something", obs.Kind)
			}
		}
		if delivered > 1 || (delivered == 1) != (book.Order.State == pay.OrderPaid) {
			t.Fatalf("%d order.paid for an order that is %s", delivered, book.Order.State)
		}
		for _, obs := range given {
			if _, kept := book.Payments[obs.TransactionID]; obs.Kind == pay.ObservedPaid && !kept {
				t.Fatalf("payment %s is in no book", obs.TransactionID)
			}
		}
	})
}

// With one transaction, whatever the order of arrival and the repeats, the
// money ends in the same place.
func TestBook_one_payment_in_any_order_ends_paid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		noise := []pay.ObservationKind{pay.ObservedOpen, pay.ObservedPrepared, pay.ObservedPrepared, pay.ObservedOpen}
		given := []pay.Observation{paid("4200", 100), paid("4200", 100)}
		for _, kind := range noise {
			given = append(given, says(kind))
		}
		given = rapid.Permutation(given).Draw(t, "arrival")
		book := bookForProperty()
		for _, obs := range given {
			book.Apply(obs, pay.Policies{})
		}
		if book.Order.State != pay.OrderPaid || book.Order.TransactionID != "4200" || book.Order.Late {
			t.Fatalf("order is %s by %q, late %v", book.Order.State, book.Order.TransactionID, book.Order.Late)
		}
	})
}

func TestEvent_Key_tells_facts_apart_and_repeats_alike(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	first := book.Apply(paid("4200", 100), pay.Policies{}).Events[0]
	second := book.Apply(paid("4201", 100), pay.Policies{}).Events[0]
	require.Equal(t, "1900000109/T20260301000001/order.paid/4200", first.Key())
	require.Equal(t, "1900000109/T20260301000001/order.anomaly/double_payment/4201", second.Key())

	replayed := newBook(t)
	require.Equal(t, first.Key(), replayed.Apply(paid("4200", 100), pay.Policies{}).Events[0].Key())
}

package pay_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/pay"
)

// anyDecision draws what operators may say, in any sense or none.
func anyDecision(t *rapid.T) pay.Observation {
	kind := rapid.SampledFrom([]pay.AnomalyKind{pay.AnomalyLatePayment, pay.AnomalyDoublePayment, pay.AnomalyAmountMismatch, pay.AnomalyRefundOverrun}).Draw(t, "anomaly")
	obs := decide(rapid.SampledFrom([]pay.Decision{pay.DecideAccept, pay.DecideRefund}).Draw(t, "decision"), kind, drawTransaction(t))
	if kind == pay.AnomalyRefundOverrun {
		obs.OutRefundNo = drawRefundNo(t)
	}
	obs.Actor = rapid.SampledFrom([]string{"token:ada", "token:bob"}).Draw(t, "actor")
	return obs
}

// Operators decide once about each payment, at any moment and as often as they
// like, while payments, closings and the words about refunds arrive in any
// order: in the end accepted money is kept, the other money is all back, and at
// most one payment was delivered for.
func TestBook_decisions_end_in_the_same_books_in_any_order_of_arrival(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger(t, holdAll())
		l.apply(paid("4200", 100)) // paid: what comes after is doubled
		chosen, story := map[pay.TransactionID]pay.Decision{}, []pay.Observation{}
		for _, tx := range []pay.TransactionID{"4201", "4202", "4203"} {
			chosen[tx] = rapid.SampledFrom([]pay.Decision{pay.DecideAccept, pay.DecideRefund}).Draw(t, "decision")
			for range rapid.IntRange(1, 3).Draw(t, "told") {
				story = append(story, paid(tx, 100))
			}
			for range rapid.IntRange(1, 3).Draw(t, "decided") {
				story = append(story, decide(chosen[tx], pay.AnomalyDoublePayment, tx))
			}
			story = append(story, of(tx, word(pay.AutoRefundNo(tx), 100, pay.RefundSucceeded)), says(pay.ObservedClosed))
		}
		left := rapid.Permutation(story).Draw(t, "arrival")
		for round := 0; len(left) > 0 && round < 4; round++ { // what comes too early comes again
			var again []pay.Observation
			for _, obs := range left {
				// WeChat can only speak of a refund that we sent.
				early := obs.Kind == pay.ObservedRefund && l.book.Refunds[obs.OutRefundNo] == nil
				if early || l.apply(obs).Refusal != nil {
					again = append(again, obs)
				}
			}
			left = again
		}
		for tx, decision := range chosen {
			p, i := l.book.Payments[tx], slices.IndexFunc(l.book.Anomalies, func(a *pay.Anomaly) bool { return a.TransactionID == tx })
			want, refunded := pay.AnomalyAccepted, pay.Fen(0)
			if decision == pay.DecideRefund {
				want, refunded = pay.AnomalyRefunded, 100
			}
			if a := l.book.Anomalies[i]; a.State != want || a.Decision != decision || p.Refunded != refunded || p.Reserved != 0 {
				t.Fatalf("%s was decided: %s; the anomaly is %+v, %d went back, %d are on their way", tx, decision, *a, p.Refunded, p.Reserved)
			}
		}
		if l.facts[string(pay.FactOrderPaid)] != 1 || l.book.Order.TransactionID != "4200" {
			t.Fatalf("%d order.paid, by %s", l.facts[string(pay.FactOrderPaid)], l.book.Order.TransactionID)
		}
	})
}

// Several wrong payments of one order, all accepted in any order: the first one
// pays, the others are kept.
func TestBook_decisions_deliver_once_however_many_payments_are_accepted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger(t, holdAll())
		var story []pay.Observation
		for _, tx := range []pay.TransactionID{"4201", "4202", "4203"} {
			l.apply(paid(tx, pay.Fen(rapid.Int64Range(1, 99).Draw(t, "amount"))))
			story = append(story, accept(pay.AnomalyAmountMismatch, tx), accept(pay.AnomalyAmountMismatch, tx))
		}
		if rapid.Bool().Draw(t, "right money comes, too") {
			story = append(story, paid("4200", 100))
		}
		story = append(story, says(pay.ObservedClosed), says(pay.ObservedPrepared))
		for _, obs := range rapid.Permutation(story).Draw(t, "arrival") {
			l.apply(obs)
		}
		if l.facts[string(pay.FactOrderPaid)] != 1 || l.book.Order.State != pay.OrderPaid {
			t.Fatalf("%d order.paid for an order that is %s", l.facts[string(pay.FactOrderPaid)], l.book.Order.State)
		}
		for _, a := range l.book.Anomalies {
			if a.Kind == pay.AnomalyAmountMismatch && a.State != pay.AnomalyAccepted {
				t.Fatalf("accepted, and still %+v", *a)
			}
		}
	})
}

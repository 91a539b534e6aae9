package pay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// holdAll is a merchant who wants a person to look at everything.
func holdAll() pay.Policies {
	return pay.Policies{LatePayment: pay.PolicyHold, DoublePayment: pay.PolicyHold, AmountMismatch: pay.PolicyHold}
}

func refundAll() pay.Policies {
	return pay.Policies{LatePayment: pay.PolicyRefund, DoublePayment: pay.PolicyRefund, AmountMismatch: pay.PolicyRefund}
}

// decide is an operator's word about a payment.
func decide(what pay.Decision, kind pay.AnomalyKind, tx pay.TransactionID) pay.Observation {
	return pay.Observation{
		Kind: pay.ObservedDecision, Source: pay.SourceOperator, ObservedAt: noon.Add(90 * time.Minute), MchID: "1900000109", OutTradeNo: "T20260301000001",
		TransactionID: tx, AnomalyKind: kind, Decision: what, Actor: "token:ada", Reason: "the customer called",
	}
}

func accept(kind pay.AnomalyKind, tx pay.TransactionID) pay.Observation {
	return decide(pay.DecideAccept, kind, tx)
}

func giveBack(kind pay.AnomalyKind, tx pay.TransactionID) pay.Observation {
	return decide(pay.DecideRefund, kind, tx)
}

// of says something of another payment than 4200.
func of(tx pay.TransactionID, obs pay.Observation) pay.Observation {
	obs.TransactionID = tx
	return obs
}

// Every pair of "what the money is" and "what the operator says", with what may
// have happened before.
func TestBook_Apply_decisions(t *testing.T) {
	t.Parallel()
	const late, double, wrong, overrun = pay.AnomalyLatePayment, pay.AnomalyDoublePayment, pay.AnomalyAmountMismatch, pay.AnomalyRefundOverrun
	closed := says(pay.ObservedClosed)
	over := func(what pay.Decision) pay.Observation {
		obs := decide(what, overrun, "4200")
		obs.OutRefundNo = "P2"
		return obs
	}
	for name, tc := range map[string]struct {
		policies pay.Policies
		given    []pay.Observation
		decision pay.Observation
		refused  pay.RefusalReason // empty: granted
		facts    []pay.Fact        // of the decision
		state    pay.AnomalyState
		order    pay.OrderState
		paidBy   pay.TransactionID
		late     bool
		refund   pay.Fen // that the decision asks for
	}{
		"late, accept": {holdAll(), []pay.Observation{closed, paid("4200", 100)}, accept(late, "4200"),
			"", []pay.Fact{"order.anomaly", "order.paid"}, "accepted", "paid", "4200", true, 0},
		"late, refund": {holdAll(), []pay.Observation{closed, paid("4200", 100)}, giveBack(late, "4200"),
			"", []pay.Fact{"order.anomaly", "refund.requested"}, "open", "closed", "", false, 100},
		"late after a refusal, accept": {holdAll(), []pay.Observation{says(pay.ObservedRefused), paid("4200", 100)}, accept(late, "4200"),
			"", []pay.Fact{"order.anomaly", "order.paid"}, "accepted", "paid", "4200", true, 0},
		"wrong, accept": {holdAll(), []pay.Observation{paid("4200", 99)}, accept(wrong, "4200"),
			"", []pay.Fact{"order.anomaly", "order.paid"}, "accepted", "paid", "4200", false, 0},
		"wrong after closing, accept": {holdAll(), []pay.Observation{closed, paid("4200", 99)}, accept(wrong, "4200"),
			"", []pay.Fact{"order.anomaly", "order.paid"}, "accepted", "paid", "4200", true, 0},
		"wrong, refund": {holdAll(), []pay.Observation{paid("4200", 99)}, giveBack(wrong, "4200"),
			"", []pay.Fact{"order.anomaly", "refund.requested"}, "open", "created", "", false, 99},
		"double, accept": {holdAll(), []pay.Observation{paid("4200", 100), paid("4201", 100)}, accept(double, "4201"),
			"", []pay.Fact{"order.anomaly"}, "accepted", "paid", "4200", false, 0},
		"double, refund": {holdAll(), []pay.Observation{paid("4200", 100), paid("4201", 100)}, giveBack(double, "4201"),
			"", []pay.Fact{"order.anomaly", "refund.requested"}, "open", "paid", "4200", false, 100},

		"wrong, then the right money, accept": {holdAll(), []pay.Observation{paid("4201", 99), paid("4200", 100)}, accept(wrong, "4201"),
			"", []pay.Fact{"order.anomaly"}, "accepted", "paid", "4200", false, 0},
		"wrong, then the right money, refund": {holdAll(), []pay.Observation{paid("4201", 99), paid("4200", 100)}, giveBack(wrong, "4201"),
			"", []pay.Fact{"order.anomaly", "refund.requested"}, "open", "paid", "4200", false, 99},
		"two held, the first is accepted, accept the second": {holdAll(), []pay.Observation{closed, paid("4200", 100), paid("4201", 100), accept(late, "4200")}, accept(late, "4201"),
			"", []pay.Fact{"order.anomaly"}, "accepted", "paid", "4200", true, 0},
		"two held, the first is accepted, refund the second": {holdAll(), []pay.Observation{closed, paid("4200", 100), paid("4201", 100), accept(late, "4200")}, giveBack(late, "4201"),
			"", []pay.Fact{"order.anomaly", "refund.requested"}, "open", "paid", "4200", true, 100},
		"two wrong, the second is given back, accept the first": {holdAll(), []pay.Observation{paid("4200", 99), paid("4201", 101), giveBack(wrong, "4201")}, accept(wrong, "4200"),
			"", []pay.Fact{"order.anomaly", "order.paid"}, "accepted", "paid", "4200", false, 0},
		"wrong and late, accept the late": {holdAll(), []pay.Observation{paid("4201", 99), of("4201", wish("R1", 99)), of("4201", word("R1", 99, pay.RefundSucceeded)), closed, paid("4200", 100)}, accept(late, "4200"),
			"", []pay.Fact{"order.anomaly", "order.paid"}, "accepted", "paid", "4200", true, 0},

		"part went back, refund the rest": {holdAll(), []pay.Observation{closed, paid("4200", 100), wish("R1", 30), word("R1", 30, pay.RefundSucceeded)}, giveBack(late, "4200"),
			"", []pay.Fact{"order.anomaly", "refund.requested"}, "open", "closed", "", false, 70},
		"part is on its way, refund the rest": {holdAll(), []pay.Observation{closed, paid("4200", 100), wish("R1", 30)}, giveBack(late, "4200"),
			"", []pay.Fact{"order.anomaly", "refund.requested"}, "open", "closed", "", false, 70},
		"part went back, accept": {holdAll(), []pay.Observation{closed, paid("4200", 100), wish("R1", 30), word("R1", 30, pay.RefundSucceeded)}, accept(late, "4200"),
			pay.RefusedMoneyLeaves, nil, "open", "closed", "", false, 0},
		"too much came and the surplus went back, accept": {holdAll(), []pay.Observation{paid("4200", 150), wish("R1", 50), word("R1", 50, pay.RefundSucceeded)}, accept(wrong, "4200"),
			"", []pay.Fact{"order.anomaly", "order.paid"}, "accepted", "paid", "4200", false, 0},
		"part is on its way, accept": {holdAll(), []pay.Observation{paid("4200", 150), wish("R1", 50)}, accept(wrong, "4200"),
			pay.RefusedMoneyLeaves, nil, "open", "created", "", false, 0},
		"the shop gives all of it back, refund": {holdAll(), []pay.Observation{closed, paid("4200", 100), wish("R1", 100)}, giveBack(late, "4200"),
			pay.RefusedTooMuch, nil, "open", "closed", "", false, 0},
		"somebody gives all of it back elsewhere under our number, refund": {holdAll(), []pay.Observation{closed, paid("4200", 100), word("auto-4200", 100, pay.RefundProcessing)}, giveBack(late, "4200"),
			pay.RefusedTooMuch, nil, "open", "closed", "", false, 0},
		"doubled money went back in part, accept": {holdAll(), []pay.Observation{paid("4200", 100), paid("4201", 100), of("4201", wish("R1", 30)), of("4201", word("R1", 30, pay.RefundSucceeded))}, accept(double, "4201"),
			"", []pay.Fact{"order.anomaly"}, "accepted", "paid", "4200", false, 0},

		"policy gives it back, accept": {refundAll(), []pay.Observation{closed, paid("4200", 100)}, accept(late, "4200"),
			pay.RefusedMoneyLeaves, nil, "open", "closed", "", false, 0},
		"policy gives it back, refund": {refundAll(), []pay.Observation{closed, paid("4200", 100)}, giveBack(late, "4200"),
			"", nil, "open", "closed", "", false, 0},
		"policy's refund is abnormal, accept": {refundAll(), []pay.Observation{closed, paid("4200", 100), word("auto-4200", 100, pay.RefundAbnormal)}, accept(late, "4200"),
			pay.RefusedMoneyLeaves, nil, "open", "closed", "", false, 0},
		"policy's refund was closed, accept": {refundAll(), []pay.Observation{closed, paid("4200", 100), word("auto-4200", 100, pay.RefundClosed)}, accept(late, "4200"),
			"", []pay.Fact{"order.anomaly", "order.paid"}, "accepted", "paid", "4200", true, 0},
		"policy's refund was closed, refund": {refundAll(), []pay.Observation{closed, paid("4200", 100), word("auto-4200", 100, pay.RefundClosed)}, giveBack(late, "4200"),
			"", []pay.Fact{"order.anomaly", "refund.requested"}, "open", "closed", "", false, 100},
		"policy's refund succeeded, accept": {refundAll(), []pay.Observation{closed, paid("4200", 100), word("auto-4200", 100, pay.RefundSucceeded)}, accept(late, "4200"),
			pay.RefusedDecided, nil, "refunded", "closed", "", false, 0},
		"policy's refund succeeded, refund": {refundAll(), []pay.Observation{closed, paid("4200", 100), word("auto-4200", 100, pay.RefundSucceeded)}, giveBack(late, "4200"),
			"", nil, "refunded", "closed", "", false, 0},
		"policy accepted, refund": {pay.Policies{}, []pay.Observation{closed, paid("4200", 100)}, giveBack(late, "4200"),
			pay.RefusedDecided, nil, "accepted", "paid", "4200", true, 0},
		"policy accepted, accept": {pay.Policies{}, []pay.Observation{closed, paid("4200", 100)}, accept(late, "4200"),
			"", nil, "accepted", "paid", "4200", true, 0},

		"accepted before, refund": {holdAll(), []pay.Observation{closed, paid("4200", 100), accept(late, "4200")}, giveBack(late, "4200"),
			pay.RefusedDecided, nil, "accepted", "paid", "4200", true, 0},
		"given back before, accept": {holdAll(), []pay.Observation{closed, paid("4200", 100), giveBack(late, "4200")}, accept(late, "4200"),
			pay.RefusedMoneyLeaves, nil, "open", "closed", "", false, 0},
		"given back and closed, accept": {holdAll(), []pay.Observation{closed, paid("4200", 100), giveBack(late, "4200"), word("auto-4200", 100, pay.RefundClosed)}, accept(late, "4200"),
			"", []pay.Fact{"order.anomaly", "order.paid"}, "accepted", "paid", "4200", true, 0},
		"given back and succeeded, accept": {holdAll(), []pay.Observation{closed, paid("4200", 100), giveBack(late, "4200"), word("auto-4200", 100, pay.RefundSucceeded)}, accept(late, "4200"),
			pay.RefusedDecided, nil, "refunded", "closed", "", false, 0},

		"more went back than came in, accept": {holdAll(), []pay.Observation{paid("4200", 100), word("P1", 100, pay.RefundSucceeded), word("P2", 1, pay.RefundSucceeded)}, over(pay.DecideAccept),
			"", []pay.Fact{"order.anomaly"}, "accepted", "paid", "4200", false, 0},
		"more went back than came in, refund": {holdAll(), []pay.Observation{paid("4200", 100), word("P1", 100, pay.RefundSucceeded), word("P2", 1, pay.RefundSucceeded)}, over(pay.DecideRefund),
			pay.RefusedNoRefund, nil, "open", "paid", "4200", false, 0},
		"another kind": {holdAll(), []pay.Observation{closed, paid("4200", 100)}, accept(wrong, "4200"),
			pay.RefusedUnknownAnomaly, nil, "open", "closed", "", false, 0},
		"a payment that fits": {holdAll(), []pay.Observation{paid("4201", 99), paid("4200", 100)}, giveBack(wrong, "4200"),
			pay.RefusedUnknownAnomaly, nil, "open", "paid", "4200", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := newBook(t)
			delivered := 0
			apply := func(obs pay.Observation) pay.Change {
				c := book.Apply(obs, tc.policies)
				for _, f := range facts(c) {
					if f == pay.FactOrderPaid {
						delivered++
					}
				}
				return c
			}
			for _, obs := range tc.given {
				c := apply(obs)
				require.Nil(t, c.Refusal)
				require.Nil(t, c.Letter)
			}
			c := apply(tc.decision)
			if tc.refused != "" {
				require.NotNil(t, c.Refusal)
				require.Equal(t, tc.refused, c.Refusal.Reason, c.Refusal.Detail)
				require.Equal(t, pay.Change{Refusal: c.Refusal}, c, "nothing else")
			} else {
				require.Nil(t, c.Refusal, "%+v", c.Refusal)
				require.Equal(t, tc.state, c.Anomaly.State)
			}
			require.Equal(t, tc.facts, facts(c))
			require.Equal(t, tc.state, stateOf(book, tc.decision))
			require.Equal(t, tc.order, book.Order.State)
			require.Equal(t, tc.paidBy, book.Order.TransactionID)
			require.Equal(t, tc.late, book.Order.Late)
			require.LessOrEqual(t, delivered, 1)
			if tc.refund > 0 {
				require.Equal(t, tc.refund, c.NewRefund.Amount)
				require.Equal(t, pay.RefundByOperator, c.NewRefund.Origin)
				require.Contains(t, pay.OwnRefundNos(tc.decision.TransactionID), c.NewRefund.OutRefundNo)
				require.Empty(t, c.NewRefund.Reason, "the buyer is not told the operator's words")
			} else {
				require.Nil(t, c.NewRefund)
			}
			before := snapshot(book)
			again := apply(tc.decision)
			require.False(t, again.Touched)
			require.Equal(t, before, snapshot(book), "a repeat changes nothing")
			require.Equal(t, c.Refusal, again.Refusal)
		})
	}
}

// stateOf is the state of the anomaly that a decision names, or of the book's
// first where it names none.
func stateOf(book *pay.Book, obs pay.Observation) pay.AnomalyState {
	for _, a := range book.Anomalies {
		if a.TransactionID == obs.TransactionID && a.Kind == obs.AnomalyKind && a.OutRefundNo == obs.OutRefundNo {
			return a.State
		}
	}
	return book.Anomalies[0].State
}

func TestBook_Apply_writes_down_who_decided(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	applyAll(book, paid("4200", 99))
	c := book.Apply(accept(pay.AnomalyAmountMismatch, "4200"), holdAll())
	require.Equal(t, []pay.HistoryEntry{
		{MchID: "1900000109", OutTradeNo: "T20260301000001", Sequence: 3, What: "decision_accept", Source: pay.SourceOperator, From: "created", To: "created",
			TransactionID: "4200", Detail: "amount_mismatch, by token:ada: the customer called", At: noon.Add(90 * time.Minute)},
		{MchID: "1900000109", OutTradeNo: "T20260301000001", Sequence: 4, What: "paid", Source: pay.SourceOperator, From: "created", To: "paid",
			TransactionID: "4200", At: noon.Add(90 * time.Minute)},
	}, c.History)
	a := *c.Anomaly
	require.Equal(t, []string{"accept", "token:ada", "the customer called"}, []string{string(a.Decision), a.DecidedBy, a.DecisionReason})
	require.Equal(t, noon.Add(90*time.Minute), a.DecidedAt)
	require.Equal(t, paid("4200", 99).PaidAt, book.Order.PaidAt, "when it was paid, not when it was accepted")
	require.Zero(t, book.Order.NextCheckAt)

	other := giveBack(pay.AnomalyAmountMismatch, "4200")
	other.Actor = "token:bob"
	require.Equal(t, "amount_mismatch of payment 4200 was decided by token:ada on 2026-03-01T05:30:00Z: accept (the customer called)", book.Apply(other, holdAll()).Refusal.Detail)
	book = newBook(t)
	applyAll(book, says(pay.ObservedClosed), paid("4200", 100))
	require.Equal(t, "late_payment of payment 4200 was decided by policy on 2026-03-01T04:01:00Z: accept", book.Apply(giveBack(pay.AnomalyLatePayment, "4200"), holdAll()).Refusal.Detail)
}

// A decision is a fact of its own: its id is that of no other, whatever was
// decided before, and the first word about the anomaly keeps the id it had.
func TestBook_Apply_tells_each_decision_under_an_id_of_its_own(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	var keys []string
	for _, obs := range []pay.Observation{
		says(pay.ObservedClosed), paid("4200", 100), giveBack(pay.AnomalyLatePayment, "4200"), word("auto-4200", 100, pay.RefundClosed),
		giveBack(pay.AnomalyLatePayment, "4200"), word("auto-4200-2", 100, pay.RefundClosed), accept(pay.AnomalyLatePayment, "4200"),
	} {
		for _, e := range book.Apply(obs, holdAll()).Events {
			if e.Fact == pay.FactOrderAnomaly {
				keys = append(keys, e.Key())
			}
		}
	}
	const order = "1900000109/T20260301000001/order.anomaly/"
	require.Equal(t, []string{
		order + "late_payment/4200", order + "refund/auto-4200/late_payment/4200", order + "refund/auto-4200-2/late_payment/4200", order + "accept/late_payment/4200",
	}, keys)
	require.Equal(t, pay.OrderPaid, book.Order.State)
}

func TestBook_Apply_gives_decided_money_back_under_numbers_of_its_own(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	applyAll(book, says(pay.ObservedClosed))
	book.Apply(paid("4200", 100), holdAll())
	for _, no := range pay.OwnRefundNos("4200") {
		c := book.Apply(giveBack(pay.AnomalyLatePayment, "4200"), holdAll())
		require.Equal(t, no, c.NewRefund.OutRefundNo)
		require.Equal(t, c.NewRefund, c.Refund)
		require.Equal(t, pay.Fen(100), book.Payments["4200"].Reserved)
		applyAll(book, word(no, 100, pay.RefundClosed))
		require.Zero(t, book.Payments["4200"].Reserved)
	}
	require.Equal(t, pay.RefusedTooMany, book.Apply(giveBack(pay.AnomalyLatePayment, "4200"), holdAll()).Refusal.Reason)
	require.Equal(t, pay.AutoRefundNo("4200"), pay.OwnRefundNos("4200")[0])

	old := giveBack(pay.AnomalyLatePayment, "4201")
	old.ObservedAt = noon.Add(pay.RefundableFor + time.Hour)
	book.Apply(paid("4201", 100), holdAll())
	require.Equal(t, pay.RefusedTooLate, book.Apply(old, holdAll()).Refusal.Reason)
	require.Nil(t, book.Apply(accept(pay.AnomalyLatePayment, "4201"), holdAll()).Refusal, "it can still be settled otherwise")
}

func TestBook_Apply_makes_no_refund_that_WeChat_Pay_would_not_take(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	book.Apply(paid("4200", 99), holdAll())
	for i := range pay.MaxRefundsOfPayment {
		applyAll(book, wish(pay.OutRefundNo(fmt.Sprintf("R%d", i)), 1))
	}
	require.Equal(t, pay.RefusedTooMany, book.Apply(giveBack(pay.AnomalyAmountMismatch, "4200"), holdAll()).Refusal.Reason)
}

// When it was decided stays, however long the money takes.
func TestBook_Apply_keeps_when_it_was_decided(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	book.Apply(paid("4200", 99), holdAll())
	decision := giveBack(pay.AnomalyAmountMismatch, "4200")
	applyAll(book, decision, word("auto-4200", 99, pay.RefundSucceeded))
	require.Equal(t, pay.AnomalyRefunded, book.Anomalies[0].State)
	require.Equal(t, decision.ObservedAt, book.Anomalies[0].DecidedAt)
}

// Somebody used the policy's number: then no policy gave it back, and the
// operator's refund takes the next one.
func TestBook_Apply_gives_back_what_the_policy_could_not(t *testing.T) {
	t.Parallel()
	book := paidBook(t)
	applyAll(book, word("auto-4201", 10, pay.RefundProcessing)) // of payment 4200
	book.Apply(paid("4201", 100), refundAll())
	c := book.Apply(giveBack(pay.AnomalyDoublePayment, "4201"), refundAll())
	require.Equal(t, pay.OutRefundNo("auto-4201-2"), c.NewRefund.OutRefundNo)
	require.Equal(t, pay.TransactionID("4201"), c.NewRefund.TransactionID)
}

func TestBook_Apply_ends_an_order_whose_money_all_went_back(t *testing.T) {
	t.Parallel()
	returned := func(t *testing.T) *pay.Book {
		t.Helper()
		book := newBook(t)
		applyAll(book, says(pay.ObservedPrepared), paid("4200", 99), giveBack(pay.AnomalyAmountMismatch, "4200"))
		require.Equal(t, pay.Change{}, book.Apply(says(pay.ObservedClosed), pay.Policies{}), "its money is still on its way")
		asked := paid("4200", 99)
		asked.Source = pay.SourceQuery
		require.Equal(t, pay.Change{}, book.Apply(asked, pay.Policies{}))
		book.Order.NextCheckAt, book.Order.CheckAPI = noon.Add(100*time.Hour), pay.APIOrderClose
		back := word("auto-4200", 99, pay.RefundSucceeded)
		applyAll(book, back)
		require.Equal(t, back.ObservedAt, book.Order.NextCheckAt, "WeChat is asked at once")
		require.Equal(t, pay.APIOrderQuery, book.Order.CheckAPI)
		require.Equal(t, pay.OrderAwaitingPayment, book.Order.State)
		return book
	}
	t.Run("when WeChat says closed", func(t *testing.T) {
		t.Parallel()
		book := returned(t)
		require.Equal(t, []pay.Fact{pay.FactOrderClosed}, facts(book.Apply(says(pay.ObservedClosed), pay.Policies{})))
		require.Equal(t, pay.OrderClosed, book.Order.State)
	})
	t.Run("when WeChat, asked, takes it for paid", func(t *testing.T) {
		t.Parallel()
		book := returned(t)
		require.Equal(t, pay.Change{}, book.Apply(paid("4200", 99), pay.Policies{}), "a notification may be a day old and says nothing new")
		asked := paid("4200", 99)
		asked.Source = pay.SourceQuery
		c := book.Apply(asked, pay.Policies{})
		require.Equal(t, []pay.Fact{pay.FactOrderClosed}, facts(c))
		require.Equal(t, "closed", c.History[0].What)
		require.Equal(t, "all of its money went back", c.History[0].Detail)
		require.Equal(t, pay.OrderClosed, book.Order.State)
		require.Equal(t, pay.Change{}, book.Apply(asked, pay.Policies{}))
	})
	t.Run("not while other money is held", func(t *testing.T) {
		t.Parallel()
		book := returned(t)
		applyAll(book, paid("4201", 98))
		require.Equal(t, pay.Change{}, book.Apply(says(pay.ObservedClosed), pay.Policies{}))
	})
	t.Run("and late money is still money", func(t *testing.T) {
		t.Parallel()
		book := returned(t)
		applyAll(book, says(pay.ObservedClosed))
		require.Equal(t, []pay.Fact{pay.FactOrderAnomaly, pay.FactOrderPaid}, facts(book.Apply(paid("4201", 100), pay.Policies{})))
		require.True(t, book.Order.Late)
	})
}

func TestBook_Apply_refuses_a_decision_about_an_order_that_is_not_known(t *testing.T) {
	t.Parallel()
	c := (&pay.Book{}).Apply(accept(pay.AnomalyLatePayment, "4200"), pay.Policies{})
	require.Equal(t, pay.RefusedUnknownAnomaly, c.Refusal.Reason)
	book := newBook(t)
	applyAll(book, paid("4200", 99))
	require.NotNil(t, book.Apply(decide("shrug", pay.AnomalyAmountMismatch, "4200"), pay.Policies{}).Refusal)
}

func TestStory_Book_is_a_copy(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	book.Apply(paid("4200", 99), holdAll())
	story := pay.Story{Order: *book.Order, Payments: []pay.Payment{book.Payments["4200"]}, Anomalies: []pay.Anomaly{*book.Anomalies[0]}}
	tried := story.Book()
	require.Equal(t, []pay.Fact{"order.anomaly", "order.paid"}, facts(tried.Apply(accept(pay.AnomalyAmountMismatch, "4200"), holdAll())))
	require.Equal(t, pay.OrderCreated, story.Order.State)
	require.Equal(t, pay.AnomalyOpen, story.Anomalies[0].State)
	require.Equal(t, []pay.Fact{"order.anomaly", "refund.requested"}, facts(story.Book().Apply(giveBack(pay.AnomalyAmountMismatch, "4200"), holdAll())), "tried as often as one likes")
	require.Zero(t, story.Payments[0].Reserved)
}

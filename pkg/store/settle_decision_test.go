package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

// holdAll leaves all odd money to a person.
func holdAll(pay.MchID) pay.Policies {
	return pay.Policies{LatePayment: pay.PolicyHold, DoublePayment: pay.PolicyHold, AmountMismatch: pay.PolicyHold}
}

// decide is an operator's word about a payment.
func decide(o pay.Order, what pay.Decision, kind pay.AnomalyKind, tx pay.TransactionID) pay.Observation {
	obs := observe(o, pay.ObservedDecision)
	obs.Source, obs.KeyID, obs.ObservedAt = pay.SourceOperator, "", noon.Add(3*time.Hour)
	obs.TransactionID, obs.AnomalyKind, obs.Decision, obs.Actor, obs.Reason = tx, kind, what, "token:ada", "the customer called"
	return obs
}

// heldLate is a closed order with late money that waits for a person.
func (b *books) heldLate() pay.Order {
	b.t.Helper()
	o := b.place()
	_, err := b.Settle(b.t.Context(), []pay.Entry{arrived(observe(o, pay.ObservedClosed)), arrived(payment(o, txOf(o)))}, holdAll)
	require.NoError(b.t, err)
	require.Equal(b.t, pay.AnomalyOpen, b.story(o).Anomalies[0].State)
	return b.order(o)
}

func (b *books) audits(o pay.Order, action string) int {
	b.t.Helper()
	return b.count(`SELECT count(*) FROM audit WHERE mchid = $1 AND subject = $2 AND action = $3`, string(o.MchID), string(o.OutTradeNo), action)
}

// oddity is the one anomaly of a payment.
func (b *books) oddity(tx pay.TransactionID) pay.Anomaly {
	b.t.Helper()
	found, err := b.FindAnomalies(b.t.Context(), tx, shop)
	require.NoError(b.t, err)
	require.Len(b.t, found, 1)
	return found[0]
}

func (b *books) delivered(o pay.Order) int {
	b.t.Helper()
	return b.count(`SELECT count(*) FROM outbox WHERE mchid = $1 AND out_trade_no = $2 AND fact = 'order.paid'`, string(o.MchID), string(o.OutTradeNo))
}

func TestSettle_of_an_accepting_decision_is_one_commit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.heldLate()
	b.publish()
	result := b.told(decide(o, pay.DecideAccept, pay.AnomalyLatePayment, txOf(o)))[0]
	require.Equal(t, pay.OutcomeApplied, result.Outcome)
	require.Equal(t, pay.AnomalyAccepted, result.Anomaly.State)
	require.Equal(t, pay.OrderPaid, result.Order.State)
	require.Nil(t, result.Refund)

	story := b.story(o)
	require.Equal(t, *result.Anomaly, story.Anomalies[0])
	require.Equal(t, pay.DecideAccept, story.Anomalies[0].Decision)
	require.Equal(t, []string{"token:ada", "the customer called"}, []string{story.Anomalies[0].DecidedBy, story.Anomalies[0].DecisionReason})
	require.Equal(t, noon.Add(3*time.Hour), story.Anomalies[0].DecidedAt)
	require.True(t, story.Order.Late)
	require.Equal(t, txOf(o), story.Order.TransactionID)
	last := story.History[len(story.History)-2:]
	require.Equal(t, []string{"decision_accept", "paid"}, []string{last[0].What, last[1].What})
	require.Equal(t, []pay.Source{pay.SourceOperator, pay.SourceOperator}, []pay.Source{last[0].Source, last[1].Source})
	require.Equal(t, "late_payment, by token:ada: the customer called", last[0].Detail)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE actor = 'token:ada' AND action = 'anomaly.accept' AND subject = $1 AND detail =
		jsonb_build_object('reason', 'the customer called', 'kind', 'late_payment', 'transaction_id', $2::text, 'out_refund_no', '')`, string(o.OutTradeNo), string(txOf(o))))
	require.Equal(t, 1, b.delivered(o))
	told := parsed(t, []byte(b.text(`SELECT payload FROM outbox WHERE out_trade_no = $1 AND fact = 'order.anomaly'`, string(o.OutTradeNo))))
	require.Equal(t, []string{"accepted", "accept"}, []string{told.Data.Anomaly.State, told.Data.Anomaly.Decision})
	require.Equal(t, noon.Add(3*time.Hour), *told.Data.Anomaly.DecidedAt)

	again := b.told(decide(o, pay.DecideAccept, pay.AnomalyLatePayment, txOf(o)))[0]
	require.Equal(t, pay.OutcomeUnchanged, again.Outcome)
	require.Equal(t, result.Anomaly, again.Anomaly)
	refused := b.told(decide(o, pay.DecideRefund, pay.AnomalyLatePayment, txOf(o)))[0]
	require.Equal(t, pay.RefusedDecided, refused.Refusal.Reason)
	require.Equal(t, story, b.story(o))
	require.Equal(t, 1, b.audits(o, "anomaly.accept"))
	require.Zero(t, b.audits(o, "anomaly.refund"))
	b.mustBalance()
}

func TestSettle_of_a_decision_to_give_back_makes_one_refund_and_follows_its_money(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.heldLate()
	word := decide(o, pay.DecideRefund, pay.AnomalyLatePayment, txOf(o))
	result := b.told(word)[0]
	no := pay.AutoRefundNo(txOf(o))
	require.Equal(t, no, result.Refund.OutRefundNo)
	require.Equal(t, pay.AnomalyOpen, result.Anomaly.State)
	require.Equal(t, pay.RefundByOperator, b.refund(no).Origin)
	require.Equal(t, price, b.payment(o).Reserved)
	require.Equal(t, string(no), b.text(`SELECT detail->>'out_refund_no' FROM audit WHERE action = 'anomaly.refund' AND subject = $1`, string(o.OutTradeNo)))
	twin := b.told(word)[0]
	require.Equal(t, pay.OutcomeUnchanged, twin.Outcome)
	require.Equal(t, no, twin.Refund.OutRefundNo)
	require.Equal(t, pay.RefusedMoneyLeaves, b.told(decide(o, pay.DecideAccept, pay.AnomalyLatePayment, txOf(o)))[0].Refusal.Reason)

	b.told(seen(o, no, price, pay.RefundSucceeded))
	a := b.story(o).Anomalies[0]
	require.Equal(t, pay.AnomalyRefunded, a.State)
	require.Equal(t, "token:ada", a.DecidedBy)
	require.Equal(t, noon.Add(3*time.Hour), a.DecidedAt, "the decision's time, not the money's")
	require.Equal(t, 1, b.audits(o, "anomaly.refund"))
	require.Zero(t, b.delivered(o))
	b.mustBalance()
}

// Found, decided, given up and decided again in one batch: the row ends where
// the last word left it, and the audit knows them all.
func TestSettle_takes_several_decisions_about_one_payment_in_one_batch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	entries := []pay.Entry{arrived(observe(o, pay.ObservedClosed)), arrived(payment(o, txOf(o)))}
	for _, obs := range []pay.Observation{
		decide(o, pay.DecideRefund, pay.AnomalyLatePayment, txOf(o)), seen(o, pay.AutoRefundNo(txOf(o)), price, pay.RefundClosed),
		decide(o, pay.DecideAccept, pay.AnomalyLatePayment, txOf(o)), decide(o, pay.DecideRefund, pay.AnomalyLatePayment, txOf(o)),
	} {
		entries = append(entries, pay.Entry{Observation: &obs})
	}
	settled, err := b.Settle(t.Context(), entries, holdAll)
	require.NoError(t, err)
	require.Equal(t, pay.RefusedDecided, settled.Results[5].Refusal.Reason)
	require.Equal(t, pay.AnomalyOpen, settled.Results[2].Anomaly.State, "as it stood then")
	require.Equal(t, pay.AnomalyAccepted, b.story(o).Anomalies[0].State)
	require.Equal(t, []int{1, 1, 1, 1}, []int{b.audits(o, "anomaly.hold"), b.audits(o, "anomaly.refund"), b.audits(o, "anomaly.accept"), b.delivered(o)})
	b.mustBalance()
}

// Two operators, several workers, and WeChat's own words at once: one decision
// wins, the other is refused, and the money is in one place.
func TestSettle_lets_one_of_two_opposite_decisions_win(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const rounds = 20
	accepted := 0
	for range rounds {
		o := b.heldLate()
		asked := payment(o, txOf(o))
		asked.Source = pay.SourceQuery
		words := []pay.Observation{
			decide(o, pay.DecideAccept, pay.AnomalyLatePayment, txOf(o)), decide(o, pay.DecideRefund, pay.AnomalyLatePayment, txOf(o)),
			decide(o, pay.DecideAccept, pay.AnomalyLatePayment, txOf(o)), decide(o, pay.DecideRefund, pay.AnomalyLatePayment, txOf(o)),
			payment(o, "2-"+txOf(o)), asked, observe(o, pay.ObservedClosed), wish(o, refundOf(o, 1), 100),
		}
		results := make([]pay.Result, len(words))
		var together errgroup.Group
		for i, obs := range words {
			together.Go(func() error {
				settled, err := b.Settle(t.Context(), []pay.Entry{{Observation: &obs}}, holdAll)
				if err == nil {
					results[i] = settled.Results[0]
				}
				return err
			})
		}
		require.NoError(t, together.Wait())
		a, p := b.oddity(txOf(o)), b.payment(o)
		require.Equal(t, results[0].Refusal == nil, results[2].Refusal == nil, "twins end alike")
		require.Equal(t, results[1].Refusal == nil, results[3].Refusal == nil, "twins end alike")
		require.False(t, results[0].Refusal == nil && results[1].Refusal == nil, "both won: %+v", a)
		switch a.Decision {
		case pay.DecideAccept:
			accepted++
			require.Equal(t, pay.AnomalyAccepted, a.State)
			require.Equal(t, []int{1, 0}, []int{b.audits(o, "anomaly.accept"), b.audits(o, "anomaly.refund")})
			require.Equal(t, 1, b.delivered(o))
		case pay.DecideRefund:
			require.Equal(t, []int{0, 1}, []int{b.audits(o, "anomaly.accept"), b.audits(o, "anomaly.refund")})
			require.Zero(t, b.delivered(o))
			require.Equal(t, pay.Fen(100), p.Reserved)
		default: // the shop's own refund was first
			require.Equal(t, refundOf(o, 1), b.story(o).Refunds[0].OutRefundNo)
			require.Equal(t, pay.Fen(100), p.Reserved)
		}
	}
	t.Logf("%d of %d were accepted", accepted, rounds)
	b.mustBalance()
}

// An accept of wrong money beside the right payment: one of them pays.
func TestSettle_delivers_once_when_a_decision_races_with_the_right_payment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 20 {
		o := b.place()
		_, err := b.Settle(t.Context(), []pay.Entry{arrived(mismatched(o, "3-"+txOf(o))), arrived(mismatched(o, "4-"+txOf(o)))}, holdAll)
		require.NoError(t, err)
		var together errgroup.Group
		for _, obs := range []pay.Observation{
			decide(o, pay.DecideAccept, pay.AnomalyAmountMismatch, "3-"+txOf(o)), payment(o, txOf(o)), decide(o, pay.DecideAccept, pay.AnomalyAmountMismatch, "4-"+txOf(o)),
		} {
			together.Go(func() error {
				_, err := b.Settle(t.Context(), []pay.Entry{{Observation: &obs}}, holdAll)
				return err
			})
		}
		require.NoError(t, together.Wait())
		require.Equal(t, 1, b.delivered(o))
		require.Equal(t, pay.OrderPaid, b.order(o).State)
		require.Equal(t, 2, b.count(`SELECT count(*) FROM anomalies WHERE out_trade_no = $1 AND state = 'accepted'`, string(o.OutTradeNo)))
	}
}

func TestSettle_of_a_decision_on_a_killed_connection_leaves_nothing_and_can_be_repeated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.heldLate()
	before := b.story(o)
	word := decide(o, pay.DecideAccept, pay.AnomalyLatePayment, txOf(o))
	// Everything is written but the anomaly, whose row another session holds.
	release, pid, outcome := blockedSettle(t, b, o, `SELECT 1 FROM anomalies WHERE mchid = $1 AND out_trade_no = $2 FOR UPDATE`, pay.Entry{Observation: &word})
	require.Equal(t, 1, b.count(`SELECT count(*) FROM (SELECT pg_terminate_backend($1)) AS killed`, pid))
	err := <-outcome
	require.Error(t, err)
	require.True(t, store.Retryable(err), err)
	release()
	require.Equal(t, before, b.story(o))
	require.Zero(t, b.delivered(o)+b.audits(o, "anomaly.accept"))
	require.Equal(t, pay.OutcomeApplied, b.told(word)[0].Outcome)
	require.Equal(t, []int{1, 1}, []int{b.delivered(o), b.audits(o, "anomaly.accept")})
}

func TestSettle_closes_an_order_whose_wrong_money_went_back(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	b.settle(arrived(observe(o, pay.ObservedPrepared)), arrived(mismatched(o, txOf(o))))
	amount := b.payment(o).Amount
	b.told(decide(o, pay.DecideRefund, pay.AnomalyAmountMismatch, txOf(o)))
	b.told(observe(o, pay.ObservedClosed))
	require.Equal(t, pay.OrderAwaitingPayment, b.order(o).State, "its money is on the way")
	require.NoError(t, b.exec(`UPDATE orders SET next_check_at = '2100-01-01', check_api = 'order_close' WHERE out_trade_no = $1`, string(o.OutTradeNo)))
	b.told(seen(o, pay.AutoRefundNo(txOf(o)), amount, pay.RefundSucceeded))
	require.Equal(t, noon.Add(2*time.Hour), b.order(o).NextCheckAt)
	require.Equal(t, pay.APIOrderQuery, b.order(o).CheckAPI)
	asked := mismatched(o, txOf(o))
	asked.Source = pay.SourceQuery
	entry := arrived(asked)
	b.settle(entry)
	require.Equal(t, pay.OrderClosed, b.order(o).State)
	require.Zero(t, b.order(o).NextCheckAt)
	history := b.story(o).History
	require.Equal(t, entry.Delivery.ID, history[len(history)-1].DeliveryID, "with the answer that proves it")
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE out_trade_no = $1 AND fact = 'order.closed'`, string(o.OutTradeNo)))
}

func TestSchema_keeps_decisions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open, accepted, refunded := b.heldLate(), b.heldLate(), b.heldLate()
	over := b.paidOrder()
	b.told(decide(accepted, pay.DecideAccept, pay.AnomalyLatePayment, txOf(accepted)), decide(refunded, pay.DecideRefund, pay.AnomalyLatePayment, txOf(refunded)),
		seen(refunded, pay.AutoRefundNo(txOf(refunded)), price, pay.RefundSucceeded), seen(over, refundOf(over, 1), price+1, pay.RefundSucceeded))
	of := func(o pay.Order, change string) string {
		return fmt.Sprintf(`UPDATE anomalies SET %s WHERE out_trade_no = '%s'`, change, o.OutTradeNo)
	}
	for _, rule := range []struct{ refusedBy, statement string }{
		{"anomalies_end_once", of(accepted, `state = 'open', decision = '', decided_by = '', decided_at = NULL`)},
		{"anomalies_end_once", of(accepted, `state = 'refunded', decision = 'refund'`)},
		{"anomalies_end_once", of(accepted, `decided_by = 'token:eve'`)},
		{"anomalies_end_once", of(refunded, `state = 'accepted', decision = 'accept'`)},
		{"anomalies_end_once", of(refunded, `decision_reason = ''`)},
		{"anomalies_end_once", of(refunded, `decided_at = now()`)},
		{"anomalies_refunded_money_is_back", of(open, `state = 'refunded', decided_at = now()`)},
		{"anomalies_end_as_decided", of(open, `state = 'accepted', decision = 'refund', decided_by = 'x', decided_at = now()`)},
		{"anomalies_end_as_decided", of(open, `decision = 'accept', decided_by = 'x', decided_at = now()`)},
		{"anomalies_decision_has_an_actor", of(open, `state = 'accepted', decision = 'accept', decided_at = now()`)},
		{"anomalies_decision_is_timed", of(open, `state = 'accepted', decision = 'accept', decided_by = 'x'`)},
		{"anomalies_decision_is_timed", of(open, `decided_at = now()`)},
		{"anomalies_decision_is_known", of(open, `decision = 'shrug', decided_by = 'x', decided_at = now()`)},
		{"anomalies_overrun_stays_away", of(over, `decision = 'refund', decided_by = 'x', decided_at = now()`)},
		{"anomalies_state_is_known", of(open, `state = 'waiting', decision = 'refund', decided_by = 'x', decided_at = now()`)},
		{"anomalies_are_fixed", of(open, `actual_fen = 1`)},
		{"anomalies_are_fixed", of(open, `expected_fen = 1`)},
		{"anomalies_are_fixed", of(open, `kind = 'double_payment'`)},
		{"anomalies_are_fixed", of(open, `policy = 'accept'`)},
		{"anomalies_are_fixed", of(open, `transaction_id = 'another'`)},
		{"anomalies_are_fixed", of(open, `out_trade_no = 'another'`)},
		{"anomalies_are_fixed", of(open, `observed_at = now()`)},
		{"anomalies_are_kept", `DELETE FROM anomalies`},
		{"anomalies_are_never_emptied", `TRUNCATE anomalies`},
	} {
		require.Equal(t, rule.refusedBy, refusedBy(t, b.exec(rule.statement)), rule.statement)
	}
	require.NoError(t, b.exec(of(open, `state = 'accepted', decision = 'accept', decided_by = 'x', decided_at = now()`)))
}

func TestListAnomalies_pages_from_the_oldest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []pay.TransactionID
	for range 5 { // all found at one instant
		want = append(want, txOf(b.heldLate()))
	}
	accepted, double := b.heldLate(), b.paidOrder()
	b.told(decide(accepted, pay.DecideAccept, pay.AnomalyLatePayment, txOf(accepted)))
	later := payment(double, "2-"+txOf(double))
	later.ObservedAt = noon.Add(time.Hour)
	b.told(later)

	pages := func(f pay.AnomalyFilter) []pay.TransactionID {
		var got []pay.TransactionID
		for {
			page, err := b.ListAnomalies(t.Context(), f)
			require.NoError(t, err)
			for _, a := range page {
				got = append(got, a.TransactionID)
			}
			if len(page) < f.Limit {
				return got
			}
			f.After = page[len(page)-1]
		}
	}
	require.Equal(t, append(want, later.TransactionID), pages(pay.AnomalyFilter{Limit: 2}))
	require.Equal(t, want, pages(pay.AnomalyFilter{Limit: 100, Kind: pay.AnomalyLatePayment}))
	require.Equal(t, []pay.TransactionID{later.TransactionID}, pages(pay.AnomalyFilter{Limit: 3, Since: noon.Add(time.Minute), MchID: shop}))
	require.Empty(t, pages(pay.AnomalyFilter{Limit: 3, MchID: other}))
	require.Equal(t, []pay.TransactionID{txOf(accepted)}, pages(pay.AnomalyFilter{Limit: 3, State: pay.AnomalyAccepted}))

	found, err := b.FindAnomalies(t.Context(), txOf(accepted), "")
	require.NoError(t, err)
	require.Equal(t, b.story(accepted).Anomalies, found)
	for _, id := range []pay.TransactionID{"", "nothing", "x\x00"} {
		found, err = b.FindAnomalies(t.Context(), id, "")
		require.NoError(t, err)
		require.Empty(t, found)
	}
	found, err = b.FindAnomalies(t.Context(), txOf(accepted), other)
	require.NoError(t, err)
	require.Empty(t, found)
}

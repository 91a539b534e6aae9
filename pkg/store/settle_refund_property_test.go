package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/fenflow/fenflow/pkg/pay"
)

// ends are what WeChat Pay finally says of the refunds of a drawn life; the
// number of each refund tells which.
func ends() []pay.RefundState {
	return []pay.RefundState{pay.RefundSucceeded, pay.RefundClosed, pay.RefundAbnormal, pay.RefundProcessing}
}

// lives is what everybody says about some orders: payments (in time, late,
// doubled, wrong), closes, wishes for refunds, and where WeChat Pay sees them.
// WeChat Pay contradicts itself nowhere: each refund has one amount and one end.
// said is what operators say.
func lives(t *rapid.T, orders []pay.Order, said ...pay.Observation) []pay.Observation {
	for i, o := range orders {
		label := func(what string) string { return fmt.Sprintf("%s of %d", what, i) }
		for range rapid.IntRange(1, 3).Draw(t, label("payments")) {
			said = append(said, payment(o, txOf(o)))
		}
		if rapid.Bool().Draw(t, label("doubled")) {
			said = append(said, payment(o, "2-"+txOf(o)))
		}
		if rapid.Bool().Draw(t, label("wrong")) {
			said = append(said, mismatched(o, "3-"+txOf(o)))
		}
		if rapid.Bool().Draw(t, label("closed")) {
			said = append(said, observe(o, pay.ObservedClosed))
		}
		for n, end := range ends() {
			amount := pay.Fen(rapid.IntRange(1, 60).Draw(t, label("amount")))
			for range rapid.IntRange(0, 2).Draw(t, label("wishes")) {
				said = append(said, wish(o, refundOf(o, n), amount))
			}
			said = append(said, seen(o, refundOf(o, n), amount, pay.RefundProcessing), seen(o, refundOf(o, n), amount, end))
		}
	}
	// Each word comes at its own time.
	said = rapid.Permutation(said).Draw(t, "arrival")
	for i := range said {
		said[i].ObservedAt = noon.Add(time.Hour + time.Duration(i)*time.Millisecond)
	}
	return said
}

// words are what operators say about the odd money of a drawn life, and what
// WeChat Pay says of the refunds that come of it.
func words(t *rapid.T, orders []pay.Order) []pay.Observation {
	var said []pay.Observation
	for _, o := range orders {
		for i, tx := range []pay.TransactionID{txOf(o), "2-" + txOf(o), "3-" + txOf(o)} {
			amount := []pay.Fen{price, price, mismatched(o, "").Amount}[i]
			for _, kind := range []pay.AnomalyKind{pay.AnomalyLatePayment, pay.AnomalyDoublePayment, pay.AnomalyAmountMismatch} {
				for range rapid.IntRange(0, 2).Draw(t, "times decided") {
					said = append(said, decide(o, rapid.SampledFrom([]pay.Decision{pay.DecideAccept, pay.DecideRefund}).Draw(t, "decision"), kind, tx))
				}
			}
			if no := pay.AutoRefundNo(tx); rapid.Bool().Draw(t, "given back") {
				back := seen(o, no, amount, rapid.SampledFrom([]pay.RefundState{pay.RefundSucceeded, pay.RefundClosed}).Draw(t, "end"))
				back.TransactionID = tx
				said = append(said, back, back)
			}
		}
		asked := mismatched(o, "3-"+txOf(o))
		asked.Source = pay.SourceQuery
		said = append(said, asked)
	}
	return said
}

func entriesOf(said []pay.Observation) []pay.Entry {
	entries := make([]pay.Entry, len(said))
	for i := range said {
		entries[i] = arrived(said[i])
	}
	return entries
}

func cut(t *rapid.T, entries []pay.Entry) [][]pay.Entry {
	var batches [][]pay.Entry
	for len(entries) > 0 {
		n := rapid.IntRange(1, min(len(entries), 40)).Draw(t, "batch")
		batches, entries = append(batches, entries[:n]), entries[n:]
	}
	return batches
}

// One after the other, however cut into commits, the tables are the model's, to
// the last row.
func TestSettle_of_refunds_is_what_the_rules_say(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.exec(`CREATE INDEX ON outbox (mchid, out_trade_no)`)) // only the test asks so
	rapid.Check(t, func(rt *rapid.T) {
		policies := pay.Policies{
			LatePayment:    rapid.SampledFrom([]pay.Policy{pay.PolicyAccept, pay.PolicyHold, pay.PolicyRefund}).Draw(rt, "late"),
			AmountMismatch: rapid.SampledFrom([]pay.Policy{pay.PolicyHold, pay.PolicyRefund}).Draw(rt, "mismatch"),
			DoublePayment:  rapid.SampledFrom([]pay.Policy{pay.PolicyRefund, pay.PolicyHold}).Draw(rt, "double"),
			RefundFunds:    rapid.SampledFrom([]string{"", pay.FundsAvailable}).Draw(rt, "funds"),
		}
		orders, models := b.placeAll(2)
		for _, batch := range cut(rt, entriesOf(lives(rt, orders, words(rt, orders)...))) {
			for _, e := range batch {
				models[e.Observation.OutTradeNo].tell(*e.Observation, policies)
			}
			_, err := b.Settle(t.Context(), batch, func(pay.MchID) pay.Policies { return policies })
			require.NoError(rt, err)
		}
		for _, m := range models {
			b.mustBe(m)
		}
		b.mustBalanceBetween(orders[0].OutTradeNo, orders[len(orders)-1].OutTradeNo)
	})
}

func (b *books) placeAll(n int) ([]pay.Order, map[pay.OutTradeNo]*model) {
	b.t.Helper()
	orders, models := make([]pay.Order, n), map[pay.OutTradeNo]*model{}
	for i := range orders {
		orders[i] = b.place()
		models[orders[i].OutTradeNo] = modelOf(orders[i])
	}
	return orders, models
}

// All at once, each word told to several, what does not depend on the order of
// arrival comes out as if told one after the other; and the books balance.
func TestSettle_of_refunds_at_once_ends_where_the_rules_do(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.exec(`CREATE INDEX ON outbox (mchid, out_trade_no)`)) // only the test asks so
	rapid.Check(t, func(rt *rapid.T) {
		orders, models := b.placeAll(2)
		said := lives(rt, orders)
		batches := cut(rt, entriesOf(said))
		var together errgroup.Group
		for teller := range 3 {
			together.Go(func() error {
				for i := range batches { // each begins elsewhere
					if _, err := b.Settle(t.Context(), batches[(i+teller*len(batches)/3)%len(batches)], defaults); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(rt, together.Wait())
		// What came before its payment was a letter, and is tried again.
		_, err := b.Settle(t.Context(), slices.Concat(batches...), defaults)
		require.NoError(rt, err)
		for _, obs := range slices.Concat(said, said) {
			models[obs.OutTradeNo].tell(obs, pay.Policies{})
		}
		for _, o := range orders {
			b.mustEndLike(models[o.OutTradeNo])
		}
		b.mustBalanceBetween(orders[0].OutTradeNo, orders[len(orders)-1].OutTradeNo)
	})
}

func (b *books) mustEndLike(m *model) {
	b.t.Helper()
	story := b.story(*m.Order)
	require.Equal(b.t, m.Order.State, story.Order.State)
	require.Len(b.t, story.Payments, len(m.Payments))
	require.Len(b.t, story.History, int(story.Order.Sequence))
	states := map[pay.OutRefundNo]pay.RefundState{}
	for _, r := range story.Refunds {
		states[r.OutRefundNo] = r.State
	}
	for n, end := range ends() {
		no := refundOf(*m.Order, n)
		require.Equal(b.t, end, states[no])
		require.Equal(b.t, end, m.Refunds[no].State)
	}
	delivered := 0
	if story.Order.State == pay.OrderPaid {
		delivered = 1
	}
	require.Equal(b.t, delivered, b.count(`SELECT count(*) FROM outbox WHERE mchid = $1 AND out_trade_no = $2 AND fact = 'order.paid'`, string(m.Order.MchID), string(m.Order.OutTradeNo)))
}

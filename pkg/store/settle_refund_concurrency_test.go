package store_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestSettle_never_gives_back_more_than_came_in_whoever_asks_at_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	const twins, part = 50, 7 // 14 × 7 = 98 of 100 fit
	var granted, refused atomic.Int64
	var together errgroup.Group
	for i := range twins {
		together.Go(func() error {
			obs := wish(o, refundOf(o, i), part)
			for range 2 { // each asks again, as a shop does
				settled, err := b.Settle(t.Context(), []pay.Entry{{Observation: &obs}}, defaults)
				if err != nil {
					return err
				}
				switch result := settled.Results[0]; {
				case result.Outcome == pay.OutcomeApplied:
					granted.Add(1)
				case result.Refusal != nil:
					refused.Add(1)
				}
			}
			return nil
		})
	}
	require.NoError(t, together.Wait())
	require.EqualValues(t, price/part, granted.Load())
	require.EqualValues(t, 2*(twins-price/part), refused.Load())
	require.Equal(t, price/part*part, b.payment(o).Reserved)
	require.Equal(t, int(price/part), b.count(`SELECT count(*) FROM refunds`))
	require.Equal(t, int(price/part), b.count(`SELECT count(*) FROM outbox WHERE fact = 'refund.requested'`))
	b.mustBalance()

	// No hand can do what the books refuse.
	for rule, statement := range map[string]string{
		"payments_refunds_within_amount":   `UPDATE payments SET reserved_fen = reserved_fen + 3`,
		"payments_reserved_not_negative":   `UPDATE payments SET reserved_fen = -1`,
		"payments_overrun_not_negative":    `UPDATE payments SET overrun_fen = -1`,
		"payments_refunded_not_negative":   `UPDATE payments SET refunded_fen = -1`,
		"refunds_are_kept":                 `DELETE FROM refunds`,
		"refunds_unresolved_has_a_check":   `UPDATE refunds SET next_check_at = NULL`,
		"refunds_move_along_the_table":     `UPDATE refunds SET state = 'succeeded', succeeded_at = now()`,
		"refunds_check_api_is_known":       `UPDATE refunds SET check_api = 'order_query'`,
		"refunds_bytes_are_not_empty":      `UPDATE refunds SET request = ''`,
		"refunds_check_count_not_negative": `UPDATE refunds SET check_count = -1`,
	} {
		require.Equal(t, rule, refusedBy(t, b.exec(statement)), statement)
	}
}

// Twins that ask for the same refund get the same refund.
func TestSettle_makes_one_refund_of_many_twins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	var together errgroup.Group
	var applied atomic.Int64
	for range 30 {
		together.Go(func() error {
			obs := wish(o, refundOf(o, 1), 60)
			settled, err := b.Settle(t.Context(), []pay.Entry{{Observation: &obs}}, defaults)
			if err != nil {
				return err
			}
			if r := settled.Results[0]; r.Refusal != nil || r.Refund == nil || r.Refund.OutRefundNo != refundOf(o, 1) {
				return fmt.Errorf("a twin was told %+v", r)
			}
			if settled.Results[0].Outcome == pay.OutcomeApplied {
				applied.Add(1)
			}
			return nil
		})
	}
	require.NoError(t, together.Wait())
	require.EqualValues(t, 1, applied.Load())
	require.Equal(t, pay.Fen(60), b.payment(o).Reserved)
}

// A refund number is taken once over all orders of a merchant: whoever comes
// second hears so, and nobody's batch breaks.
func TestSettle_gives_a_refund_number_to_one_order_only(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const shops, numbers, rounds = 8, 30, 6
	for round := range rounds {
		orders := make([]pay.Order, shops)
		for i := range orders {
			orders[i] = b.paidOrder()
		}
		var granted, taken atomic.Int64
		var together errgroup.Group
		for i, o := range orders {
			together.Go(func() error {
				entries := make([]pay.Entry, numbers)
				for n := range entries {
					obs := wish(o, pay.OutRefundNo(fmt.Sprintf("R-wanted-%d-%d", round, n)), 1)
					entries[n].Observation = &obs
				}
				if i%2 == 1 { // the same numbers from the other end
					slices.Reverse(entries)
				}
				settled, err := b.Settle(t.Context(), entries, defaults)
				if err != nil {
					return err
				}
				for _, r := range settled.Results {
					switch {
					case r.Outcome == pay.OutcomeApplied:
						granted.Add(1)
					case r.Refusal != nil && r.Refusal.Reason == pay.RefusedNumberTaken:
						taken.Add(1)
					}
				}
				return nil
			})
		}
		require.NoError(t, together.Wait(), "no deadlock, and no broken row")
		require.EqualValues(t, numbers, granted.Load())
		require.EqualValues(t, numbers*(shops-1), taken.Load())
	}
	b.mustBalance()

	t.Run("within one batch as well", func(t *testing.T) {
		t.Parallel()
		one, two := b.paidOrder(), b.paidOrder()
		first, second, wrong := wish(one, "R-same", 10), wish(two, "R-same", 10), seen(two, "R-same", 10, pay.RefundSucceeded)
		settled := b.settle(pay.Entry{Observation: &first}, pay.Entry{Observation: &second}, arrived(wrong))
		require.Equal(t, pay.OutcomeApplied, settled.Results[0].Outcome)
		require.Equal(t, pay.RefusedNumberTaken, settled.Results[1].Refusal.Reason)
		require.Equal(t, pay.LetterMismatch, settled.Results[2].Letter.Reason)
		require.Equal(t, one.OutTradeNo, b.refund("R-same").OutTradeNo)
		require.Zero(t, b.payment(two).Reserved)
	})
}

// Notices, answers, wishes and attempts about the parts of the same payments,
// all at once and each many times, neither deadlock nor unbalance the books.
func TestSettle_keeps_its_balance_under_twins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const orders, twins = 12, 6
	var entries []pay.Entry
	var all []pay.Order
	for range orders {
		o := b.paidOrder()
		all = append(all, o)
		for i, state := range []pay.RefundState{pay.RefundSucceeded, pay.RefundClosed, pay.RefundAbnormal, pay.RefundProcessing} {
			asked, told := wish(o, refundOf(o, i), 30), seen(o, refundOf(o, i), 30, state)
			under := seen(o, refundOf(o, i), 30, pay.RefundProcessing)
			entries = append(entries, pay.Entry{Observation: &asked}, pay.Entry{Observation: &under}, arrived(told), hinted(refundOf(o, i)))
		}
		entries = append(entries, hinted("elsewhere-"+refundOf(o, 9)))
	}
	var together errgroup.Group
	for i := range twins {
		mine := slices.Clone(entries)
		if i%2 == 1 {
			slices.Reverse(mine)
		}
		together.Go(func() error {
			for rest := mine; len(rest) > 0; {
				n := min(len(rest), 1+(len(rest)*7+i*13)%40)
				if _, err := b.Settle(t.Context(), rest[:n], defaults); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		})
	}
	together.Go(func() error { // as a sender locks: payment, refund, attempt
		for i := range 40 {
			o := all[i%orders]
			if err := b.exec(`WITH paid AS (SELECT p.mchid, p.transaction_id FROM payments AS p WHERE p.mchid = $1 AND p.transaction_id = $2 FOR UPDATE)
				UPDATE refunds AS r SET check_count = check_count + 1 FROM paid WHERE r.mchid = paid.mchid AND r.transaction_id = paid.transaction_id`,
				string(shop), string(txOf(o))); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, together.Wait())
	b.mustBalance()
	require.Equal(t, b.count(`SELECT count(*) FROM history`), b.count(`SELECT sum(sequence) FROM orders`))
	require.Zero(t, b.count(`SELECT count(*) FROM (SELECT 1 FROM outbox GROUP BY mchid, out_trade_no, fact, payload::json->'data'->'refund'->>'out_refund_no', payload::json->'data'->'anomaly'->>'out_refund_no', payload::json->'data'->'anomaly'->>'kind' HAVING count(*) > 1) AS twice`))
}

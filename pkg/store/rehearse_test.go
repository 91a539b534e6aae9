package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

func held(p pay.Policy) func(pay.MchID) pay.Policies {
	return func(pay.MchID) pay.Policies { return pay.Policies{LatePayment: p, DoublePayment: p, AmountMismatch: p} }
}

// lettered has an entry fail once, so that it has a letter: waiting or open.
func (b *books) failed(e pay.Entry, reason pay.LetterReason) pay.Entry {
	b.t.Helper()
	once := e
	once.Letter = &pay.LetterCause{Reason: reason, Detail: "it did not fit"}
	b.settle(once)
	return e
}

func lettered(o pay.Order, reason pay.LetterReason) pay.Entry {
	e := arrived(payment(o, txOf(o)))
	e.Observation, e.Letter = nil, &pay.LetterCause{Reason: reason, Detail: "it cannot be read"}
	return e
}

// rehearsedCases are messages of each kind with the policy that they meet.
func rehearsedCases() map[string]struct {
	policies func(pay.MchID) pay.Policies
	entries  func(b *books) []pay.Entry
} {
	type entries = []pay.Entry
	type row = struct {
		policies func(pay.MchID) pay.Policies
		entries  func(b *books) []pay.Entry
	}
	closed := func(b *books) pay.Order { return b.seedOrder(pay.OrderClosed) }
	wrong := func(o pay.Order, tx pay.TransactionID) pay.Observation {
		obs := payment(o, tx)
		obs.Amount++
		return obs
	}
	return map[string]row{
		"payment of an open order": {defaults, func(b *books) entries {
			return entries{b.failed(arrived(payment(b.place(), "42-1")), pay.LetterUnknownOrder)}
		}},
		"payment that is known": {defaults, func(b *books) entries {
			o := b.paidOrder()
			return entries{b.failed(arrived(payment(o, txOf(o))), pay.LetterInternal)}
		}},
		"payment that a query told of first": {defaults, func(b *books) entries {
			o := b.place()
			asked := payment(o, txOf(o))
			asked.Source = pay.SourceQuery
			b.told(asked)
			return entries{arrived(payment(o, txOf(o)))}
		}},
		"late, accepted":   {held(pay.PolicyAccept), func(b *books) entries { return entries{arrived(payment(closed(b), "42-1"))} }},
		"late, refunded":   {held(pay.PolicyRefund), func(b *books) entries { return entries{arrived(payment(closed(b), "42-1"))} }},
		"late, held":       {held(pay.PolicyHold), func(b *books) entries { return entries{arrived(payment(closed(b), "42-1"))} }},
		"double, refunded": {defaults, func(b *books) entries { return entries{arrived(payment(b.paidOrder(), "42-2"))} }},
		"double, held":     {held(pay.PolicyHold), func(b *books) entries { return entries{arrived(payment(b.paidOrder(), "42-2"))} }},
		"wrong, held":      {defaults, func(b *books) entries { return entries{arrived(wrong(b.place(), "42-1"))} }},
		"wrong, refunded":  {held(pay.PolicyRefund), func(b *books) entries { return entries{arrived(wrong(b.place(), "42-1"))} }},
		"unknown order":    {defaults, func(*books) entries { return entries{arrived(payment(order("T-nobody"), "42-1"))} }},
		"another app": {defaults, func(b *books) entries {
			obs := payment(b.place(), "42-1")
			obs.AppID = "wx0"
			return entries{b.failed(arrived(obs), pay.LetterUnknownOrder)}
		}},
		"garbage": {defaults, func(b *books) entries { return entries{lettered(b.place(), pay.LetterMalformed)} }},
		"garbage that was": {defaults, func(b *books) entries {
			o := b.place()
			return entries{b.failed(lettered(o, pay.LetterMalformed), pay.LetterMalformed)}
		}},
		"of no order": {defaults, func(b *books) entries {
			e := arrived(payment(b.place(), "42-1"))
			e.Observation = nil
			return entries{e}
		}},
		"a hint": {defaults, func(*books) entries { return entries{hinted("R-hinted")} }},
		"refund notice": {defaults, func(b *books) entries {
			o := b.paidOrder()
			b.told(wish(o, refundOf(o, 1), 40))
			return entries{b.failed(arrived(seen(o, refundOf(o, 1), 40, pay.RefundSucceeded)), pay.LetterMalformed)}
		}},
		"refund made elsewhere, too much": {defaults, func(b *books) entries {
			o := b.paidOrder()
			b.told(wish(o, refundOf(o, 1), 80))
			return entries{arrived(seen(o, refundOf(o, 2), 80, pay.RefundProcessing)), arrived(seen(o, refundOf(o, 2), 80, pay.RefundSucceeded))}
		}},
		"refund before its payment": {defaults, func(b *books) entries {
			o := b.place()
			return entries{arrived(seen(o, refundOf(o, 1), 40, pay.RefundSucceeded))}
		}},
		"payment that a refund notice waited for": {defaults, func(b *books) entries {
			o := b.place()
			b.settle(arrived(seen(o, refundOf(o, 1), 40, pay.RefundSucceeded)))
			require.NoError(b.t, b.exec(`UPDATE dead_letters SET state = 'open', next_retry_at = NULL`))
			return entries{arrived(payment(o, txOf(o)))}
		}},
		"held money that goes back": {held(pay.PolicyHold), func(b *books) entries {
			o := b.place()
			_, err := b.Settle(b.t.Context(), entries{arrived(wrong(o, txOf(o)))}, held(pay.PolicyHold))
			require.NoError(b.t, err)
			return entries{arrived(seen(o, refundOf(o, 1), wrong(o, "").Amount, pay.RefundSucceeded))}
		}},
		"several of one order, and a neighbour": {defaults, func(b *books) entries {
			o, other := b.place(), b.place()
			return entries{
				arrived(payment(o, txOf(o))), arrived(payment(other, "42-other")), arrived(payment(o, txOf(o))), arrived(payment(o, "42-double")),
				arrived(seen(o, refundOf(o, 1), 30, pay.RefundSucceeded)), b.failed(arrived(payment(o, "42-triple")), pay.LetterDecryptFailed),
			}
		}},
	}
}

func TestRehearse_tells_what_settling_then_does_and_changes_nothing(t *testing.T) {
	t.Parallel()
	for name, c := range rehearsedCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.settle(arrived(payment(b.place(), "42-bystander")))
			entries := c.entries(b)
			untouched, before := b.everything(), b.facets()
			effects, err := b.Rehearse(t.Context(), entries, c.policies)
			require.NoError(t, err)
			require.Equal(t, untouched, b.everything())
			again, err := b.Rehearse(t.Context(), entries, c.policies)
			require.NoError(t, err)
			require.Equal(t, effects, again)

			settled, err := b.Settle(t.Context(), entries, c.policies)
			require.NoError(t, err)
			require.Equal(t, appeared(before, b.facets()), sorted(facetsOf(effects)))
			var events []string
			for i, e := range effects {
				require.Equal(t, settled.Results[i].Outcome, e.Outcome)
				require.Equal(t, settled.Results[i].Letter, e.Cause)
				if o := e.Order; o != nil && o.SequenceWas > 0 {
					require.Equal(t, o.StateWas == o.StateIsNow && o.SequenceWas == o.SequenceIsNow, len(e.History) == 0)
				}
				for _, v := range e.Events {
					events = append(events, v.EventID)
				}
			}
			require.Len(t, settled.Events, len(events))
			for i, v := range settled.Events {
				require.Equal(t, v.EventID, events[i])
			}
			after, err := b.Rehearse(t.Context(), entries, c.policies)
			require.NoError(t, err)
			for _, e := range after {
				require.Empty(t, e.History, "a second time moves no order")
				require.Empty(t, e.Events)
			}
		})
	}
}

func TestRehearse_reports_a_busy_row_and_spares_its_neighbours(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]string{
		"order":  `SELECT 1 FROM orders WHERE out_trade_no = $1 FOR UPDATE`,
		"letter": `SELECT 1 FROM dead_letters WHERE out_trade_no = $1 FOR UPDATE`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var entries []pay.Entry
			var orders []pay.Order
			for range 10 {
				o := b.place()
				orders = append(orders, o)
				entries = append(entries, b.failed(arrived(payment(o, txOf(o))), pay.LetterUnknownOrder), b.failed(arrived(payment(o, txOf(o))), pay.LetterUnknownOrder))
			}
			untouched := b.everything()
			holder, err := b.sql.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			for _, o := range []pay.Order{orders[3], orders[7]} {
				_, err = holder.ExecContext(t.Context(), hold, string(o.OutTradeNo))
				require.NoError(t, err)
			}
			effects, err := b.Rehearse(t.Context(), entries, defaults)
			require.NoError(t, err)
			for i, e := range effects {
				require.Equal(t, orders[i/2].OutTradeNo, e.Order.OutTradeNo)
				if n := i / 2; n == 3 || n == 7 {
					require.Equal(t, pay.OutcomeBusy, e.Outcome)
					require.False(t, e.Order.Known)
					continue
				}
				require.Equal(t, []pay.Outcome{pay.OutcomeApplied, pay.OutcomeUnchanged}[i%2], e.Outcome, "the second of an order finds the first")
				require.True(t, e.Order.Known)
			}
			_, _, err = b.SettleExpected(t.Context(), entries, pay.ReplayAct{Actor: "token:me", Reason: "x", Orders: expectations(effects)}, defaults)
			require.ErrorIs(t, err, pay.ErrBusy)
			require.True(t, store.Retryable(err))
			require.NoError(t, holder.Rollback())
			require.Equal(t, untouched, b.everything())
		})
	}
}

func TestRehearse_beside_settling_loses_nothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const orders = 120
	entries := make([]pay.Entry, 0, orders)
	for _, o := range b.placeMany(orders) {
		entries = append(entries, arrived(payment(o, txOf(o))))
	}
	var together errgroup.Group
	done := make(chan struct{})
	for w := range 3 {
		together.Go(func() error {
			for n := 0; ; n++ {
				from := (n*37 + w*13) % (orders - 50)
				effects, err := b.Rehearse(t.Context(), entries[from:from+50], defaults)
				if err != nil {
					return err
				}
				for _, e := range effects {
					if e.Outcome == pay.OutcomeLettered {
						t.Errorf("%s: %v", e.Order.OutTradeNo, e.Cause)
					}
				}
				select {
				case <-done:
					return nil
				default:
				}
			}
		})
	}
	for i := 0; i < orders; i += 3 {
		_, err := b.Settle(t.Context(), entries[i:i+3], defaults)
		require.NoError(t, err, "a rehearsal costs settling time and nothing else")
	}
	close(done)
	require.NoError(t, together.Wait())
	require.Equal(t, orders, b.count(`SELECT count(*) FROM orders WHERE state = 'paid' AND sequence = 2`))
	require.Equal(t, orders, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
	require.Equal(t, orders, b.count(`SELECT count(*) FROM payments`))
}

func TestRehearse_says_that_a_row_is_broken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good, bad := b.place(), b.place()
	broken := payment(bad, "42-\x00")
	untouched := b.everything()
	_, err := b.Rehearse(t.Context(), []pay.Entry{arrived(payment(good, txOf(good))), arrived(broken)}, defaults)
	require.Error(t, err)
	require.False(t, store.Retryable(err))
	require.Equal(t, untouched, b.everything())
	none, err := b.Rehearse(t.Context(), nil, defaults)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestSettleExpected_goes_through_where_nothing_moved(t *testing.T) {
	t.Parallel()
	for name, c := range rehearsedCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			entries := c.entries(b)
			seen, err := b.Rehearse(t.Context(), entries, c.policies)
			require.NoError(t, err)
			letters := b.count(`SELECT count(*) FROM dead_letters WHERE delivery_id = $1`, string(entries[0].Delivery.ID))
			act := pay.ReplayAct{Actor: "token:night-shift", Reason: "the key \x00 is there", Orders: expectations(seen)}
			settled, effects, err := b.SettleExpected(t.Context(), entries, act, c.policies)
			require.NoError(t, err)
			require.Equal(t, seen, effects)
			require.Len(t, settled.Results, len(entries))
			require.Equal(t, len(entries), b.count(`SELECT count(*) FROM audit WHERE actor = 'token:night-shift' AND detail ->> 'reason' = $1`, "the key \uFFFD is there"))
			action := map[int]string{0: "delivery.replay", 1: "dead_letter.replay"}[letters]
			require.Equal(t, action, b.text(`SELECT action FROM audit WHERE subject = $1`, string(entries[0].Delivery.ID)))
		})
	}
}

func TestSettleExpected_stops_at_an_order_that_moved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, mover := b.place(), b.place()
	entries := []pay.Entry{arrived(payment(first, txOf(first))), arrived(payment(mover, txOf(mover)))}
	stranger := arrived(payment(order("T-later"), "42-later"))
	entries = append(entries, stranger)
	effects, err := b.Rehearse(t.Context(), entries, defaults)
	require.NoError(t, err)
	act := pay.ReplayAct{Actor: "token:me", Reason: "x", Orders: expectations(effects)}
	refused := func(want string) {
		t.Helper()
		untouched := b.everything()
		_, _, err := b.SettleExpected(t.Context(), entries, act, defaults)
		var moved *pay.MovedError
		require.ErrorAs(t, err, &moved)
		require.Equal(t, want, moved.Error())
		require.False(t, store.Retryable(err))
		require.Equal(t, untouched, b.everything(), "all of it is taken back, the audit too")
	}
	b.settle(arrived(payment(mover, "42-faster")))
	refused("order " + string(mover.OutTradeNo) + " of merchant 1900000109 had sequence 1, and has 2 now")
	act.Orders[pay.OrderKey{MchID: shop, OutTradeNo: mover.OutTradeNo}] = 2
	b.placeAs("T-later")
	refused("order T-later of merchant 1900000109 was not in the books, and has sequence 1 now")
	delete(act.Orders, pay.OrderKey{MchID: shop, OutTradeNo: "T-later"})
	refused("order T-later of merchant 1900000109 was in no message of the dry run, and is now; its sequence is 1")
	act.Orders[pay.OrderKey{MchID: shop, OutTradeNo: "T-later"}] = 1
	_, effects, err = b.SettleExpected(t.Context(), entries, act, defaults)
	require.NoError(t, err)
	require.Equal(t, pay.OrderPaid, effects[2].Order.StateIsNow)
}

// The comparison happens under the lock: a mover that commits while the replay
// waits for it is seen.
func TestSettleExpected_sees_who_moves_while_it_waits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	mover, err := b.sql.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = mover.ExecContext(t.Context(), `UPDATE orders SET sequence = sequence + 1 WHERE out_trade_no = $1`, string(o.OutTradeNo))
	require.NoError(t, err)
	outcome := make(chan error, 1)
	go func() {
		act := pay.ReplayAct{Actor: "token:me", Reason: "x", Orders: map[pay.OrderKey]int64{{MchID: shop, OutTradeNo: o.OutTradeNo}: 1}}
		_, _, err := b.SettleExpected(context.WithoutCancel(t.Context()), []pay.Entry{arrived(payment(o, txOf(o)))}, act, defaults)
		outcome <- err
	}()
	require.Eventually(t, func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'store test' AND wait_event_type = 'Lock'`) == 1
	}, 10*time.Second, 2*time.Millisecond)
	require.NoError(t, mover.Commit())
	var moved *pay.MovedError
	require.ErrorAs(t, <-outcome, &moved)
	require.Equal(t, []int64{1, 2}, []int64{moved.Expected, moved.Actual})
}

func TestSettleExpected_leaves_what_was_discarded_meanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	entry := b.failed(arrived(payment(o, txOf(o))), pay.LetterUnknownOrder)
	effects, err := b.Rehearse(t.Context(), []pay.Entry{entry}, defaults)
	require.NoError(t, err)
	_, _, _, err = b.DiscardLetter(t.Context(), entry.Delivery.ID, "token:me", "because")
	require.NoError(t, err)
	untouched := b.everything()
	_, _, err = b.SettleExpected(t.Context(), []pay.Entry{entry}, pay.ReplayAct{Actor: "token:me", Reason: "x", Orders: expectations(effects)}, defaults)
	var discarded *pay.DiscardedError
	require.ErrorAs(t, err, &discarded)
	require.Equal(t, entry.Delivery.ID, discarded.Delivery)
	require.Equal(t, untouched, b.everything())
}

func TestTogether_keeps_the_messages_of_an_order_in_one_group(t *testing.T) {
	t.Parallel()
	one, two := payment(order("T-1"), "42"), payment(order("T-2"), "42")
	letter := arrived(one)
	letter.Letter = &pay.LetterCause{Reason: pay.LetterMismatch}
	id := pay.DeliveryID(uuid.NewString())
	copied := pay.Entry{Delivery: &pay.Delivery{ID: id}}
	entries := []pay.Entry{arrived(one), arrived(two), copied, arrived(one), letter, copied, {}, {}}
	require.Equal(t, [][]int{{0, 3}, {1}, {2, 5}, {4}, {6}, {7}}, pay.Together(entries))
}

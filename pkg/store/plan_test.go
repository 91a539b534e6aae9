package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

// claimed claims one order and starts a plan for it.
func (b *books) claimed(o pay.Order) pay.OrderPlan {
	b.t.Helper()
	claim, err := b.ClaimOrder(b.t.Context(), o.MchID, o.OutTradeNo, plenty(pay.APIOrderQuery), aLease)
	require.NoError(b.t, err)
	require.Len(b.t, claim.Orders, 1)
	return pay.OrderPlan{MchID: o.MchID, OutTradeNo: o.OutTradeNo, Lease: claim.Lease, NextCheckAt: noon.AddDate(1, 0, 0), CheckAPI: pay.APIOrderQuery}
}

func (b *books) planOrders(plans ...pay.OrderPlan) {
	b.t.Helper()
	require.NoError(b.t, b.PlanOrders(b.t.Context(), plans))
}

func TestPlanOrders_counts_while_the_claim_stands(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, bystander := b.place(), b.place()
	plan := b.claimed(o)
	plan.CheckAPI, plan.CloseCount, plan.CheckedAt = pay.APIOrderClose, 3, noon.Add(time.Hour)
	b.planOrders(plan)
	want := o
	want.NextCheckAt, want.CheckAPI, want.CloseCount, want.CheckedAt = plan.NextCheckAt, pay.APIOrderClose, 3, noon.Add(time.Hour)
	require.Equal(t, want, b.order(o))

	plan.NextCheckAt, plan.CheckedAt = noon, noon
	b.planOrders(plan)
	require.Equal(t, want, b.order(o), "the claim ended with its plan")
	require.Equal(t, bystander, b.order(bystander))
}

func TestPlanOrders_keeps_when_it_was_last_looked_at(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	for _, at := range []time.Time{noon.Add(time.Hour), {}, noon.Add(time.Minute)} {
		b.set(o, `next_check_at = now()`)
		plan := b.claimed(o)
		plan.CheckedAt = at
		b.planOrders(plan)
		require.Equal(t, noon.Add(time.Hour), b.order(o).CheckedAt, "neither forgotten nor put back")
	}
}

func TestPlanOrders_changes_nothing_of_what_moved_meanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, meanwhile := range map[string]func(o pay.Order){
		"paid":   func(o pay.Order) { b.settle(arrived(payment(o, txOf(o)))) },
		"closed": func(o pay.Order) { b.settle(arrived(observe(o, pay.ObservedClosed))) },
		"due":    func(o pay.Order) { require.NoError(t, b.DueOrder(t.Context(), o.MchID, o.OutTradeNo)) },
		"close":  func(o pay.Order) { require.NoError(t, b.RequestClose(t.Context(), o.MchID, o.OutTradeNo)) },
		"closed, with a check left behind": func(o pay.Order) {
			lease := b.order(o).NextCheckAt
			b.settle(arrived(observe(o, pay.ObservedClosed)))
			require.NoError(t, b.exec(`UPDATE orders SET next_check_at = $2 WHERE out_trade_no = $1`, string(o.OutTradeNo), lease))
		},
		"leased": func(o pay.Order) { b.set(o, `next_check_at = now()`); b.claimed(o) },
	} {
		o := b.place()
		plan := b.claimed(o)
		meanwhile(o)
		want := b.order(o)
		b.planOrders(plan)
		require.Equal(t, want, b.order(o), name)
	}
}

func TestPlanOrders_leaves_only_failed_orders_alone_for_ever(t *testing.T) {
	t.Parallel()
	b := setup(t)
	failed, open := b.seedOrder(pay.OrderFailed), b.place()
	b.set(failed, `next_check_at = now()`)
	forFailed, forOpen := b.claimed(failed), b.claimed(open)
	forFailed.NextCheckAt, forOpen.NextCheckAt = time.Time{}, time.Time{}
	b.planOrders(forOpen, forFailed)
	require.Zero(t, b.order(failed).NextCheckAt)
	require.Equal(t, forOpen.Lease, b.order(open).NextCheckAt, "the unresolved one is due when the lease ends")
}

func TestPlanOrders_and_Settle_at_once_do_not_deadlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const orders = 200
	b.placeMany(orders)
	claim := b.claim(plenty(pay.APIOrderQuery), orders)
	plans, entries := make([]pay.OrderPlan, orders), make([]pay.Entry, orders)
	for i, o := range claim.Orders {
		plans[i] = pay.OrderPlan{MchID: o.MchID, OutTradeNo: o.OutTradeNo, Lease: claim.Lease, NextCheckAt: noon.AddDate(1, 0, 0)}
		entries[i] = arrived(payment(o, txOf(o)))
	}
	var together errgroup.Group
	for i := range 6 {
		mine, news := slices.Clone(plans), slices.Clone(entries)
		if i%2 == 1 {
			slices.Reverse(mine)
			slices.Reverse(news)
		}
		together.Go(func() error { return b.PlanOrders(t.Context(), mine) })
		together.Go(func() error { _, err := b.Settle(t.Context(), news, defaults); return err })
	}
	require.NoError(t, together.Wait())
	require.Equal(t, orders, b.count(`SELECT count(*) FROM orders WHERE state = 'paid' AND next_check_at IS NULL`))
	require.NoError(t, b.PlanOrders(t.Context(), nil))
}

func TestDueOrder_makes_due_what_may_still_be_paid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for state, due := range map[pay.OrderState]bool{
		pay.OrderCreated: true, pay.OrderAwaitingPayment: true, pay.OrderFailed: true, pay.OrderPaid: false, pay.OrderClosed: false,
	} {
		o := b.seedOrder(state)
		if due {
			b.set(o, `next_check_at = now() + interval '1 hour', check_api = 'order_close'`)
		}
		require.NoError(t, b.DueOrder(t.Context(), o.MchID, o.OutTradeNo))
		require.Equal(t, due, b.count(`SELECT count(*) FROM orders WHERE out_trade_no = $1 AND next_check_at <= now() AND check_api = 'order_query'`, string(o.OutTradeNo)) == 1, state)
	}
	forgotten := b.seedOrder(pay.OrderFailed)
	b.set(forgotten, `next_check_at = NULL`)
	require.NoError(t, b.DueOrder(t.Context(), shop, forgotten.OutTradeNo))
	require.False(t, b.order(forgotten).NextCheckAt.IsZero())
	require.NoError(t, b.DueOrder(t.Context(), shop, "T-nobody-knows"))
}

func TestDueOrder_does_not_put_off_a_close_that_is_due(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	b.set(o, `check_api = 'order_close', next_check_at = now() - interval '1 second'`)
	want := b.order(o)
	require.NoError(t, b.DueOrder(t.Context(), shop, o.OutTradeNo))
	require.Equal(t, want, b.order(o))
}

func TestRequestClose_is_kept_once_and_makes_the_order_due(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, paid := b.place(), b.seedOrder(pay.OrderPaid)
	b.set(o, `next_check_at = now() + interval '1 hour', check_api = 'order_close'`)
	require.NoError(t, b.RequestClose(t.Context(), shop, o.OutTradeNo))
	first := b.order(o)
	require.WithinDuration(t, time.Now(), first.CloseRequestedAt, time.Minute)
	require.Equal(t, first.CloseRequestedAt, first.NextCheckAt)
	require.Equal(t, pay.APIOrderQuery, first.CheckAPI, "it is asked about before it is closed")
	require.NoError(t, b.RequestClose(t.Context(), shop, o.OutTradeNo))
	require.Equal(t, first, b.order(o))

	b.set(o, `check_api = 'order_close', close_requested_at = NULL`)
	require.NoError(t, b.RequestClose(t.Context(), shop, o.OutTradeNo))
	again := b.order(o)
	require.False(t, again.CloseRequestedAt.IsZero())
	require.Equal(t, pay.APIOrderClose, again.CheckAPI, "a close that is due already is not put off")
	require.Equal(t, first.NextCheckAt, again.NextCheckAt)

	want := b.order(paid)
	require.NoError(t, b.RequestClose(t.Context(), shop, paid.OutTradeNo))
	require.Equal(t, want, b.order(paid))
}

func TestPlanRefund_ends_the_lease_and_touches_no_state(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 40)
	want := b.refund(no)
	plan := b.heldRefund(no, pay.APIRefund)
	plan.NextCheckAt, plan.CheckAPI, plan.CheckCount = noon.AddDate(1, 0, 0), pay.APIRefundQuery, 3
	plan.FailureCode, plan.FailureReason = "NOT_ENOUGH", "broken \xff text"
	require.NoError(t, b.PlanRefund(t.Context(), plan))
	want.NextCheckAt, want.CheckAPI, want.CheckCount = plan.NextCheckAt, pay.APIRefundQuery, 3
	want.FailureCode, want.FailureReason = "NOT_ENOUGH", "broken \uFFFD text"
	require.Equal(t, want, b.refund(no))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE leased_until IS NULL`))
	plan.CheckAPI = pay.APIRefund
	require.NoError(t, b.PlanRefund(t.Context(), plan))
	require.Equal(t, want, b.refund(no), "the claim ended with its plan")
}

func TestPlanRefund_of_a_refund_that_moved_or_was_claimed_again_changes_nothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, meanwhile := range map[string]func(o pay.Order, no pay.OutRefundNo){
		"accepted":  func(o pay.Order, no pay.OutRefundNo) { b.told(seen(o, no, 40, pay.RefundProcessing)) },
		"succeeded": func(o pay.Order, no pay.OutRefundNo) { b.told(seen(o, no, 40, pay.RefundSucceeded)) },
		"claimed again": func(_ pay.Order, no pay.OutRefundNo) {
			require.NoError(t, b.exec(`UPDATE refunds SET next_check_at = now(), leased_until = now() WHERE out_refund_no = $1`, string(no)))
			b.heldRefund(no, pay.APIRefund)
		},
	} {
		o := b.paidOrder()
		no := b.wished(o, 1, 40)
		plan := b.heldRefund(no, pay.APIRefund)
		meanwhile(o, no)
		want, lease := b.refund(no), b.text(`SELECT leased_until::text FROM refunds WHERE out_refund_no = $1`, string(no))
		plan.NextCheckAt, plan.CheckAPI = noon, pay.APIRefund
		require.NoError(t, b.PlanRefund(t.Context(), plan))
		require.Equal(t, want, b.refund(no), name)
		require.Equal(t, lease, b.text(`SELECT leased_until::text FROM refunds WHERE out_refund_no = $1`, string(no)), name)
	}
}

func TestPlanRefund_keeps_what_a_hint_made_due_meanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, row := range []struct {
		name           string
		hinted         string
		plan, want     pay.API
		stays, planned time.Time
	}{
		{"a question", "refund_query", pay.APIRefundQuery, pay.APIRefundQuery, noon, noon.Add(time.Hour)},
		{"a drive is the holder's own", "refund_abnormal", pay.APIRefundQuery, pay.APIRefundQuery, noon, noon.Add(time.Hour)},
		{"sending is nobody's wish", "refund", pay.APIRefundQuery, pay.APIRefundQuery, noon, noon.Add(time.Hour)},
		{"the plan is sooner", "refund_query", pay.APIRefundQuery, pay.APIRefundQuery, noon, noon.Add(-time.Hour)},
	} {
		no := b.wished(b.paidOrder(), 1, 40)
		plan := b.heldRefund(no, pay.APIRefund)
		require.NoError(t, b.exec(`UPDATE refunds SET next_check_at = $2, check_api = $3 WHERE out_refund_no = $1`, string(no), noon, row.hinted))
		plan.NextCheckAt, plan.CheckAPI = row.planned, row.plan
		require.NoError(t, b.PlanRefund(t.Context(), plan))
		got := b.refund(no)
		require.Equal(t, row.want, got.CheckAPI, row.name)
		if row.planned.Before(row.stays) {
			row.stays = row.planned
		}
		require.Equal(t, row.stays, got.NextCheckAt, row.name)
	}
}

func TestPlanRefund_cannot_leave_an_unresolved_refund_without_a_check(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 40)
	plan := b.heldRefund(no, pay.APIRefund)
	plan.NextCheckAt, plan.CheckAPI = time.Time{}, pay.APIRefundQuery
	err := b.PlanRefund(t.Context(), plan)
	require.ErrorContains(t, err, "refunds_unresolved_has_a_check")
	require.False(t, store.Retryable(err))
}

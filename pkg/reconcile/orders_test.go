package reconcile_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/reconcile"
	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestOrder_whose_notification_is_lost_is_found_by_asking(t *testing.T) {
	t.Parallel()
	for _, protocol := range []pay.Protocol{pay.ProtocolV3, pay.ProtocolV2} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.place(b.shop, "T00000001", func(o *pay.Order) { o.Protocol = protocol })
			_, err := b.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone})
			require.NoError(t, err)
			b.sweep()
			require.Equal(t, pay.OrderAwaitingPayment, b.state("T00000001"), "it is not due yet")
			began := time.Now()
			b.until(func() bool { return b.state("T00000001") == pay.OrderPaid })
			require.Less(t, time.Since(began), 15*time.Second)
			require.Equal(t, 1, b.events("order.paid"))
			// The bytes that prove it are kept; those of answers that moved nothing are not.
			require.Equal(t, 1, b.count(`SELECT count(*) FROM deliveries WHERE kind = 'answer' AND out_trade_no = 'T00000001' AND key_id <> ''`))
			require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE what = 'paid' AND source = 'query' AND delivery_id IS NOT NULL`))
			b.agree()
		})
	}
}

func TestOrder_that_expired_is_asked_about_closed_and_asked_about_again(t *testing.T) {
	t.Parallel()
	for _, protocol := range []pay.Protocol{pay.ProtocolV3, pay.ProtocolV2} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.place(b.shop, "T00000001", func(o *pay.Order) { o.Protocol = protocol })
			b.expired("T00000001")
			b.until(func() bool { return b.state("T00000001") == pay.OrderClosed })
			require.Equal(t, 1, b.wire.count("close"))
			require.Equal(t, 2, b.wire.count("query"))
			order, _ := b.platform.Order("T00000001")
			require.Equal(t, simulator.StateClosed, order.State)
			require.Equal(t, 1, b.events("order.closed"))
		})
	}
}

// expired makes an order three hours old and its time over.
func (b *bundle) expired(no string) {
	b.t.Helper()
	b.make(no, "created_at = now() - interval '3 hours', expires_at = now() - interval '1 second', next_check_at = now()")
}

func TestOrder_that_was_paid_at_the_last_moment_is_not_closed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.place(b.shop, "T00000001")
	_, err := b.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	b.expired("T00000001")
	b.until(func() bool { return b.state("T00000001") == pay.OrderPaid })
	require.Zero(t, b.wire.count("close"))
}

func TestOrder_whose_payment_shows_late_is_closed_by_nobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.place(b.shop, "T00000001")
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultQueryNotpay, Count: 2})
	require.NoError(t, err)
	_, err = b.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	b.expired("T00000001")
	// A query says NOTPAY, the close is refused as paid, the next query says
	// NOTPAY again: the order goes on being asked about.
	b.until(func() bool { return b.state("T00000001") == pay.OrderPaid })
	require.Positive(t, b.wire.count("close"))
	require.Zero(t, b.events("order.closed"))
	b.agree()
}

func TestOrder_that_is_paid_after_its_close_is_paid_late(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.place(b.shop, "T00000001")
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultSuccessAfterClose, DelayMs: 1, Count: 1})
	require.NoError(t, err)
	b.expired("T00000001")
	b.until(func() bool { return b.state("T00000001") == pay.OrderPaid })
	require.Equal(t, 1, b.events("order.paid"))
	b.agree()
}

func TestOrder_is_never_moved_by_an_answer_that_does_not_verify(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]simulator.FaultKind{
		"a probe": simulator.FaultAnswerSigntest, "a tampered answer": simulator.FaultAnswerTampered, "an unknown key": simulator.FaultAnswerWrongSerial,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.place(b.shop, "T00000001")
			_, err := b.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone})
			require.NoError(t, err)
			_, err = b.platform.SetFault(simulator.Fault{Kind: kind, API: "query", Count: 1})
			require.NoError(t, err)
			b.make("T00000001", "next_check_at = now()")
			b.until(func() bool { return b.wire.count("query") == 1 })
			require.Eventually(t, func() bool {
				return b.count(`SELECT count(*) FROM orders WHERE next_check_at < now() + interval '3 seconds'`) == 1
			}, soon, often, "it is asked again soon")
			require.Equal(t, pay.OrderAwaitingPayment, b.state("T00000001"))
			b.until(func() bool { return b.state("T00000001") == pay.OrderPaid })
			require.Equal(t, 2, b.wire.count("query"))
		})
	}
}

func TestOrder_that_the_shop_wants_closed_is_closed_before_it_expires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.place(b.shop, "T00000001")
	require.NoError(t, b.store.RequestClose(t.Context(), b.mchid, "T00000001"))
	_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultErrorAfter, API: "close", Count: 1})
	require.NoError(t, err)
	b.until(func() bool { return b.state("T00000001") == pay.OrderClosed })
	require.Equal(t, 1, b.wire.count("close"), "the query after an unknown outcome finds it closed")
}

func TestOrder_that_WeChat_Pay_does_not_know_fails_only_when_nobody_can_have_paid_it(t *testing.T) {
	t.Parallel()
	t.Run("expired, closed, verifiably not there", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.create(b.shop, "T00000001")
		b.make("T00000001", "created_at = now() - interval '3 hours', expires_at = now() - interval '11 minutes', next_check_at = now()")
		b.wire.fails("close", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			accepted(b, w, r) // as the real one does for numbers that nobody has seen
		})
		b.until(func() bool { return b.state("T00000001") == pay.OrderFailed })
		require.Equal(t, 1, b.count(`SELECT count(*) FROM orders WHERE failure_code = 'ORDER_NOT_EXIST' AND close_count = 1`))
		require.Equal(t, 1, b.events("order.failed"))
	})
	t.Run("not without a signature", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.unsigned()
		b.create(b.shop, "T00000001")
		b.make("T00000001", "created_at = now() - interval '3 hours', expires_at = now() - interval '11 minutes', close_count = 1, next_check_at = now()")
		b.until(func() bool {
			return b.count(`SELECT count(*) FROM orders WHERE next_check_at > now() + interval '59 minutes'`) == 1
		})
		require.Equal(t, pay.OrderCreated, b.state("T00000001"))
		b.says("does not know an order of ours")
	})
	t.Run("not while it is young", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.create(b.shop, "T00000001")
		b.make("T00000001", "next_check_at = now()")
		b.until(func() bool { return b.count(`SELECT count(*) FROM orders WHERE checked_at IS NOT NULL`) == 1 })
		require.Equal(t, pay.OrderCreated, b.state("T00000001"))
		require.NotContains(t, b.said.String(), "does not know an order of ours")
	})
}

// accepted answers a close with 204, signed.
func accepted(b *bundle, w http.ResponseWriter, _ *http.Request) {
	recorder := httptest.NewRecorder()
	recorder.Code = http.StatusNoContent
	b.wire.stamp(recorder)
	copyTo(w, recorder, nil)
}

func TestOrder_that_failed_is_asked_about_and_then_left_alone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.create(b.shop, "T00000001")
	b.settle(pay.Observation{Kind: pay.ObservedRefused, Source: pay.SourceCommand, ObservedAt: time.Now().UTC(), MchID: b.mchid, OutTradeNo: o.OutTradeNo, AppID: o.AppID, Code: "PARAM_ERROR"})
	b.make("T00000001", "next_check_at = now()")
	b.until(func() bool { return b.wire.count("query") == 1 })
	b.until(func() bool {
		return b.count(`SELECT count(*) FROM orders WHERE state = 'failed' AND next_check_at = expires_at + interval '1 minute'`) == 1
	})
	b.make("T00000001", "created_at = now() - interval '3 hours', expires_at = now() - interval '2 minutes', next_check_at = now()")
	b.until(func() bool {
		return b.count(`SELECT count(*) FROM orders WHERE state = 'failed' AND next_check_at IS NULL`) == 1
	})
	require.Equal(t, 2, b.wire.count("query"))
}

func TestOrder_of_a_refused_repeat_that_was_paid_is_paid_late(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.create(b.shop, "T00000001")
	_, _, err := b.client.Prepay(t.Context(), o)
	require.NoError(t, err)
	b.settle(pay.Observation{Kind: pay.ObservedRefused, Source: pay.SourceCommand, ObservedAt: time.Now().UTC(), MchID: b.mchid, OutTradeNo: o.OutTradeNo, AppID: o.AppID, Code: "PARAM_ERROR"})
	_, err = b.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	b.make("T00000001", "next_check_at = now()")
	b.until(func() bool { return b.state("T00000001") == pay.OrderPaid })
	require.Equal(t, 1, b.count(`SELECT count(*) FROM orders WHERE late`))
}

// relaxed gives the merchant twenty payments whose notifications came.
func (b *bundle) relaxed() {
	b.t.Helper()
	for i := range 20 {
		no := fmt.Sprintf("P%08d", i)
		b.place(b.shop, no)
		p, err := b.platform.Pay(no, simulator.PayRequest{Notify: simulator.ProtocolNone})
		require.NoError(b.t, err)
		b.settle(pay.Observation{
			Kind: pay.ObservedPaid, Source: pay.SourceNotification, ObservedAt: time.Now().UTC(), MchID: b.mchid, AppID: pay.AppID(b.merchant.Appid),
			OutTradeNo: pay.OutTradeNo(no), TransactionID: pay.TransactionID(p.TransactionID), Amount: 100, PayerTotal: 100, Currency: pay.CNY, PaidAt: p.PaidAt,
		})
	}
	b.until(func() bool { return b.count(`SELECT count(*) FROM merchant_gears WHERE gear = 'relaxed'`) == 1 })
}

func TestGear_while_notifications_arrive_a_new_order_costs_no_question_in_its_first_minute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relaxed()
	for i := range 50 {
		b.place(b.shop, fmt.Sprintf("T%08d", i))
	}
	_, err := b.db.ExecContext(t.Context(), `UPDATE orders SET created_at = now() - interval '10 seconds', next_check_at = now() WHERE state = 'awaiting_payment'`)
	require.NoError(t, err)
	waiting := func() int {
		return b.count(`SELECT count(*) FROM orders WHERE state = 'awaiting_payment' AND abs(extract(epoch FROM next_check_at - created_at) - 60) < 1`)
	}
	b.until(func() bool { return waiting()+b.wire.count("query") >= 50 })
	require.Less(t, b.wire.count("query"), 8, "only probes were asked about")
	b.says("gear=relaxed")
}

func TestGear_a_check_that_somebody_waits_for_is_asked_in_any_gear(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relaxed()
	b.place(b.shop, "T00000001")
	_, err := b.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	require.NoError(t, b.service.CheckOrder(t.Context(), b.mchid, "T00000001"))
	require.Zero(t, b.wire.count("query"), "it is not due")
	require.NoError(t, b.store.DueOrder(t.Context(), b.mchid, "T00000001"))
	require.NoError(t, b.service.CheckOrder(t.Context(), b.mchid, "T00000001"))
	require.Eventually(t, func() bool { return b.state("T00000001") == pay.OrderPaid }, soon, often)
	// Without Redis nobody calls CheckOrder: the sweep must find it all the same.
	b.place(b.shop, "T00000002")
	_, err = b.platform.Pay("T00000002", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	require.NoError(t, b.store.DueOrder(t.Context(), b.mchid, "T00000002"))
	b.until(func() bool { return b.state("T00000002") == pay.OrderPaid })
	require.NoError(t, b.service.CheckOrder(t.Context(), b.mchid, "T99999999"), "what there is not is no error")
}

func TestGear_becomes_tight_when_a_payment_comes_without_its_notification(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relaxed()
	for i := range 10 {
		b.place(b.shop, fmt.Sprintf("T%08d", i))
	}
	_, err := b.db.ExecContext(t.Context(), `UPDATE orders SET next_check_at = now() + interval '30 minutes' WHERE state = 'awaiting_payment'`)
	require.NoError(t, err)
	_, err = b.db.ExecContext(t.Context(), `UPDATE payments SET notified_at = NULL, observed_at = now() - interval '61 seconds' WHERE out_trade_no = 'P00000003'`)
	require.NoError(t, err)
	began := time.Now()
	b.until(func() bool { return b.wire.count("query") >= 10 })
	require.Less(t, time.Since(began), 20*time.Second, "they were pulled forward")
	b.says("gear=tight")
}

func TestMerchant_whose_calls_hang_or_whose_budget_is_spent_slows_no_other(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *reconcile.Options) { o.Budget.OrderQuery = 20 })
	slow := b.open("1900000110")
	for i := range 200 {
		b.create(slow, fmt.Sprintf("S%08d", i))
	}
	for range 200 {
		slow.wire.fails("query", hangs)
	}
	for _, no := range numbers(10) {
		b.place(b.shop, no)
		_, err := b.platform.Pay(no, simulator.PayRequest{Notify: simulator.ProtocolNone})
		require.NoError(t, err)
	}
	_, err := b.db.ExecContext(t.Context(), `UPDATE orders SET next_check_at = now()`)
	require.NoError(t, err)
	began := time.Now()
	b.until(func() bool { return b.count(`SELECT count(*) FROM orders WHERE state = 'paid'`) == 10 })
	require.Less(t, time.Since(began), 4*time.Second)
	require.Less(t, slow.wire.count("query"), 100, "and it stays within its own budget")
}

func TestBudget_is_used_fully_and_never_exceeded(t *testing.T) {
	t.Parallel()
	const perSecond = 40
	b := setup(t, func(o *reconcile.Options) { o.Budget.OrderQuery = perSecond })
	for _, no := range numbers(perSecond * 5) {
		b.create(b.shop, no)
	}
	_, err := b.db.ExecContext(t.Context(), `UPDATE orders SET next_check_at = now()`)
	require.NoError(t, err)
	began := time.Now()
	for time.Since(began) < 3*time.Second {
		b.sweep()
	}
	took := time.Since(began).Seconds()
	calls := float64(b.wire.count("query"))
	require.LessOrEqual(t, calls, perSecond*(took+0.2)+1)
	require.GreaterOrEqual(t, calls, 0.8*perSecond*took)
}

func TestService_stops_in_order_and_books_what_was_under_way(t *testing.T) {
	t.Parallel()
	b := setup(t)
	service := reconcile.New(withRegistry(b.options))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	for _, no := range numbers(20) {
		b.place(b.shop, no)
		_, err := b.platform.Pay(no, simulator.PayRequest{Notify: simulator.ProtocolNone})
		require.NoError(t, err)
	}
	release := make(chan struct{})
	answer := sync.OnceFunc(func() { close(release) })
	defer answer() // the platform's server ends only when all are answered
	for range 20 {
		b.wire.fails("query", func(w http.ResponseWriter, r *http.Request, platform http.Handler) {
			<-release
			platform.ServeHTTP(w, r)
		})
	}
	_, err := b.db.ExecContext(t.Context(), `UPDATE orders SET next_check_at = now()`)
	require.NoError(t, err)
	require.NoError(t, service.SweepOrders(t.Context()))
	require.Eventually(t, func() bool { return b.wire.count("query") == 20 }, soon, often)
	stop()
	answer()
	require.NoError(t, <-ended)
	require.Equal(t, 20, b.count(`SELECT count(*) FROM orders WHERE state = 'paid'`))
	_, err = b.db.ExecContext(t.Context(), `UPDATE orders SET next_check_at = now() WHERE state <> 'paid'`)
	require.NoError(t, err)
	require.NoError(t, service.SweepOrders(t.Context()), "and nothing new is begun")
	require.Equal(t, 20, b.wire.count("query"))
}

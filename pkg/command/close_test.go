package command_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/command"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestClose_an_open_order_is_closed_once_WeChat_Pay_says_so(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	result, r := b.execute(b.shut("T00000001"))
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	require.Equal(t, pay.CommandDone, result.Outcome)
	require.Equal(t, "closed", r.State)
	require.Empty(t, r.Pay)
	require.Equal(t, 1, b.wire.count("close"))
	require.Equal(t, 2, b.wire.count("query"), "query, close, query")
	at, _ := b.platform.Order("T00000001")
	require.Equal(t, simulator.StateClosed, at.State)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.closed'`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM history WHERE what = 'closed' AND source = 'query' AND key_id <> '' AND delivery_id IS NOT NULL`), "the key and the bytes that closed it are known")

	again, _ := b.execute(b.shut("T00000001"))
	require.Equal(t, http.StatusOK, again.Status)
	require.Equal(t, 1, b.wire.count("close"), "a closed order needs no call")
}

func TestClose_a_paid_order_stays_paid_and_says_so(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.payAt("T00000001") // nobody told us
	result, r := b.execute(b.shut("T00000001"))
	require.Equal(t, http.StatusConflict, result.Status, string(result.Body))
	require.Equal(t, pay.CommandConflict, result.Outcome)
	require.Equal(t, "FEN-4006", r.Code)
	require.Zero(t, b.wire.count("close"))
	require.Equal(t, pay.OrderPaid, b.order("T00000001").State)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))

	again, _ := b.execute(b.shut("T00000001"))
	require.Equal(t, http.StatusConflict, again.Status)
	require.Equal(t, 1, b.wire.count("query"), "a paid order needs no question")
}

func TestClose_a_payment_that_comes_while_closing_is_not_lost(t *testing.T) {
	t.Parallel()
	t.Run("after the first query", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.execute(b.create("T00000001"))
		b.wire.failsOn("close", func(w http.ResponseWriter, r *http.Request, platform http.Handler) {
			b.payAt("T00000001")
			platform.ServeHTTP(w, r)
		})
		result, r := b.execute(b.shut("T00000001"))
		require.Equal(t, http.StatusConflict, result.Status, string(result.Body))
		require.Equal(t, "FEN-4006", r.Code)
		require.Equal(t, pay.OrderPaid, b.order("T00000001").State)
	})
	t.Run("after the close", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.execute(b.create("T00000001"))
		_, err := b.platform.SetFault(simulator.Fault{Kind: simulator.FaultSuccessAfterClose})
		require.NoError(t, err)
		result, _ := b.execute(b.shut("T00000001"))
		require.Contains(t, []int{http.StatusOK, http.StatusConflict}, result.Status, string(result.Body))
		require.Eventually(t, func() bool { o, _ := b.platform.Order("T00000001"); return o.State == simulator.StatePaid }, soon, often)
		if result.Status == http.StatusOK { // closed in our books: the money comes late, by notification or bill
			require.Equal(t, pay.OrderClosed, b.order("T00000001").State)
			return
		}
		require.Equal(t, pay.OrderPaid, b.order("T00000001").State)
	})
}

func TestClose_a_lost_answer_is_made_up_for_by_the_query(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.wire.failsOn("close", hangs) // carried out
	result, r := b.execute(b.shut("T00000001"))
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	require.Equal(t, "closed", r.State)
}

func TestClose_waits_while_WeChat_Pay_still_says_NOTPAY(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.wire.failsOn("query", lags(2)...)
	result, r := b.execute(b.shut("T00000001"))
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	require.Equal(t, "closed", r.State)
	require.Equal(t, 4, b.wire.count("query"))
	require.Equal(t, 1, b.wire.count("close"))
}

func TestClose_what_stays_unknown_is_left_to_the_reconciler(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		before func(*bundle)
		closes int
	}{
		"no answer to the query":         {func(b *bundle) { b.wire.failsOn("query", loses) }, 0},
		"a query's answer not to trust":  {func(b *bundle) { b.wire.failsOn("query", tampers) }, 0},
		"no answer after the close":      {func(b *bundle) { b.wire.failsOn("query", works, loses) }, 1},
		"neither close nor query answer": {func(b *bundle) { b.wire.failsOn("close", loses); b.wire.failsOn("query", works, loses) }, 1},
		"still open after the close":     {func(b *bundle) { b.wire.failsOn("query", lags(8)...) }, 1},
		"WeChat Pay is configured wrong": {func(b *bundle) { b.wire.failsOn("query", answers(401, "SIGN_ERROR")) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.execute(b.create("T00000001"))
			row.before(b)
			result, r := b.execute(b.shut("T00000001"))
			require.Equal(t, http.StatusServiceUnavailable, result.Status, string(result.Body))
			require.Equal(t, pay.CommandUnavailable, result.Outcome)
			require.Equal(t, "FEN-4004", r.Code)
			require.Contains(t, string(result.Body), "goes on closing by itself")
			require.Equal(t, row.closes, b.wire.count("close"))
			require.Equal(t, []pay.OutTradeNo{"T00000001"}, b.waker.orders)
			order := b.order("T00000001")
			require.Equal(t, pay.OrderAwaitingPayment, order.State, "nothing unverified closes")
			require.False(t, order.CloseRequestedAt.IsZero())
			require.Equal(t, 1, b.count(`SELECT count(*) FROM orders WHERE next_check_at <= now() AND check_api = 'order_query'`))
		})
	}
}

func TestClose_the_same_request_again_may_end_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.wire.failsOn("query", loses)
	cmd := b.shut("T00000001")
	b.execute(cmd)
	result, r := b.execute(b.shut("T00000001"))
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	require.Equal(t, "closed", r.State)
}

func TestClose_an_order_that_WeChat_Pay_never_saw_is_closed_there_all_the_same(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.fails(loses, loses, loses)
	b.execute(b.create("T00000001"))
	result, _ := b.execute(b.shut("T00000001"))
	require.Equal(t, http.StatusServiceUnavailable, result.Status, string(result.Body))
	require.Equal(t, 1, b.wire.count("close"), "its prepay call may still be on the way")
	require.Contains(t, string(result.Body), "WeChat Pay does not know the order (404 ORDER_NOT_EXIST")
	require.Contains(t, string(result.Body), "ten minutes after its expiry at 20")
	require.Equal(t, pay.OrderCreated, b.order("T00000001").State)
	require.False(t, b.order("T00000001").CloseRequestedAt.IsZero())
}

func TestClose_answers_failed_and_unknown_orders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.wire.fails(answers(400, "PARAM_ERROR"))
	b.execute(b.create("T00000001"))
	result, r := b.execute(b.shut("T00000001"))
	require.Equal(t, http.StatusOK, result.Status, string(result.Body))
	require.Equal(t, "failed", r.State)
	result, r = b.execute(b.shut("T00000009"))
	require.Equal(t, http.StatusNotFound, result.Status, string(result.Body))
	require.Equal(t, pay.CommandRefused, result.Outcome)
	require.Equal(t, "FEN-3004", r.Code)
	require.Zero(t, b.wire.count("close"))
	require.Zero(t, b.wire.count("query"))
}

func TestClose_makes_no_call_beyond_the_budget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.drain(pay.APIOrderClose)
	result, _ := b.execute(b.shut("T00000001"))
	require.Equal(t, http.StatusServiceUnavailable, result.Status, string(result.Body))
	require.Zero(t, b.wire.count("close"))
	b.drain(pay.APIOrderQuery)
	b.execute(b.shut("T00000001"))
	require.Equal(t, 1, b.wire.count("query"), "of the first try")
	require.False(t, b.order("T00000001").CloseRequestedAt.IsZero())
}

func TestClose_twins_close_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	var all sync.WaitGroup
	statuses := make([]int, 12)
	for i := range statuses {
		cmd := b.shut("T00000001")
		all.Go(func() {
			if result, err := b.service.Execute(context.WithoutCancel(t.Context()), cmd); err == nil {
				statuses[i] = result.Status
			}
		})
	}
	all.Wait()
	for _, status := range statuses {
		require.Equal(t, http.StatusOK, status)
	}
	require.Equal(t, 1, b.wire.count("close"))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.closed'`))
}

func TestClose_halves_the_budget_when_WeChat_Pay_wants_fewer_calls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.execute(b.create("T00000001"))
	b.wire.failsOn("query", answers(429, "FREQUENCY_LIMITED"))
	b.execute(b.shut("T00000001"))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM api_budgets WHERE api = 'order_query' AND halved_until > now()`))
}

// soon and often bound what is waited for.
const (
	soon  = 20 * time.Second
	often = 10 * time.Millisecond
)

// drain leaves a budget without tokens for a while: one a second, and in debt.
func (b *bundle) drain(api pay.API) {
	b.t.Helper()
	b.restart(func(o *command.Options) {
		if api == pay.APIOrderClose {
			o.Budgets.OrderClose = 1
		} else {
			o.Budgets.OrderQuery = 1
		}
	})
	budget := pay.Budget{API: api, PerSecond: 1}
	_, err := b.store.TakeToken(b.t.Context(), pay.MchID(b.merchant.Mchid), budget)
	require.NoError(b.t, err)
	require.NoError(b.t, b.store.ChargeTokens(b.t.Context(), pay.MchID(b.merchant.Mchid), budget, 5))
}

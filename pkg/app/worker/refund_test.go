package worker_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/bus"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/queue"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
)

func TestWorker_answers_all_that_a_shop_asks_under_the_permissions_of_production(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	r := w.start()
	w.ready(r)
	w.place("T00000001")
	w.place("T00000002")

	_, err := w.platform.Pay("T00000001", simulator.PayRequest{Notify: simulator.ProtocolNone}) // the notification is lost
	require.NoError(t, err)
	status, body := w.ask(bus.RequestActCheck, map[string]string{"out_trade_no": "T00000001"})
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"state":"paid"`)

	closed := w.submit(w.command(pay.CommandOrderClose, "T00000002", "", "{}"))
	require.Equal(t, http.StatusOK, closed.Status, string(closed.Body))
	require.Contains(t, string(closed.Body), `"state":"closed"`)
	refused := w.submit(w.command(pay.CommandOrderClose, "T00000001", "", "{}"))
	require.Equal(t, http.StatusConflict, refused.Status, string(refused.Body))

	refund := w.refund("T00000001", "R1", 30)
	require.Equal(t, http.StatusCreated, refund.Status, string(refund.Body))
	require.Equal(t, pay.OutRefundNo("R1"), refund.OutRefundNo)
	require.Equal(t, http.StatusOK, w.refund("T00000001", "R1", 30).Status)
	require.Equal(t, http.StatusConflict, w.refund("T00000001", "R1", 31).Status)
	require.Equal(t, http.StatusUnprocessableEntity, w.refund("T00000001", "R2", 71).Status)
	status, body = w.ask(bus.RequestReadRefund, map[string]string{"out_refund_no": "R1"})
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"state":"requested"`)
	status, body = w.ask(bus.RequestActAbnormal, map[string]string{"out_refund_no": "R1", "actor": "shop", "type": "MERCHANT_BANK_CARD"})
	require.Equal(t, http.StatusConflict, status, body)
	status, body = w.ask(bus.RequestReadHistory, map[string]string{"out_trade_no": "T00000001"})
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"what":"refund_requested"`)
	require.Contains(t, body, w.merchant.PublicKeyID)
	require.Empty(t, w.platform.Refunds("T00000001"), "the worker sends no refund")
	require.Eventually(t, func() bool { return w.messages("refund.requested") == 1 && w.messages("order.closed") == 1 }, soon, often)
	require.NotContains(t, r.logs.String(), "denies a permission")
}

func TestWorker_books_a_refund_that_somebody_made_in_the_merchant_platform(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	w.ready(w.start())
	w.place("T00000001")
	_, err := w.platform.Pay("T00000001", simulator.PayRequest{})
	require.NoError(t, err)
	w.allPaid(1) // so that the refund's notice has nothing to wait for
	made, err := w.platform.RefundByConsole("T00000001", simulator.ConsoleRefund{AmountFen: 40})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return w.count(`SELECT count(*) FROM refunds WHERE out_refund_no = $1 AND state = 'succeeded' AND origin = 'platform'`, made.OutRefundNo) == 1
	}, soon, often)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM payments WHERE refunded_fen = 40 AND reserved_fen = 0`))
	require.Eventually(t, func() bool { return w.messages("refund.succeeded") == 1 }, soon, often)
	require.Zero(t, w.count(`SELECT count(*) FROM dead_letters`))
}

// WeChat Pay promises no order between the notices of an order.
func TestWorker_a_refund_notice_before_its_payment_comes_right(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	_, err := w.platform.SetFault(simulator.Fault{Kind: simulator.FaultNoticeDelay, Count: 1, DelayMs: time.Hour.Milliseconds()})
	require.NoError(t, err)
	w.ready(w.start())
	w.place("T00000001")
	_, err = w.platform.Pay("T00000001", simulator.PayRequest{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.platform.Faults()[0].Fired == 1 }, soon, often, "the payment's notice is held")
	_, err = w.platform.RefundByConsole("T00000001", simulator.ConsoleRefund{AmountFen: 40})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.count(`SELECT count(*) FROM dead_letters WHERE state = 'waiting'`) == 1 }, soon, often, "the refund's notice waits")
	require.Zero(t, w.count(`SELECT count(*) FROM refunds`))
	require.Equal(t, 1, w.platform.ClearFaults())
	w.paidAndRefunded()
	require.Equal(t, 1, w.count(`SELECT count(*) FROM dead_letters WHERE state = 'resolved'`))
	require.Equal(t, 1, w.count(`SELECT count(*) FROM dead_letters`))
}

// Batches are settled side by side: of two notices that come close together,
// either may be booked first, whichever came first.
func TestWorker_a_refund_notice_right_before_its_payment_comes_right(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	_, err := w.platform.SetFault(simulator.Fault{Kind: simulator.FaultRefundNoticeFirst})
	require.NoError(t, err)
	w.ready(w.start())
	w.place("T00000001")
	_, err = w.platform.Pay("T00000001", simulator.PayRequest{})
	require.NoError(t, err)
	_, err = w.platform.RefundByConsole("T00000001", simulator.ConsoleRefund{AmountFen: 40})
	require.NoError(t, err)
	w.paidAndRefunded()
	require.Zero(t, w.count(`SELECT count(*) FROM dead_letters WHERE state <> 'resolved'`))
}

// paidAndRefunded waits for the one order's payment and the refund of 40 fen.
func (w *world) paidAndRefunded() {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		return w.count(`SELECT count(*) FROM refunds WHERE state = 'succeeded'`) == 1 && w.count(`SELECT count(*) FROM orders WHERE state = 'paid'`) == 1
	}, soon, often)
	require.Equal(w.t, 1, w.count(`SELECT count(*) FROM payments WHERE refunded_fen = 40 AND reserved_fen = 0`))
}

func TestWorker_v2_orders_end_to_end(t *testing.T) {
	t.Parallel()
	for _, signType := range []string{"MD5", "HMAC-SHA256"} {
		t.Run(signType, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, testkit.Database(t, "worker", migrate))
			w.configure("protocol: v3\n", "protocol: v2\n      sign_type: "+signType+"\n")
			r := w.start()
			w.ready(r)
			placed := w.place("T00000001")
			require.Contains(t, string(placed.Body), `"signType":"`+signType+`"`)
			_, err := w.platform.Pay("T00000001", simulator.PayRequest{Duplicates: 2, Forged: 3})
			require.NoError(t, err)
			w.allPaid(1)
			require.Equal(t, 1, w.count(`SELECT count(*) FROM orders WHERE protocol = 'v2'`))
			require.Equal(t, http.StatusCreated, w.refund("T00000001", "R1", 30).Status)

			// A refund in the merchant platform: its notice is signed by nobody.
			made, err := w.platform.RefundByConsole("T00000001", simulator.ConsoleRefund{AmountFen: 40})
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				return w.count(`SELECT count(*) FROM refund_hints WHERE out_refund_no = $1 AND protocol = 'v2'`, made.OutRefundNo) == 1
			}, soon, often)
			require.Zero(t, w.count(`SELECT count(*) FROM refunds WHERE out_refund_no = $1`, made.OutRefundNo), "only a query says what became of it")
			require.Equal(t, 1, w.count(`SELECT count(*) FROM payments WHERE refunded_fen = 0 AND reserved_fen = 30`))
			require.Zero(t, w.count(`SELECT count(*) FROM dead_letters`))
			require.NotContains(t, r.logs.String(), w.merchant.APIv2Key)
		})
	}
}

// A reconciler hands nothing over: it has no place in the stream.
func TestWorker_publishes_what_others_committed_within_a_second_or_so(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	w.ready(w.start())
	w.place("T00000001")
	books, err := store.Open(t.Context(), store.Config{URL: w.database, MaxConns: 1})
	require.NoError(t, err)
	t.Cleanup(func() { _ = books.Close() })
	_, err = books.Settle(t.Context(), []pay.Entry{{Observation: &pay.Observation{
		Kind: pay.ObservedClosed, Source: pay.SourceQuery, ObservedAt: time.Now(), MchID: pay.MchID(w.merchant.Mchid), AppID: pay.AppID(w.merchant.Appid), OutTradeNo: "T00000001",
	}}}, func(pay.MchID) pay.Policies { return pay.Policies{} })
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.count(`SELECT count(*) FROM published WHERE fact = 'order.closed'`) == 1 }, soon, often)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM published WHERE fact = 'order.closed' AND published_at < created_at + interval '1800 milliseconds'`))
	require.EqualValues(t, 1, w.messages("order.closed"))
}

func TestWorker_wakes_the_reconciler(t *testing.T) {
	t.Parallel()
	redis := testkit.Redis(t)
	w := newWorld(t, testkit.Database(t, "worker", migrate))
	w.configure("    url: redis://127.0.0.1:6379/0\n", "    url: "+asYAML(redis.URL())+"\nbudgets:\n    order_query: 1\n")
	w.ready(w.start())
	ctx, cancel := context.WithCancel(t.Context())
	woken, ended := make(chan queue.Task, 10), make(chan error, 1)
	go func() {
		ended <- queue.Run(ctx, queue.Options{RedisURL: redis.URL(), Handle: func(_ context.Context, task queue.Task) error {
			woken <- task
			return nil
		}})
	}()
	t.Cleanup(func() { cancel(); <-ended })

	w.place("T00000001")
	w.place("T00000002")
	_, err := w.platform.Pay("T00000001", simulator.PayRequest{})
	require.NoError(t, err)
	w.allPaid(1)
	require.Equal(t, http.StatusCreated, w.refund("T00000001", "R1", 30).Status)
	next := func() queue.Task {
		select {
		case task := <-woken:
			return task
		case <-time.After(soon):
			t.Fatal("nobody was woken")
			return queue.Task{}
		}
	}
	require.Equal(t, queue.Task{Kind: queue.SubmitRefund, MchID: pay.MchID(w.merchant.Mchid), Number: "R1"}, next())

	// A check without a token: the reconciler asks.
	_, err = w.db.ExecContext(t.Context(), `INSERT INTO api_budgets (mchid, api, milli_rate, milli_burst, milli_tokens, refilled_at) VALUES ($1, 'order_query', 1000, 1000, -1000, clock_timestamp())
		ON CONFLICT (mchid, api) DO UPDATE SET milli_tokens = -1000, refilled_at = clock_timestamp()`, w.merchant.Mchid)
	require.NoError(t, err)
	status, body := w.ask(bus.RequestActCheck, map[string]string{"out_trade_no": "T00000002"})
	require.Equal(t, http.StatusAccepted, status, body)
	require.Equal(t, queue.Task{Kind: queue.QueryOrder, MchID: pay.MchID(w.merchant.Mchid), Number: "T00000002"}, next())
	require.Equal(t, 1, w.count(`SELECT count(*) FROM orders WHERE next_check_at <= now() AND out_trade_no = 'T00000002'`))
}

func TestWorker_works_without_Redis_and_says_so_once(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"none configured": "", "none there": "redis://127.0.0.1:1/0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, testkit.Database(t, "worker", migrate))
			w.configure("    url: redis://127.0.0.1:6379/0\n", "    url: "+asYAML(url)+"\n")
			r := w.start()
			w.ready(r)
			w.place("T00000001")
			_, err := w.platform.Pay("T00000001", simulator.PayRequest{})
			require.NoError(t, err)
			w.allPaid(1)
			for _, no := range []string{"R1", "R2", "R3"} {
				began := time.Now()
				require.Equal(t, http.StatusCreated, w.refund("T00000001", no, 10).Status)
				require.Less(t, time.Since(began), 5*time.Second)
			}
			require.Equal(t, 1, strings.Count(r.logs.String(), "reconcilers are not woken"), r.logs.String())
		})
	}
}

func asYAML(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}

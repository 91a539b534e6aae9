package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// The retry schedule does not bring a lost notification: it is given up after one
// attempt on record, and what is not lost arrives as ever.
func TestLostNotice_never_arrives(t *testing.T) {
	t.Parallel()
	b := newBench(t, hurried, func(o *simulator.Options) { o.Seed = 7 })
	shop := newReceiver(t, noContent)
	b.fault(t, simulator.Fault{Kind: simulator.FaultNoticeLost, Probability: 0.3})
	const orders = 60
	for i := range orders {
		number := fmt.Sprintf("never-%02d", i)
		b.place(t, number, b.notifyURL(shop))
		_, err := b.simulator.Pay(number, simulator.PayRequest{Duplicates: 1})
		require.NoError(t, err)
	}
	summary := b.settled(t)
	require.InDelta(t, 0.3*orders, summary.Abandoned, 12)
	require.Equal(t, orders-summary.Abandoned, summary.Acknowledged)
	require.Len(t, shop.all(), 2*summary.Acknowledged, "each that was not lost came, and came again")
	lost := 0
	for _, a := range b.simulator.Deliveries("") {
		if a.Fault == "" {
			continue
		}
		lost++
		require.Equal(t, simulator.FaultNoticeLost, a.Fault)
		require.Zero(t, a.Status)
		require.Contains(t, a.Error, "lost")
		require.Len(t, b.simulator.Deliveries(a.OutTradeNo), 1, "nothing was tried again")
	}
	require.Equal(t, summary.Abandoned, lost)
}

// A lost notification stays lost: another start does not take it up.
func TestLostNotice_stays_lost_after_a_restart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(t, hurried, func(o *simulator.Options) { o.StateDir = dir })
	shop := newReceiver(t, noContent)
	b.place(t, "never-1", b.notifyURL(shop))
	b.fault(t, simulator.Fault{Kind: simulator.FaultNoticeLost})
	b.pay(t, "never-1")
	b.settled(t)
	require.NoError(t, b.simulator.Close())
	again, err := simulator.New(simulator.Options{Merchant: b.merchant, StateDir: dir, Speed: 1e6})
	require.NoError(t, err)
	require.Zero(t, again.Summary().Pending)
	require.Equal(t, 1, again.Summary().Abandoned)
	require.NoError(t, again.Close())
	require.Empty(t, shop.all())
}

func TestTimeoutBefore_does_nothing_and_never_answers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.paid(t, "hang-3", "https://shop.example/n", 0)
	b.fault(t, simulator.Fault{Kind: simulator.FaultTimeoutBefore, Count: 1, API: "refund", DelayMs: 30})
	service, started := b.refunds(t), time.Now()
	_, _, err := service.Create(t.Context(), refundOf("hang-3", "hang-3-r", 10))
	require.Error(t, err)
	var answered *core.APIError
	require.NotErrorAs(t, err, &answered, "there was no answer")
	require.GreaterOrEqual(t, time.Since(started), 30*time.Millisecond)
	require.Empty(t, b.simulator.Ledger().Refunds, "nothing was done")
	_, _, err = service.Create(t.Context(), refundOf("hang-3", "hang-3-r", 10))
	require.NoError(t, err)

	b.fault(t, simulator.Fault{Kind: simulator.FaultTimeoutBefore, Count: 1, API: "unifiedorder", DelayMs: 30})
	_, err = http.Post(b.url+"/pay/unifiedorder", "text/xml", strings.NewReader(b.v2Body(unified("hang-v2", "https://shop.example/n")))) //nolint:bodyclose // there is no answer
	require.Error(t, err)
	_, known := b.simulator.Order("hang-v2")
	require.False(t, known)
}

// A slow refund is in PROCESSING for the time that was asked for, whatever Speed is,
// and then ends as it would have ended.
func TestSlowRefund_passes_through_PROCESSING(t *testing.T) {
	t.Parallel()
	b := newBench(t, fast)
	b.paid(t, "slow-1", "http://127.0.0.1:1/n", 0)
	b.paid(t, "slow-2", "http://127.0.0.1:1/n", 0)
	b.fault(t, simulator.Fault{Kind: simulator.FaultRefundSlow, DelayMs: 120, OutTradeNo: "slow-1"})
	service := b.refunds(t)
	for _, number := range []string{"slow-1", "slow-2"} {
		made, _, err := service.Create(t.Context(), refundOf(number, number+"-r", 10))
		require.NoError(t, err)
		require.Equal(t, "PROCESSING", string(*made.Status))
	}
	quick := b.ended(t, "slow-2-r", simulator.RefundSuccess)
	require.Less(t, quick.ChangedAt.Sub(quick.CreatedAt), 100*time.Millisecond)
	slow := b.ended(t, "slow-1-r", simulator.RefundSuccess)
	require.GreaterOrEqual(t, slow.ChangedAt.Sub(slow.CreatedAt), 120*time.Millisecond)
}

// Calls are counted by operation, v3 and v2 together, also those that a fault then
// turned away; what did not verify was no call.
func TestCalls_are_counted_by_operation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.place(t, "count-1", "https://shop.example/n")
	service := b.jsapi(t)
	b.query(t, *service, "count-1")
	b.fault(t, simulator.Fault{Kind: simulator.FaultErrorBefore, Count: 1})
	status, _ := b.send(t, http.MethodGet, "/v3/pay/transactions/out-trade-no/count-1?mchid="+b.merchant.Mchid, "")
	require.Equal(t, http.StatusInternalServerError, status)
	b.v2(t, "/pay/orderquery", map[string]string{"out_trade_no": "count-1"})
	unsigned, err := http.Get(b.url + "/v3/pay/transactions/out-trade-no/count-1?mchid=" + b.merchant.Mchid)
	require.NoError(t, err)
	status, _ = statusOf(t, unsigned)
	require.Equal(t, http.StatusBadRequest, status, "it carries no Authorization")

	_, text := b.get(t, "/control/calls")
	var document struct{ Calls map[string]int }
	require.NoError(t, json.Unmarshal([]byte(text), &document), text)
	require.Equal(t, 3, document.Calls["query"])
	require.Equal(t, b.simulator.Calls(), document.Calls)
}

// Speed divides the minute between refunds of one order, as it divides their progress.
func TestSpeed_divides_the_minute_between_partial_refunds(t *testing.T) {
	t.Parallel()
	clock := newHandClock()
	b := newBench(t, limited(clock), func(o *simulator.Options) { o.Speed = 60 })
	b.paid(t, "spaced-3", "https://shop.example/n", 0)
	service := b.refunds(t)
	refund := func(refund string) error {
		_, _, err := service.Create(t.Context(), refundOf("spaced-3", refund, 10))
		return err
	}
	require.NoError(t, refund("spaced-3-a"))
	clock.advance(999 * time.Millisecond)
	requireCode(t, refund("spaced-3-b"), http.StatusTooManyRequests, "FREQUENCY_LIMITED")
	clock.advance(time.Millisecond)
	require.NoError(t, refund("spaced-3-b"))
}

// What the service refuses is signed, unless a fault leaves the signature away; what
// the gateway turns away before anybody's key was checked never is.
func TestRefusals_are_signed_unless_a_fault_has_it_otherwise(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	service := b.jsapi(t)
	refused := func() http.Header {
		_, _, err := service.QueryOrderByOutTradeNo(t.Context(), jsapi.QueryOrderByOutTradeNoRequest{
			OutTradeNo: core.String("nothing-here"), Mchid: &b.merchant.Mchid})
		requireCode(t, err, http.StatusNotFound, "ORDER_NOT_EXIST")
		var e *core.APIError
		require.ErrorAs(t, err, &e)
		return e.Header
	}
	header := refused()
	require.NotEmpty(t, header.Get("Wechatpay-Signature"))
	require.NotEmpty(t, header.Get("Wechatpay-Serial"))
	b.fault(t, simulator.Fault{Kind: simulator.FaultRefusalUnsigned, Count: 1})
	require.Empty(t, refused().Get("Wechatpay-Signature"))
	require.NotEmpty(t, refused().Get("Wechatpay-Signature"), "once")

	answer, err := http.Get(b.url + "/v3/pay/transactions/out-trade-no/nothing-here?mchid=" + b.merchant.Mchid)
	require.NoError(t, err)
	require.Empty(t, answer.Header.Get("Wechatpay-Signature"))
	require.NoError(t, answer.Body.Close())
}

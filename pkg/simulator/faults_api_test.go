package simulator_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func (b bench) orders() int { return len(b.simulator.Ledger().Orders) }

// TestCallFaults: what a caller is told, and whether the order was placed all the
// same. A repeat with the same parameters settles it each time.
func TestCallFaults(t *testing.T) {
	t.Parallel()
	kinds := map[simulator.FaultKind]struct {
		status int
		code   string
		placed int
	}{
		simulator.FaultErrorBefore:           {http.StatusInternalServerError, "SYSTEM_ERROR", 0},
		simulator.FaultErrorAfter:            {http.StatusInternalServerError, "SYSTEM_ERROR", 1},
		simulator.FaultFrequencyLimited:      {http.StatusTooManyRequests, "FREQUENCY_LIMITED", 0},
		simulator.FaultFrequencyLimitedAfter: {http.StatusTooManyRequests, "FREQUENCY_LIMITED", 1},
	}
	for kind, want := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.fault(t, simulator.Fault{Kind: kind, Count: 1, OutTradeNo: "call-1", API: "prepay"})
			service, request := b.jsapi(t), b.jsapiRequest("call-1", "https://shop.example/n")
			_, _, err := service.Prepay(t.Context(), request)
			requireCode(t, err, want.status, want.code)
			require.Equal(t, want.placed, b.orders())
			_, _, err = service.Prepay(t.Context(), request)
			require.NoError(t, err)
			require.Equal(t, 1, b.orders())
		})
	}
	t.Run("another status", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.fault(t, simulator.Fault{Kind: simulator.FaultErrorBefore, Status: http.StatusBadGateway})
		_, _, err := b.jsapi(t).Prepay(t.Context(), b.jsapiRequest("call-2", "https://shop.example/n"))
		requireCode(t, err, http.StatusBadGateway, "SYSTEM_ERROR")
	})
}

func TestTimeoutAfterEffect(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fault(t, simulator.Fault{Kind: simulator.FaultTimeoutAfter, Count: 1, API: "refund", DelayMs: 30})
	b.paid(t, "hang-1", "https://shop.example/n", 0)
	service, started := b.refunds(t), time.Now()
	_, _, err := service.Create(t.Context(), refundOf("hang-1", "hang-1-r", 10))
	require.Error(t, err)
	var answered *core.APIError
	require.NotErrorAs(t, err, &answered, "there was no answer")
	require.GreaterOrEqual(t, time.Since(started), 30*time.Millisecond)
	require.Len(t, b.simulator.Ledger().Refunds, 1, "it was done")
	refund, _, err := service.Create(t.Context(), refundOf("hang-1", "hang-1-r", 10))
	require.NoError(t, err)
	require.Equal(t, "hang-1-r", *refund.OutRefundNo)
	require.Len(t, b.simulator.Ledger().Refunds, 1, "once")
}

func TestSpoiltAnswers(t *testing.T) {
	t.Parallel()
	for kind, want := range map[simulator.FaultKind]string{
		simulator.FaultAnswerSigntest:    "verify signature",
		simulator.FaultAnswerTampered:    "verify signature",
		simulator.FaultAnswerWrongSerial: "serial",
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			service := b.jsapi(t)
			b.fault(t, simulator.Fault{Kind: kind, Count: 1})
			_, result, err := service.Prepay(t.Context(), b.jsapiRequest("answer-1", "https://shop.example/n"))
			require.ErrorContains(t, err, want)
			require.Equal(t, http.StatusOK, result.Response.StatusCode, "only its signature is wrong")
			require.Equal(t, 1, b.orders(), "an answer that cannot be trusted says nothing about the effect")

			b.fault(t, simulator.Fault{Kind: kind, Count: 1, API: "close"})
			shut := jsapi.CloseOrderRequest{OutTradeNo: core.String("answer-1"), Mchid: &b.merchant.Mchid}
			_, err = service.CloseOrder(t.Context(), shut)
			require.Error(t, err, "an answer without a body can be spoilt, too")
			_, err = service.CloseOrder(t.Context(), shut)
			require.NoError(t, err)
		})
	}
}

func TestPlatformDown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.place(t, "down-1", "https://shop.example/n")
	service := b.jsapi(t)
	query := func() error {
		_, _, err := service.QueryOrderByOutTradeNo(t.Context(), jsapi.QueryOrderByOutTradeNoRequest{
			OutTradeNo: core.String("down-1"), Mchid: &b.merchant.Mchid})
		return err
	}
	require.NoError(t, query())
	b.fault(t, simulator.Fault{Kind: simulator.FaultPlatformDown})
	err := query()
	var answered *core.APIError
	require.Error(t, err)
	require.NotErrorAs(t, err, &answered, "the connection is cut")
	response, err := http.Post(b.url+"/pay/unifiedorder", "text/xml", nil)
	if err == nil {
		require.NoError(t, response.Body.Close())
	}
	require.Error(t, err, "v2 is down, too")
	status, _ := b.get(t, "/control/ledger")
	require.Equal(t, http.StatusOK, status, "people can still look")

	b.simulator.ClearFaults()
	b.fault(t, simulator.Fault{Kind: simulator.FaultPlatformDown, Status: http.StatusServiceUnavailable, Count: 1})
	requireStatus(t, query(), http.StatusServiceUnavailable)
	require.NoError(t, query())
}

func requireStatus(t *testing.T, err error, status int) {
	t.Helper()
	var answered *core.APIError
	require.ErrorAs(t, err, &answered)
	require.Equal(t, status, answered.StatusCode)
}

func TestSuccessAfterClose(t *testing.T) {
	t.Parallel()
	b := newBench(t, hurried)
	shop := newReceiver(t, noContent)
	for _, number := range []string{"after-1", "after-2"} {
		b.place(t, number, b.notifyURL(shop))
	}
	b.fault(t, simulator.Fault{Kind: simulator.FaultSuccessAfterClose, OutTradeNo: "after-1", Count: 1})
	service := b.jsapi(t)
	shut := func(number string) {
		_, err := service.CloseOrder(t.Context(), jsapi.CloseOrderRequest{OutTradeNo: &number, Mchid: &b.merchant.Mchid})
		require.NoError(t, err)
	}
	shut("after-1")
	require.Eventually(t, func() bool { return len(b.simulator.Ledger().Payments) == 1 }, soon, tick)
	b.settled(t)
	require.Equal(t, "after-1", *b.parse(t, shop.all()[0]).OutTradeNo)
	order, _ := b.simulator.Order("after-1")
	require.NotNil(t, order.ClosedAt)
	require.True(t, order.Payment.Late)
	require.Equal(t, "SUCCESS", *b.query(t, *service, "after-1").TradeState)

	shut("after-2")
	_, err := b.simulator.Pay("after-2", simulator.PayRequest{})
	require.ErrorContains(t, err, "closed", "without the fault a closed order cannot be paid")
	b.fault(t, simulator.Fault{Kind: simulator.FaultSuccessAfterClose, OutTradeNo: "after-2"})
	require.True(t, b.pay(t, "after-2").Late)
}

func TestSecondPayment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(t, hurried, func(o *simulator.Options) { o.StateDir = dir })
	shop := newReceiver(t, noContent)
	b.place(t, "double-1", b.notifyURL(shop))
	b.fault(t, simulator.Fault{Kind: simulator.FaultSecondPayment, OutTradeNo: "double-1"})
	first := b.pay(t, "double-1")
	b.settled(t)
	ledger := b.simulator.Ledger()
	require.Len(t, ledger.Payments, 2)
	second := ledger.Payments[1]
	require.Equal(t, first, ledger.Payments[0])
	require.True(t, second.Second)
	require.NotEqual(t, first.TransactionID, second.TransactionID)
	require.Equal(t, first.TransactionID, ledger.Orders[0].Payment.TransactionID, "the order shows its first payment")

	told := map[string]bool{}
	for _, r := range shop.all() {
		told[*b.parse(t, r).TransactionId] = true
	}
	require.Equal(t, map[string]bool{first.TransactionID: true, second.TransactionID: true}, told)
	byID, _, err := b.jsapi(t).QueryOrderById(t.Context(), jsapi.QueryOrderByIdRequest{
		TransactionId: &second.TransactionID, Mchid: &b.merchant.Mchid})
	require.NoError(t, err)
	require.Equal(t, second.TransactionID, *byID.TransactionId)

	refund := refundOf("", "double-1-r", 100)
	refund.OutTradeNo, refund.TransactionId = nil, &second.TransactionID
	service := b.refunds(t)
	_, _, err = service.Create(t.Context(), refund)
	require.NoError(t, err, "the second payment can go back by itself")
	b.ended(t, "double-1-r", simulator.RefundSuccess)
	b.settled(t)
	before := ledgerJSON(t, b.simulator)
	require.NoError(t, b.simulator.Close())

	again, err := simulator.New(simulator.Options{Merchant: b.merchant, StateDir: dir})
	require.NoError(t, err)
	require.JSONEq(t, before, ledgerJSON(t, again))
	require.NoError(t, again.Close())
}

func ledgerJSON(t *testing.T, s *simulator.Simulator) string {
	t.Helper()
	text, err := json.Marshal(s.Ledger())
	require.NoError(t, err)
	return string(text)
}

func TestAmountDiffers(t *testing.T) {
	t.Parallel()
	b := newBench(t, hurried)
	shop := newReceiver(t, noContent)
	b.place(t, "amount-1", b.notifyURL(shop))
	b.fault(t, simulator.Fault{Kind: simulator.FaultAmountDiffers})
	require.EqualValues(t, 101, b.pay(t, "amount-1").AmountFen)
	b.settled(t)
	require.EqualValues(t, 101, *b.parse(t, shop.all()[0]).Amount.Total)
	require.EqualValues(t, 101, *b.query(t, *b.jsapi(t), "amount-1").Amount.Total)
}

func TestQueryNotpay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	service := b.jsapi(t)
	payment := b.paid(t, "notpay-1", "https://shop.example/n", 0)
	b.fault(t, simulator.Fault{Kind: simulator.FaultQueryNotpay, Count: 2})
	require.Equal(t, "NOTPAY", *b.query(t, *service, "notpay-1").TradeState)
	_, _, err := service.QueryOrderById(t.Context(), jsapi.QueryOrderByIdRequest{
		TransactionId: &payment.TransactionID, Mchid: &b.merchant.Mchid})
	requireCode(t, err, http.StatusNotFound, "ORDER_NOT_EXIST")
	require.Equal(t, "SUCCESS", *b.query(t, *service, "notpay-1").TradeState)

	b.fault(t, simulator.Fault{Kind: simulator.FaultQueryNotpay, DelayMs: 400})
	b.paid(t, "notpay-2", "https://shop.example/n", 0)
	require.Equal(t, "NOTPAY", *b.query(t, *service, "notpay-2").TradeState)
	require.Eventually(t, func() bool { return *b.query(t, *service, "notpay-2").TradeState == "SUCCESS" }, soon, tick)
}

// TestServeEndsWithCallsThatHang: a call without an answer keeps nobody from
// stopping the server.
func TestServeEndsWithCallsThatHang(t *testing.T) {
	t.Parallel()
	merchant, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- simulator.Serve(ctx, listener, simulator.Options{Merchant: merchant,
			Faults: []simulator.Fault{{Kind: simulator.FaultTimeoutAfter}}})
	}()
	b := bench{merchant: merchant, url: "http://" + listener.Addr().String()}
	called := make(chan error, 1)
	service := b.jsapi(t)
	go func() {
		_, _, err := service.Prepay(t.Context(), b.jsapiRequest("hang-2", "https://shop.example/n"))
		called <- err
	}()
	require.Eventually(t, func() bool {
		_, body := b.get(t, "/control/faults")
		return strings.Contains(body, `"fired":1`)
	}, soon, tick)
	stop()
	require.NoError(t, <-ended)
	require.Error(t, <-called)
}

package simulator_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func (b bench) setFault(t *testing.T, f simulator.Fault) {
	t.Helper()
	_, err := b.simulator.SetFault(f)
	require.NoError(t, err)
}

func TestRefundsEndAsFaultsWantIt(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		fault simulator.Fault
		ends  simulator.RefundStatus
		least time.Duration
	}{
		"stuck for a while":      {simulator.Fault{Kind: simulator.FaultRefundStuck, DelayMs: 100}, simulator.RefundAbnormal, 100 * time.Millisecond},
		"stuck until told":       {simulator.Fault{Kind: simulator.FaultRefundStuck}, simulator.RefundProcessing, 0},
		"abnormal":               {simulator.Fault{Kind: simulator.FaultRefundAbnormal, OutTradeNo: "order-1"}, simulator.RefundAbnormal, 0},
		"closed":                 {simulator.Fault{Kind: simulator.FaultRefundClosed}, simulator.RefundClosed, 0},
		"none for another order": {simulator.Fault{Kind: simulator.FaultRefundClosed, OutTradeNo: "order-2"}, simulator.RefundSuccess, 0},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fast)
			payment := b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
			b.setFault(t, row.fault)
			request := refundOf("order-1", "R1", 10)
			request.OutTradeNo, request.TransactionId = nil, core.String(payment.TransactionID)
			service := b.refunds(t)
			made, _, err := service.Create(t.Context(), request)
			require.NoError(t, err)
			require.Equal(t, "PROCESSING", string(*made.Status))
			r := b.ended(t, "R1", row.ends)
			require.GreaterOrEqual(t, r.ChangedAt.Sub(r.CreatedAt), row.least)
		})
	}
}

func TestNotEnoughUntilToppedUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, fast)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
	service := b.refunds(t)
	_, _, err := service.Create(t.Context(), refundOf("order-1", "R0", 10))
	require.NoError(t, err)
	b.setFault(t, simulator.Fault{Kind: simulator.FaultNotEnough})
	for range 2 {
		_, _, err = service.Create(t.Context(), refundOf("order-1", "R1", 10))
		requireCode(t, err, http.StatusForbidden, "NOT_ENOUGH")
	}
	_, _, err = service.Create(t.Context(), refundOf("order-1", "R0", 10))
	require.NoError(t, err, "what was accepted before stays so")
	status, answer := b.post(t, "/control/funds", `{"top_up_fen":1}`)
	require.Equal(t, http.StatusOK, status, answer)
	_, _, err = service.Create(t.Context(), refundOf("order-1", "R1", 10))
	require.NoError(t, err)
}

// TestRefundLog: the log says what stands in the way of a refund, which the answer,
// as WeChat's, does not.
func TestRefundLog(t *testing.T) {
	t.Parallel()
	b := newBench(t, held)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
	service := b.refunds(t)
	_, _, err := service.Create(t.Context(), refundOf("order-1", "R1", 60))
	require.NoError(t, err)
	for _, row := range []struct {
		number string
		fen    int64
		says   string
	}{{"R1", 59, `amount.refund: first \"60\", now \"59\"`}, {"R2", 41, "refunded=60 left=40"}} {
		_, _, err = service.Create(t.Context(), refundOf("order-1", row.number, row.fen))
		require.Error(t, err)
		require.Contains(t, b.log.String(), row.says)
	}
	b.place(t, "order-2", "http://127.0.0.1:1/n")
	status, _ := b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", `{"appid":"wx8888888888888888","mchid":"1900000109","description":"coffee",`+
		`"out_trade_no":"order-2","notify_url":"http://127.0.0.1:1/n","amount":{"total":100},"payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, b.log.String(), `description: first \"tea\", now \"coffee\"`)
	require.NotContains(t, b.log.String(), "time_expire: first")
}

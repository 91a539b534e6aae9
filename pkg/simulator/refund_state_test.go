package simulator_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/h5"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func TestRefundsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var open atomic.Bool
	shop := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		if !open.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	first := newBench(t, func(o *simulator.Options) { o.StateDir = dir })
	first.paid(t, "order-1", first.notifyURL(shop), 7)
	service := first.refunds(t)
	for i, refund := range []string{"closed", "abnormal", "going"} {
		_, _, err := service.Create(t.Context(), refundOf("order-1", refund, int64(10*(i+1))))
		require.NoError(t, err)
	}
	balance := int64(500)
	require.NoError(t, first.simulator.SetFunds(&balance))
	_, planned, err := first.simulator.SettleRefund("to come", simulator.RefundOutcome{Status: simulator.RefundAbnormal})
	require.NoError(t, err)
	require.True(t, planned)
	for refund, outcome := range map[string]simulator.RefundStatus{"closed": simulator.RefundClosed, "abnormal": simulator.RefundAbnormal} {
		_, _, err := first.simulator.SettleRefund(refund, simulator.RefundOutcome{Status: outcome})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return len(shop.all()) == 2 }, soon, tick)
	ledger := first.simulator.Ledger()
	require.NoError(t, first.simulator.Close())

	kept, err := simulator.New(simulator.Options{Merchant: first.merchant, StateDir: dir, Speed: 1e-3})
	require.NoError(t, err)
	require.Equal(t, ledger, kept.Ledger())
	require.EqualValues(t, 510, *kept.Funds(), "what was closed came back")
	require.NoError(t, kept.Close())

	open.Store(true)
	again, err := simulator.New(simulator.Options{Merchant: first.merchant, StateDir: dir, Speed: 1e5})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		r, _ := again.Refund("going")
		return r.Status == simulator.RefundSuccess && again.Summary().Pending == 0
	}, soon, tick, "PROCESSING goes on, and so do the notices")
	require.Equal(t, 3, again.Summary().Acknowledged)
	require.NoError(t, again.Close())
	last, err := simulator.New(simulator.Options{Merchant: first.merchant, StateDir: dir})
	require.NoError(t, err)
	require.Equal(t, again.Ledger(), last.Ledger())
	require.NoError(t, last.Close())
}

func TestLinksAndOpenidsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inDir := func(o *simulator.Options) { o.StateDir = dir }
	first := newBench(t, inDir)
	service := h5.H5ApiService{Client: first.sdk(t)}
	answer, _, err := service.Prepay(t.Context(), first.h5Request("h5-001", "http://127.0.0.1:1/n"))
	require.NoError(t, err)
	link, err := url.Parse(*answer.H5Url)
	require.NoError(t, err)
	foreign, err := first.simulator.IssueOpenid("wx9999999999999999")
	require.NoError(t, err)
	require.NoError(t, first.simulator.Close())

	again := newBench(t, inDir, func(o *simulator.Options) { o.Merchant = first.merchant })
	status, page := again.get(t, link.RequestURI())
	require.Equal(t, http.StatusOK, status, page)
	require.Contains(t, page, "h5-001")
	status, text := again.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", strings.Replace(goodPrepay, `"o1"`, `"`+foreign+`"`, 1))
	require.Equal(t, http.StatusBadRequest, status, text)
	require.Contains(t, text, "openid")
}

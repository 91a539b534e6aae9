package ingest_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// answered is a worker's answer about an order with these pay parameters.
func answered(t *testing.T, state string, params any) func(string, []byte) ([]byte, error) {
	t.Helper()
	raw, err := problem.WriteAnswer(http.StatusOK, map[string]any{"state": state, "pay": params})
	require.NoError(t, err)
	return says(string(raw))
}

func nativeOrder(t *testing.T) wechatpay.PayParams {
	t.Helper()
	params, err := wechatpay.ClientParams(pay.Order{Client: pay.ClientNative, Credential: pay.Credential{CodeURL: "weixin://wxpay/bizpayurl?pr=1"}}, nil, time.Now(), "")
	require.NoError(t, err)
	return params
}

func TestQR_shows_the_code_of_a_native_order(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	params := nativeOrder(t)
	b.worker.answer = answered(t, "awaiting_payment", params)
	for file, kind := range map[string]string{"qr.svg": "image/svg+xml", "qr.png": "image/png"} {
		answer := b.send(ask("GET", "/v1/orders/order-0001/"+file, ""))
		require.Equal(t, http.StatusOK, answer.Code, answer.Body)
		require.Equal(t, kind, answer.Header().Get("Content-Type"))
		require.Equal(t, "no-store", answer.Header().Get("Cache-Control"))
		require.Equal(t, "nosniff", answer.Header().Get("X-Content-Type-Options"))
		if file == "qr.svg" {
			require.Equal(t, params.Native.QRSVG, answer.Body.String())
		} else {
			require.Equal(t, "\x89PNG", answer.Body.String()[:4])
		}
	}
	require.Equal(t, `fenflow.read.order {"mchid":"1900000109","out_trade_no":"order-0001"}`, b.worker.questions()[0])
}

func TestQR_says_why_there_is_none(t *testing.T) {
	t.Parallel()
	for says, row := range map[string]struct {
		state  string
		params any
	}{
		"is of client h5": {"awaiting_payment", map[string]any{"client": "h5", "h5": map[string]string{"url": "https://x"}}},
		"is paid":         {"paid", map[string]any{}},
		"has run out":     {"awaiting_payment", map[string]any{}},
	} {
		b := newBench(t)
		b.worker.answer = answered(t, row.state, row.params)
		answer := b.send(ask("GET", "/v1/orders/order-0001/qr.png", ""))
		require.Equal(t, http.StatusConflict, answer.Code)
		p := problemOf(t, answer)
		require.Equal(t, "FEN-4044", p.Code)
		require.Contains(t, p.Detail, says)
	}
}

func TestQR_passes_a_workers_refusal_on(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	refusal, err := problem.WriteRefusal(problem.New(problem.NotFound, "there is no order order-0001"))
	require.NoError(t, err)
	b.worker.answer = says(string(refusal))
	answer := b.send(ask("GET", "/v1/orders/order-0001/qr.svg", ""))
	require.Equal(t, http.StatusNotFound, answer.Code)
	require.Contains(t, problemOf(t, answer).Detail, "no order order-0001")
	broken, err := json.Marshal(map[string]any{"client": "native", "native": map[string]string{"qr_png": "data:text/html,x"}})
	require.NoError(t, err)
	b.worker.answer = answered(t, "awaiting_payment", json.RawMessage(broken))
	require.Equal(t, http.StatusInternalServerError, b.send(ask("GET", "/v1/orders/order-0001/qr.png", "")).Code)
}

package wechatpay

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func testRefund(protocol pay.Protocol) RefundRequest {
	return RefundRequest{
		Protocol: protocol, AppID: testAppID, MchID: testMchID, TransactionID: "4200002567202601011234567890", OutTradeNo: "T20260101000001",
		OutRefundNo: "R20260101000001", Amount: 40, Total: 100, Currency: pay.CNY, Reason: "商品已售完", Funds: pay.FundsDefault,
		NotifyURL: "https://pay.example.com/wechat/v3/refund/1900000109",
	}
}

func testRefundBody(tb testing.TB, c *Client, protocol pay.Protocol) []byte {
	tb.Helper()
	body, err := c.RefundBody(testRefund(protocol))
	require.NoError(tb, err)
	return body
}

const testRefundAnswer = `{"refund_id":"50000000382019052709732678859","out_refund_no":"R20260101000001","transaction_id":"4200002567202601011234567890",` +
	`"out_trade_no":"T20260101000001","channel":"ORIGINAL","user_received_account":"招商银行信用卡0403","success_time":"2026-01-01T08:10:00+08:00",` +
	`"create_time":"2026-01-01T08:09:00+08:00","status":"SUCCESS","funds_account":"UNSETTLED","new":{},` +
	`"amount":{"total":100,"refund":40,"payer_total":90,"payer_refund":36,"settlement_refund":40,"settlement_total":100,"discount_refund":4,"currency":"CNY"}}`

func TestClient_RefundBody_is_the_documented_one(t *testing.T) {
	t.Parallel()
	c := newClient(t, ClientOptions{})
	for _, v := range vectors(t, "v3_request_sign") {
		if v.ID == "gen-v3sign-refund" {
			require.Equal(t, v.Body, string(testRefundBody(t, c, pay.ProtocolV3)), "byte for byte")
		}
	}
	r := testRefund(pay.ProtocolV3)
	r.TransactionID, r.Reason, r.NotifyURL, r.Funds, r.Currency = "", "", "", pay.FundsAvailable, ""
	body, err := c.RefundBody(r)
	require.NoError(t, err)
	require.JSONEq(t, `{"out_trade_no":"T20260101000001","out_refund_no":"R20260101000001","funds_account":"AVAILABLE","amount":{"refund":40,"total":100,"currency":"CNY"}}`, string(body))
}

func TestClient_RefundBody_refuses_what_could_never_be_right(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*RefundRequest)
		says   string
	}{
		"no number":               {func(r *RefundRequest) { r.OutRefundNo = "" }, "out_refund_no"},
		"a number with a blank":   {func(r *RefundRequest) { r.OutRefundNo = "R 1" }, "out_refund_no"},
		"a long number":           {func(r *RefundRequest) { r.OutRefundNo = pay.OutRefundNo(strings.Repeat("R", 65)) }, "out_refund_no"},
		"no payment":              {func(r *RefundRequest) { r.TransactionID, r.OutTradeNo = "", "" }, "names no payment"},
		"no money":                {func(r *RefundRequest) { r.Amount = 0 }, "does not fit"},
		"negative money":          {func(r *RefundRequest) { r.Amount = -1 }, "does not fit"},
		"more than was paid":      {func(r *RefundRequest) { r.Amount = 101 }, "does not fit"},
		"a long reason":           {func(r *RefundRequest) { r.Reason = strings.Repeat("茶", 81) }, "reason"},
		"other funds":             {func(r *RefundRequest) { r.Funds = "savings" }, "funds"},
		"another merchant":        {func(r *RefundRequest) { r.MchID = "1900000110" }, "1900000110"},
		"an unknown protocol":     {func(r *RefundRequest) { r.Protocol = "v4" }, `"v4"`},
		"characters XML has none": {func(r *RefundRequest) { r.Protocol, r.Reason = pay.ProtocolV2, "a\x01" }, "refund_desc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := testRefund(pay.ProtocolV3)
			tc.change(&r)
			_, err := newClient(t, ClientOptions{}).RefundBody(r)
			require.ErrorContains(t, err, tc.says)
		})
	}
}

func TestClient_SubmitRefund_sends_the_stored_bytes_and_reads_the_answer(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, testRefundAnswer)
	c := newClient(t, ClientOptions{BaseURL: p.start(), Now: func() time.Time { return testAt }})
	body := append(testRefundBody(t, c, pay.ProtocolV3), "  "...) // whatever is stored goes out as it is
	got, err := c.SubmitRefund(t.Context(), pay.ProtocolV3, body)
	require.NoError(t, err)
	require.Equal(t, string(body), p.bodies[0])
	require.Equal(t, "/v3/refund/domestic/refunds", p.requests[0].RequestURI)
	require.Equal(t, RefundAnswer{
		Status: RefundSuccess, RefundID: "50000000382019052709732678859", OutRefundNo: "R20260101000001",
		TransactionID: "4200002567202601011234567890", OutTradeNo: "T20260101000001", Amount: 40, Total: 100,
		SucceededAt: time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC), ReceivedAccount: "招商银行信用卡0403", Answer: got.Answer,
	}, got)
	require.JSONEq(t, testRefundAnswer, string(got.Answer.Body))
	require.Equal(t, p.serial, got.Answer.KeyID)
	require.Equal(t, testAt, got.Answer.ReceivedAt)

	for _, stored := range []string{"", "{}", "<xml><out_refund_no>R1</out_refund_no></xml>"} {
		_, err = c.SubmitRefund(t.Context(), pay.ProtocolV3, []byte(stored))
		requireClass(t, ClassConfig, err, stored)
		require.Equal(t, RefundBlocked, RefundVerdictOf(err))
	}
	require.Len(t, p.bodies, 1, "nothing of that was sent")
}

func TestClient_QueryRefund_asks_by_number(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, strings.Replace(testRefundAnswer, "R20260101000001", "R|1*@_-", 1))
	c := newClient(t, ClientOptions{BaseURL: p.start()})
	got, err := c.QueryRefund(t.Context(), RefundQuery{OutRefundNo: "R|1*@_-"})
	require.NoError(t, err)
	require.Equal(t, "/v3/refund/domestic/refunds/R%7C1%2A@_-", p.requests[0].RequestURI)
	require.Equal(t, RefundSuccess, got.Status)
}

// TestClient_refund_answers_that_say_nothing_certain are signed right, and still
// cannot be booked: acting on them would be guessing.
func TestClient_refund_answers_that_say_nothing_certain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ old, with string }{
		"not JSON":              {testRefundAnswer, "hello"},
		"an empty object":       {testRefundAnswer, "{}"},
		"another refund":        {`"R20260101000001"`, `"R20260101000002"`},
		"no number":             {`"out_refund_no":"R20260101000001"`, `"x":1`},
		"no refund_id":          {`"refund_id":"50000000382019052709732678859"`, `"x":1`},
		"no transaction":        {`"transaction_id":"4200002567202601011234567890"`, `"x":1`},
		"no order":              {`"out_trade_no":"T20260101000001"`, `"x":1`},
		"no status":             {`"status":"SUCCESS"`, `"x":1`},
		"an unknown status":     {`"SUCCESS"`, `"DONE"`},
		"a status of v2":        {`"SUCCESS"`, `"REFUNDCLOSE"`},
		"no amount":             {`"refund":40`, `"x":1`},
		"no total":              {`"total":100`, `"x":1`},
		"a negative amount":     {`"refund":40`, `"refund":-40`},
		"an amount in yuan":     {`"refund":40`, `"refund":0.4`},
		"an amount as text":     {`"refund":40`, `"refund":"40"`},
		"a time of words":       {`"2026-01-01T08:10:00+08:00"`, `"today"`},
		"a NUL in the account":  {`0403`, `\u0000`},
		"blanks in a refund_id": {`"50000000382019052709732678859"`, `"5 0"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, testRefundAnswer, tc.old)
			p := newPlatform(t, strings.Replace(testRefundAnswer, tc.old, tc.with, 1))
			c := newClient(t, ClientOptions{BaseURL: p.start()})
			_, err := c.SubmitRefund(t.Context(), pay.ProtocolV3, testRefundBody(t, c, pay.ProtocolV3))
			requireClass(t, ClassUnknown, err)
			require.Equal(t, RefundUnknown, RefundVerdictOf(err))
			_, err = c.QueryRefund(t.Context(), RefundQuery{OutRefundNo: "R20260101000001"})
			requireClass(t, ClassUnknown, err)
			require.False(t, IsNotExist(err))
		})
	}
	p := newPlatform(t, strings.Replace(testRefundAnswer, "4200002567202601011234567890", "4200002567202601011234567891", 1))
	c := newClient(t, ClientOptions{BaseURL: p.start()})
	_, err := c.SubmitRefund(t.Context(), pay.ProtocolV3, testRefundBody(t, c, pay.ProtocolV3))
	require.Equal(t, RefundUnknown, RefundVerdictOf(err), "another payment")

	p = newPlatform(t, strings.Replace(testRefundAnswer, "T20260101000001", "T20260101000002", 1))
	c = newClient(t, ClientOptions{BaseURL: p.start()})
	byOrder := testRefund(pay.ProtocolV3)
	byOrder.TransactionID = ""
	body, err := c.RefundBody(byOrder)
	require.NoError(t, err)
	_, err = c.SubmitRefund(t.Context(), pay.ProtocolV3, body)
	require.Equal(t, RefundUnknown, RefundVerdictOf(err), "another order")
}

func TestClient_refund_states_are_read_as_they_are(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]RefundStatus{
		"PROCESSING": RefundProcessing, "SUCCESS": RefundSuccess, "CLOSED": RefundClosed, "ABNORMAL": RefundAbnormal,
	} {
		p := newPlatform(t, strings.NewReplacer(`"SUCCESS"`, `"`+status+`"`, `"success_time":"2026-01-01T08:10:00+08:00",`, ``).Replace(testRefundAnswer))
		got, err := newClient(t, ClientOptions{BaseURL: p.start()}).QueryRefund(t.Context(), RefundQuery{Protocol: pay.ProtocolV3, OutRefundNo: "R20260101000001"})
		require.NoError(t, err)
		require.Equal(t, want, got.Status)
		require.True(t, got.SucceededAt.IsZero())
	}
}

func TestClient_CloseOrder(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, "")
	p.status = http.StatusNoContent
	c := newClient(t, ClientOptions{BaseURL: p.start()})
	order := pay.Order{MchID: testMchID, OutTradeNo: "T2026|01*01", Protocol: pay.ProtocolV3}
	answer, err := c.CloseOrder(t.Context(), order)
	require.NoError(t, err)
	require.Equal(t, p.serial, answer.KeyID)
	require.Equal(t, "/v3/pay/transactions/out-trade-no/T2026%7C01%2A01/close", p.requests[0].RequestURI)
	require.JSONEq(t, `{"mchid":"1900000109"}`, p.bodies[0])

	for code, want := range map[string]Class{"ORDERPAID": ClassQueryFirst, "ORDER_PAID": ClassQueryFirst, "ORDER_CLOSED": ClassQueryFirst, "SIGN_ERROR": ClassConfig, "PARAM_ERROR": ClassFinal} {
		refusing := newPlatform(t, `{"code":"`+code+`"}`)
		refusing.status = http.StatusBadRequest
		_, err := newClient(t, ClientOptions{BaseURL: refusing.start()}).CloseOrder(t.Context(), order)
		requireClass(t, want, err, code)
	}
	probing := newPlatform(t, "")
	probing.status, probing.change = http.StatusNoContent, func(h http.Header) { h.Set(HeaderSignature, "WECHATPAY/SIGNTEST/x") }
	_, err = newClient(t, ClientOptions{BaseURL: probing.start()}).CloseOrder(t.Context(), order)
	requireClass(t, ClassUnknown, err)
}

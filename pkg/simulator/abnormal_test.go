package simulator_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// sealed encrypts as the official SDK does, for the platform's public key.
func (b bench) sealed(t *testing.T, text string) string {
	t.Helper()
	secret, err := utils.EncryptOAEPWithPublicKey(text, &b.merchant.WechatpayKey.PublicKey)
	require.NoError(t, err)
	return secret
}

// sendWith sends a signed request with one more header.
func (b bench) sendWith(t *testing.T, uri, body, serial string) (int, string) {
	t.Helper()
	return b.send(t, http.MethodPost, uri, body, func(p *parts) { p.wechatpaySerial = serial })
}

func (b bench) abnormalRefund(t *testing.T, number string) simulator.Refund {
	t.Helper()
	r, err := b.simulator.RefundByConsole(number, simulator.ConsoleRefund{AmountFen: 10})
	require.NoError(t, err)
	_, _, err = b.simulator.SettleRefund(r.OutRefundNo, simulator.RefundOutcome{Status: simulator.RefundAbnormal})
	require.NoError(t, err)
	return r
}

func TestAbnormalRefund(t *testing.T) {
	t.Parallel()
	b := newBench(t, fast)
	shop := newReceiver(t, noContent)
	b.paid(t, "order-1", b.notifyURL(shop), 0)
	_, planned, err := b.simulator.SettleRefund("R1", simulator.RefundOutcome{Status: simulator.RefundAbnormal})
	require.NoError(t, err)
	require.True(t, planned)
	service := b.refunds(t)
	_, _, err = service.Create(t.Context(), refundOf("order-1", "R1", 40))
	require.NoError(t, err)
	r := b.ended(t, "R1", simulator.RefundAbnormal)
	require.Nil(t, r.SucceededAt)

	body := `{"out_refund_no":"R1","type":"USER_BANK_CARD","bank_type":"ICBC_DEBIT","bank_account":"` +
		b.sealed(t, "6222020200112230403") + `","real_name":"` + b.sealed(t, "张三") + `"}`
	path := "/v3/refund/domestic/refunds/" + r.RefundID + "/apply-abnormal-refund"
	status, answer := b.sendWith(t, path, body, b.merchant.PublicKeyID)
	require.Equal(t, http.StatusOK, status, answer)
	var applied map[string]any
	require.NoError(t, json.Unmarshal([]byte(answer), &applied))
	require.Equal(t, []any{"PROCESSING", "R1", "OTHER_BANKCARD"}, []any{applied["status"], applied["out_refund_no"], applied["channel"]})
	done := b.ended(t, "R1", simulator.RefundSuccess)
	require.Equal(t, "ICBC_DEBIT0403", done.ReceivedAccount)
	b.settled(t)
	events := []string{}
	for _, got := range shop.all() {
		request, told := b.parseRefund(t, got)
		events = append(events, request.EventType+" "+told.UserReceivedAccount)
	}
	require.ElementsMatch(t, []string{"REFUND.ABNORMAL 支付用户零钱", "REFUND.SUCCESS ICBC_DEBIT0403"}, events)
	status, answer = b.sendWith(t, path, body, b.merchant.PublicKeyID)
	require.Equal(t, http.StatusOK, status, "asked again, it is the same refund: "+answer)
	require.Contains(t, answer, `"SUCCESS"`)
	require.NotContains(t, b.log.String(), "6222020200112230403")
}

func TestAbnormalRefundToTheMerchant(t *testing.T) {
	t.Parallel()
	b := newBench(t, held)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
	r := b.abnormalRefund(t, "order-1")
	path := "/v3/refund/domestic/refunds/" + r.RefundID + "/apply-abnormal-refund"
	status, answer := b.send(t, http.MethodPost, path, `{"out_refund_no":"`+r.OutRefundNo+`","type":"MERCHANT_BANK_CARD"}`)
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, answer, "商户结算银行账户")
	status, answer = b.post(t, "/control/refunds/"+r.OutRefundNo, `{"status":"SUCCESS"}`)
	require.Equal(t, http.StatusOK, status, answer)
}

func TestAbnormalRefundRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, held)
	b.paid(t, "order-1", "http://127.0.0.1:1/n", 0)
	r, other := b.abnormalRefund(t, "order-1"), b.abnormalRefund(t, "order-1")
	going, err := b.simulator.RefundByConsole("order-1", simulator.ConsoleRefund{AmountFen: 10})
	require.NoError(t, err)
	secret, name := b.sealed(t, "6222020200112230403"), b.sealed(t, "张三")
	good := `{"out_refund_no":"` + r.OutRefundNo + `","type":"USER_BANK_CARD","bank_type":"ICBC_DEBIT","bank_account":"` +
		secret + `","real_name":"` + name + `"}`
	swap := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	rows := map[string]struct {
		id, body, serial string
		status           int
		code, says       string
	}{
		"a plain account":      {r.RefundID, swap(secret, "6222020200112230403"), b.merchant.PublicKeyID, 400, "PARAM_ERROR", "bank_account"},
		"letters as account":   {r.RefundID, swap(secret, b.sealed(t, "six two three")), b.merchant.PublicKeyID, 400, "PARAM_ERROR", "bank_account"},
		"the other key":        {r.RefundID, good, b.merchant.PlatformSerial, 400, "PARAM_ERROR", "cannot be decrypted"},
		"no key":               {r.RefundID, good, "", 400, "PARAM_ERROR", "Wechatpay-Serial"},
		"an unknown key":       {r.RefundID, good, "ABCDEF", 400, "PARAM_ERROR", "Wechatpay-Serial"},
		"no name":              {r.RefundID, swap(`,"real_name":"`+name+`"`, ""), b.merchant.PublicKeyID, 400, "PARAM_ERROR", "real_name"},
		"a credit card":        {r.RefundID, swap("ICBC_DEBIT", "ICBC_CREDIT"), b.merchant.PublicKeyID, 400, "PARAM_ERROR", "bank_type"},
		"an unknown type":      {r.RefundID, swap("USER_BANK_CARD", "CASH"), b.merchant.PublicKeyID, 400, "PARAM_ERROR", "type"},
		"an unknown field":     {r.RefundID, swap(`{"out`, `{"colour":1,"out`), b.merchant.PublicKeyID, 400, "PARAM_ERROR", "colour"},
		"two refunds":          {other.RefundID, good, b.merchant.PublicKeyID, 400, "INVALID_REQUEST", "different"},
		"one that is going on": {going.RefundID, swap(r.OutRefundNo, going.OutRefundNo), b.merchant.PublicKeyID, 400, "INVALID_REQUEST", "status"},
		"none":                 {"5030", swap(r.OutRefundNo, "nothing"), b.merchant.PublicKeyID, 404, "RESOURCE_NOT_EXISTS", "no refund"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, answer := b.sendWith(t, "/v3/refund/domestic/refunds/"+row.id+"/apply-abnormal-refund", row.body, row.serial)
			require.Equal(t, row.status, status, answer)
			require.Equal(t, row.code, code(t, answer))
			require.Contains(t, answer, row.says)
		})
	}
	t.Cleanup(func() {
		still, _ := b.simulator.Refund(r.OutRefundNo)
		require.Equal(t, simulator.RefundAbnormal, still.Status)
	})
}

func TestEcho(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop := newReceiver(t, noContent)
	body := `{"notify_url":"` + shop.url + `/echo","echo_message":"hello","encrypted_echo_message":"` + b.sealed(t, "secret 你好") + `"}`
	status, answer := b.sendWith(t, "/v3/security/echo", body, b.merchant.PublicKeyID)
	require.Equal(t, http.StatusOK, status, answer)
	var echoed map[string]string
	require.NoError(t, json.Unmarshal([]byte(answer), &echoed))
	require.Equal(t, "hello", echoed["echo_message"])
	text, err := utils.DecryptOAEP(echoed["encrypted_echo_message"], b.merchant.PrivateKey)
	require.NoError(t, err)
	require.Equal(t, "secret 你好", text)
	b.settled(t)
	request, _ := b.parseRefund(t, shop.all()[0])
	require.Equal(t, "SECURITY_ECHO.SUCCESS", request.EventType)
	require.Contains(t, request.Resource.Plaintext, `"echo_message":"hello"`)

	status, answer = b.send(t, http.MethodPost, "/v3/security/echo", `{"echo_message":"hello"}`)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"echo_message":"hello"}`, answer)
	status, answer = b.send(t, http.MethodPost, "/v3/security/echo", `{"data":"hello"}`)
	require.Equal(t, http.StatusOK, status, answer)
	require.JSONEq(t, `{"data":"hello"}`, answer)
	for _, bad := range []string{`{}`, `{"data":"hello","echo_message":"hello"}`, `{"echo_message":"hello","encrypted_echo_message":"x"}`} {
		status, _ = b.sendWith(t, "/v3/security/echo", bad, b.merchant.PublicKeyID)
		require.Equal(t, http.StatusBadRequest, status, bad)
	}
}

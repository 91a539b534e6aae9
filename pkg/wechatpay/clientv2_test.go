package wechatpay

import (
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestClient_v2_prepay_body_holds_the_documented_fields(t *testing.T) {
	t.Parallel()
	c := newClientV2(t, "")
	for client, want := range map[pay.Client]fieldsV2{
		pay.ClientJSAPI:       {"trade_type": "JSAPI", "openid": "o-1"},
		pay.ClientMiniProgram: {"trade_type": "JSAPI", "openid": "o-1"},
		pay.ClientNative:      {"trade_type": "NATIVE", "product_id": "T2026|01*01"},
		pay.ClientApp:         {"trade_type": "APP"},
		pay.ClientH5:          {"trade_type": "MWEB", "spbill_create_ip": "203.0.113.7", "scene_info": `{"h5_info":{"type":"Wap","wap_url":"https://shop.example.com","wap_name":"茶"}}`},
	} {
		fields, rejected := parseXML(testOrderV2(t, c, client).PrepayRequest, "xml")
		require.Nil(t, rejected)
		require.LessOrEqual(t, len(fields["nonce_str"]), 32)
		require.Equal(t, signV2(fields, testAPIv2Key, signTypeHMAC), fields["sign"])
		delete(fields, "nonce_str")
		delete(fields, "sign")
		if want["spbill_create_ip"] == "" {
			want["spbill_create_ip"] = "127.0.0.1"
		}
		maps.Copy(want, fieldsV2{
			"appid": "wx8888888888888888", "mch_id": "1900000109", "sign_type": "HMAC-SHA256", "body": `茶 <b> & "more" ]]>`, "attach": "a'&<",
			"out_trade_no": "T2026|01*01", "fee_type": "CNY", "total_fee": "100",
			"notify_url": "https://pay.example.com/notify/v2/1900000109/pay", "time_expire": "20260101100100",
		})
		require.Equal(t, want, fields, client)
	}
}

func TestClient_v2_prepay_body_refuses_what_the_protocol_does_not_take(t *testing.T) {
	t.Parallel()
	c := newClientV2(t, "")
	good := pay.Order{MchID: testMchID, Protocol: pay.ProtocolV2, Client: pay.ClientNative, AppID: testAppID, OutTradeNo: "T20260101", Amount: 1}
	for says, change := range map[string]func(*pay.Order){
		"attach":      func(o *pay.Order) { o.Attach = strings.Repeat("附", 128) },
		"description": func(o *pay.Order) { o.Description = strings.Repeat("茶", 129) },
		"body":        func(o *pay.Order) { o.Description = "a\x00b" },
		"client":      func(o *pay.Order) { o.Client = "micropay" },
		"merchant":    func(o *pay.Order) { o.MchID = "1900000110" },
		"takes 256": func(o *pay.Order) {
			o.Client, o.Scene = pay.ClientH5, pay.Scene{Type: pay.H5Wap, AppURL: strings.Repeat("x", 230)}
		},
	} {
		o := good
		change(&o)
		_, err := c.PrepayBody(o, "https://pay.example.com/")
		require.ErrorContains(t, err, says)
	}
	_, err := c.PrepayBody(good, "https://pay.example.com/")
	require.NoError(t, err)
}

func TestClient_v2_prepay_sends_the_stored_bytes(t *testing.T) {
	t.Parallel()
	for client, answer := range map[pay.Client]fieldsV2{
		pay.ClientJSAPI:  {"trade_type": "JSAPI", "prepay_id": "wx-1"},
		pay.ClientNative: {"trade_type": "NATIVE", "prepay_id": "wx-1", "code_url": "weixin://wxpay/bizpayurl?pr=1"},
	} {
		p := newPlatformV2(t, answer)
		c := newClientV2(t, p.start())
		c.now = func() time.Time { return testAt }
		o := testOrderV2(t, c, client)
		for range 2 {
			credential, got, err := c.Prepay(t.Context(), o)
			require.NoError(t, err)
			require.Equal(t, testAt.Add(2*time.Hour), credential.ExpiresAt)
			require.Equal(t, client == pay.ClientNative, credential.CodeURL != "")
			require.Equal(t, client == pay.ClientNative, credential.PrepayID == "")
			require.Equal(t, "apiv2#1/HMAC-SHA256", got.KeyID)
			require.Equal(t, "08F7-268435456", got.RequestID)
			require.Contains(t, string(got.Body), "<sign>")
		}
		require.Equal(t, []string{string(o.PrepayRequest), string(o.PrepayRequest)}, p.bodies, "byte for byte, each time")
		require.Equal(t, "/pay/unifiedorder", p.requests[0].RequestURI)
		require.Equal(t, "text/xml; charset=utf-8", p.requests[0].Header.Get("Content-Type"))
	}
	none := newPlatformV2(t, fieldsV2{"trade_type": "NATIVE"})
	c := newClientV2(t, none.start())
	_, _, err := c.Prepay(t.Context(), testOrderV2(t, c, pay.ClientNative))
	requireClass(t, ClassUnknown, err, "no credential in it")
}

func TestClient_v2_signs_a_stored_request_anew_after_a_change_of_keys(t *testing.T) {
	t.Parallel()
	before := newClientV2(t, "")
	order, refund := testOrderV2(t, before, pay.ClientNative), testRefundBody(t, before, pay.ProtocolV2)

	p := newPlatformV2(t, fieldsV2{"code_url": "weixin://x"})
	p.key = "new-key-new-key-new-key-new-key-"
	cred := credentialsV2(t)
	cred.Merchant.SignTypeV2 = signTypeMD5 // what is stored keeps its own
	for _, keys := range [][]merchant.Secret{{p.key, testAPIv2Key}, {"", p.key}} {
		cred.APIv2Keys = keys
		c, err := NewClient(cred, ClientOptions{BaseURL: p.start()})
		require.NoError(t, err)
		_, _, err = c.Prepay(t.Context(), order)
		require.NoError(t, err)
		_, err = c.SubmitRefund(t.Context(), pay.ProtocolV2, refund)
		requireClass(t, ClassUnknown, err, "this platform's answer is no refund")
	}
	for i, stored := range [][]byte{order.PrepayRequest, refund, order.PrepayRequest, refund} {
		was, rejected := parseXML(stored, "xml")
		require.Nil(t, rejected)
		now := p.sent[i]
		require.NotEqual(t, was["sign"], now["sign"])
		delete(was, "sign")
		delete(now, "sign")
		require.Equal(t, was, now, "everything but the sign stays")
	}
}

func TestClient_v2_sends_no_stored_request_that_is_not_its_own(t *testing.T) {
	t.Parallel()
	p := newPlatformV2(t, nil)
	c := newClientV2(t, p.start())
	o := testOrderV2(t, c, pay.ClientNative)
	another := o
	another.OutTradeNo = "T2026|01*02"
	elsewhere := o
	elsewhere.AppID = "wx9999999999999999"
	v3 := o
	v3.PrepayRequest = []byte(`{"out_trade_no":"T2026|01*01"}`)
	stranger := o
	stranger.PrepayRequest = []byte(strings.Replace(string(o.PrepayRequest), string(testMchID), "1900000110", 1))
	for _, o := range []pay.Order{another, elsewhere, v3, stranger} {
		_, _, err := c.Prepay(t.Context(), o)
		requireClass(t, ClassConfig, err)
	}
	for _, body := range []string{"", "{}", "<xml/>", string(stranger.PrepayRequest), string(o.PrepayRequest)} {
		_, err := c.SubmitRefund(t.Context(), pay.ProtocolV2, []byte(body))
		require.Equal(t, RefundBlocked, RefundVerdictOf(err), "%s: %v", body, err)
	}
	require.Empty(t, p.bodies)
}

func TestClient_v2_signs_as_the_merchant_is_configured(t *testing.T) {
	t.Parallel()
	for configured, used := range map[string]string{"": signTypeHMAC, signTypeHMAC: signTypeHMAC, signTypeMD5: signTypeMD5} {
		p := newPlatformV2(t, fieldsV2{"out_trade_no": "T2026|01*01", "trade_state": "NOTPAY"})
		cred := credentialsV2(t)
		cred.Merchant.SignTypeV2 = configured
		c, err := NewClient(cred, ClientOptions{BaseURL: p.start()})
		require.NoError(t, err)
		o := testOrderV2(t, c, pay.ClientJSAPI)
		got, err := c.QueryOrder(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, used, p.sent[0]["sign_type"])
		require.Equal(t, "apiv2#1/"+used, got.Answer.KeyID)

		o.Credential.PrepayID = "wx-1"
		cred.Merchant.SignTypeV2 = "" // changed since: the order keeps what it was made with
		params, err := ClientParams(o, cred, testAt, "")
		require.NoError(t, err)
		require.Equal(t, used, params.SignType)
		require.Len(t, params.PaySign, map[string]int{signTypeMD5: 32, signTypeHMAC: 64}[used])
	}
}

// TestVectors_v2_pay_parameters: the example of WeChat Pay's mini program page.
func TestVectors_v2_pay_parameters(t *testing.T) {
	t.Parallel()
	o := pay.Order{
		Protocol: pay.ProtocolV2, Client: pay.ClientMiniProgram, AppID: "wxd678efh567hg6787",
		Credential:    pay.Credential{PrepayID: "wx2017033010242291fcfe0db70013231072"},
		PrepayRequest: []byte("<xml><out_trade_no>1</out_trade_no></xml>"), // no sign_type: MD5
	}
	cred := &merchant.Credentials{APIv2Keys: []merchant.Secret{"qazwsxedcrfvtgbyhnujmikolp111111"}}
	got, err := ClientParams(o, cred, time.Unix(1490840662, 0), "5K8264ILTKCH16CQ2502SI8ZNMTM67VS")
	require.NoError(t, err)
	require.Equal(t, "22D9B4E54AB1950F51E0649E8810ACD6", got.RequestPayment.PaySign)
	got.ClientPay = nil // its shapes have a test of their own
	require.Equal(t, PayParams{
		AppID: "wxd678efh567hg6787", TimeStamp: "1490840662", NonceStr: "5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
		Package: "prepay_id=wx2017033010242291fcfe0db70013231072", SignType: "MD5", PaySign: "22D9B4E54AB1950F51E0649E8810ACD6",
	}, got)

	o.Client, o.Credential = pay.ClientNative, pay.Credential{CodeURL: "weixin://x"}
	got, err = ClientParams(o, cred, testAt, "")
	require.NoError(t, err)
	require.Equal(t, "weixin://x", got.CodeURL)
	require.Empty(t, got.PaySign)
	o.Client, o.Credential, o.PrepayRequest = pay.ClientJSAPI, pay.Credential{PrepayID: "x"}, nil
	_, err = ClientParams(o, cred, testAt, "")
	require.ErrorContains(t, err, "stored request")
	_, err = ClientParams(o, testCredentialsWithoutV2(t), testAt, "")
	require.ErrorContains(t, err, "APIv2")
}

func testCredentialsWithoutV2(tb testing.TB) *merchant.Credentials {
	tb.Helper()
	cred := testCredentials(tb)
	cred.APIv2Keys = nil
	return cred
}

func TestClient_v2_QueryOrder(t *testing.T) {
	t.Parallel()
	paid := fieldsV2{
		"out_trade_no": "T2026|01*01", "trade_state": "SUCCESS", "openid": "o-1", "trade_type": "JSAPI", "bank_type": "CFT", "total_fee": "100",
		"cash_fee": "95", "transaction_id": "1004400740201409030005092168", "time_end": "20260101080000", "trade_state_desc": "支付成功",
	}
	with := func(change ...string) fieldsV2 {
		f := maps.Clone(paid)
		for i := 0; i < len(change); i += 2 {
			f[change[i]] = change[i+1]
		}
		return f
	}
	for name, tc := range map[string]struct {
		fields fieldsV2
		want   pay.ObservationKind // empty: ClassUnknown
	}{
		"paid":                  {paid, pay.ObservedPaid},
		"refunded":              {with("trade_state", "REFUND"), pay.ObservedPaid},
		"closed":                {fieldsV2{"out_trade_no": "T2026|01*01", "trade_state": "CLOSED"}, pay.ObservedClosed},
		"revoked":               {fieldsV2{"out_trade_no": "T2026|01*01", "trade_state": "REVOKED"}, pay.ObservedClosed},
		"open":                  {fieldsV2{"out_trade_no": "T2026|01*01", "trade_state": "NOTPAY"}, pay.ObservedOpen},
		"being paid":            {fieldsV2{"out_trade_no": "T2026|01*01", "trade_state": "USERPAYING"}, pay.ObservedOpen},
		"accepted":              {fieldsV2{"out_trade_no": "T2026|01*01", "trade_state": "ACCEPT"}, pay.ObservedOpen},
		"another order":         {with("out_trade_no", "T2026|01*02"), ""},
		"no order":              {with("out_trade_no", ""), ""},
		"no state":              {with("trade_state", ""), ""},
		"paid without a number": {with("transaction_id", ""), ""},
		"paid without money":    {with("total_fee", ""), ""},
		"paid in yuan":          {with("total_fee", "1.00"), ""},
		"paid at no time":       {with("time_end", ""), ""},
		"another merchant":      {with("mch_id", "1900000110"), ""},
		"another appid":         {with("appid", "wx9999999999999999"), ""},
		"no appid":              {with("appid", ""), ""},
		"no result":             {with("result_code", ""), ""},
		"a strange result":      {with("result_code", "OK"), ""},
		"a strange return_code": {with("return_code", "OK"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatformV2(t, tc.fields)
			c := newClientV2(t, p.start())
			got, err := c.QueryOrder(t.Context(), pay.Order{MchID: testMchID, AppID: testAppID, OutTradeNo: "T2026|01*01", Protocol: pay.ProtocolV2})
			require.Equal(t, "/pay/orderquery", p.requests[0].RequestURI)
			require.Equal(t, "T2026|01*01", p.sent[0]["out_trade_no"])
			if tc.want == "" {
				requireClass(t, ClassUnknown, err)
				return
			}
			require.NoError(t, err)
			obs, _ := got.Observation(pay.SourceQuery)
			require.Equal(t, tc.want, obs.Kind)
			require.Equal(t, "apiv2#1/HMAC-SHA256", obs.KeyID)
			if tc.want == pay.ObservedPaid {
				require.Equal(t, []pay.Fen{100, 95}, []pay.Fen{obs.Amount, obs.PayerTotal})
				require.Equal(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), obs.PaidAt)
			}
		})
	}
}

func TestClient_v2_believes_no_answer_that_does_not_verify(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*platformV2){
		"no sign":           func(p *platformV2) { p.unsigned = true },
		"an empty sign":     func(p *platformV2) { p.change = func(f fieldsV2) { f["sign"] = "" } },
		"a sign too short":  func(p *platformV2) { p.change = func(f fieldsV2) { f["sign"] = f["sign"][:31] } },
		"another state":     func(p *platformV2) { p.change = func(f fieldsV2) { f["trade_state"] = "CLOSED" } },
		"another nonce":     func(p *platformV2) { p.change = func(f fieldsV2) { f["nonce_str"] = "x" } },
		"an added field":    func(p *platformV2) { p.change = func(f fieldsV2) { f["added"] = "x" } },
		"an unknown method": func(p *platformV2) { p.fields["sign_type"] = "SHA1" },
		"an entity":         func(p *platformV2) { p.raw = func(s string) string { return "<!DOCTYPE x>" + s } },
		"a field twice": func(p *platformV2) {
			p.raw = func(s string) string { return strings.Replace(s, "<xml>", "<xml><appid>x</appid>", 1) }
		},
		"HTML":            func(p *platformV2) { p.raw = func(string) string { return "<html>nginx</html>" } },
		"nothing":         func(p *platformV2) { p.raw = func(string) string { return "" } },
		"a cut-off":       func(p *platformV2) { p.raw = func(s string) string { return s[:len(s)-7] } },
		"far too much":    func(p *platformV2) { p.raw = func(s string) string { return strings.Repeat(" ", maxXMLBytes) + s } },
		"without any end": func(p *platformV2) { p.raw = func(s string) string { return strings.Repeat(" ", maxAnswerBytes) + s } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatformV2(t, fieldsV2{"out_trade_no": "T20260101", "trade_state": "NOTPAY"})
			spoil(p)
			o := pay.Order{MchID: testMchID, AppID: testAppID, OutTradeNo: "T20260101", Protocol: pay.ProtocolV2}
			got, err := newClientV2(t, p.start()).QueryOrder(t.Context(), o)
			requireClass(t, ClassUnknown, err, "%v", err)
			require.Empty(t, got)
			require.NotContains(t, err.Error(), "nginx")

			p.fields["result_code"], p.fields["err_code"] = failV2, "ORDERNOTEXIST"
			_, err = newClientV2(t, p.start()).QueryOrder(t.Context(), o)
			require.False(t, IsNotExist(err), "%v", err)
			requireClass(t, ClassUnknown, err)
		})
	}
}

func TestClient_v2_refusals_have_classes(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]Class{
		"ORDERPAID": ClassQueryFirst, "ORDERCLOSED": ClassQueryFirst, "OUT_TRADE_NO_USED": ClassQueryFirst, "INVALID_REQUEST": ClassQueryFirst,
		"ERROR": ClassQueryFirst, "SOMETHING_NEW": ClassQueryFirst, "": ClassQueryFirst, "no code\nat all": ClassQueryFirst,
		"SYSTEMERROR": ClassRetry, "BIZERR_NEED_RETRY": ClassRetry, "FREQUENCY_LIMITED": ClassRetry, "INVALID_REQ_TOO_MUCH": ClassRetry,
		"ORDER_NOT_READY": ClassRetry,
		"NOAUTH":          ClassConfig, "APPID_NOT_EXIST": ClassConfig, "MCHID_NOT_EXIST": ClassConfig, "APPID_MCHID_NOT_MATCH": ClassConfig,
		"SIGNERROR": ClassConfig, "CERT_ERROR": ClassConfig,
		"LACK_PARAMS": ClassFinal, "PARAM_ERROR": ClassFinal, "XML_FORMAT_ERROR": ClassFinal, "REQUIRE_POST_METHOD": ClassFinal,
		"POST_DATA_EMPTY": ClassFinal, "NOT_UTF8": ClassFinal, "ORDERNOTEXIST": ClassFinal, "REFUNDNOTEXIST": ClassFinal,
		"TRADE_OVERDUE": ClassFinal, "REFUND_FEE_MISMATCH": ClassFinal,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			order := pay.Order{MchID: testMchID, AppID: testAppID, OutTradeNo: "T20260101", Protocol: pay.ProtocolV2}
			p := newPlatformV2(t, fieldsV2{"result_code": failV2, "err_code": code, "err_code_des": "m-1"})
			answer, err := newClientV2(t, p.start()).CloseOrder(t.Context(), order)
			require.Equal(t, "/pay/closeorder", p.requests[0].RequestURI)
			var e *CallError
			require.ErrorAs(t, err, &e)
			require.Equal(t, want, e.Class)
			require.True(t, e.Verified)
			require.Equal(t, "m-1", e.Message)
			require.NotContains(t, err.Error(), "m-1")
			require.NotEmpty(t, answer.Body, "a signed refusal is evidence")
			notExist := code == "ORDERNOTEXIST" || code == "REFUNDNOTEXIST"
			require.Equal(t, []bool{notExist, notExist}, []bool{IsNotExist(err), IsVerifiedNotExist(err)})

			p = newPlatformV2(t, fieldsV2{"return_code": failV2, "return_msg": "m-1", "err_code": code})
			p.unsigned = true
			answer, err = newClientV2(t, p.start()).CloseOrder(t.Context(), order)
			require.ErrorAs(t, err, &e)
			if want != ClassRetry {
				want = ClassConfig
			}
			require.Equal(t, want, e.Class, "nobody signed it: never final")
			require.False(t, e.Verified)
			require.False(t, IsNotExist(err))
			require.Empty(t, answer.Body)
		})
	}
	closed := newPlatformV2(t, nil)
	answer, err := newClientV2(t, closed.start()).CloseOrder(t.Context(), pay.Order{MchID: testMchID, AppID: testAppID, OutTradeNo: "T20260101", Protocol: pay.ProtocolV2})
	require.NoError(t, err)
	require.Equal(t, "apiv2#1/HMAC-SHA256", answer.KeyID)
}

func TestClient_v2_refund_body(t *testing.T) {
	t.Parallel()
	c := newClientV2(t, "")
	want := fieldsV2{
		"appid": "wx8888888888888888", "mch_id": "1900000109", "sign_type": "HMAC-SHA256", "transaction_id": "4200002567202601011234567890",
		"out_refund_no": "R20260101000001", "total_fee": "100", "refund_fee": "40", "refund_fee_type": "CNY", "refund_desc": "商品已售完",
		"notify_url": "https://pay.example.com/wechat/v3/refund/1900000109",
	}
	read := func(r RefundRequest) fieldsV2 {
		body, err := c.RefundBody(r)
		require.NoError(t, err)
		fields, rejected := parseXML(body, "xml")
		require.Nil(t, rejected)
		require.Equal(t, signV2(fields, testAPIv2Key, signTypeHMAC), fields["sign"])
		delete(fields, "sign")
		delete(fields, "nonce_str")
		return fields
	}
	require.Equal(t, want, read(testRefund(pay.ProtocolV2)))
	r := testRefund(pay.ProtocolV2)
	r.TransactionID, r.Funds, r.Currency = "", pay.FundsAvailable, ""
	delete(want, "transaction_id")
	want["out_trade_no"], want["refund_account"] = "T20260101000001", "REFUND_SOURCE_RECHARGE_FUNDS"
	require.Equal(t, want, read(r))
}

func acceptedV2(change ...string) fieldsV2 {
	f := fieldsV2{
		"transaction_id": "4200002567202601011234567890", "out_trade_no": "T20260101000001", "out_refund_no": "R20260101000001",
		"refund_id": "2007752501201407033233368018", "refund_fee": "40", "total_fee": "100", "cash_fee": "95",
	}
	for i := 0; i < len(change); i += 2 {
		f[change[i]] = change[i+1]
	}
	return f
}

func TestClient_v2_SubmitRefund(t *testing.T) {
	t.Parallel()
	p := newPlatformV2(t, acceptedV2())
	c := newClientV2(t, p.start())
	body := testRefundBody(t, c, pay.ProtocolV2)
	got, err := c.SubmitRefund(t.Context(), pay.ProtocolV2, body)
	require.NoError(t, err)
	require.Equal(t, []string{string(body)}, p.bodies)
	require.Equal(t, "/secapi/pay/refund", p.requests[0].RequestURI)
	require.Equal(t, RefundAnswer{
		Status: RefundProcessing, RefundID: "2007752501201407033233368018", OutRefundNo: "R20260101000001",
		TransactionID: "4200002567202601011234567890", OutTradeNo: "T20260101000001", Amount: 40, Total: 100, Answer: got.Answer,
	}, got)

	for name, fields := range map[string]fieldsV2{
		"another refund":  acceptedV2("out_refund_no", "R2"),
		"no number":       acceptedV2("out_refund_no", ""),
		"another payment": acceptedV2("transaction_id", "4"),
		"no payment":      acceptedV2("transaction_id", ""),
		"no order":        acceptedV2("out_trade_no", ""),
		"no refund_id":    acceptedV2("refund_id", ""),
		"no money":        acceptedV2("refund_fee", "0"),
		"money in yuan":   acceptedV2("refund_fee", "0.40"),
		"no total":        acceptedV2("total_fee", ""),
		"a total in yuan": acceptedV2("total_fee", "1.00"),
	} {
		require.Equal(t, RefundUnknown, RefundVerdictOf(submitV2(t, newPlatformV2(t, fields))), name)
	}
	byOrder := testRefund(pay.ProtocolV2)
	byOrder.TransactionID = ""
	if body, err = c.RefundBody(byOrder); err != nil {
		require.NoError(t, err)
	}
	_, err = c.SubmitRefund(t.Context(), pay.ProtocolV2, body)
	require.NoError(t, err)
}

func TestClient_v2_refund_without_the_certificate_is_not_even_sent(t *testing.T) {
	t.Parallel()
	p := newPlatformV2(t, acceptedV2())
	cred := credentialsV2(t)
	cred.ClientCertificate = nil
	c, err := NewClient(cred, ClientOptions{BaseURL: p.start()})
	require.NoError(t, err)
	_, err = c.SubmitRefund(t.Context(), pay.ProtocolV2, testRefundBody(t, c, pay.ProtocolV2))
	requireClass(t, ClassConfig, err)
	require.Equal(t, RefundBlocked, RefundVerdictOf(err))
	require.ErrorContains(t, err, "client_certificate_file")
	require.Empty(t, p.bodies)
}

func TestClient_v2_QueryRefund_finds_the_one_among_those_listed(t *testing.T) {
	t.Parallel()
	const no = "R20260101000001"
	list := func(change ...string) fieldsV2 {
		f := fieldsV2{"transaction_id": "4", "out_trade_no": "T20260101000001", "total_fee": "100", "refund_count": "2", "total_refund_count": "2"}
		for i, number := range []string{"R-other", no} {
			n := fmt.Sprintf("_%d", i)
			f["out_refund_no"+n], f["refund_id"+n], f["refund_fee"+n], f["refund_status"+n] = number, "50"+n[1:], "4"+n[1:], "SUCCESS"
			f["refund_success_time"+n], f["refund_recv_accout"+n] = "2026-01-01 08:10:00", "支付用户零钱"
		}
		for i := 0; i < len(change); i += 2 {
			f[change[i]] = change[i+1]
		}
		return f
	}
	for name, tc := range map[string]struct {
		fields fieldsV2
		want   RefundStatus // empty: ClassUnknown
	}{
		"succeeded":              {list(), RefundSuccess},
		"under way":              {list("refund_status_1", "PROCESSING", "refund_success_time_1", ""), RefundProcessing},
		"closed":                 {list("refund_status_1", "REFUNDCLOSE"), RefundClosed},
		"abnormal":               {list("refund_status_1", "CHANGE"), RefundAbnormal},
		"an unknown state":       {list("refund_status_1", "DONE"), ""},
		"a state of v3":          {list("refund_status_1", "CLOSED"), ""},
		"no state":               {list("refund_status_1", ""), ""},
		"not listed":             {list("out_refund_no_1", "R-another"), ""},
		"listed beyond count":    {list("refund_count", "1"), ""},
		"listed twice":           {list("out_refund_no_0", no), ""},
		"no count":               {list("refund_count", ""), ""},
		"a count of words":       {list("refund_count", "two"), ""},
		"a count of none":        {list("refund_count", "0"), ""},
		"a negative count":       {list("refund_count", "-1"), ""},
		"a count without end":    {list("refund_count", "1000000000"), ""},
		"no money":               {list("refund_fee_1", ""), ""},
		"money in yuan":          {list("refund_fee_1", "0.41"), ""},
		"no total":               {list("total_fee", ""), ""},
		"a total in yuan":        {list("total_fee", "1.00"), ""},
		"no refund_id":           {list("refund_id_1", ""), ""},
		"a time of another kind": {list("refund_success_time_1", "20260101081000"), ""},
		"another merchant":       {list("mch_id", "1900000110"), ""},
		"another appid":          {list("appid", "wx9999999999999999"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatformV2(t, tc.fields)
			got, err := newClientV2(t, p.start()).QueryRefund(t.Context(), RefundQuery{Protocol: pay.ProtocolV2, AppID: testAppID, OutRefundNo: no})
			require.Equal(t, "/pay/refundquery", p.requests[0].RequestURI)
			require.Equal(t, no, p.sent[0]["out_refund_no"])
			if tc.want == "" {
				requireClass(t, ClassUnknown, err)
				require.False(t, IsNotExist(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, []any{tc.want, "501", pay.OutRefundNo(no), pay.Fen(41), pay.Fen(100), "支付用户零钱"},
				[]any{got.Status, got.RefundID, got.OutRefundNo, got.Amount, got.Total, got.ReceivedAccount})
			if tc.want != RefundProcessing {
				require.Equal(t, time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC), got.SucceededAt)
			}
		})
	}
}

func TestClient_v2_an_answer_that_never_comes_is_unknown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // the server sees a closed connection only once it has read
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	c, err := NewClient(credentialsV2(t), ClientOptions{BaseURL: server.URL, Timeout: 50 * time.Millisecond})
	require.NoError(t, err)
	_, err = c.SubmitRefund(t.Context(), pay.ProtocolV2, testRefundBody(t, c, pay.ProtocolV2))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, RefundUnknown, RefundVerdictOf(err))
}

func TestClient_v2_goes_to_the_second_host_when_the_first_cannot_be_reached(t *testing.T) {
	t.Parallel()
	p := newPlatformV2(t, acceptedV2("trade_state", "NOTPAY", "total_fee", "100"))
	c, err := NewClient(credentialsV2(t), ClientOptions{BaseURL: "http://127.0.0.1:1", BackupURL: p.start()})
	require.NoError(t, err)
	_, err = c.SubmitRefund(t.Context(), pay.ProtocolV2, testRefundBody(t, c, pay.ProtocolV2))
	require.NoError(t, err)
	_, err = c.QueryOrder(t.Context(), pay.Order{MchID: testMchID, AppID: testAppID, OutTradeNo: "T20260101000001", Protocol: pay.ProtocolV2})
	require.NoError(t, err)
}

// TestDifferential_v2_sign holds the signer against the documentation, word by
// word: this one joins and hashes by hand.
func TestDifferential_v2_sign(t *testing.T) {
	t.Parallel()
	r := newSource(t)
	for range 500 {
		fields, text := fieldsV2{}, ""
		names := []string{"A", "a", "aB", "a_b", "ab", "b", "sign_type", "z0"} // in ASCII order
		for _, name := range names {
			fields[name] = []string{"", "x", "1", "a=b&c", "茶 <&>", " y "}[r.IntN(6)]
			if fields[name] != "" {
				text += name + "=" + fields[name] + "&"
			}
		}
		fields["sign"] = "never signed"
		want := fmt.Sprintf("%X", md5.Sum([]byte(text+"key="+testAPIv2Key)))
		require.Equal(t, want, signV2(fields, testAPIv2Key, signTypeMD5))
	}
}

func TestWriteXML_is_read_back_as_it_was_signed(t *testing.T) {
	t.Parallel()
	got, err := writeXML(fieldsV2{"b": "<]]>&\"'\r\n\t", "a": "茶", "empty": ""})
	require.NoError(t, err)
	fields, rejected := parseXML(got, "xml")
	require.Nil(t, rejected)
	require.Equal(t, fieldsV2{"b": "<]]>&\"'\r\n\t", "a": "茶"}, fields)
	for _, bad := range []fieldsV2{{"a": "\x00"}, {"a": "\x1f"}, {"a": "\xff"}, {"a": "\ufffe"}, {"a b": "x"}, {"a": strings.Repeat("x", maxXMLBytes)}} {
		_, err := writeXML(bad)
		require.Error(t, err)
	}
}

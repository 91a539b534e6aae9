package simulator_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// v2Body writes and signs a v2 request by the documentation, apart from the package.
func (b bench) v2Body(fields map[string]string) string {
	all := map[string]string{"appid": b.merchant.Appid, "mch_id": b.merchant.Mchid, "nonce_str": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"}
	for name, value := range fields {
		all[name] = value
	}
	if _, given := all["sign"]; !given {
		all["sign"] = v2Sign(all, b.merchant.APIv2Key)
	}
	var out strings.Builder
	out.WriteString("<xml>")
	for name, value := range all {
		out.WriteString("<" + name + "><![CDATA[" + value + "]]></" + name + ">")
	}
	return out.String() + "</xml>"
}

func (b bench) v2(t *testing.T, path string, fields map[string]string) map[string]string {
	t.Helper()
	answer := v2Elements(t, b.v2Send(t, http.DefaultClient, b.url+path, b.v2Body(fields)))
	b.requireSigned(t, answer)
	return answer
}

// requireSigned: with return_code FAIL there is no sign, otherwise it is right.
func (b bench) requireSigned(t *testing.T, answer map[string]string) {
	t.Helper()
	if answer["return_code"] == "FAIL" {
		require.Empty(t, answer["sign"])
		return
	}
	sign := v2Sign(answer, b.merchant.APIv2Key)
	if len(answer["sign"]) == 64 {
		sign = v2HMAC(answer, b.merchant.APIv2Key, "")
	}
	require.Equal(t, sign, answer["sign"])
}

func (b bench) v2Send(t *testing.T, client *http.Client, url, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "text/xml")
	response, err := client.Do(request)
	require.NoError(t, err)
	status, text := statusOf(t, response)
	require.Equal(t, http.StatusOK, status)
	return text
}

func unified(number, notifyURL string, change ...string) map[string]string {
	fields := map[string]string{"body": "腾讯充值中心-QQ会员充值", "out_trade_no": number, "total_fee": "888", "spbill_create_ip": "123.12.12.123",
		"notify_url": notifyURL, "trade_type": "JSAPI", "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "attach": "支付测试 <a>]]&"}
	for i := 0; i < len(change); i += 2 {
		fields[change[i]] = change[i+1]
	}
	return fields
}

// TestV2Life is an order from unifiedorder to notification, with both kinds of sign.
func TestV2Life(t *testing.T) {
	t.Parallel()
	for _, signType := range []string{"", "MD5", "HMAC-SHA256"} {
		t.Run("sign_type "+signType, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			shop := newReceiver(t, ackV2)
			order := unified("v2-1", shop.url+"/any/path", "sign_type", signType, "device_info", "013467007045764", "unknown_element", "signed too")
			made := b.v2(t, "/pay/unifiedorder", order)
			require.Equal(t, []string{"SUCCESS", "SUCCESS", "JSAPI"}, []string{made["return_code"], made["result_code"], made["trade_type"]}, made)
			require.Regexp(t, `^wx\d{14}[0-9a-f]{20}$`, made["prepay_id"])
			again := b.v2(t, "/pay/unifiedorder", order)
			require.NotEqual(t, made["prepay_id"], again["prepay_id"], "the same elements get a fresh credential")
			require.Len(t, made["sign"], map[bool]int{true: 64, false: 32}[signType == "HMAC-SHA256"])

			unpaid := b.v2(t, "/pay/orderquery", map[string]string{"out_trade_no": "v2-1"})
			require.Equal(t, "NOTPAY", unpaid["trade_state"])
			require.Empty(t, unpaid["transaction_id"])
			payment, err := b.simulator.Pay("v2-1", simulator.PayRequest{CouponFen: 88})
			require.NoError(t, err)
			require.Equal(t, 1, b.settled(t).Acknowledged)

			got := shop.all()
			require.Len(t, got, 1)
			require.Equal(t, "/any/path", got[0].path, "an order of v2 is notified where it asked")
			notified := v2Elements(t, got[0].body)
			require.Equal(t, v2Sign(notified, b.merchant.APIv2Key), notified["sign"])
			paid := b.v2(t, "/pay/orderquery", map[string]string{"transaction_id": payment.TransactionID, "out_trade_no": "the id wins"})
			require.Equal(t, "SUCCESS", paid["trade_state"])
			for _, name := range []string{"openid", "trade_type", "bank_type", "total_fee", "cash_fee", "coupon_fee", "transaction_id", "out_trade_no", "attach", "time_end", "device_info", "is_subscribe"} {
				require.NotEmpty(t, paid[name], name)
				require.Equal(t, notified[name], paid[name], name)
			}
			require.Equal(t, payment.PaidAt.In(time.FixedZone("", 8*3600)).Format("20060102150405"), paid["time_end"])
			require.Equal(t, "ORDERPAID", b.v2(t, "/pay/unifiedorder", order)["err_code"])
			require.Equal(t, "ORDERPAID", b.v2(t, "/pay/closeorder", map[string]string{"out_trade_no": "v2-1"})["err_code"])
			require.Len(t, b.simulator.Ledger().Payments, 1, "v2 and v3 have the same books")
		})
	}
}

func TestV2TradeTypes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	url := "http://127.0.0.1:1/n"
	native := b.v2(t, "/pay/unifiedorder", unified("n-1", url, "trade_type", "NATIVE", "product_id", "12", "openid", ""))
	require.Regexp(t, `^weixin://wxpay/bizpayurl\?pr=\w+$`, native["code_url"])
	app := b.v2(t, "/pay/unifiedorder", unified("a-1", url, "trade_type", "APP", "openid", ""))
	require.NotEmpty(t, app["prepay_id"])
	h5 := b.v2(t, "/pay/unifiedorder", unified("h-1", url, "trade_type", "MWEB", "openid", "",
		"scene_info", `{"h5_info":{"type":"Wap","wap_url":"https://pay.qq.com","wap_name":"腾讯充值"}}`))
	require.Contains(t, h5["mweb_url"], "prepay_id=")
	for _, fields := range []map[string]string{
		unified("n-2", url, "trade_type", "NATIVE"), unified("j-2", url, "openid", ""), unified("h-2", url, "trade_type", "MWEB")} {
		require.Equal(t, "LACK_PARAMS", b.v2(t, "/pay/unifiedorder", fields)["err_code"])
	}
}

func TestV2Close(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shut := func(number string) map[string]string {
		return b.v2(t, "/pay/closeorder", map[string]string{"out_trade_no": number})
	}
	require.Equal(t, "SUCCESS", shut("never-made")["result_code"], "an unknown number closes")
	order := unified("c-1", "http://127.0.0.1:1/n")
	b.v2(t, "/pay/unifiedorder", order)
	require.Equal(t, "SUCCESS", shut("c-1")["result_code"])
	require.Equal(t, "ORDERCLOSED", shut("c-1")["err_code"])
	require.Equal(t, "CLOSED", b.v2(t, "/pay/orderquery", map[string]string{"out_trade_no": "c-1"})["trade_state"])
	require.Equal(t, "ORDERCLOSED", b.v2(t, "/pay/unifiedorder", order)["err_code"])
	require.Contains(t, b.log.String(), "earlier than five minutes")
}

// TestV2Refuses: each flaw has its documented code, and nothing is entered.
func TestV2Refuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	url := "http://127.0.0.1:1/n"
	rows := map[string]struct {
		fields map[string]string
		code   string
	}{
		"no body":             {unified("r-1", url, "body", ""), "LACK_PARAMS"},
		"no nonce":            {unified("r-1", url, "nonce_str", ""), "LACK_PARAMS"},
		"no mch_id":           {unified("r-1", url, "mch_id", ""), "LACK_PARAMS"},
		"another mch_id":      {unified("r-1", url, "mch_id", "1900000110"), "MCHID_NOT_EXIST"},
		"a foreign appid":     {unified("r-1", url, "appid", "wx0000000000000000"), "APPID_MCHID_NOT_MATCH"},
		"no appid at all":     {unified("r-1", url, "appid", "mine"), "APPID_NOT_EXIST"},
		"a fee in yuan":       {unified("r-1", url, "total_fee", "8.88"), "PARAM_ERROR"},
		"no fee":              {unified("r-1", url, "total_fee", "0"), "PARAM_ERROR"},
		"a padded fee":        {unified("r-1", url, "total_fee", " 888"), "PARAM_ERROR"},
		"another currency":    {unified("r-1", url, "fee_type", "USD"), "PARAM_ERROR"},
		"a long number":       {unified(strings.Repeat("r", 33), url), "PARAM_ERROR"},
		"a wrong character":   {unified("r.1", url), "PARAM_ERROR"},
		"no address":          {unified("r-1", url, "spbill_create_ip", "localhost"), "PARAM_ERROR"},
		"another trade type":  {unified("r-1", url, "trade_type", "MICROPAY"), "PARAM_ERROR"},
		"a query string":      {unified("r-1", url+"?a=1"), "PARAM_ERROR"},
		"a wrong time":        {unified("r-1", url, "time_expire", "2026-01-01 00:00:00"), "PARAM_ERROR"},
		"a time long ago":     {unified("r-1", url, "time_expire", "20200101000000"), "INVALID_REQUEST"},
		"an emoji":            {unified("r-1", url, "attach", "😀"), "PARAM_ERROR"},
		"a wrong scene":       {unified("r-1", url, "trade_type", "MWEB", "scene_info", "{}"), "PARAM_ERROR"},
		"a wrong sign_type":   {unified("r-1", url, "sign_type", "SHA1"), "SIGNERROR"},
		"an empty sign":       {unified("r-1", url, "sign", ""), "SIGNERROR"},
		"a sign in lowercase": {unified("r-1", url, "sign", "c380bec2bfd727a4b6845133519f3ad6"), "SIGNERROR"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := b.v2(t, "/pay/unifiedorder", row.fields)
			require.Equal(t, row.code, answer["err_code"], answer)
			require.Equal(t, "FAIL", answer["result_code"])
		})
	}
	t.Cleanup(func() { require.Empty(t, b.simulator.Ledger().Orders) })
}

func TestV2RefusesOtherParameters(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	url := "http://127.0.0.1:1/n"
	b.v2(t, "/pay/unifiedorder", unified("same-1", url))
	require.Equal(t, "OUT_TRADE_NO_USED", b.v2(t, "/pay/unifiedorder", unified("same-1", url, "total_fee", "889"))["err_code"])
	b.place(t, "v3-order", url)
	require.Equal(t, "OUT_TRADE_NO_USED", b.v2(t, "/pay/unifiedorder", unified("v3-order", url))["err_code"], "a number of v3 is taken in v2")
	require.Equal(t, "NOTPAY", b.v2(t, "/pay/orderquery", map[string]string{"out_trade_no": "v3-order"})["trade_state"])
	require.Equal(t, "ORDERNOTEXIST", b.v2(t, "/pay/orderquery", map[string]string{"out_trade_no": "nothing"})["err_code"])
	require.Equal(t, "LACK_PARAMS", b.v2(t, "/pay/orderquery", nil)["err_code"])
}

func TestV2RefusesWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rows := map[string]struct{ body, code string }{
		"nothing":           {"", "POST_DATA_EMPTY"},
		"no UTF-8":          {"<xml><a>\xff</a></xml>", "NOT_UTF8"},
		"JSON":              {`{"mch_id":"1"}`, "XML_FORMAT_ERROR"},
		"an entity":         {`<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><mch_id>&e;</mch_id></xml>`, "XML_FORMAT_ERROR"},
		"a billion laughs":  {`<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><xml><mch_id>&b;</mch_id></xml>`, "XML_FORMAT_ERROR"},
		"too long a body":   {"<xml><a>" + strings.Repeat("x", 70<<10) + "</a></xml>", "XML_FORMAT_ERROR"},
		"nested elements":   {"<xml><a><b>1</b></a></xml>", "XML_FORMAT_ERROR"},
		"an element thrice": {"<xml><mch_id>1</mch_id><mch_id>1900000109</mch_id></xml>", "XML_FORMAT_ERROR"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{"/pay/unifiedorder", "/pay/orderquery", "/pay/closeorder", "/pay/refundquery", "/pay/downloadbill"} {
				answer := v2Elements(t, b.v2Send(t, http.DefaultClient, b.url+path, row.body))
				require.Equal(t, []string{"FAIL", row.code, ""}, []string{answer["return_code"], answer["err_code"], answer["sign"]}, path)
			}
		})
	}
	t.Run("another method", func(t *testing.T) {
		t.Parallel()
		status, answer := b.get(t, "/pay/unifiedorder")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "REQUIRE_POST_METHOD", v2Elements(t, answer)["err_code"])
	})
}

// TestV2SignDiagnosis: the log says which mistake made a sign, and never the key.
func TestV2SignDiagnosis(t *testing.T) {
	t.Parallel()
	fields := func(b bench) map[string]string {
		f := unified("d-1", "http://127.0.0.1:1/n", "detail", "", "attach", "a b")
		f["appid"], f["mch_id"], f["nonce_str"] = b.merchant.Appid, b.merchant.Mchid, "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"
		return f
	}
	rows := map[string]struct {
		sign   func(b bench, f map[string]string) string
		logged string
	}{
		"the APIv3 key": {func(b bench, f map[string]string) string { return v2Sign(f, b.merchant.APIv3Key) }, "APIv3 key"},
		"lower case": {func(b bench, f map[string]string) string {
			return strings.ToLower(v2Sign(f, b.merchant.APIv2Key))
		}, "upper-case hex"},
		"an unsigned element": {func(b bench, f map[string]string) string {
			less := map[string]string{}
			for name, value := range f {
				if name != "spbill_create_ip" {
					less[name] = value
				}
			}
			return v2Sign(less, b.merchant.APIv2Key)
		}, "the element spbill_create_ip was sent but not signed"},
		"HMAC without sign_type": {func(b bench, f map[string]string) string {
			return v2HMAC(f, b.merchant.APIv2Key, "")
		}, "the element sign_type is missing"},
		"something else": {func(bench, map[string]string) string { return strings.Repeat("A", 32) }, "another text or key was signed"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			f := fields(b)
			f["sign"] = row.sign(b, f)
			answer := v2Elements(t, b.v2Send(t, http.DefaultClient, b.url+"/pay/unifiedorder", b.v2Body(f)))
			require.Equal(t, []string{"FAIL", "签名错误"}, []string{answer["return_code"], answer["return_msg"]})
			require.Contains(t, b.log.String(), row.logged)
			require.Contains(t, b.log.String(), `expected_string_to_sign="appid=wx8888888888888888&attach=a b&body=`)
			require.NotContains(t, b.log.String(), b.merchant.APIv2Key)
			require.NotContains(t, b.log.String(), b.merchant.APIv3Key)
		})
	}
}

func TestV2Faults(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order := unified("f-1", "http://127.0.0.1:1/n")
	once := func(kind simulator.FaultKind) {
		_, err := b.simulator.SetFault(simulator.Fault{Kind: kind, Count: 1})
		require.NoError(t, err)
	}
	once(simulator.FaultErrorBefore)
	require.Equal(t, "SYSTEMERROR", b.v2(t, "/pay/unifiedorder", order)["err_code"])
	require.Empty(t, b.simulator.Ledger().Orders)
	once(simulator.FaultErrorAfter)
	require.Equal(t, "SYSTEMERROR", b.v2(t, "/pay/unifiedorder", order)["err_code"])
	require.Len(t, b.simulator.Ledger().Orders, 1)
	once(simulator.FaultFrequencyLimited)
	require.Equal(t, "FREQUENCY_LIMITED", b.v2(t, "/pay/unifiedorder", order)["err_code"])
	once(simulator.FaultAnswerTampered)
	spoilt := v2Elements(t, b.v2Send(t, http.DefaultClient, b.url+"/pay/unifiedorder", b.v2Body(order)))
	require.NotEqual(t, v2Sign(spoilt, b.merchant.APIv2Key), spoilt["sign"])
	_, err := b.simulator.Pay("f-1", simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	once(simulator.FaultQueryNotpay)
	query := map[string]string{"out_trade_no": "f-1"}
	require.Equal(t, "NOTPAY", b.v2(t, "/pay/orderquery", query)["trade_state"])
	require.Equal(t, "SUCCESS", b.v2(t, "/pay/orderquery", query)["trade_state"])
	_, err = b.simulator.SetFault(simulator.Fault{Kind: simulator.FaultTimeoutAfter, Count: 1, DelayMs: 1})
	require.NoError(t, err)
	response, err := http.Post(b.url+"/pay/closeorder", "text/xml", strings.NewReader(b.v2Body(map[string]string{"out_trade_no": "other"})))
	if err == nil {
		require.NoError(t, response.Body.Close())
	}
	require.ErrorIs(t, err, io.EOF)
}

func (b bench) v2Order(t *testing.T, number, notifyURL string, fee int) simulator.Payment {
	t.Helper()
	made := b.v2(t, "/pay/unifiedorder", unified(number, notifyURL, "total_fee", fmt.Sprint(fee)))
	require.Equal(t, "SUCCESS", made["result_code"])
	payment, err := b.simulator.Pay(number, simulator.PayRequest{Notify: simulator.ProtocolNone})
	require.NoError(t, err)
	return payment
}

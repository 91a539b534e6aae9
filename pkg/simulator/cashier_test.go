package simulator_test

import (
	"encoding/json"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/app"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"

	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

// pageParams places an order for a person and gives what the official SDK would
// hand to that person's client.
func (b bench) pageParams(t *testing.T, appid, number, user, notifyURL string) map[string]string {
	t.Helper()
	service := jsapi.JsapiApiService{Client: b.sdk(t)}
	request := b.jsapiRequest(number, notifyURL)
	request.Appid, request.Payer.Openid = core.String(appid), core.String(weixin.OpenidOf(appid, user))
	made, _, err := service.PrepayWithRequestPayment(t.Context(), request)
	require.NoError(t, err)
	return map[string]string{"appId": *made.Appid, "timeStamp": *made.TimeStamp, "nonceStr": *made.NonceStr, "package": *made.Package,
		"signType": *made.SignType, "paySign": *made.PaySign}
}

func (b bench) invoke(t *testing.T, params any) map[string]any {
	t.Helper()
	text, err := json.Marshal(params)
	require.NoError(t, err)
	_, body := b.post(t, "/weixin/pay", string(text))
	var result map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &result), body)
	return result
}

func with(params map[string]string, more ...string) map[string]string {
	all := maps.Clone(params)
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

func TestCashier_opens_for_rightly_signed_parameters_only(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	official, mini := b.merchant.Apps[1].Appid, b.merchant.Apps[0].Appid
	url := b.notifyURL(newReceiver(t, noContent))
	params := with(b.pageParams(t, official, "page-1", "lilei", url), "user", "lilei")
	for what, wrong := range map[string]map[string]string{
		"签名":            with(params, "nonceStr", "another"),
		"buyer":         with(params, "user", "jim"),
		"nobody":        with(params, "user", ""),
		"belongs to":    with(params, "appId", mini),
		"prepay_id=":    with(params, "package", "wx1"),
		"no order":      with(params, "package", "prepay_id=wx1"),
		"time stamp":    with(params, "timeStamp", strconv.FormatInt(time.Now().Add(-3*time.Hour).Unix(), 10)),
		"is missing":    with(params, "timeStamp", ""),
		"signType must": with(params, "signType", "MD5"),
	} {
		if what == "buyer" {
			what = "is for openid"
		}
		result := b.invoke(t, wrong)
		require.Equal(t, "get_brand_wcpay_request:fail", result["err_msg"], what)
		require.Contains(t, result["err_desc"], what)
	}
	require.Contains(t, b.log.String(), "expected_string_to_sign", "the log has what would have been right")
	require.Empty(t, b.simulator.Ledger().Payments)

	later := with(b.pageParams(t, official, "page-1", "lilei", url), "user", "lilei")
	require.Contains(t, b.invoke(t, params)["err_desc"], "later prepay")
	require.Equal(t, "get_brand_wcpay_request:ok", b.invoke(t, later)["err_msg"])
	require.Equal(t, weixin.OpenidOf(official, "lilei"), b.simulator.Ledger().Payments[0].Openid)
	require.Equal(t, "get_brand_wcpay_request:fail", b.invoke(t, later)["err_msg"], "once")
}

func TestCashier_serves_mini_programs_and_apps_without_a_browser(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	params := b.pageParams(t, b.merchant.Apps[0].Appid, "mini-1", "hanmeimei", b.notifyURL(newReceiver(t, noContent)))
	require.Contains(t, b.invoke(t, with(params, "user", "hanmeimei"))["err_desc"], "no such cashier", "a mini program is no page")
	delete(params, "appId")
	result := b.invoke(t, map[string]any{"user": "hanmeimei", "kind": "request_payment", "params": params})
	require.Equal(t, "requestPayment:ok", result["errMsg"])

	service := app.AppApiService{Client: b.sdk(t)}
	made, _, err := service.PrepayWithRequestPayment(t.Context(), app.PrepayRequest{Appid: core.String(b.merchant.Apps[3].Appid),
		Mchid: core.String(b.merchant.Mchid), Description: core.String("tea"), OutTradeNo: core.String("app-001"),
		NotifyUrl: core.String(b.notifyURL(newReceiver(t, noContent))), Amount: &app.Amount{Total: core.Int64(100)}})
	require.NoError(t, err)
	result = b.invoke(t, map[string]string{"user": "jim", "kind": "app", "appid": b.merchant.Apps[3].Appid, "partnerid": *made.PartnerId, "prepayid": *made.PrepayId,
		"package": *made.Package, "noncestr": *made.NonceStr, "timestamp": *made.TimeStamp, "sign": *made.Sign})
	require.EqualValues(t, 0, result["errCode"], result)
	require.Len(t, b.simulator.Ledger().Payments, 2)
}

func TestCashier_checks_the_signs_of_v2(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	official := b.merchant.Apps[1].Appid
	url := b.notifyURL(newReceiver(t, noContent))
	order := unified("v2-page-1", url, "appid", official, "openid", weixin.OpenidOf(official, "lucy"))
	require.Equal(t, official, b.v2(t, "/pay/unifiedorder", order)["appid"])
	made := b.v2(t, "/pay/unifiedorder", order)
	params := map[string]string{"appId": official, "timeStamp": strconv.FormatInt(time.Now().Unix(), 10), "nonceStr": "N", "package": "prepay_id=" + made["prepay_id"], "signType": "MD5"}
	params["paySign"] = v2Sign(params, b.merchant.APIv2Key)
	require.Contains(t, b.invoke(t, with(params, "user", "lucy", "nonceStr", "M"))["err_desc"], "签名")
	require.Equal(t, "get_brand_wcpay_request:ok", b.invoke(t, with(params, "user", "lucy"))["err_msg"])

	appid := b.merchant.Apps[3].Appid
	made = b.v2(t, "/pay/unifiedorder", unified("v2-app-1", url, "appid", appid, "trade_type", "APP", "openid", ""))
	call := map[string]string{"appid": appid, "partnerid": b.merchant.Mchid, "prepayid": made["prepay_id"], "package": "Sign=WXPay", "noncestr": "N",
		"timestamp": strconv.FormatInt(time.Now().Unix(), 10)}
	call["sign"] = v2Sign(call, b.merchant.APIv2Key)
	require.EqualValues(t, 0, b.invoke(t, with(call, "user", "lucy", "kind", "app"))["errCode"])

	h5 := b.v2(t, "/pay/unifiedorder", unified("v2-h5-1", url, "appid", official, "trade_type", "MWEB", "openid", "", "scene_info", `{"h5_info":{"type":"Wap","wap_url":"https://shop.example.com","wap_name":"shop"}}`))
	require.Contains(t, h5["mweb_url"], b.url)
	require.Len(t, b.simulator.Ledger().Payments, 2)
}

func TestOrders_name_the_openid_of_their_own_appid(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	service := jsapi.JsapiApiService{Client: b.sdk(t)}
	request := b.jsapiRequest("wrong-openid", "http://127.0.0.1:9/")
	request.Payer.Openid = core.String(weixin.OpenidOf(b.merchant.Apps[1].Appid, "lilei"))
	_, _, err := service.Prepay(t.Context(), request)
	require.ErrorContains(t, err, "appid")
	require.Equal(t, simulator.KindOfficialAccount, b.merchant.Apps[1].Kind)
}

package wechatpay

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// paramsJSON are the parameters of an order as a shop reads them.
func paramsJSON(t *testing.T, o pay.Order, cred *merchant.Credentials) map[string]any {
	t.Helper()
	params, err := ClientParams(o, cred, time.Unix(1490840662, 0), "nonce")
	require.NoError(t, err)
	text, err := json.Marshal(params)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(text, &fields))
	return fields
}

func namesOf(fields any) []string {
	object, _ := fields.(map[string]any)
	var names []string
	for name := range object {
		names = append(names, name)
	}
	return names
}

func TestClientParams_have_the_names_that_each_call_takes(t *testing.T) {
	t.Parallel()
	six := []string{"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
	for client, want := range map[pay.Client]struct {
		flat   []string
		shapes map[string][]string
	}{
		pay.ClientJSAPI: {six, map[string][]string{
			"wei_xin_js_bridge": six,
			"choose_wx_pay":     {"timestamp", "nonceStr", "package", "signType", "paySign"},
		}},
		pay.ClientMiniProgram: {six, map[string][]string{"request_payment": {"timeStamp", "nonceStr", "package", "signType", "paySign"}}},
		pay.ClientApp:         {nil, map[string][]string{"app": {"appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign"}}},
		pay.ClientH5:          {nil, map[string][]string{"h5": {"url"}}},
		pay.ClientNative:      {[]string{"code_url"}, map[string][]string{"native": {"code_url", "qr_svg", "qr_png"}}},
	} {
		o := pay.Order{MchID: testMchID, AppID: testAppID, Client: client, Credential: pay.Credential{PrepayID: "wx1", CodeURL: "weixin://x", H5URL: "https://x/?a=1"}}
		got := paramsJSON(t, o, testCredentials(t))
		require.Equal(t, string(client), got["client"])
		all := append([]string{"client"}, want.flat...)
		for shape, names := range want.shapes {
			require.ElementsMatch(t, names, namesOf(got[shape]), shape)
			all = append(all, shape)
			inner, _ := got[shape].(map[string]any)
			for name, value := range inner {
				require.IsType(t, "", value, "a time, too, is a string: %s", name)
			}
		}
		require.ElementsMatch(t, all, namesOf(got))
	}
}

func TestClientParams_sign_once_for_both_calls_of_a_page(t *testing.T) {
	t.Parallel()
	o := pay.Order{MchID: testMchID, AppID: testAppID, Client: pay.ClientJSAPI, Credential: pay.Credential{PrepayID: "wx1"}}
	p, err := ClientParams(o, testCredentials(t), testAt, "nonce")
	require.NoError(t, err)
	require.Equal(t, p.PaySign, p.JSBridge.PaySign)
	require.Equal(t, p.PaySign, p.ChooseWXPay.PaySign)
	require.Equal(t, p.TimeStamp, p.ChooseWXPay.Timestamp)
}

// What an app's v2 sign is made of is written out here, by the names that the
// documentation gives, and summed with nothing of ours.
func TestClientParams_of_an_app_over_v2_are_signed_as_the_order_was(t *testing.T) {
	t.Parallel()
	const key = "qazwsxedcrfvtgbyhnujmikolp111111"
	const text = "appid=wxd678efh567hg6787&noncestr=nonce&package=Sign=WXPay&partnerid=1900000109&prepayid=wx1&timestamp=1490840662&key=" + key
	sum := md5.Sum([]byte(text))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	for request, want := range map[string][]byte{
		"<xml><out_trade_no>1</out_trade_no></xml>":     sum[:],
		"<xml><sign_type>MD5</sign_type></xml>":         sum[:],
		"<xml><sign_type>HMAC-SHA256</sign_type></xml>": mac.Sum(nil),
	} {
		o := pay.Order{
			MchID: testMchID, AppID: "wxd678efh567hg6787", Client: pay.ClientApp, Protocol: pay.ProtocolV2,
			Credential: pay.Credential{PrepayID: "wx1"}, PrepayRequest: []byte(request),
		}
		got := paramsJSON(t, o, &merchant.Credentials{APIv2Keys: []merchant.Secret{key}})
		require.Equal(t, map[string]any{
			"appid": "wxd678efh567hg6787", "partnerid": "1900000109", "prepayid": "wx1", "package": "Sign=WXPay",
			"noncestr": "nonce", "timestamp": "1490840662", "sign": strings.ToUpper(hex.EncodeToString(want)),
		}, got["app"], request)
	}
}

func TestClientParams_of_h5_lead_back_to_where_the_shop_asks(t *testing.T) {
	t.Parallel()
	h5 := H5Params{URL: "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx1&package=2"}
	require.Equal(t, h5.URL+"&redirect_url=https%3A%2F%2Fshop.example.com%2Fbuy%2F%3Fno%3D1%26x%3D%E8%8C%B6",
		h5.BackTo("https://shop.example.com/buy/?no=1&x=茶").URL)
	require.Equal(t, "https://x/?redirect_url=https%3A%2F%2Fy", H5Params{URL: "https://x/"}.BackTo("https://y").URL)
}

func TestClientParams_of_native_are_the_code_drawn(t *testing.T) {
	t.Parallel()
	o := pay.Order{Client: pay.ClientNative, Credential: pay.Credential{CodeURL: "weixin://wxpay/bizpayurl?pr=1"}}
	p, err := ClientParams(o, nil, testAt, "")
	require.NoError(t, err, "a code is not signed")
	require.Equal(t, o.Credential.CodeURL, p.Native.CodeURL)
	require.True(t, strings.HasPrefix(p.Native.QRSVG, "<svg "))
	picture, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.Native.QRPNG, PNGPrefix))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(picture), "\x89PNG"))
}

func TestClientParams_take_no_credential_of_another_client(t *testing.T) {
	t.Parallel()
	for client, credential := range map[pay.Client]pay.Credential{
		pay.ClientJSAPI: {H5URL: "https://x"}, pay.ClientApp: {CodeURL: "weixin://x"}, pay.ClientH5: {PrepayID: "x"}, pay.ClientNative: {PrepayID: "x"},
	} {
		_, err := ClientParams(pay.Order{Client: client, Credential: credential}, testCredentials(t), testAt, "n")
		require.ErrorContains(t, err, "no credential", client)
	}
}

func TestCredential_of_h5_must_lead_somewhere(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "javascript:alert(1)", "weixin://x", "https://", "/relative"} {
		_, err := credentialOf(pay.ClientH5, pay.Credential{H5URL: address, PrepayID: "x"}, Answer{})
		require.Error(t, err, address)
	}
}

func TestSceneV2_speaks_the_words_of_protocol_v2(t *testing.T) {
	t.Parallel()
	for want, scene := range map[string]pay.Scene{
		`{"h5_info":{"type":"Wap"}}`: {Type: pay.H5Wap},
		`{"h5_info":{"type":"Wap","wap_url":"https://a/?b&c","wap_name":"茶"}}`:               {Type: pay.H5Wap, AppName: "茶", AppURL: "https://a/?b&c", BundleID: "x"},
		`{"h5_info":{"type":"IOS","app_name":"茶","bundle_id":"com.example.tea"}}`:            {Type: pay.H5iOS, AppName: "茶", BundleID: "com.example.tea", AppURL: "x"},
		`{"h5_info":{"type":"Android","app_name":"茶","package_name":"com.example.android"}}`: {Type: pay.H5Android, AppName: "茶", PackageName: "com.example.android"},
	} {
		got, err := SceneV2(scene)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

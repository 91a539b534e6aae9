package simulator_test

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// shopPage pays both ways. What it shows is what it was told, which proves nothing.
const shopPage = `<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Tea shop</title>
<body style="font:1rem system-ui;margin:2rem"><h1>Tea shop</h1><p id="config"></p><p id="result"></p>
<button id="bridge">Pay by the bridge</button> <button id="choose">Pay by wx</button>
<script src="%s/open/js/jweixin-1.6.0.js"></script>
<script>
const show = (id, text) => { document.getElementById(id).textContent = text };
const params = %s, config = %s;
wx.error(e => show('config', e.errMsg));
wx.ready(() => { show('config', 'ready');
  wx.updateAppMessageShareData({title: 'Tea', desc: 'hot', link: location.href, imgUrl: '', success: () => document.body.dataset.shared = 'yes'}) });
wx.config(config);
document.addEventListener('WeixinJSBridgeReady', () => document.body.dataset.bridge = 'ready');
document.getElementById('bridge').onclick = () => WeixinJSBridge.invoke('getBrandWCPayRequest', params, r => show('result', r.err_msg));
document.getElementById('choose').onclick = () => wx.chooseWXPay({timestamp: params.timeStamp, nonceStr: params.nonceStr, package: params.package,
  signType: params.signType, paySign: params.paySign, success: r => show('result', r.errMsg), cancel: r => show('result', r.errMsg), fail: r => show('result', r.errMsg)});
</script>`

// tea is a shop with one page.
func (b bench) tea(t *testing.T, params map[string]string) *httptest.Server {
	t.Helper()
	shop := httptest.NewUnstartedServer(nil)
	shop.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, jsConfig := "http://"+r.Host+r.URL.RequestURI(), b.jsConfig(t, "http://"+r.Host+r.URL.RequestURI())
		if r.URL.Query().Get("wrong") != "" {
			jsConfig = b.jsConfig(t, page+"&other=1")
		}
		text, _ := json.Marshal(params)
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, shopPage, b.url, text, jsConfig)
	})
	shop.Start()
	t.Cleanup(shop.Close)
	return shop
}

// jsConfig is what a shop's back end computes for a page.
func (b bench) jsConfig(t *testing.T, page string) string {
	t.Helper()
	official := b.merchant.Apps[1]
	field := func(path, name string) string {
		_, body := b.get(t, path)
		var answer map[string]any
		require.NoError(t, json.Unmarshal([]byte(body), &answer))
		text, _ := answer[name].(string)
		require.NotEmpty(t, text, body)
		return text
	}
	token := field("/cgi-bin/token?grant_type=client_credential&appid="+official.Appid+"&secret="+official.Secret, "access_token")
	ticket := field("/cgi-bin/ticket/getticket?type=jsapi&access_token="+token, "ticket")
	now := time.Now().Unix()
	sum := sha1.Sum([]byte("jsapi_ticket=" + ticket + "&noncestr=N1&timestamp=" + strconv.FormatInt(now, 10) + "&url=" + page))
	return fmt.Sprintf(`{"appId":%q,"timestamp":%d,"nonceStr":"N1","signature":%q,"jsApiList":["chooseWXPay","updateAppMessageShareData"]}`,
		official.Appid, now, hex.EncodeToString(sum[:]))
}

// press hits a button of the cashier.
func (b *browser) cashier(t *testing.T, button string) {
	t.Helper()
	require.Eventually(t, func() bool { return ask[bool](t, b, `!!document.querySelector("#weixin-cashier")`) }, soon, 20*tick, "the cashier opens")
	ask[bool](t, b, `(document.querySelector("#weixin-cashier").shadowRoot.getElementById("`+button+`").click(), true)`)
}

func (b *browser) result(t *testing.T, id, want string) {
	t.Helper()
	require.Eventually(t, func() bool { return ask[string](t, b, `document.getElementById("`+id+`").textContent`) == want }, soon, 20*tick,
		"%s: %s", id, want)
}

// TestInsideWeChat is a buyer's way through a shop's page: choosing who to be, the
// JS-SDK, a lie, a change of mind, and the payment.
func TestInsideWeChat(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	params := b.pageParams(t, b.merchant.Apps[1].Appid, "inside-1", "hanmeimei", b.notifyURL(newReceiver(t, noContent)))
	shop := b.tea(t, params)
	w := newScriptedBrowser(t)
	w.do(t, chromedp.EmulateViewport(375, 740, chromedp.EmulateMobile))
	w.open(t, b.url+"/weixin/inside?url="+url.QueryEscape(shop.URL+"/buy?tea=1"), ".people")
	w.labelled(t)
	w.keep(t, "inside")
	w.do(t, chromedp.Click(chromedp.CSS(`button[value=hanmeimei]`)), chromedp.WaitVisible(chromedp.CSS("#bridge")))
	w.result(t, "config", "ready")
	require.Equal(t, "ready", ask[string](t, w, `document.body.dataset.bridge`))
	require.Eventually(t, func() bool { return ask[bool](t, w, `document.body.dataset.shared === "yes"`) }, soon, 20*tick)
	require.Equal(t, "Tea", ask[string](t, w, `wx.standIn.shared.updateAppMessageShareData.title`))

	w.do(t, chromedp.Click(chromedp.CSS("#bridge")))
	w.cashierLooks(t)
	w.cashier(t, "lie")
	w.result(t, "result", "get_brand_wcpay_request:ok")
	require.Empty(t, b.simulator.Ledger().Payments, "a page that says ok has not paid")
	w.do(t, chromedp.Click(chromedp.CSS("#choose")))
	w.cashier(t, "cancel")
	w.result(t, "result", "chooseWXPay:cancel")
	w.do(t, chromedp.Click(chromedp.CSS("#choose")))
	w.cashier(t, "pay")
	w.result(t, "result", "chooseWXPay:ok")
	require.Len(t, b.simulator.Ledger().Payments, 1)
	w.do(t, chromedp.Click(chromedp.CSS("#bridge")))
	w.result(t, "result", "get_brand_wcpay_request:fail")

	w.open(t, shop.URL+"/buy?wrong=1", "#bridge")
	w.result(t, "config", "config:invalid signature")
	w.do(t, chromedp.Click(chromedp.CSS("#choose")))
	w.result(t, "result", "chooseWXPay:fail, the permission value is offline verifying")
}

func (b *browser) cashierLooks(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return ask[bool](t, b, `!!document.querySelector("#weixin-cashier")`) }, soon, 20*tick)
	require.Contains(t, ask[string](t, b, `document.querySelector("#weixin-cashier").shadowRoot.querySelector(".sheet").innerText`), "韩梅梅")
	b.keep(t, "cashier")
}

// TestLoginPages looks at consent, QR code and messages.
func TestLoginPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<body><p id="back">%s</p>`, r.URL.RawQuery)
	}))
	t.Cleanup(back.Close)
	login := func(path string, app int, scope string) string {
		return b.url + path + "?appid=" + b.merchant.Apps[app].Appid + "&redirect_uri=" + url.QueryEscape(back.URL+"/cb") + "&response_type=code&scope=" + scope + "&state=s1#wechat_redirect"
	}
	w := newBrowser(t)
	w.do(t, chromedp.EmulateViewport(900, 1000))
	w.open(t, login("/connect/oauth2/authorize", 1, "snsapi_userinfo"), ".people")
	w.keep(t, "who")
	w.do(t, chromedp.Click(chromedp.CSS(`button[value=lilei]`)), chromedp.WaitVisible(chromedp.CSS("#allow")))
	w.keep(t, "consent")
	w.do(t, chromedp.Click(chromedp.CSS("#allow")), chromedp.WaitVisible(chromedp.CSS("#back")))
	require.Regexp(t, `^code=[0-9A-Za-z]{32}&state=s1$`, ask[string](t, w, `document.getElementById("back").textContent`))

	w.open(t, login("/connect/qrconnect", 2, "snsapi_login"), "svg.qr")
	w.keep(t, "qrconnect")
	w.do(t, chromedp.Click(chromedp.CSS(`button[value=jim]`)), chromedp.WaitVisible(chromedp.CSS("#back")))

	w.open(t, b.url+"/weixin/messages?to_url="+url.QueryEscape(back.URL), "#send")
	w.labelled(t)
	w.do(t, chromedp.Click(chromedp.CSS("#send")), chromedp.WaitVisible(chromedp.CSS(".bubble")))
	w.keep(t, "messages")
}

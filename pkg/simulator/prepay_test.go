package simulator_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/app"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/h5"

	"github.com/fenflow/fenflow/pkg/simulator"
)

func (b bench) h5Request(number, notifyURL string) h5.PrepayRequest {
	return h5.PrepayRequest{
		Appid: core.String(b.merchant.Appid), Mchid: core.String(b.merchant.Mchid), Description: core.String("tea"),
		OutTradeNo: core.String(number), NotifyUrl: core.String(notifyURL), Amount: &h5.Amount{Total: core.Int64(100)},
		SceneInfo: &h5.SceneInfo{PayerClientIp: core.String("14.23.150.211"), DeviceId: core.String("013467007045764"),
			H5Info: &h5.H5Info{Type: core.String("Wap")}},
	}
}

func TestAppBySDK(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shop := newReceiver(t, noContent)
	service := app.AppApiService{Client: b.sdk(t)}
	request := app.PrepayRequest{Appid: core.String(b.merchant.Appid), Mchid: core.String(b.merchant.Mchid), Description: core.String("tea"),
		OutTradeNo: core.String("app-01"), NotifyUrl: core.String(b.notifyURL(shop)), Amount: &app.Amount{Total: core.Int64(100)}}
	answer, _, err := service.Prepay(t.Context(), request)
	require.NoError(t, err)
	require.Regexp(t, `^wx\d{14}[0-9a-f]{20}$`, *answer.PrepayId)
	_, err = b.simulator.Pay("app-01", simulator.PayRequest{})
	require.NoError(t, err)
	b.settled(t)
	require.Equal(t, "APP", *b.parse(t, shop.all()[0]).TradeType)
	found, _, err := service.QueryOrderByOutTradeNo(t.Context(), app.QueryOrderByOutTradeNoRequest{OutTradeNo: core.String("app-01"), Mchid: &b.merchant.Mchid})
	require.NoError(t, err)
	require.Equal(t, []string{"APP", "SUCCESS"}, []string{*found.TradeType, *found.TradeState})
}

// TestH5BySDK follows an h5_url as a browser would, before and after five minutes.
func TestH5BySDK(t *testing.T) {
	t.Parallel()
	clock := &shiftedClock{}
	b := newBench(t, func(o *simulator.Options) { o.Now = clock.now })
	shop := newReceiver(t, noContent)
	service := h5.H5ApiService{Client: b.sdk(t)}
	request := b.h5Request("h5|001", b.notifyURL(shop))
	answer, _, err := service.Prepay(t.Context(), request)
	require.NoError(t, err)
	link, err := url.Parse(*answer.H5Url)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(*answer.H5Url, b.url+"/cgi-bin/mmpayweb-bin/checkmweb?"), *answer.H5Url)
	open := func() (int, string) { return b.get(t, link.RequestURI()) }
	status, page := open()
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "h5|001")
	require.NotContains(t, page, "Back to the shop")
	_, page = b.get(t, link.RequestURI()+"&redirect_url="+url.QueryEscape("https://shop.example.com/done?a=1"))
	require.Contains(t, page, `href="https://shop.example.com/done?a=1"`)

	clock.shift(4*time.Minute + 59*time.Second)
	status, _ = open()
	require.Equal(t, http.StatusOK, status)
	clock.shift(2 * time.Second)
	status, page = open()
	require.Equal(t, http.StatusGone, status)
	require.Contains(t, page, "five minutes")
	clock.shift(-clock.ahead)
	again, _, err := service.Prepay(t.Context(), request)
	require.NoError(t, err)
	require.NotEqual(t, *answer.H5Url, *again.H5Url, "the same parameters get a fresh h5_url")
	status, _ = b.get(t, "/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx1")
	require.Equal(t, http.StatusNotFound, status)

	_, err = b.simulator.Pay("h5|001", simulator.PayRequest{})
	require.NoError(t, err)
	b.settled(t)
	told := b.parse(t, shop.all()[0])
	require.Equal(t, "MWEB", *told.TradeType)
	found, _, err := service.QueryOrderByOutTradeNo(t.Context(), h5.QueryOrderByOutTradeNoRequest{OutTradeNo: core.String("h5|001"), Mchid: &b.merchant.Mchid})
	require.NoError(t, err)
	require.Equal(t, told.String(), found.String())
	_, err = service.CloseOrder(t.Context(), h5.CloseOrderRequest{OutTradeNo: core.String("h5|001"), Mchid: &b.merchant.Mchid})
	requireCode(t, err, http.StatusBadRequest, "ORDERPAID")
}

func TestH5Refuses(t *testing.T) {
	t.Parallel()
	const good = `{"appid":"wx8888888888888888","mchid":"1900000109","description":"tea","out_trade_no":"order-1","notify_url":"http://127.0.0.1:1/n",` +
		`"amount":{"total":100},"scene_info":{"payer_client_ip":"14.23.150.211","h5_info":{"type":"Wap"}}}`
	swap := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	rows := map[string]struct{ body, field string }{
		"no scene":            {swap(`,"scene_info":{"payer_client_ip":"14.23.150.211","h5_info":{"type":"Wap"}}`, ``), "#/properties/scene_info"},
		"no h5_info":          {swap(`,"h5_info":{"type":"Wap"}`, ``), "#/properties/scene_info/properties/h5_info"},
		"no type":             {swap(`"type":"Wap"`, ``), "#/properties/scene_info/properties/h5_info/properties/type"},
		"an unknown type":     {swap(`Wap`, `Web`), "#/properties/scene_info/properties/h5_info/properties/type"},
		"no address":          {swap(`"payer_client_ip":"14.23.150.211",`, ``), "#/properties/scene_info/properties/payer_client_ip"},
		"this machine":        {swap(`14.23.150.211`, `127.0.0.1`), "#/properties/scene_info/properties/payer_client_ip"},
		"this machine in IP6": {swap(`14.23.150.211`, `::1`), "#/properties/scene_info/properties/payer_client_ip"},
		"no IP address":       {swap(`14.23.150.211`, `localhost`), "#/properties/scene_info/properties/payer_client_ip"},
		"a payer":             {swap(`"amount"`, `"payer":{"openid":"o1"},"amount"`), "#/properties/payer"},
		"an unknown field":    {swap(`"type":"Wap"`, `"type":"Wap","wap_url":"x"`), "#/properties/scene_info/properties/h5_info/properties/wap_url"},
	}
	b := newBench(t)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, answer := b.send(t, http.MethodPost, "/v3/pay/transactions/h5", row.body)
			require.Equal(t, http.StatusBadRequest, status, answer)
			require.Equal(t, "PARAM_ERROR", code(t, answer))
			require.Contains(t, answer, row.field)
		})
	}
	status, answer := b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", strings.Replace(goodPrepay, `"amount"`, `"scene_info":{"payer_client_ip":"1.2.3.4","h5_info":{"type":"Wap"}},"amount"`, 1))
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "h5_info", "only H5 has it")
	t.Cleanup(func() { require.Empty(t, b.simulator.Ledger().Orders) })
}

func TestTimeExpire(t *testing.T) {
	t.Parallel()
	clock := &shiftedClock{}
	b := newBench(t, func(o *simulator.Options) { o.Now = clock.now })
	prepay := func(number, expire string) (int, string) {
		body := strings.Replace(goodPrepay, "order-1", number, 1)
		if expire != "" {
			body = strings.Replace(body, `"amount"`, `"time_expire":"`+expire+`","amount"`, 1)
		}
		return b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", body, func(p *parts) { p.timestamp = unix(clock.now()) })
	}
	now := clock.now()
	for number, row := range map[string]struct {
		expire string
		lives  time.Duration
	}{
		"default": {"", 7 * 24 * time.Hour}, "raised": {now.Add(time.Second).Format(time.RFC3339), time.Minute},
		"clamped": {now.Add(91 * 24 * time.Hour).Format(time.RFC3339), 90 * 24 * time.Hour},
		"as-told": {now.Add(time.Hour).In(time.FixedZone("", -3*60*60)).Format(time.RFC3339), time.Hour},
	} {
		status, answer := prepay(number, row.expire)
		require.Equal(t, http.StatusOK, status, answer)
		order, _ := b.simulator.Order(number)
		require.WithinDuration(t, order.CreatedAt.Add(row.lives), order.ExpiresAt, soon, number)
	}
	for number, expire := range map[string]string{"default": now.Add(time.Hour).Format(time.RFC3339), "raised": "", "clamped": now.Add(time.Hour).Format(time.RFC3339)} {
		status, answer := prepay(number, expire)
		require.Equal(t, http.StatusBadRequest, status, number)
		require.Equal(t, "INVALID_REQUEST", code(t, answer), "time_expire can be set the first time only")
	}
	clock.shift(2 * time.Hour)
	status, answer := prepay("as-told", now.Add(time.Hour).In(time.FixedZone("", -3*60*60)).Format(time.RFC3339))
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "ORDER_CLOSED", code(t, answer))
	_, err := b.simulator.Pay("as-told", simulator.PayRequest{})
	require.ErrorContains(t, err, "expired")
	status, answer = b.send(t, http.MethodGet, "/v3/pay/transactions/out-trade-no/as-told?mchid=1900000109", "", func(p *parts) { p.timestamp = unix(clock.now()) })
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, answer, `"NOTPAY"`, "expired is not closed")
}

func TestNumbersInPaths(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, number := range []string{"short", strings.Repeat("o", 33), "order.1", "order%201", "%E8%AE%A2%E5%8D%95%E5%8F%B7"} {
		status, answer := b.send(t, http.MethodGet, "/v3/pay/transactions/out-trade-no/"+number+"?mchid=1900000109", "")
		require.Equal(t, http.StatusBadRequest, status, number)
		require.Equal(t, "PARAM_ERROR", code(t, answer))
		status, _ = b.send(t, http.MethodPost, "/v3/pay/transactions/out-trade-no/"+number+"/close", `{"mchid":"1900000109"}`)
		require.Equal(t, http.StatusBadRequest, status, number)
	}
}

func TestPostsHaveNoQueryString(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	status, answer := b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi?mchid=1900000109", goodPrepay)
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "PARAM_ERROR", code(t, answer))
}

func TestStrictNotifyURL(t *testing.T) {
	t.Parallel()
	strict := newBench(t, func(o *simulator.Options) { o.StrictNotifyURL = true })
	lax := newBench(t)
	rows := map[string][2]int{ // strict, lax
		"https://pay.example.com/notify":           {200, 200},
		"https://pay.example.com:8443/notify":      {200, 200},
		"https://8.8.8.8/notify":                   {200, 200},
		"http://pay.example.com/notify":            {400, 200},
		"https://127.0.0.1/notify":                 {400, 200},
		"https://localhost/notify":                 {400, 200},
		"https://shop.local/notify":                {400, 200},
		"https://shop/notify":                      {400, 200},
		"https://127.1/notify":                     {400, 200},
		"https://10.1.2.3/notify":                  {400, 200},
		"https://192.168.0.1/notify":               {400, 200},
		"https://169.254.169.254/notify":           {400, 200},
		"https://0.0.0.0/notify":                   {400, 200},
		"https://[::1]/notify":                     {400, 200},
		"https://[fd00::1]/notify":                 {400, 200},
		"https://[::ffff:127.0.0.1]/notify":        {400, 200},
		"https://pay.example.com/notify?a=1":       {400, 400},
		"https://user:secret@pay.example.com/n":    {400, 400},
		"https://" + strings.Repeat("a", 250) + "": {400, 400},
	}
	rows["\u0020https://pay.example.com/notify"] = [2]int{400, 400}
	for address, want := range rows {
		body := strings.Replace(goodPrepay, "http://127.0.0.1:1/n", address, 1)
		for i, b := range []bench{strict, lax} {
			status, answer := b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", strings.Replace(body, "order-1", "o"+unix(time.Now())+hash(address), 1))
			require.Equal(t, want[i], status, address+" "+answer)
		}
	}
	status, answer := strict.send(t, http.MethodPost, "/v3/refund/domestic/refunds", `{"out_trade_no":"order-1","out_refund_no":"R1",`+
		`"notify_url":"http://127.0.0.1/n","amount":{"refund":40,"total":100,"currency":"CNY"}}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "strict-notify-url")
}

func TestOpenidsBelongToAnAppid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(t, func(o *simulator.Options) { o.StateDir = dir })
	issue := func(appid string) string {
		status, answer := b.post(t, "/control/openids", `{"appid":"`+appid+`"}`)
		require.Equal(t, http.StatusOK, status, answer)
		return strings.Split(answer, `"`)[3]
	}
	order := func(number, openid string) (int, string) {
		return b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", strings.Replace(strings.Replace(goodPrepay, "order-1", number, 1), `"o1"`, `"`+openid+`"`, 1))
	}
	own, foreign := issue(b.merchant.Appid), issue("wx9999999999999999")
	require.Regexp(t, `^o[\w-]{27}$`, foreign)
	status, answer := order("order-1", own)
	require.Equal(t, http.StatusOK, status, answer)
	status, answer = order("order-2", foreign)
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "PARAM_ERROR", code(t, answer))
	require.Contains(t, b.log.String(), "openid_appid=wx9999999999999999")
	status, _ = order("order-3", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")
	require.Equal(t, http.StatusOK, status, "anybody else's will do")
	status, _ = b.post(t, "/control/openids", `{}`)
	require.Equal(t, http.StatusBadRequest, status)
}

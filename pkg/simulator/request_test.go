package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/signers"
)

// parts are what goes into a signature; a test changes one of them.
type parts struct {
	method, uri, timestamp, nonce, body string
	mchid, serial                       string
	signed                              string // the text to sign, if not the right one
	header                              string // the whole Authorization, if set
	wechatpaySerial                     string // names the platform's key, if set
	accept, contentType                 string
}

// send signs with the SDK's own signer and sends.
func (b bench) send(t *testing.T, method, uri, body string, change ...func(*parts)) (int, string) {
	t.Helper()
	p := parts{method: method, uri: uri, body: body, timestamp: strconv.FormatInt(time.Now().Unix(), 10),
		nonce: "593BEC0C930BF1AFEB40B4A08C8FB242", mchid: b.merchant.Mchid, serial: b.merchant.Serial, accept: "application/json", contentType: "application/json"}
	for _, c := range change {
		c(&p)
	}
	if p.signed == "" {
		p.signed = p.method + "\n" + p.uri + "\n" + p.timestamp + "\n" + p.nonce + "\n" + p.body + "\n"
	}
	signer := signers.SHA256WithRSASigner{MchID: p.mchid, CertificateSerialNo: p.serial, PrivateKey: b.merchant.PrivateKey}
	signature, err := signer.Sign(t.Context(), p.signed)
	require.NoError(t, err)
	if p.header == "" {
		p.header = fmt.Sprintf(`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="%s",signature="%s",timestamp="%s",serial_no="%s"`,
			p.mchid, p.nonce, signature.Signature, p.timestamp, p.serial)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, b.url+uri, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", p.header)
	request.Header.Set("Accept", p.accept)
	request.Header.Set("Content-Type", p.contentType)
	if p.wechatpaySerial != "" {
		request.Header.Set("Wechatpay-Serial", p.wechatpaySerial)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	return statusOf(t, response)
}

func code(t *testing.T, body string) string {
	t.Helper()
	var refused struct{ Code, Message string }
	require.NoError(t, json.Unmarshal([]byte(body), &refused))
	require.NotEmpty(t, refused.Message)
	return refused.Code
}

// TestAuthorization: each flaw is a 401, and the log says which flaw it is.
func TestAuthorization(t *testing.T) {
	t.Parallel()
	const uri = "/v3/pay/transactions/out-trade-no/order-1?mchid=1900000109"
	rows := map[string]struct {
		change func(*parts)
		logged string
	}{
		"no header":         {func(p *parts) { p.header = " " }, "missing"},
		"another scheme":    {func(p *parts) { p.header = "Bearer abc" }, "scheme must be WECHATPAY2-SHA256-RSA2048"},
		"a field missing":   {func(p *parts) { p.header = `WECHATPAY2-SHA256-RSA2048 mchid="1"` }, "nonce_str is missing"},
		"a field twice":     {func(p *parts) { p.header = `WECHATPAY2-SHA256-RSA2048 mchid="1",mchid="1"` }, "given twice"},
		"unquoted":          {func(p *parts) { p.header = `WECHATPAY2-SHA256-RSA2048 mchid=1` }, "name="},
		"another merchant":  {func(p *parts) { p.mchid = "1900000110" }, "expected_mchid=1900000109"},
		"another serial":    {func(p *parts) { p.serial = "ABCDEF" }, "expected_serial_no="},
		"a late clock":      {func(p *parts) { p.timestamp = "1554208460" }, "more than five minutes off"},
		"milliseconds":      {func(p *parts) { p.timestamp += "000" }, "more than five minutes off"},
		"words for time":    {func(p *parts) { p.timestamp = "now" }, "not a number of seconds"},
		"no last line feed": {func(p *parts) { p.signed = p.method + "\n" + p.uri + "\n" + p.timestamp + "\n" + p.nonce + "\n" }, "the last line feed is missing"},
		"no query": {func(p *parts) {
			p.signed = p.method + "\n" + strings.Split(p.uri, "?")[0] + "\n" + p.timestamp + "\n" + p.nonce + "\n\n"
		}, "the query string was left out"},
		"a whole URL": {func(p *parts) {
			p.signed = p.method + "\nhttps://api.mch.weixin.qq.com" + p.uri + "\n" + p.timestamp + "\n" + p.nonce + "\n\n"
		}, "scheme and host"},
		"something else": {func(p *parts) { p.signed = "GET\n/elsewhere\n" }, "another text was signed"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			got, body := b.send(t, http.MethodGet, uri, "", row.change)
			require.Equal(t, http.StatusUnauthorized, got)
			require.Equal(t, "SIGN_ERROR", code(t, body))
			require.Contains(t, b.log.String(), row.logged)
		})
	}
}

func TestAuthorization_shows_the_expected_string_to_sign(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := `{ "mchid": "1900000109" }`
	got, answer := b.send(t, http.MethodPost, "/v3/pay/transactions/out-trade-no/order-1/close", body, func(p *parts) {
		p.signed = p.method + "\n" + p.uri + "\n" + p.timestamp + "\n" + p.nonce + "\n" + `{"mchid":"1900000109"}` + "\n"
	})
	require.Equal(t, http.StatusUnauthorized, got)
	require.NotContains(t, answer, "order-1", "the answer does not quote the request")
	require.Contains(t, b.log.String(), `expected_string_to_sign="POST\n/v3/pay/transactions/out-trade-no/order-1/close\n`)
	require.Contains(t, b.log.String(), "the body was signed without its white space")
}

func TestAuthorization_knows_a_foreign_key(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.merchant.PrivateKey = b.merchant.PlatformKey
	got, _ := b.send(t, http.MethodGet, "/v3/certificates", "")
	require.Equal(t, http.StatusUnauthorized, got)
	require.Contains(t, b.log.String(), "not made with the private key of this serial_no")
}

// TestRequest: libraries differ in the case of what has none. wechatpay-node-v3
// reads the serial from the certificate in lower case.
func TestRequest_minds_no_case_of_serial_and_media_type(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const uri, body = "/v3/pay/transactions/out-trade-no/order-1/close", `{"mchid":"1900000109"}`
	rows := map[string]struct {
		change func(*parts)
		status int
	}{
		"serial in lower case": {func(p *parts) { p.serial = strings.ToLower(p.serial) }, http.StatusNoContent},
		"capitals":             {func(p *parts) { p.accept, p.contentType = "Application/JSON", "Application/JSON" }, http.StatusNoContent},
		"a charset":            {func(p *parts) { p.contentType = "application/json;charset=UTF-8" }, http.StatusNoContent},
		"a longer media type":  {func(p *parts) { p.contentType = "application/json-seq" }, http.StatusBadRequest},
		"a form":               {func(p *parts) { p.contentType = "application/x-www-form-urlencoded" }, http.StatusBadRequest},
		"accepts HTML only":    {func(p *parts) { p.accept = "text/html" }, http.StatusBadRequest},
	}
	for name, row := range rows {
		got, answer := b.send(t, http.MethodPost, uri, body, row.change)
		require.Equal(t, row.status, got, "%s: %s", name, answer)
	}
}

func TestAuthorization_tolerates_five_minutes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, off := range []time.Duration{-4 * time.Minute, 4 * time.Minute} {
		got, _ := b.send(t, http.MethodGet, "/v3/certificates", "", func(p *parts) {
			p.timestamp = strconv.FormatInt(time.Now().Add(off).Unix(), 10)
		})
		require.Equal(t, http.StatusOK, got)
	}
}

const goodPrepay = `{"appid":"wx8888888888888888","mchid":"1900000109","description":"tea","out_trade_no":"order-1",` +
	`"notify_url":"http://127.0.0.1:1/n","amount":{"total":100},"payer":{"openid":"o1"}}`

func TestPrepayRefuses(t *testing.T) {
	t.Parallel()
	swap := func(old, with string) string { return strings.Replace(goodPrepay, old, with, 1) }
	rows := map[string]struct{ body, code, field string }{
		"an unknown field":          {swap(`"amount"`, `"colour":1,"amount"`), "PARAM_ERROR", "#/properties/colour"},
		"an unknown inner field":    {swap(`"total":100`, `"total":100,"sum":1`), "PARAM_ERROR", "#/properties/amount/properties/sum"},
		"a null":                    {swap(`"amount"`, `"attach":null,"amount"`), "PARAM_ERROR", "#/properties/attach"},
		"no openid":                 {swap(`,"payer":{"openid":"o1"}`, ``), "PARAM_ERROR", "#/properties/payer"},
		"a short number":            {swap(`order-1`, `o1`), "PARAM_ERROR", "#/properties/out_trade_no"},
		"a long number":             {swap(`order-1`, strings.Repeat("o", 33)), "PARAM_ERROR", "#/properties/out_trade_no"},
		"a wrong character":         {swap(`order-1`, `order.1`), "PARAM_ERROR", "#/properties/out_trade_no"},
		"an emoji":                  {swap(`tea`, `🍵`), "PARAM_ERROR", "#/properties/description"},
		"a control character":       {swap(`tea`, `\u0007`), "PARAM_ERROR", "#/properties/description"},
		"an amount of zero":         {swap(`100`, `0`), "PARAM_ERROR", "#/properties/amount/properties/total"},
		"a negative amount":         {swap(`100`, `-1`), "PARAM_ERROR", "#/properties/amount/properties/total"},
		"a fraction":                {swap(`100`, `1.0`), "PARAM_ERROR", "#/properties/amount/properties/total"},
		"an exponent":               {swap(`100`, `1e2`), "PARAM_ERROR", "#/properties/amount/properties/total"},
		"an amount as text":         {swap(`100`, `"100"`), "PARAM_ERROR", "#/properties/amount/properties/total"},
		"an amount beyond 64 bits":  {swap(`100`, `9223372036854775808`), "PARAM_ERROR", "#/properties/amount/properties/total"},
		"another currency":          {swap(`"total":100`, `"total":100,"currency":"USD"`), "PARAM_ERROR", "#/properties/amount/properties/currency"},
		"a notify_url with a query": {swap(`/n"`, `/n?a=1"`), "PARAM_ERROR", "#/properties/notify_url"},
		"a relative notify_url":     {swap(`http://127.0.0.1:1/n`, `/n`), "PARAM_ERROR", "#/properties/notify_url"},
		"a time without zone":       {swap(`"amount"`, `"time_expire":"2026-01-02T15:04:05","amount"`), "PARAM_ERROR", "#/properties/time_expire"},
		"a key twice":               {swap(`"amount"`, `"mchid":"1900000109","amount"`), "PARAM_ERROR", "occurs twice"},
		"two objects":               {goodPrepay + "{}", "PARAM_ERROR", "something follows"},
		"half an object":            {goodPrepay[:40], "PARAM_ERROR", "not well-formed"},
		"a list":                    {`[]`, "PARAM_ERROR", "not one JSON object"},
		"deep nesting":              {strings.Repeat(`[`, 2000), "PARAM_ERROR", "nested too deeply"},
		"another appid":             {swap(`wx8888888888888888`, `wx1`), "APPID_MCHID_NOT_MATCH", "appid"},
		"another mchid":             {swap(`1900000109`, `1900000110`), "INVALID_REQUEST", "mchid"},
	}
	b := newBench(t)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, answer := b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", row.body)
			require.Equal(t, http.StatusBadRequest, got, answer)
			require.Equal(t, row.code, code(t, answer))
			require.Contains(t, answer, row.field)
		})
	}
	t.Cleanup(func() { require.Empty(t, b.simulator.Ledger().Orders) })
}

func TestPrepayAccepts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	full := strings.Replace(goodPrepay, `"amount":{"total":100}`, `"time_expire":"2026-01-02T15:04:05.5-03:00","attach":"","goods_tag":"WXG",`+
		`"limit_pay":["no_credit"],"support_fapiao":true,"amount":{"total":100,"currency":"CNY"},`+
		`"detail":{"cost_price":1,"invoice_id":"i","goods_detail":[{"merchant_goods_id":"g","quantity":1,"unit_price":1}]},`+
		`"scene_info":{"payer_client_ip":"1.2.3.4","store_info":{"id":"1"}},"settle_info":{"profit_sharing":false}`, 1)
	got, answer := b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", full)
	require.Equal(t, http.StatusOK, got, answer)
	order, known := b.simulator.Order("order-1")
	require.True(t, known)
	require.WithinDuration(t, order.CreatedAt.Add(time.Minute), order.ExpiresAt, 0, "what is past is raised to one minute from now")
}

func TestAnswersThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	got, answer := b.get(t, "/v3/nothing")
	require.Equal(t, http.StatusNotFound, got)
	require.Equal(t, "INVALID_REQUEST", code(t, answer))
	got, _ = b.send(t, http.MethodPost, "/v3/pay/transactions/jsapi", strings.Repeat(" ", 200<<10))
	require.Equal(t, http.StatusRequestEntityTooLarge, got)
	got, _ = b.get(t, "/healthz")
	require.Equal(t, http.StatusOK, got)
}

package wechatpay

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

const testAppID = pay.AppID("wx8888888888888888")

// platformV2 is the other side of the calls of protocol v2: it checks the sign
// of each request and signs its answer in the same way.
type platformV2 struct {
	tb       testing.TB
	key      merchant.Secret
	status   int
	fields   fieldsV2
	change   func(fieldsV2)           // after signing
	raw      func(text string) string // the whole answer
	unsigned bool

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	sent     []fieldsV2
}

// newPlatformV2 answers with fields besides those that every answer has.
func newPlatformV2(tb testing.TB, fields fieldsV2) *platformV2 {
	tb.Helper()
	p := &platformV2{tb: tb, key: testAPIv2Key, status: http.StatusOK, fields: fieldsV2{
		"return_code": successV2, "result_code": successV2, "appid": string(testAppID), "mch_id": string(testMchID), "nonce_str": "n",
	}}
	for name, value := range fields {
		p.fields[name] = value
	}
	return p
}

func (p *platformV2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	sent, rejected := parseXML(body, "xml")
	if rejected != nil || sent["sign"] != signV2(sent, p.key, sent["sign_type"]) {
		_, _ = io.WriteString(w, "<xml><return_code>FAIL</return_code><return_msg>签名错误</return_msg></xml>")
		return
	}
	p.mu.Lock()
	p.requests, p.bodies, p.sent = append(p.requests, r), append(p.bodies, string(body)), append(p.sent, sent)
	p.mu.Unlock()
	answer := fieldsV2{}
	for name, value := range p.fields {
		answer[name] = value
	}
	if !p.unsigned {
		answer["sign"] = signV2(answer, p.key, sent["sign_type"])
	}
	if p.change != nil {
		p.change(answer)
	}
	text := toXML(p.tb, "xml", answer)
	if p.raw != nil {
		text = p.raw(text)
	}
	w.Header().Set("Request-Id", "08F7-268435456")
	w.WriteHeader(p.status)
	_, _ = io.WriteString(w, text)
}

func (p *platformV2) start() string {
	server := httptest.NewServer(p)
	p.tb.Cleanup(server.Close)
	return server.URL
}

// credentialsV2 are a merchant's that has protocol v2 only.
func credentialsV2(tb testing.TB) *merchant.Credentials {
	tb.Helper()
	certificate, err := merchant.ParseClientCertificate([]byte(testKey(tb, "gen_merchant").Cert), privateKey(tb, "gen_merchant"))
	require.NoError(tb, err)
	return &merchant.Credentials{
		Merchant:  merchant.Merchant{MchID: testMchID, Protocol: pay.ProtocolV2},
		APIv2Keys: []merchant.Secret{testAPIv2Key}, ClientCertificate: certificate,
	}
}

func newClientV2(tb testing.TB, url string) *Client {
	tb.Helper()
	c, err := NewClient(credentialsV2(tb), ClientOptions{BaseURL: url})
	require.NoError(tb, err)
	return c
}

func testOrderV2(tb testing.TB, c *Client, client pay.Client) pay.Order {
	tb.Helper()
	o := pay.Order{
		MchID: testMchID, OutTradeNo: "T2026|01*01", AppID: testAppID, Client: client, Protocol: pay.ProtocolV2,
		Description: "茶 <b> & \"more\" ]]>", Amount: 100, Currency: pay.CNY, OpenID: "o-1", Attach: "a'&<",
		ExpiresAt: testAt.Add(2 * 60 * 60 * 1e9), Scene: testScene(),
	}
	var err error
	o.PrepayRequest, err = c.PrepayBody(o, "https://pay.example.com/notify/v2/1900000109/pay")
	require.NoError(tb, err)
	return o
}

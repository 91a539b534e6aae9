package wechatpay

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// platform is the other side of the calls: it checks the signature of each
// request and signs its answer.
type platform struct {
	tb       testing.TB
	signWith string
	serial   string
	status   int
	body     string
	change   func(http.Header) // after signing

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func newPlatform(tb testing.TB, body string) *platform {
	tb.Helper()
	return &platform{tb: tb, signWith: "gen_wechatpay_public_key", serial: testKey(tb, "gen_wechatpay_public_key").KeyID, status: http.StatusOK, body: body}
}

var authorizationShape = regexp.MustCompile(`^WECHATPAY2-SHA256-RSA2048 mchid="(\d+)",nonce_str="(\w+)",timestamp="(\d+)",serial_no="(\w+)",signature="([^"]+)"$`)

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !p.authentic(r, body) {
		http.Error(w, `{"code":"SIGN_ERROR"}`, http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	p.requests, p.bodies = append(p.requests, r), append(p.bodies, string(body))
	p.mu.Unlock()
	ts := strconv.FormatInt(time.Now().Unix(), 10)
	signature, err := signRSA(privateKey(p.tb, p.signWith), ts, "answer-nonce", p.body)
	if err != nil {
		http.Error(w, "sign", http.StatusInternalServerError)
		return
	}
	w.Header().Set(HeaderTimestamp, ts)
	w.Header().Set(HeaderNonce, "answer-nonce")
	w.Header().Set(HeaderSerial, p.serial)
	w.Header().Set(HeaderSignature, signature)
	w.Header().Set("Request-Id", "08F7-268435456")
	if p.change != nil {
		p.change(w.Header())
	}
	w.WriteHeader(p.status)
	_, _ = io.WriteString(w, p.body)
}

func (p *platform) authentic(r *http.Request, body []byte) bool {
	parts := authorizationShape.FindStringSubmatch(r.Header.Get("Authorization"))
	if parts == nil || parts[1] != string(testMchID) || parts[4] != testKey(p.tb, "gen_merchant").SerialNo {
		return false
	}
	digest := sha256.Sum256([]byte(strings.Join([]string{r.Method, r.RequestURI, parts[3], parts[2], string(body)}, "\n") + "\n"))
	signature, err := base64.StdEncoding.DecodeString(parts[5])
	return err == nil && rsa.VerifyPKCS1v15(&privateKey(p.tb, "gen_merchant").PublicKey, crypto.SHA256, digest[:], signature) == nil
}

func (p *platform) start() string {
	server := httptest.NewServer(p)
	p.tb.Cleanup(server.Close)
	return server.URL
}

func newClient(tb testing.TB, o ClientOptions) *Client {
	tb.Helper()
	c, err := NewClient(testCredentials(tb), o)
	require.NoError(tb, err)
	return c
}

func testScene() pay.Scene {
	return pay.Scene{PayerClientIP: "203.0.113.7", Type: pay.H5Wap, AppName: "茶", AppURL: "https://shop.example.com"}
}

func testOrder(tb testing.TB, c *Client, client pay.Client) pay.Order {
	tb.Helper()
	o := pay.Order{
		MchID: testMchID, OutTradeNo: "T2026|01*01", AppID: "wx8888888888888888", Client: client, Protocol: pay.ProtocolV3,
		Description: "茶 <b> & more", Amount: 100, Currency: pay.CNY, OpenID: "o-1", ExpiresAt: testAt.Add(2*time.Hour + time.Millisecond),
		Scene: testScene(),
	}
	var err error
	o.PrepayRequest, err = c.PrepayBody(o, "https://pay.example.com/notify/v3/1900000109")
	require.NoError(tb, err)
	return o
}

func TestClient_PrepayBody_holds_the_documented_fields_and_no_empty_ones(t *testing.T) {
	t.Parallel()
	c := newClient(t, ClientOptions{})
	jsapi := string(testOrder(t, c, pay.ClientJSAPI).PrepayRequest)
	require.NotContains(t, jsapi, `\u003c`, "nor escapes that only HTML needs")
	require.NotContains(t, jsapi, "null")
	require.JSONEq(t, `{"appid":"wx8888888888888888","mchid":"1900000109","description":"茶 <b> & more","out_trade_no":"T2026|01*01",`+
		`"time_expire":"2026-01-01T10:01:00+08:00","notify_url":"https://pay.example.com/notify/v3/1900000109",`+
		`"amount":{"total":100,"currency":"CNY"},"payer":{"openid":"o-1"}}`, jsapi)
	native := string(testOrder(t, c, pay.ClientNative).PrepayRequest)
	require.NotContains(t, native, "payer")
	require.NotContains(t, native, "scene_info")
	app := string(testOrder(t, c, pay.ClientApp).PrepayRequest)
	require.Equal(t, native, app)
	h5 := string(testOrder(t, c, pay.ClientH5).PrepayRequest)
	require.NotContains(t, h5, `"payer":`)
	require.Contains(t, h5, `"scene_info":{"payer_client_ip":"203.0.113.7","h5_info":{"type":"Wap","app_name":"茶","app_url":"https://shop.example.com"}}`)

	for name, o := range map[string]pay.Order{
		"no client":        {MchID: testMchID},
		"no client of v2":  {MchID: testMchID, Protocol: pay.ProtocolV2},
		"a new protocol":   {MchID: testMchID, Client: pay.ClientNative, Protocol: "v4"},
		"another merchant": {MchID: "1900000110", Client: pay.ClientNative},
	} {
		_, err := c.PrepayBody(o, "https://pay.example.com/")
		require.Error(t, err, name)
	}
}

func TestClient_Prepay_sends_the_stored_bytes_and_believes_a_signed_answer(t *testing.T) {
	t.Parallel()
	for client, tc := range map[pay.Client]struct{ path, body string }{
		pay.ClientJSAPI:       {"/v3/pay/transactions/jsapi", `{"prepay_id":"wx-1"}`},
		pay.ClientMiniProgram: {"/v3/pay/transactions/jsapi", `{"prepay_id":"wx-1","new":1}`},
		pay.ClientNative:      {"/v3/pay/transactions/native", `{"code_url":"weixin://wxpay/bizpayurl?pr=1"}`},
		pay.ClientApp:         {"/v3/pay/transactions/app", `{"prepay_id":"wx-1"}`},
		pay.ClientH5:          {"/v3/pay/transactions/h5", `{"h5_url":"https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=1&package=2"}`},
	} {
		t.Run(string(client), func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, tc.body)
			now := testAt
			c := newClient(t, ClientOptions{BaseURL: p.start(), Now: func() time.Time { return now }})
			o := testOrder(t, c, client)
			o.PrepayRequest = append(o.PrepayRequest, "  "...) // whatever is stored goes out as it is
			credential, answer, err := c.Prepay(t.Context(), o)
			require.NoError(t, err)
			require.False(t, credential.Zero())
			life := 2 * time.Hour
			if client == pay.ClientH5 {
				life = 5 * time.Minute
			}
			require.Equal(t, now.Add(life), credential.ExpiresAt)
			require.Equal(t, tc.path, p.requests[0].RequestURI)
			require.Equal(t, string(o.PrepayRequest), p.bodies[0])
			require.Equal(t, "application/json", p.requests[0].Header.Get("Content-Type"))
			require.Equal(t, p.serial, p.requests[0].Header.Get(HeaderSerial), "asks to be answered under the public key")
			require.Equal(t, tc.body, string(answer.Body))
			require.Equal(t, p.serial, answer.KeyID)
			require.Equal(t, "08F7-268435456", answer.RequestID)
			require.Len(t, answer.Headers, 4)

			o.Credential = credential
			params, err := ClientParams(o, testCredentials(t), now, "")
			require.NoError(t, err)
			require.Equal(t, client == pay.ClientNative, params.CodeURL != "")
			require.Equal(t, client, params.Client)
			require.Equal(t, client == pay.ClientJSAPI || client == pay.ClientMiniProgram, params.NonceStr != "")
			require.LessOrEqual(t, len(params.NonceStr), 32)
		})
	}
}

func TestClient_asks_for_no_key_where_only_certificates_are_known(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, `{"code_url":"weixin://x"}`)
	p.signWith, p.serial = "gen_platform_b", testKey(t, "gen_platform_b").SerialNo
	cred := testCredentials(t)
	cred.Keyring = merchant.NewKeyring(wechatKey(t, "gen_platform_b"))
	c, err := NewClient(cred, ClientOptions{BaseURL: p.start(), Now: func() time.Time { return testAt }})
	require.NoError(t, err)
	_, answer, err := c.Prepay(t.Context(), testOrder(t, c, pay.ClientNative))
	require.NoError(t, err)
	require.Equal(t, p.serial, answer.KeyID)
	require.NotContains(t, p.requests[0].Header, HeaderSerial)
}

func TestClient_believes_no_answer_that_does_not_verify(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(http.Header)
		want   RejectReason
	}{
		"no headers at all": {func(h http.Header) {
			for _, name := range SignatureHeaders() {
				h.Del(name)
			}
		}, ReasonMissingHeader},
		"no signature":     {func(h http.Header) { h.Del(HeaderSignature) }, ReasonMissingHeader},
		"a probe":          {func(h http.Header) { h.Set(HeaderSignature, "WECHATPAY/SIGNTEST/"+h.Get(HeaderSignature)) }, ReasonBadSignature},
		"another nonce":    {func(h http.Header) { h.Set(HeaderNonce, "x") }, ReasonBadSignature},
		"an old timestamp": {func(h http.Header) { h.Set(HeaderTimestamp, "1600000000") }, ReasonTimestamp},
		"an unknown key":   {func(h http.Header) { h.Set(HeaderSerial, "PUB_KEY_ID_9") }, ReasonUnknownSerial},
		"an expired certificate": {func(h http.Header) { h.Set(HeaderSerial, "5157F09EFDC096DE15EBE81A47057A7232F1B8E1") },
			ReasonUnknownSerial},
		"a long serial": {func(h http.Header) { h.Set(HeaderSerial, strings.Repeat("A", 500)) }, ReasonMalformedHeader},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, `{"prepay_id":"wx-secret-1"}`)
			p.change = tc.change
			c := newClient(t, ClientOptions{BaseURL: p.start(), Now: func() time.Time { return testAt.AddDate(1, 0, 0) }})
			credential, answer, err := c.Prepay(t.Context(), testOrder(t, c, pay.ClientJSAPI))
			requireClass(t, ClassUnknown, err)
			requireRejected(t, err, tc.want)
			require.True(t, credential.Zero())
			require.Zero(t, answer)
			require.NotContains(t, err.Error(), "wx-secret-1")
		})
	}
}

func TestClient_classes_are_by_status_and_code(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		body   string
		want   Class
		code   string
	}{
		{400, `{"code":"PARAM_ERROR","message":"m-1","detail":{"field":"#/properties/payer"}}`, ClassFinal, "PARAM_ERROR"},
		{400, `{"code":"INVALID_REQUEST","message":"m-1"}`, ClassQueryFirst, "INVALID_REQUEST"},
		{400, `{"code":"APPID_MCHID_NOT_MATCH"}`, ClassConfig, "APPID_MCHID_NOT_MATCH"},
		{400, `{"code":"SOMETHING_NEW"}`, ClassQueryFirst, "SOMETHING_NEW"},
		{401, `{"code":"SIGN_ERROR"}`, ClassConfig, "SIGN_ERROR"},
		{403, `{"code":"OUT_TRADE_NO_USED"}`, ClassQueryFirst, "OUT_TRADE_NO_USED"},
		{403, `{"code":"ORDER_PAID"}`, ClassQueryFirst, "ORDER_PAID"},
		{403, `{"code":"TRADE_ERROR"}`, ClassFinal, "TRADE_ERROR"},
		{403, `{"code":"SOMETHING_NEW"}`, ClassConfig, "SOMETHING_NEW"},
		{404, `{"code":"ORDER_NOT_EXIST"}`, ClassFinal, "ORDER_NOT_EXIST"},
		{404, `<html>nginx</html>`, ClassQueryFirst, ""},
		{429, `{"code":"RATELIMIT_EXCEEDED"}`, ClassRetry, "RATELIMIT_EXCEEDED"},
		{429, ``, ClassRetry, ""},
		{500, `{"code":"SYSTEM_ERROR"}`, ClassRetry, "SYSTEM_ERROR"},
		{502, `<html>bad gateway</html>`, ClassRetry, ""},
		{503, `{"code":"no code\nat all"}`, ClassRetry, ""},
		{302, ``, ClassConfig, ""},
		{204, ``, ClassUnknown, ""},
	} {
		t.Run(strconv.Itoa(tc.status)+" "+tc.code, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, tc.body)
			p.status = tc.status
			p.change = func(h http.Header) { h.Set("Location", "http://127.0.0.1:1/") }
			c := newClient(t, ClientOptions{BaseURL: p.start()})
			_, _, err := c.Prepay(t.Context(), testOrder(t, c, pay.ClientJSAPI))
			var failed *CallError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, tc.want, failed.Class)
			require.Equal(t, tc.code, failed.Code)
			require.Equal(t, "08F7-268435456", failed.RequestID)
			require.Contains(t, err.Error(), "08F7-268435456")
			for _, leak := range []string{"m-1", "nginx", "gateway", "o-1", "T2026", "WECHATPAY2"} {
				require.NotContains(t, err.Error(), leak, "neither body nor header in errors")
			}
			require.Equal(t, tc.code == "ORDER_NOT_EXIST", IsNotExist(err))
			if tc.code == "PARAM_ERROR" {
				require.Equal(t, "m-1 (#/properties/payer)", failed.Message, "for people")
			}
		})
	}
}

func TestClient_an_answer_that_never_comes_is_unknown(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // the server sees a closed connection only once it has read
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	c := newClient(t, ClientOptions{BaseURL: server.URL, Timeout: 50 * time.Millisecond})
	_, _, err := c.Prepay(t.Context(), testOrder(t, c, pay.ClientJSAPI))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireClass(t, ClassUnknown, err)
	<-arrived

	patient := newClient(t, ClientOptions{BaseURL: server.URL})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err = patient.QueryOrder(ctx, pay.Order{MchID: testMchID, OutTradeNo: "T20260101"})
	require.ErrorIs(t, err, context.Canceled)
	require.NotContains(t, err.Error(), "T20260101")
}

func TestClient_refuses_an_answer_without_end_and_one_that_breaks_off(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, strings.Repeat(" ", maxAnswerBytes+1))
	c := newClient(t, ClientOptions{BaseURL: p.start()})
	_, _, err := c.Prepay(t.Context(), testOrder(t, c, pay.ClientJSAPI))
	requireClass(t, ClassUnknown, err)
	require.ErrorIs(t, err, errAnswerTooLarge)

	p = newPlatform(t, `{"prepay_id":"wx-1"}`)
	p.change = func(h http.Header) { h.Set("Content-Length", "1000") }
	c = newClient(t, ClientOptions{BaseURL: p.start()})
	_, _, err = c.Prepay(t.Context(), testOrder(t, c, pay.ClientJSAPI))
	requireClass(t, ClassUnknown, err)
}

func TestClient_goes_to_the_second_host_only_when_the_first_cannot_be_reached(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := "http://" + listener.Addr().String()
	require.NoError(t, listener.Close())

	p := newPlatform(t, `{"prepay_id":"wx-1"}`)
	url := p.start()
	c := newClient(t, ClientOptions{BaseURL: nobody, BackupURL: url})
	_, _, err = c.Prepay(t.Context(), testOrder(t, c, pay.ClientJSAPI))
	require.NoError(t, err)
	require.NotEmpty(t, p.bodies[0])

	c = newClient(t, ClientOptions{BaseURL: nobody})
	_, _, err = c.Prepay(t.Context(), testOrder(t, c, pay.ClientJSAPI))
	requireClass(t, ClassUnknown, err)

	broken := newPlatform(t, ``)
	broken.status = http.StatusInternalServerError
	c = newClient(t, ClientOptions{BaseURL: broken.start(), BackupURL: url})
	_, _, err = c.Prepay(t.Context(), testOrder(t, c, pay.ClientJSAPI))
	requireClass(t, ClassRetry, err)
	require.Len(t, p.bodies, 1)
}

func TestClient_trusts_the_configured_roots_only(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, `{"prepay_id":"wx-1"}`)
	server := httptest.NewTLSServer(p)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))

	c := newClient(t, ClientOptions{BaseURL: server.URL, CAFile: file})
	_, _, err := c.Prepay(t.Context(), testOrder(t, c, pay.ClientJSAPI))
	require.NoError(t, err)
	c = newClient(t, ClientOptions{BaseURL: server.URL, RootCAs: x509.NewCertPool()})
	_, _, err = c.Prepay(t.Context(), testOrder(t, c, pay.ClientJSAPI))
	require.ErrorContains(t, err, "ca_file")
	_, err = NewClient(testCredentials(t), ClientOptions{CAFile: "nowhere.pem"})
	require.Error(t, err)
}

func TestClient_QueryOrder(t *testing.T) {
	t.Parallel()
	plain := strings.Replace(testPlain, "T20260101000001", "T2026|01*01", 1)
	for name, tc := range map[string]struct {
		body  string
		want  pay.ObservationKind
		class Class
	}{
		"paid":             {plain, pay.ObservedPaid, ""},
		"refunded":         {strings.Replace(plain, `"SUCCESS"`, `"REFUND"`, 1), pay.ObservedPaid, ""},
		"closed":           {`{"mchid":"1900000109","out_trade_no":"T2026|01*01","trade_state":"CLOSED"}`, pay.ObservedClosed, ""},
		"open":             {`{"mchid":"1900000109","out_trade_no":"T2026|01*01","trade_state":"NOTPAY","amount":{"total":100}}`, pay.ObservedOpen, ""},
		"another order":    {testPlain, "", ClassUnknown},
		"another merchant": {`{"mchid":"1900000110","out_trade_no":"T2026|01*01","trade_state":"CLOSED"}`, "", ClassUnknown},
		"no order":         {`{}`, "", ClassUnknown},
		"not JSON":         {`hello`, "", ClassUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, tc.body)
			got, err := newClient(t, ClientOptions{BaseURL: p.start() + "/"}).QueryOrder(t.Context(), pay.Order{MchID: testMchID, OutTradeNo: "T2026|01*01"})
			require.Equal(t, "/v3/pay/transactions/out-trade-no/T2026%7C01%2A01?mchid=1900000109", p.requests[0].RequestURI)
			if tc.class != "" {
				requireClass(t, tc.class, err)
				return
			}
			require.NoError(t, err)
			obs, ok := got.Observation(pay.SourceQuery)
			require.True(t, ok)
			require.Equal(t, tc.want, obs.Kind)
			require.Equal(t, pay.SourceQuery, obs.Source)
			require.Equal(t, p.serial, obs.KeyID)
			require.Equal(t, got.Answer.ReceivedAt, obs.ObservedAt)
			require.Equal(t, tc.body, string(got.Answer.Body))
		})
	}
}

func TestNewClient_says_what_is_missing(t *testing.T) {
	t.Parallel()
	_, err := NewClient(nil, ClientOptions{})
	require.ErrorContains(t, err, "private_key_file")
	for _, url := range []string{"api.mch.weixin.qq.com", "ftp://x", "https://x/v3", "https://u:p@x", "https://x?y", ":"} {
		_, err := NewClient(testCredentials(t), ClientOptions{BaseURL: url})
		require.ErrorContains(t, err, "base_url", url)
		_, err = NewClient(testCredentials(t), ClientOptions{BackupURL: url})
		require.ErrorContains(t, err, "backup_url", url)
	}
}

func TestClientParams_needs_a_credential(t *testing.T) {
	t.Parallel()
	for _, o := range []pay.Order{{Client: pay.ClientJSAPI}, {Client: pay.ClientNative}, {Client: pay.ClientNative, Credential: pay.Credential{PrepayID: "x"}}} {
		_, err := ClientParams(o, testCredentials(t), testAt, "n")
		require.Error(t, err)
	}
	_, err := ClientParams(pay.Order{Client: pay.ClientJSAPI, Credential: pay.Credential{PrepayID: "x"}}, nil, testAt, "n")
	require.Error(t, err)
}

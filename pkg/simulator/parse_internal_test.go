package simulator

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParseStrict: whatever passes the rules is what encoding/json reads too.
func FuzzParseStrict(f *testing.F) {
	f.Add([]byte(`{"appid":"wx8888888888888888","mchid":"1900000109","description":"tea","out_trade_no":"order-1",` +
		`"notify_url":"http://127.0.0.1:1/n","amount":{"total":100},"payer":{"openid":"o1"}}`))
	f.Add([]byte(`{"amount":{"total":1e2}}`))
	f.Add([]byte(`[[[[`))
	rules := new(Simulator).prepayRules(tradeJSAPI)
	f.Fuzz(func(t *testing.T, body []byte) {
		_, refused := parseStrict(body, rules)
		if refused != nil {
			return
		}
		var request prepayRequest
		require.NoError(t, json.Unmarshal(body, &request))
		require.Positive(t, request.Amount.Total)
		require.GreaterOrEqual(t, len(request.OutTradeNo), 6)
		require.NotEmpty(t, request.Payer.Openid)
	})
}

// FuzzParseAuthorization: what parses has all five items, none with a quotation mark.
func FuzzParseAuthorization(f *testing.F) {
	f.Add(`WECHATPAY2-SHA256-RSA2048 mchid="1",nonce_str="n",signature="s==",timestamp="1",serial_no="A"`)
	f.Add(`WECHATPAY2-SHA256-RSA2048 ,,,`)
	f.Fuzz(func(t *testing.T, header string) {
		a, err := parseAuthorization(header)
		if err != nil {
			return
		}
		for _, item := range []string{a.mchid, a.nonce, a.signature, a.serial, a.timestamp} {
			require.NotEmpty(t, item)
			require.NotContains(t, item, `"`)
		}
	})
}

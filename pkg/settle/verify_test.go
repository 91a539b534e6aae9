package settle_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// v2 makes a payment notice of protocol v2, signed with a key.
func v2(key string, no pay.OutTradeNo, change ...func(map[string]string)) []byte {
	fields := map[string]string{
		"return_code": "SUCCESS", "result_code": "SUCCESS", "appid": string(appid), "mch_id": string(mchid), "nonce_str": "n",
		"openid": "o-1", "trade_type": "JSAPI", "bank_type": "CMC", "total_fee": "100", "cash_fee": "100",
		"transaction_id": "1004400740201409030005092168", "out_trade_no": string(no), "time_end": "20260301120000", "sign_type": "HMAC-SHA256",
	}
	for _, c := range change {
		c(fields)
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(&text, "%s=%s&", name, fields[name])
	}
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%skey=%s", text.String(), key)
	fields["sign"] = strings.ToUpper(hex.EncodeToString(mac.Sum(nil)))
	var xml strings.Builder
	xml.WriteString("<xml>")
	for name, value := range fields {
		fmt.Fprintf(&xml, "<%s><![CDATA[%s]]></%s>", name, value, name)
	}
	xml.WriteString("</xml>")
	return []byte(xml.String())
}

func TestVerifyV2_judges_and_the_same_bytes_settle(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	s := b.service()
	judge := func(id pay.MchID, kind pay.DeliveryKind, body []byte) (ok bool, reason string) {
		asked, err := json.Marshal(map[string]any{"mchid": id, "kind": kind, "headers": map[string]string{}, "body": body})
		require.NoError(t, err)
		raw, err := s.VerifyV2(t.Context(), asked)
		require.NoError(t, err)
		var v struct {
			OK     bool   `json:"ok"`
			Reason string `json:"reason"`
		}
		require.NoError(t, json.Unmarshal(raw, &v))
		return v.OK, v.Reason
	}
	genuine := v2(apiKey, number(1))
	ok, _ := judge(mchid, pay.DeliveryNotifyV2Pay, genuine)
	require.True(t, ok)
	for name, row := range map[string]struct {
		id     pay.MchID
		kind   pay.DeliveryKind
		body   []byte
		reason string
	}{
		"another key":    {mchid, pay.DeliveryNotifyV2Pay, v2(wrongV3, number(1)), "bad_signature"},
		"doctype":        {mchid, pay.DeliveryNotifyV2Pay, []byte(`<!DOCTYPE x [<!ENTITY a "b">]><xml/>`), "malformed"},
		"no key at hand": {"1900000777", pay.DeliveryNotifyV2Pay, genuine, "no_key"},
		"not v2":         {mchid, pay.DeliveryNotifyV3, genuine, "malformed"},
	} {
		ok, reason := judge(row.id, row.kind, row.body)
		require.False(t, ok, name)
		require.Equal(t, row.reason, reason, name)
	}
	_, err := s.VerifyV2(t.Context(), []byte("{"))
	require.Error(t, err)

	b.order(number(1), 100)
	arrival := b.platform.signed(t, genuine)
	arrival.Envelope.Kind, arrival.Envelope.Headers = pay.DeliveryNotifyV2Pay, nil
	require.NoError(t, s.Settle(t.Context(), []wechatpay.Arrival{arrival}))
	require.Equal(t, pay.OrderPaid, b.state(number(1)))
}

func TestVerifyV2_what_is_genuine_and_cannot_be_read_becomes_a_letter(t *testing.T) {
	t.Parallel()
	b := setup(t, database(t))
	s := b.service()
	arrivals := make([]wechatpay.Arrival, 0, 3)
	for name, change := range map[string]func(map[string]string){
		"an amount with a fraction": func(f map[string]string) { f["total_fee"] = "1.0" },
		"another merchant":          func(f map[string]string) { f["mch_id"] = "1900000999" },
		"no transaction":            func(f map[string]string) { delete(f, "transaction_id") },
	} {
		body := v2(apiKey, number(1), change)
		asked, err := json.Marshal(map[string]any{"mchid": mchid, "kind": pay.DeliveryNotifyV2Pay, "body": body})
		require.NoError(t, err)
		raw, err := s.VerifyV2(t.Context(), asked)
		require.NoError(t, err)
		require.JSONEq(t, `{"ok":true}`, string(raw), name)
		a := b.platform.signed(t, body)
		a.Envelope.Kind, a.Envelope.Headers = pay.DeliveryNotifyV2Pay, nil
		arrivals = append(arrivals, a)
	}
	b.order(number(1), 100)
	require.NoError(t, s.Settle(t.Context(), arrivals))
	require.Equal(t, pay.OrderCreated, b.state(number(1)))
	require.Equal(t, 3, b.count(`SELECT count(*) FROM dead_letters WHERE state = 'open' AND reason IN ('malformed', 'mismatch')`))
}

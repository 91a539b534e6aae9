package wechatpay

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func testAbnormal() AbnormalRequest {
	return AbnormalRequest{OutRefundNo: "R20260101000001", Type: ToUserCard, BankType: "ICBC_DEBIT", BankAccount: "6222020200112230403", RealName: "张三"}
}

func TestAbnormalBody_is_readable_for_WeChat_Pay_only(t *testing.T) {
	t.Parallel()
	a, b := wechatKey(t, "gen_platform_a"), wechatKey(t, "gen_platform_b")
	for name, tc := range map[string]struct {
		keys []merchant.PublicKey
		at   time.Time
		want string // a key of the vectors; empty: there is none to encrypt with
	}{
		"the public key goes first":              {[]merchant.PublicKey{a, b, wechatKey(t, "gen_wechatpay_public_key")}, testAt, "gen_wechatpay_public_key"},
		"else the certificate that stays":        {[]merchant.PublicKey{b, a}, within(a, b), newer(a, b)},
		"in whatever order":                      {[]merchant.PublicKey{a, b}, within(a, b), newer(a, b)},
		"the one that is valid":                  {[]merchant.PublicKey{a}, within(a, a), "gen_platform_a"},
		"not one that is no longer or not yet":   {[]merchant.PublicKey{a, b}, a.NotAfter.AddDate(100, 0, 0), ""},
		"and without any key it says what to do": {nil, testAt, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cred := testCredentials(t)
			cred.Keyring = merchant.NewKeyring(tc.keys...)
			c, err := NewClient(cred, ClientOptions{Now: func() time.Time { return tc.at }})
			require.NoError(t, err)
			body, keyID, err := c.AbnormalBody(testAbnormal())
			if tc.want == "" {
				require.ErrorContains(t, err, "wechatpay_public_keys")
				require.NotContains(t, err.Error(), "6222")
				return
			}
			require.NoError(t, err)
			require.Equal(t, wechatKey(t, tc.want).ID, keyID)
			var sent map[string]string
			require.NoError(t, json.Unmarshal(body, &sent))
			require.Equal(t, "6222020200112230403", opened(t, sent["bank_account"], privateKey(t, tc.want)))
			require.Equal(t, "张三", opened(t, sent["real_name"], privateKey(t, tc.want)))
			delete(sent, "bank_account")
			delete(sent, "real_name")
			require.Equal(t, map[string]string{"out_refund_no": "R20260101000001", "type": "USER_BANK_CARD", "bank_type": "ICBC_DEBIT"}, sent)
			require.NotContains(t, string(body), "6222")
		})
	}
}

// opened decrypts with the official SDK.
func opened(t *testing.T, sealed string, key *rsa.PrivateKey) string {
	t.Helper()
	plain, err := utils.DecryptOAEP(sealed, key)
	require.NoError(t, err)
	return plain
}

// within is an instant at which both certificates are valid.
func within(a, b merchant.PublicKey) time.Time {
	if a.NotBefore.After(b.NotBefore) {
		return a.NotBefore.Add(time.Hour)
	}
	return b.NotBefore.Add(time.Hour)
}

func newer(a, b merchant.PublicKey) string {
	if a.NotAfter.After(b.NotAfter) {
		return "gen_platform_a"
	}
	return "gen_platform_b"
}

func TestAbnormalBody_refuses_what_could_never_be_right(t *testing.T) {
	t.Parallel()
	c := newClient(t, ClientOptions{})
	for says, change := range map[string]func(*AbnormalRequest){
		"out_refund_no": func(r *AbnormalRequest) { r.OutRefundNo = "" },
		"type must be":  func(r *AbnormalRequest) { r.Type = "CASH" },
		"bank_type":     func(r *AbnormalRequest) { r.BankType = "" },
		"bank_account":  func(r *AbnormalRequest) { r.BankAccount = "" },
		"real_name":     func(r *AbnormalRequest) { r.RealName = "" },
		"too long":      func(r *AbnormalRequest) { r.BankAccount = strings.Repeat("6222", 100) },
		"real_name: it": func(r *AbnormalRequest) { r.RealName = strings.Repeat("6222", 100) },
	} {
		r := testAbnormal()
		change(&r)
		_, _, err := c.AbnormalBody(r)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "6222")
	}
	body, keyID, err := c.AbnormalBody(AbnormalRequest{OutRefundNo: "R1", Type: ToMerchantCard})
	require.NoError(t, err)
	require.Empty(t, keyID, "nothing is encrypted")
	require.JSONEq(t, `{"out_refund_no":"R1","type":"MERCHANT_BANK_CARD"}`, string(body))
}

func TestAbnormalRequest_hides_account_and_name(t *testing.T) {
	t.Parallel()
	r := testAbnormal()
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		_, _ = fmt.Fprintf(&out, verb, r)
		_, _ = fmt.Fprintf(&out, verb, []any{&r, r})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "r", r)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "r", r)
	require.NotContains(t, out.String(), "6222")
	require.NotContains(t, out.String(), "张三")
	require.Contains(t, out.String(), "R20260101000001")
}

func TestClient_ApplyAbnormal(t *testing.T) {
	t.Parallel()
	const refundID = "50000000382019052709732678859"
	p := newPlatform(t, strings.Replace(testRefundAnswer, `"SUCCESS"`, `"PROCESSING"`, 1))
	c := newClient(t, ClientOptions{BaseURL: p.start()})
	body, _, err := c.AbnormalBody(testAbnormal())
	require.NoError(t, err)
	got, err := c.ApplyAbnormal(t.Context(), refundID, "5157F09EFDC096DE15EBE81A47057A7232F1B8E1", body)
	require.NoError(t, err)
	require.Equal(t, RefundProcessing, got.Status)
	require.Equal(t, string(body), p.bodies[0])
	require.Equal(t, "/v3/refund/domestic/refunds/"+refundID+"/apply-abnormal-refund", p.requests[0].RequestURI)
	require.Equal(t, []string{"5157F09EFDC096DE15EBE81A47057A7232F1B8E1"}, p.requests[0].Header.Values(HeaderSerial), "the key that the fields are encrypted under")
	_, err = c.ApplyAbnormal(t.Context(), refundID, "", body)
	require.NoError(t, err)
	require.Equal(t, []string{p.serial}, p.requests[1].Header.Values(HeaderSerial), "else the usual one")

	_, err = c.ApplyAbnormal(t.Context(), "another", "", body)
	requireClass(t, ClassUnknown, err, "the answer is about another refund")
	for _, stored := range []string{"", "{}", "<xml/>"} {
		_, err = c.ApplyAbnormal(t.Context(), refundID, "", []byte(stored))
		requireClass(t, ClassConfig, err)
	}
	_, err = c.ApplyAbnormal(t.Context(), "", "", body)
	requireClass(t, ClassConfig, err)

	refusing := newPlatform(t, `{"code":"INVALID_REQUEST"}`)
	refusing.status = http.StatusBadRequest
	_, err = newClient(t, ClientOptions{BaseURL: refusing.start()}).ApplyAbnormal(t.Context(), refundID, "", body)
	require.Equal(t, RefundRejected, RefundVerdictOf(err))
	probing := newPlatform(t, testRefundAnswer)
	probing.change = func(h http.Header) { h.Set(HeaderSignature, "WECHATPAY/SIGNTEST/x") }
	_, err = newClient(t, ClientOptions{BaseURL: probing.start()}).ApplyAbnormal(t.Context(), refundID, "", body)
	require.Equal(t, RefundUnknown, RefundVerdictOf(err))
	require.Equal(t, pay.OutRefundNo("R20260101000001"), got.OutRefundNo)
}

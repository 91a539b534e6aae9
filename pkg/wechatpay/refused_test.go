package wechatpay

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// TestClient_a_refusal_counts_by_its_signature: "no such refund" decides whether
// a new one may be made, so nobody but WeChat Pay may say it.
func TestClient_a_refusal_counts_by_its_signature(t *testing.T) {
	t.Parallel()
	drop := func(names ...string) func(http.Header) {
		return func(h http.Header) {
			for _, name := range names {
				h.Del(name)
			}
		}
	}
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	for name, tc := range map[string]struct {
		change   func(http.Header)
		believed bool
		verified bool
		reason   RejectReason
	}{
		"signed right":            {nil, true, true, ""},
		"not signed at all":       {drop(SignatureHeaders()...), true, false, ""},
		"a serial and no more":    {drop(HeaderSignature, HeaderTimestamp, HeaderNonce), true, false, ""},
		"a probe":                 {func(h http.Header) { h.Set(HeaderSignature, "WECHATPAY/SIGNTEST/"+h.Get(HeaderSignature)) }, false, false, ReasonBadSignature},
		"a probe that decodes":    {set(HeaderSignature, "WECHATPAY/SIGNTEST/AAAA"), false, false, ReasonBadSignature},
		"another nonce":           {set(HeaderNonce, "x"), false, false, ReasonBadSignature},
		"an old timestamp":        {set(HeaderTimestamp, "1600000000"), false, false, ReasonTimestamp},
		"an unknown key":          {set(HeaderSerial, "PUB_KEY_ID_9"), false, false, ReasonUnknownSerial},
		"no serial":               {drop(HeaderSerial), false, false, ReasonMissingHeader},
		"no signature":            {drop(HeaderSignature), false, false, ReasonMissingHeader},
		"no signature, no serial": {drop(HeaderSignature, HeaderSerial), false, false, ReasonMissingHeader},
		"no nonce":                {drop(HeaderNonce), false, false, ReasonMissingHeader},
		"no timestamp":            {drop(HeaderTimestamp), false, false, ReasonMissingHeader},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, `{"code":"RESOURCE_NOT_EXISTS","message":"退款单不存在"}`)
			p.status, p.change = http.StatusNotFound, tc.change
			c := newClient(t, ClientOptions{BaseURL: p.start(), Now: func() time.Time { return testAt }})
			got, err := c.QueryRefund(t.Context(), RefundQuery{Protocol: pay.ProtocolV3, OutRefundNo: "R1"})
			require.Equal(t, tc.believed, IsNotExist(err), "%v", err)
			require.Equal(t, tc.verified, IsVerifiedNotExist(err))
			var e *CallError
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.verified, e.Verified)
			require.Equal(t, http.StatusNotFound, e.Status)
			require.Equal(t, tc.reason, ReasonOf(err))
			require.Equal(t, tc.verified, len(got.Answer.Body) > 0, "a signed refusal is evidence, and no other")
			require.Equal(t, tc.verified, got.Answer.KeyID != "")
			if !tc.believed {
				require.Equal(t, ClassUnknown, e.Class)
				require.Empty(t, e.Code, "no code of what is not believed")
			}

			p.body, p.status = `{"code":"PARAM_ERROR"}`, http.StatusBadRequest
			_, err = c.SubmitRefund(t.Context(), pay.ProtocolV3, testRefundBody(t, c, pay.ProtocolV3))
			require.Equal(t, map[bool]RefundVerdict{true: RefundRejected, false: RefundUnknown}[tc.believed], RefundVerdictOf(err))
			p.status = http.StatusTooManyRequests
			_, err = c.QueryOrder(t.Context(), pay.Order{MchID: testMchID, OutTradeNo: "T20260101"})
			require.True(t, IsFrequencyLimited(err), "slowing down is always right")
		})
	}
}

func TestClient_speaks_only_the_protocols_that_it_has_keys_for(t *testing.T) {
	t.Parallel()
	v2, err := NewClient(credentialsV2(t), ClientOptions{BaseURL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	cred := testCredentials(t)
	cred.APIv2Keys = nil
	v3, err := NewClient(cred, ClientOptions{BaseURL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	for _, tc := range []struct {
		client   *Client
		protocol pay.Protocol
		says     string
	}{
		{v2, pay.ProtocolV3, "private_key_file"}, {v2, "", "private_key_file"}, {v3, pay.ProtocolV2, "api_v2_key_files"}, {v3, "v4", "no protocol"},
	} {
		order := pay.Order{MchID: testMchID, AppID: testAppID, OutTradeNo: "T20260101", Protocol: tc.protocol, Client: pay.ClientNative, PrepayRequest: []byte("x")}
		_, body := tc.client.PrepayBody(order, "https://pay.example.com/")
		_, _, prepay := tc.client.Prepay(t.Context(), order)
		_, query := tc.client.QueryOrder(t.Context(), order)
		_, shut := tc.client.CloseOrder(t.Context(), order)
		_, refund := tc.client.SubmitRefund(t.Context(), tc.protocol, []byte("x"))
		_, asked := tc.client.QueryRefund(t.Context(), RefundQuery{Protocol: tc.protocol, OutRefundNo: "R1"})
		for _, err := range []error{body, prepay, query, shut, refund, asked} {
			requireClass(t, ClassConfig, err)
			require.ErrorContains(t, err, tc.says)
			require.Equal(t, RefundBlocked, RefundVerdictOf(err))
		}
	}
	_, _, err = v2.Certificates(t.Context())
	require.ErrorContains(t, err, "private_key_file")
	_, err = v2.ApplyAbnormal(t.Context(), "5", "", []byte(`{"out_refund_no":"R1"}`))
	require.ErrorContains(t, err, "private_key_file")

	stranger := pay.Order{MchID: "1900000110", OutTradeNo: "T20260101", Protocol: pay.ProtocolV3, PrepayRequest: []byte("x")}
	_, _, prepay := v3.Prepay(t.Context(), stranger)
	_, query := v3.QueryOrder(t.Context(), stranger)
	_, shut := v3.CloseOrder(t.Context(), stranger)
	for _, err := range []error{prepay, query, shut} {
		require.ErrorContains(t, err, "1900000110", "asked under our name it would seem not to exist")
	}
	_, _, err = v3.Prepay(t.Context(), pay.Order{MchID: testMchID, Client: pay.ClientNative})
	require.ErrorContains(t, err, "no stored prepay request")
}

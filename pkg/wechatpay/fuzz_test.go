package wechatpay

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// requireSound holds whatever an input was: a refusal has a reason and is
// short, and what is accepted can be written down.
func requireSound(t *testing.T, n Notification, err error) {
	t.Helper()
	if err != nil {
		require.NotEmpty(t, ReasonOf(err))
		require.Less(t, len(err.Error()), 600)
		require.NotContains(t, err.Error(), testAPIv3Key)
		require.NotContains(t, err.Error(), testAPIv2Key)
		require.NotEqual(t, pay.LetterInternal, LetterCauseOf(err).Reason)
		require.Zero(t, n)
		return
	}
	require.Equal(t, testMchID, n.MchID)
	require.NotEmpty(t, n.KeyID)
	if n.Transaction != nil {
		requireBookable(t, *n.Transaction)
	}
	if n.Refund != nil {
		require.Nil(t, n.Refund.check())
	}
}

func requireBookable(t *testing.T, tx Transaction) {
	t.Helper()
	obs := tx.observation()
	require.NotContains(t, string(obs.OutTradeNo)+string(obs.TransactionID)+string(obs.OpenID), "\x00")
	if obs.Kind == pay.ObservedPaid {
		require.Positive(t, obs.Amount)
		require.NotEmpty(t, obs.TransactionID)
		require.NotEmpty(t, obs.Currency)
		require.False(t, obs.PaidAt.IsZero())
	}
}

func FuzzOpenV3(f *testing.F) {
	good := newForge(f).envelope(f, testPlain)
	h := good.Headers
	f.Add(h[HeaderTimestamp], h[HeaderNonce], h[HeaderSerial], h[HeaderSignature], h[HeaderSignatureType], good.Body, false)
	f.Add(h[HeaderTimestamp], h[HeaderNonce], h[HeaderSerial], "WECHATPAY/SIGNTEST/", "", good.Body, false)
	f.Add("", "", "", "", "", []byte(nil), false)
	f.Add("", "", "", "", "", good.Body, true)
	f.Add("", "", "", "", "", []byte(`{"id":"1","event_type":"E","resource":{"algorithm":"AEAD_AES_256_GCM","nonce":"x","ciphertext":"AA=="}}`), true)
	cred := testCredentials(f)
	f.Fuzz(func(t *testing.T, timestamp, nonce, serial, signature, signatureType string, body []byte, sign bool) {
		env := Envelope{MchID: testMchID, Kind: pay.DeliveryNotifyV3, ReceivedAt: testAt, Body: body, Headers: map[string]string{
			HeaderTimestamp: timestamp, HeaderNonce: nonce, HeaderSerial: serial, HeaderSignature: signature, HeaderSignatureType: signatureType,
		}}
		if sign && len(body) <= MaxBodyBytes { // behind the signature, too
			env = newForge(t).sign(t, body)
		}
		n, err := Open(env, cred)
		requireSound(t, n, err)
		if err == nil && !sign {
			require.True(t, bytes.Equal(good.Body, body), "nothing but what was signed is believed")
		}
	})
}

func FuzzResource(f *testing.F) {
	f.Add(EventTransactionSuccess, []byte(testPlain))
	f.Add(EventRefundSuccess, []byte(`{"mchid":"1900000109","transaction_id":"4","out_trade_no":"T1","refund_id":"5","out_refund_no":"R1",`+
		`"refund_status":"SUCCESS","success_time":"2026-01-01T08:10:00+08:00","amount":{"total":100,"refund":40,"payer_total":95,"payer_refund":38}}`))
	f.Add("PAYSCORE.USER_OPEN_SERVICE", []byte(`{}`))
	f.Add(EventTransactionSuccess, []byte(`{"amount":{"total":1e3}}`))
	f.Fuzz(func(t *testing.T, event string, plain []byte) {
		n := Notification{MchID: testMchID, KeyID: "k", EventType: event}
		got, rejected := n.readV3(plain)
		if rejected != nil {
			requireSound(t, Notification{}, rejected)
			return
		}
		requireSound(t, got, nil)
	})
}

func FuzzV2XML(f *testing.F) {
	f.Add([]byte(signed(f, fieldsOfPayment(), testAPIv2Key, signTypeMD5)))
	f.Add([]byte(`<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><return_code>&e;</return_code></xml>`))
	f.Add([]byte(`<?xml version="1.0" encoding="UTF-8"?><xml><a><![CDATA[1]]>2&amp;</a><b/></xml>`))
	f.Add([]byte(`<xml><a><b>1</b></a></xml>`))
	cred := testCredentials(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, kind := range []pay.DeliveryKind{pay.DeliveryNotifyV2Pay, pay.DeliveryNotifyV2Refund} {
			n, err := Open(envelopeV2(t, kind, string(text)), cred)
			requireSound(t, n, err)
		}
		fields, rejected := parseXML(text, "xml")
		if rejected != nil {
			return
		}
		require.NotContains(t, string(text), "<!DOCTYPE")
		again, rejected := parseXML([]byte(toXML(t, "xml", fields)), "xml")
		if rejected == nil { // escaping may lengthen it past the bound
			require.Equal(t, fields, again)
		}
		n, err := Open(envelopeV2(t, pay.DeliveryNotifyV2Pay, signed(t, fields, merchant.Secret(testAPIv2Key), signTypeHMAC)), cred)
		var e *VerifyError
		if errors.As(err, &e) {
			require.NotEqual(t, ReasonBadSignature, e.Reason, "what was signed verifies")
		}
		requireSound(t, n, err)
	})
}

// FuzzAnswerV2 gives a client of v2 any answer, as it came or signed right.
func FuzzAnswerV2(f *testing.F) {
	f.Add([]byte(toXML(f, "xml", acceptedV2("return_code", "SUCCESS", "result_code", "SUCCESS", "appid", string(testAppID), "mch_id", string(testMchID)))), true)
	f.Add([]byte(`<xml><return_code>SUCCESS</return_code><result_code>FAIL</result_code><mch_id>1900000109</mch_id><err_code>REFUNDNOTEXIST</err_code></xml>`), true)
	f.Add([]byte(`<xml><return_code>FAIL</return_code><return_msg>x</return_msg><err_code>REFUNDNOTEXIST</err_code></xml>`), false)
	f.Add([]byte(`<xml><return_code>SUCCESS</return_code><result_code>SUCCESS</result_code><mch_id>1900000109</mch_id><appid>wx8888888888888888</appid>`+
		`<out_trade_no>T20260101</out_trade_no><trade_state>SUCCESS</trade_state><refund_count>1</refund_count><out_refund_no_0>R1</out_refund_no_0></xml>`), true)
	c := newClientV2(f, "")
	sent := fieldsV2{"mch_id": string(testMchID), "appid": string(testAppID), "out_refund_no": "R20260101000001"}
	f.Fuzz(func(t *testing.T, text []byte, sign bool) {
		if fields, rejected := parseXML(text, "xml"); sign && rejected == nil {
			text = []byte(signed(t, fields, testAPIv2Key, signTypeMD5))
		}
		fields, answer, err := c.openAnswerV2(Answer{Body: text}, sent)
		if err != nil {
			var e *CallError
			require.ErrorAs(t, err, &e)
			require.Less(t, len(err.Error()), 600)
			require.NotContains(t, err.Error(), testAPIv2Key)
			require.Equal(t, e.Verified, answer.KeyID != "")
			require.False(t, IsNotExist(err) && !sign && bytes.Contains(text, []byte("<return_code>FAIL")))
			return
		}
		require.Equal(t, string(testMchID), fields["mch_id"])
		require.NotEmpty(t, answer.KeyID)
		if tx, rejected := fields.transaction(TradeState(fields["trade_state"])); rejected == nil {
			requireBookable(t, tx)
		}
		if a, rejected := fields.refundAccepted(); rejected == nil {
			require.Positive(t, a.Amount)
		}
		if n, err := fields.placeOf("R1"); err == nil {
			if a, rejected := fields.refundAt(n); rejected == nil {
				require.Equal(t, pay.OutRefundNo("R1"), a.OutRefundNo)
				require.NotEmpty(t, a.Status)
			}
		}
	})
}

// FuzzRefundV3 gives the reader of refunds any verified body.
func FuzzRefundV3(f *testing.F) {
	f.Add([]byte(testRefundAnswer))
	f.Add([]byte(`{"amount":{"refund":1e3,"total":"1"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, rejected := parseRefund(text)
		if rejected != nil {
			require.Less(t, len(rejected.Error()), 600)
			return
		}
		require.Positive(t, a.Amount)
		require.NotContains(t, a.RefundID+string(a.OutRefundNo)+a.ReceivedAccount, "\x00")
	})
}

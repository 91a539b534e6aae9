package wechatpay

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/signers"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestVectors_v3_requests_are_signed_as_published(t *testing.T) {
	t.Parallel()
	for _, v := range append(vectors(t, "v3_request_sign"), vectors(t, "rsa_sha256_sign")...) {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			if v.Method != "" {
				require.Equal(t, v.Message, strings.Join([]string{v.Method, v.URL, v.timestamp(), v.NonceStr, v.Body}, "\n")+"\n")
			}
			signer := signers.SHA256WithRSASigner{MchID: v.MchID, PrivateKey: privateKey(t, v.Key), CertificateSerialNo: "1"}
			got, err := signer.Sign(context.Background(), v.Message)
			require.NoError(t, err)
			require.Equal(t, v.Signature, got.Signature)
		})
	}
}

func TestVectors_v3_pay_parameters_are_signed_as_published(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "v3_paysign") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			unix, err := json.Number(v.timestamp()).Int64()
			require.NoError(t, err)
			prepayID := strings.TrimPrefix(v.PrepayID, "prepay_id=")
			order := pay.Order{MchID: "1900000109", AppID: pay.AppID(v.AppID), Client: pay.ClientJSAPI, Credential: pay.Credential{PrepayID: prepayID}}
			if v.ID == "v3paysign-app" { // signs the bare prepay_id
				order.Client = pay.ClientApp
			}
			got, err := ClientParams(order, &merchant.Credentials{PrivateKey: privateKey(t, v.Key)}, time.Unix(unix, 0), v.NonceStr)
			require.NoError(t, err)
			if order.Client == pay.ClientApp {
				require.Equal(t, PayParams{ClientPay: &ClientPay{Client: pay.ClientApp, App: &AppParams{
					AppID: v.AppID, PartnerID: "1900000109", PrepayID: prepayID, Package: "Sign=WXPay",
					NonceStr: v.NonceStr, Timestamp: v.timestamp(), Sign: v.PaySign,
				}}}, got)
				return
			}
			got.ClientPay = nil // its shapes have a test of their own
			require.Equal(t, PayParams{
				AppID: v.AppID, TimeStamp: v.timestamp(), NonceStr: v.NonceStr,
				Package: "prepay_id=" + prepayID, SignType: "RSA", PaySign: v.PaySign,
			}, got)
		})
	}
}

func TestVectors_v3_answers_verify(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "v3_verify") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			key := wechatKey(t, v.Key)
			got, err := VerifySignature(Envelope{Headers: v.Headers, Body: []byte(v.Body)}, merchant.NewKeyring(key), time.Unix(v.Now, 0))
			require.NoError(t, err)
			require.Equal(t, key.ID, got)
		})
	}
}

func TestVectors_AEAD(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "v3_aead") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			plain, rejected := decryptGCM([]byte(v.APIv3Key), v.Nonce, v.AssociatedData, v.Ciphertext)
			if v.Expect != "" {
				require.NotNil(t, rejected)
				require.Equal(t, ReasonDecryptFailed, rejected.Reason)
				return
			}
			require.Nil(t, rejected)
			require.Equal(t, v.Plaintext, string(plain))
		})
	}
}

func TestVectors_v3_notifications(t *testing.T) {
	t.Parallel()
	expected := map[string]RejectReason{
		"reject:header": ReasonMissingHeader, "reject:timestamp": ReasonTimestamp, "reject:serial": ReasonUnknownSerial,
		"reject:signature": ReasonBadSignature, "reject:decrypt": ReasonDecryptFailed,
	}
	for _, v := range vectors(t, "v3_notification") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			cred := testCredentials(t)
			cred.APIv3Keys = []merchant.Secret{merchant.Secret(v.APIv3Key)}
			env := Envelope{MchID: testMchID, Kind: pay.DeliveryNotifyV3, ReceivedAt: time.Unix(v.Now, 0), Headers: v.Headers, Body: []byte(v.Body)}
			n, err := Open(env, cred)
			if v.ID == "notify-sdk-payscore" { // under a key of 16 bytes, which Open refuses
				requireRejected(t, err, ReasonDecryptFailed)
				requireOpens(t, v)
				return
			}
			if v.Expect != "ok" {
				requireRejected(t, err, expected[v.Expect])
				return
			}
			require.NoError(t, err)
			requireReads(t, v, n)
		})
	}
}

// requireOpens checks signature and encryption apart from the key's length.
func requireOpens(t *testing.T, v vector) {
	t.Helper()
	_, err := VerifySignature(Envelope{Headers: v.Headers, Body: []byte(v.Body)}, testKeyring(t), time.Unix(v.Now, 0))
	require.NoError(t, err)
	var notice noticeV3
	require.NoError(t, json.Unmarshal([]byte(v.Body), &notice))
	r := notice.Resource
	plain, rejected := decryptGCM([]byte(v.APIv3Key), r.Nonce, r.AssociatedData, r.Ciphertext)
	require.Nil(t, rejected)
	require.Equal(t, v.Plaintext, string(plain))
}

func requireReads(t *testing.T, v vector, n Notification) {
	t.Helper()
	require.Equal(t, wechatKey(t, v.Key).ID, n.KeyID)
	require.Equal(t, pay.ProtocolV3, n.Protocol)
	if v.EventType == "" {
		return
	}
	require.Equal(t, v.EventType, n.EventType)
	obs, about := n.Observation(pay.SourceNotification)
	switch v.EventType {
	case EventTransactionSuccess:
		require.True(t, about)
		require.Equal(t, pay.ObservedPaid, obs.Kind)
		require.Equal(t, testMchID, obs.MchID)
		require.Equal(t, pay.OutTradeNo("T20260101000001"), obs.OutTradeNo)
		require.Equal(t, pay.TransactionID("4200002567202601011234567890"), obs.TransactionID)
		require.Equal(t, pay.Fen(100), obs.Amount)
		require.Equal(t, pay.Fen(95), obs.PayerTotal)
		require.Equal(t, pay.CNY, obs.Currency)
		require.Equal(t, time.UTC, obs.PaidAt.Location())
	case EventRefundSuccess, EventRefundClosed:
		require.False(t, about)
		require.Equal(t, NotificationRefund, n.Kind)
		require.Equal(t, pay.OutRefundNo("R20260101000001"), n.Refund.OutRefundNo[:15])
		require.Equal(t, pay.Fen(100), n.Refund.Total)
		require.False(t, n.Refund.Hint)
	default:
		require.False(t, about)
		require.Equal(t, NotificationOther, n.Kind)
	}
}

func TestVectors_certificates_decrypt_to_their_serials(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "v3_certificates") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			body := []byte(v.Response)
			var quoted string
			if json.Unmarshal(body, &quoted) == nil {
				body = []byte(quoted)
			}
			_, err := readCertificates(body, []merchant.Secret{merchant.Secret(v.APIv3Key)})
			requireRejected(t, err, ReasonDecryptFailed) // the published key has 16 bytes

			var list struct {
				Data []struct {
					SerialNo    string     `json:"serial_no"`
					Certificate resourceV3 `json:"encrypt_certificate"`
				} `json:"data"`
			}
			require.NoError(t, json.Unmarshal(body, &list))
			require.Len(t, list.Data, len(v.Certs))
			for i, entry := range list.Data {
				text, rejected := decryptGCM([]byte(v.APIv3Key), entry.Certificate.Nonce, entry.Certificate.AssociatedData, entry.Certificate.Ciphertext)
				require.Nil(t, rejected)
				key, err := merchant.ParseCertificatePEM(text)
				require.NoError(t, err)
				require.Equal(t, v.Certs[i].SerialNo, key.ID)
				require.Equal(t, strings.TrimSpace(v.Certs[i].PEM), strings.TrimSpace(string(text)))
			}
		})
	}
}

func TestVectors_v2_sign(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "v2_sign") {
		require.Equal(t, v.Sign, signV2(v.Params, merchant.Secret(v.Key), v.SignType), v.ID)
	}
}

func TestVectors_v2_notifications(t *testing.T) {
	t.Parallel()
	expected := map[string]RejectReason{"reject:signature": ReasonBadSignature, "reject:doctype": ReasonMalformed}
	for _, v := range vectors(t, "v2_notify") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			cred := testCredentials(t)
			cred.Merchant.MchID = "10000100"
			cred.APIv2Keys = []merchant.Secret{merchant.Secret(v.Key)}
			env := Envelope{MchID: "10000100", Kind: pay.DeliveryNotifyV2Pay, ReceivedAt: testAt, Body: []byte(v.XML)}
			n, err := Open(env, cred)
			if v.Expect != "ok" {
				requireRejected(t, err, expected[v.Expect])
				return
			}
			require.NoError(t, err)
			require.Equal(t, "apiv2#1/"+v.SignType, n.KeyID)
			require.Equal(t, v.AckSuccess, string(AckV2(true, "OK")))
			obs, ok := n.Observation(pay.SourceNotification)
			require.True(t, ok)
			require.Equal(t, pay.ObservedPaid, obs.Kind)
			require.Equal(t, pay.Fen(1), obs.Amount)
			require.Equal(t, time.Date(2014, 9, 3, 5, 15, 40, 0, time.UTC), obs.PaidAt, "v2 times are Beijing time")
		})
	}
}

func TestVectors_v2_refund_notices(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "v2_refund_notify") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			key := merchant.Secret(v.Key)
			require.Equal(t, v.MD5Key, string(reqInfoKey(key)))
			fields, keyID, rejected := decryptReqInfo(v.ReqInfo, []merchant.Secret{"another", key})
			require.Nil(t, rejected)
			require.Equal(t, "apiv2#2/AES-256-ECB", keyID)
			want, rejected := parseXML([]byte(v.Plaintext), "root")
			require.Nil(t, rejected)
			require.Equal(t, want, fields)
			if v.XML == "" {
				return
			}
			cred := testCredentials(t)
			cred.Merchant.MchID = "1323519301"
			cred.APIv2Keys = []merchant.Secret{key}
			n, err := Open(Envelope{MchID: "1323519301", Kind: pay.DeliveryNotifyV2Refund, ReceivedAt: testAt, Body: []byte(v.XML)}, cred)
			require.NoError(t, err)
			require.True(t, n.Refund.Hint, "nobody signed it")
			require.Equal(t, pay.Fen(3960), n.Refund.Refund)
			require.Equal(t, time.Date(2018, 11, 19, 8, 24, 13, 0, time.UTC), n.Refund.SucceededAt)
		})
	}
}

package wechatpay

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func TestInspect_tells_which_keys_a_notification_takes(t *testing.T) {
	t.Parallel()
	const previous = merchant.Secret("0123456789abcdef0123456789abcdef")
	cred := testCredentials(t)
	cred.APIv3Keys = []merchant.Secret{testAPIv3Key, previous}
	f := newForge(t)
	f.apiV3Key = previous.Reveal()
	env := f.envelope(t, testPlain)
	i := Inspect(env, cred)
	require.Nil(t, i.Refusal)
	require.Nil(t, i.Undeciphered)
	require.Equal(t, pay.ProtocolV3, i.Protocol)
	require.Equal(t, f.serial, i.Serial)
	require.Equal(t, f.serial, i.KeyID)
	require.Equal(t, testAt, i.SignedAt)
	require.Equal(t, 2, i.Place)
	require.JSONEq(t, testPlain, string(i.Resource))
	require.Equal(t, env.Headers[HeaderTimestamp]+"\nnonce-1\n"+string(env.Body)+"\n", string(i.Message))
}

func TestInspect_tells_apart_what_is_wrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change    func(*Envelope, *merchant.Credentials)
		signature RejectReason
		cipher    RejectReason
		onlyTime  bool
	}{
		"a body changed by one byte": {func(e *Envelope, _ *merchant.Credentials) {
			e.Body = []byte(strings.Replace(string(e.Body), "EV-1", "EV-2", 1))
		}, ReasonBadSignature, "", false},
		"a time that is off": {func(e *Envelope, _ *merchant.Credentials) { e.ReceivedAt = testAt.Add(replayWindow * time.Second) }, ReasonTimestamp, "", true},
		"a time that is off, of a forgery": {func(e *Envelope, _ *merchant.Credentials) {
			e.ReceivedAt, e.Headers[HeaderNonce] = testAt.Add(-time.Hour), "another"
		}, ReasonTimestamp, "", false},
		"a key that is not known":    {func(_ *Envelope, c *merchant.Credentials) { c.Keyring = nil }, ReasonUnknownSerial, "", false},
		"a header that is not there": {func(e *Envelope, _ *merchant.Credentials) { delete(e.Headers, HeaderNonce) }, ReasonMissingHeader, "", false},
		"no key that decrypts":       {func(_ *Envelope, c *merchant.Credentials) { c.APIv3Keys = nil }, "", ReasonDecryptFailed, false},
		"a body that is no JSON":     {func(e *Envelope, _ *merchant.Credentials) { e.Body = []byte("{") }, ReasonBadSignature, ReasonMalformed, false},
		"another merchant":           {func(e *Envelope, _ *merchant.Credentials) { e.MchID = "1900000110" }, ReasonUnknownMerchant, "", false},
		"what is no notification":    {func(e *Envelope, _ *merchant.Credentials) { e.Kind = pay.DeliveryAnswer }, ReasonMalformed, "", false},
		"more than is ever read":     {func(e *Envelope, _ *merchant.Credentials) { e.Body = make([]byte, MaxBodyBytes+1) }, ReasonBodyTooLarge, "", false},
		"everything as it should be": {func(*Envelope, *merchant.Credentials) {}, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, cred := newForge(t).envelope(t, testPlain), testCredentials(t)
			tc.change(&env, cred)
			i := Inspect(env, cred)
			require.Equal(t, tc.signature, reasonIn(i.Refusal))
			require.Equal(t, tc.cipher, reasonIn(i.Undeciphered))
			require.Equal(t, tc.onlyTime, i.OnlyTime)
			require.Equal(t, tc.signature == "", i.KeyID != "", "a key is named where one verified")
			_, err := Open(env, cred)
			require.Equal(t, tc.signature == "" && tc.cipher == "", err == nil, "it says what Open does")
		})
	}
}

func TestInspect_reads_protocol_v2(t *testing.T) {
	t.Parallel()
	cred := testCredentials(t)
	cred.APIv2Keys = []merchant.Secret{"another-key-another-key-another-", testAPIv2Key}
	i := Inspect(envelopeV2(t, pay.DeliveryNotifyV2Pay, signed(t, fieldsOfPayment(), testAPIv2Key, signTypeMD5)), cred)
	require.Nil(t, i.Refusal)
	require.Equal(t, pay.ProtocolV2, i.Protocol)
	require.Equal(t, "apiv2#2/MD5", i.KeyID)
	require.Zero(t, i.Place, "nothing is encrypted")
	require.Empty(t, i.Message, "what is signed ends in the secret")

	forged := fieldsOfPayment()
	body := strings.Replace(signed(t, forged, testAPIv2Key, signTypeMD5), "<total_fee>100<", "<total_fee>1<", 1)
	require.Equal(t, ReasonBadSignature, reasonIn(Inspect(envelopeV2(t, pay.DeliveryNotifyV2Pay, body), cred).Refusal))

	for _, v := range vectors(t, "v2_refund_notify") {
		cred.APIv2Keys = []merchant.Secret{"another-key-another-key-another-", merchant.Secret(v.Key)}
		i := Inspect(envelopeV2(t, pay.DeliveryNotifyV2Refund, toXML(t, "xml", fieldsV2{"req_info": v.ReqInfo})), cred)
		require.Nil(t, i.Refusal, v.ID)
		require.Equal(t, 2, i.Place)
		require.Contains(t, string(i.Resource), "<root>")
	}
}

func reasonIn(e *VerifyError) RejectReason {
	if e == nil {
		return ""
	}
	return e.Reason
}

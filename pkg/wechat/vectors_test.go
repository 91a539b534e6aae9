package wechat

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func asAppID(s string) pay.AppID { return pay.AppID(s) }

func unixTime(t *testing.T, s string) time.Time {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(t, err)
	return time.Unix(n, 0)
}

func TestVectors_pages_are_signed_as_published(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "jssdk_sign") {
		for _, fragment := range []string{"", "#", "#/cart?x=1#y"} {
			got := JSConfig("wx1", merchant.Secret(v.Ticket), v.URL+fragment, unixTime(t, v.Timestamp), v.NonceStr)
			require.Equal(t, v.Signature, got.Signature)
			require.Equal(t, JSConfigParams{AppID: "wx1", Timestamp: 1414587457, NonceStr: v.NonceStr, Signature: v.Signature}, got)
		}
	}
}

func TestVectors_encrypted_user_data_opens_as_published(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "mini_decrypt") {
		got, err := OpenUserData(merchant.Secret(v.SessionKey), asAppID(v.AppID), v.EncryptedData, v.IV, time.Unix(1477314187, 0))
		require.NoError(t, err)
		require.JSONEq(t, v.Plaintext, string(got.Raw))
		require.Equal(t, pay.OpenID("oGZUI0egBJY1zhBYw2KhdUfwVJJE"), got.OpenID)
		require.Equal(t, pay.UnionID("ocMvos6NjeKLIBqg5Mr9QjxrP1FA"), got.UnionID)
		require.Equal(t, "Band", got.Nickname)
		require.Equal(t, int64(1477314187), got.WatermarkAt.Unix())
	}
}

func TestVectors_raw_data_fits_its_published_signature(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "mini_rawdata") {
		require.NoError(t, CheckRawData(v.RawData, v.Signature, merchant.Secret(v.SessionKey)))
		requireReason(t, RejectSignature, CheckRawData(v.RawData+" ", v.Signature, merchant.Secret(v.SessionKey)))
		requireReason(t, RejectSignature, CheckRawData(v.RawData, v.Signature, testSecret))
		requireReason(t, RejectSignature, CheckRawData(v.RawData, "", merchant.Secret(v.SessionKey)))
	}
}

func TestVectors_addresses_verify_as_published(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "push_url_verify") {
		token := merchant.Secret(v.Token)
		require.NoError(t, VerifyURL(token, v.Timestamp, v.Nonce, v.Signature))
		requireReason(t, RejectSignature, VerifyURL(token, v.Timestamp, v.Nonce+"1", v.Signature))
		requireReason(t, RejectSignature, VerifyURL("another", v.Timestamp, v.Nonce, v.Signature))
		requireReason(t, RejectSignature, VerifyURL("", v.Timestamp, v.Nonce, sortedSignature(v.Timestamp, v.Nonce)))
	}
}

func TestVectors_messages_decrypt_as_published(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "msg_aes_decrypt") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, v.MsgSignature, sortedSignature(v.Token, v.Timestamp, v.Nonce, v.Encrypt))
			text, key, err := decryptMessage(v.keys(), v.Encrypt)
			require.NoError(t, err)
			require.Zero(t, key)
			require.Equal(t, v.Plaintext, string(text))
			if v.XML == "" {
				return // an address that was verified in safe mode: no message
			}
			q := PushQuery{Encrypted: true, MsgSignature: v.MsgSignature, Timestamp: v.Timestamp, Nonce: v.Nonce}
			opened, err := OpenMessage(v.keys(), q, []byte(v.XML))
			require.NoError(t, err)
			require.Equal(t, v.Plaintext, string(opened.Message.Raw))
			require.NotEmpty(t, opened.Message.FromUser)
		})
	}
}

func TestVectors_replies_encrypt_as_published(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "msg_aes_encrypt") {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			got, err := encryptMessage(asAppID(v.AppID), merchant.Secret(v.EncodingAESKey), []byte(v.Message), []byte(v.Random16))
			require.NoError(t, err)
			require.Equal(t, v.Encrypt, got)
			if v.MsgSignature == "" {
				return
			}
			sealed, err := SealReply(v.keys(), Opened{Key: 0}, []byte(v.Message), v.Timestamp, v.Nonce, []byte(v.Random16))
			require.NoError(t, err)
			fields, err := parseXML(sealed)
			require.NoError(t, err)
			require.Equal(t, map[string]string{"Encrypt": v.Encrypt, "MsgSignature": v.MsgSignature, "TimeStamp": v.Timestamp, "Nonce": v.Nonce}, fields)
		})
	}
}

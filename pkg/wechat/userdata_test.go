package wechat

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var testIV = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))

// sealUserData encrypts as WeChat does, with any padding.
func sealUserData(tb testing.TB, plain string, padding []byte) string {
	tb.Helper()
	key, err := base64.StdEncoding.DecodeString(testSessionKey)
	require.NoError(tb, err)
	block, err := aes.NewCipher(key)
	require.NoError(tb, err)
	data := append([]byte(plain), padding...)
	cipher.NewCBCEncrypter(block, []byte("0123456789abcdef")).CryptBlocks(data, data)
	return base64.StdEncoding.EncodeToString(data)
}

func padded(plain string) []byte {
	n := aes.BlockSize - len(plain)%aes.BlockSize
	return bytes.Repeat([]byte{byte(n)}, n)
}

func profileOf(appid string, at time.Time) string {
	return fmt.Sprintf(`{"openId":"%s","nickName":"x","watermark":{"timestamp":%d,"appid":"%s"}}`, testOpenID, at.Unix(), appid)
}

func TestOpenUserData_takes_only_what_is_fresh(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]RejectReason{
		0: "", 10 * time.Minute: "", 10*time.Minute + time.Second: RejectStale, -5 * time.Minute: "", -5*time.Minute - time.Second: RejectStale,
		50 * 365 * 24 * time.Hour: RejectStale,
	} {
		plain := profileOf(testAppID, testAt.Add(-age))
		_, err := OpenUserData(testSessionKey, testAppID, sealUserData(t, plain, padded(plain)), testIV, testAt)
		require.Equal(t, want, ReasonOf(err), "%s: %v", age, err)
	}
}

func TestOpenUserData_refuses_what_is_not_this_sessions(t *testing.T) {
	t.Parallel()
	plain := profileOf(testAppID, testAt)
	good := sealUserData(t, plain, padded(plain))
	foreign := profileOf("wx0000000000000000", testAt)
	noMark := `{"openId":"x"}`
	for name, c := range map[string]struct {
		data, iv string
		want     RejectReason
	}{
		"good":                  {good, testIV, ""},
		"another app's":         {sealUserData(t, foreign, padded(foreign)), testIV, RejectForeign},
		"without a watermark":   {sealUserData(t, noMark, padded(noMark)), testIV, RejectForeign},
		"tampered":              {flipped(t, good, 40), testIV, RejectDecrypt},
		"tampered at the end":   {flipped(t, good, -1), testIV, RejectDecrypt},
		"of half a block":       {base64.StdEncoding.EncodeToString([]byte("12345678")), testIV, RejectMalformed},
		"empty":                 {"", testIV, RejectMalformed},
		"with a short iv":       {good, "MTIz", RejectMalformed},
		"not base64":            {"%%%", testIV, RejectMalformed},
		"with padding of zero":  {sealUserData(t, plain, make([]byte, len(padded(plain)))), testIV, RejectDecrypt},
		"too long":              {string(bytes.Repeat([]byte("A"), maxUserDataBytes+1)), testIV, RejectMalformed},
		"of padding only, 0x10": {sealUserData(t, "", bytes.Repeat([]byte{16}, 16)), testIV, RejectDecrypt},
	} {
		_, err := OpenUserData(testSessionKey, testAppID, c.data, c.iv, testAt)
		require.Equal(t, c.want, ReasonOf(err), "%s: %v", name, err)
		if err != nil {
			requireNoSecret(t, err.Error())
			require.NotContains(t, err.Error(), testOpenID)
		}
	}
	_, err := OpenUserData("not a key", testAppID, good, testIV, testAt)
	requireReason(t, RejectDecrypt, err)
	_, err = OpenUserData("AAAAAAAAAAAAAAAAAAAAAA==", testAppID, good, testIV, testAt)
	requireReason(t, RejectDecrypt, err)
}

// flipped changes one bit of a base64 text's byte; a negative one counts from the end.
func flipped(t *testing.T, encoded string, at int) string {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 1
	return base64.StdEncoding.EncodeToString(data)
}

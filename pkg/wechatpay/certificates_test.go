package wechatpay

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// certificateList is an answer of /v3/certificates; serials name keys of the vectors.
func certificateList(tb testing.TB, key string, serials map[string]string) string {
	tb.Helper()
	block, err := aes.NewCipher([]byte(key))
	require.NoError(tb, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(tb, err)
	list := []map[string]any{}
	for serial, name := range serials {
		sealed := aead.Seal(nil, []byte("61f9c719728a"), []byte(testKey(tb, name).Cert), []byte("certificate"))
		list = append(list, map[string]any{
			"serial_no": serial, "effective_time": "2021-01-06T08:00:00+08:00", "expire_time": "2026-01-06T08:00:00+08:00",
			"encrypt_certificate": map[string]string{
				"algorithm": algorithmAESGCM, "nonce": "61f9c719728a", "associated_data": "certificate",
				"ciphertext": base64.StdEncoding.EncodeToString(sealed),
			},
		})
	}
	text, err := json.Marshal(map[string]any{"data": list})
	require.NoError(tb, err)
	return string(text)
}

func TestClient_Certificates(t *testing.T) {
	t.Parallel()
	a, b := testKey(t, "gen_platform_a").SerialNo, testKey(t, "gen_platform_b").SerialNo
	both := map[string]string{a: "gen_platform_a", b: "gen_platform_b"}
	for name, tc := range map[string]struct {
		body     string
		signWith string
		serial   string
		known    []string
		reason   RejectReason
		ok       bool
	}{
		"the first time: signed by one of those it brings":  {certificateList(t, testAPIv3Key, both), "gen_platform_b", b, nil, "", true},
		"signed by the public key that is configured":       {certificateList(t, testAPIv3Key, both), "gen_wechatpay_public_key", testKey(t, "gen_wechatpay_public_key").KeyID, []string{"gen_wechatpay_public_key"}, "", true},
		"signed by a certificate that is known and not new": {certificateList(t, testAPIv3Key, map[string]string{a: "gen_platform_a"}), "gen_platform_b", b, []string{"gen_platform_b"}, "", true},
		"signed by nobody known":                            {certificateList(t, testAPIv3Key, map[string]string{a: "gen_platform_a"}), "gen_platform_b", b, nil, ReasonUnknownSerial, false},
		"signed by another than it says":                    {certificateList(t, testAPIv3Key, both), "gen_merchant", b, nil, ReasonBadSignature, false},
		"encrypted under another key":                       {certificateList(t, "0123456789abcdef0123456789abcdef", both), "gen_platform_b", b, nil, ReasonDecryptFailed, false},
		"under a serial that is not its own":                {certificateList(t, testAPIv3Key, map[string]string{b: "gen_platform_a"}), "gen_platform_b", b, []string{"gen_platform_b"}, "", false},
		"none":                                              {`{"data":[]}`, "gen_platform_b", b, []string{"gen_platform_b"}, "", false},
		"no JSON":                                           {`hello`, "gen_platform_b", b, []string{"gen_platform_b"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, tc.body)
			p.signWith, p.serial = tc.signWith, tc.serial
			cred := testCredentials(t)
			cred.Keyring = merchant.NewKeyring()
			for _, known := range tc.known {
				cred.Keyring.Put(wechatKey(t, known))
			}
			c, err := NewClient(cred, ClientOptions{BaseURL: p.start(), Now: func() time.Time { return testAt }})
			require.NoError(t, err)
			got, answer, err := c.Certificates(t.Context())
			if !tc.ok {
				require.Error(t, err)
				requireClass(t, ClassUnknown, err)
				require.Equal(t, tc.reason, ReasonOf(err))
				require.Empty(t, got)
				require.NotContains(t, err.Error(), "ciphertext")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.serial, answer.KeyID)
			for _, certificate := range got {
				again, err := merchant.ParseCertificatePEM(certificate.PEM)
				require.NoError(t, err)
				require.Equal(t, certificate.Key, again)
				require.False(t, again.NotAfter.IsZero())
			}
			require.Equal(t, len(tc.known), cred.Keyring.Len(), "keeping them is the caller's business")
		})
	}
}

func TestClient_Certificates_of_a_merchant_that_has_none(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, `{"code":"RESOURCE_NOT_EXISTS","message":"无可用的平台证书"}`)
	p.status = http.StatusNotFound
	_, _, err := newClient(t, ClientOptions{BaseURL: p.start()}).Certificates(t.Context())
	require.True(t, IsNotExist(err))
}

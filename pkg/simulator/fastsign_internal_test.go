package simulator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSignatures_of_many_primes_are_those_of_the_standard_library(t *testing.T) {
	t.Parallel()
	keys, err := testKeys()
	require.NoError(t, err)
	require.Len(t, keys.platform.Primes, platformPrimes)
	require.Equal(t, rsaBits, keys.platform.N.BitLen())
	loaded, err := reload(keys.platform)
	require.NoError(t, err, "a key of many primes goes to disk and back")
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.String().Draw(t, "message")
		digest := sha256.Sum256([]byte(message))
		for _, key := range []*rsa.PrivateKey{keys.merchant, keys.wechatpay, keys.platform, loaded} {
			want, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
			require.NoError(t, err)
			got, err := signRSA(key, message)
			require.NoError(t, err)
			require.Equal(t, base64.StdEncoding.EncodeToString(want), got)
		}
	})
}

func reload(key *rsa.PrivateKey) (*rsa.PrivateKey, error) {
	text, err := privatePEM(key)
	if err != nil {
		return nil, err
	}
	return parsePrivatePEM(text)
}

func BenchmarkSign(b *testing.B) {
	keys, err := testKeys()
	require.NoError(b, err)
	for name, key := range map[string]*rsa.PrivateKey{"two primes": keys.merchant, "four primes": keys.platform} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = signRSA(key, "message")
			}
		})
	}
}

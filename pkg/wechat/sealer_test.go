package wechat

import (
	"crypto/ed25519"
	"testing"

	"github.com/stretchr/testify/require"
)

func newSealer(t *testing.T, seed byte) *Sealer {
	t.Helper()
	s, err := NewSealer(ed25519.NewKeyFromSeed(append(make([]byte, 31), seed)))
	require.NoError(t, err)
	return s
}

func TestSealer_opens_only_for_the_same_app_kind_and_key(t *testing.T) {
	t.Parallel()
	s := newSealer(t, 1)
	sealed := s.Seal(testAppID, KindAccessToken, []byte(testGlobalToken))
	requireNoSecret(t, string(sealed))
	require.NotEqual(t, sealed, s.Seal(testAppID, KindAccessToken, []byte(testGlobalToken)))
	plain, ok := newSealer(t, 1).Open(testAppID, KindAccessToken, sealed)
	require.True(t, ok)
	require.Equal(t, testGlobalToken, string(plain))

	_, ok = s.Open(testAppID, KindJSAPITicket, sealed)
	require.False(t, ok)
	_, ok = s.Open("wx1", KindAccessToken, sealed)
	require.False(t, ok)
	_, ok = newSealer(t, 2).Open(testAppID, KindAccessToken, sealed)
	require.False(t, ok)
	for i := range sealed {
		sealed[i] ^= 1
		_, ok = s.Open(testAppID, KindAccessToken, sealed)
		require.False(t, ok)
		sealed[i] ^= 1
	}
	_, ok = s.Open(testAppID, KindAccessToken, nil)
	require.False(t, ok)
	_, err := NewSealer(nil)
	require.Error(t, err)
}

package merchant_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
)

func TestKeyring_keeps_order_and_replaces_by_id(t *testing.T) {
	t.Parallel()
	key := &testRSA(t).PublicKey
	ring := merchant.NewKeyring(merchant.PublicKey{ID: "AB", Key: key}, merchant.PublicKey{ID: "PUB_KEY_ID_2", Key: key})
	ring.Put(merchant.PublicKey{ID: "PUB_KEY_ID_1", Key: key}, merchant.PublicKey{ID: "AB", Key: key, NotAfter: time.Unix(1, 0)},
		merchant.PublicKey{ID: "nil"}, merchant.PublicKey{Key: key})
	require.Equal(t, []string{"AB", "PUB_KEY_ID_2", "PUB_KEY_ID_1"}, ring.IDs())
	require.Equal(t, 3, ring.Len())
	require.Len(t, ring.All(), 3)
	found, ok := ring.Find("AB")
	require.True(t, ok)
	require.True(t, found.IsPlatform())
	require.Equal(t, time.Unix(1, 0), found.NotAfter)
	_, ok = ring.Find("ab")
	require.False(t, ok)
	id, ok := ring.PublicKeyID()
	require.True(t, ok)
	require.Equal(t, "PUB_KEY_ID_2", id, "the first that was configured")
	ring.Replace(merchant.PublicKey{ID: "CD", Key: key})
	require.Equal(t, []string{"CD"}, ring.IDs())
	_, ok = ring.PublicKeyID()
	require.False(t, ok)
}

func TestKeyring_nil_holds_nothing(t *testing.T) {
	t.Parallel()
	for _, ring := range []*merchant.Keyring{nil, {}} {
		_, ok := ring.Find("AB")
		require.False(t, ok)
		require.Zero(t, ring.Len())
		require.Empty(t, ring.IDs())
		require.Empty(t, ring.All())
	}
}

func TestKeyring_is_read_while_it_is_written(t *testing.T) {
	t.Parallel()
	key := &testRSA(t).PublicKey
	ring := merchant.NewKeyring(merchant.PublicKey{ID: "always", Key: key})
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 100 {
				ring.Put(merchant.PublicKey{ID: fmt.Sprintf("%d-%d", w, i), Key: key})
			}
		})
		all.Go(func() {
			for range 1000 {
				if _, ok := ring.Find("always"); !ok {
					t.Error("a key was gone for a moment")
				}
				_ = ring.IDs()
			}
		})
	}
	all.Wait()
	require.Equal(t, 401, ring.Len())
}

func TestPublicKey_ValidAt(t *testing.T) {
	t.Parallel()
	from, to := time.Unix(100, 0), time.Unix(200, 0)
	k := merchant.PublicKey{NotBefore: from, NotAfter: to}
	require.True(t, k.ValidAt(from))
	require.True(t, k.ValidAt(to))
	require.False(t, k.ValidAt(from.Add(-1)))
	require.False(t, k.ValidAt(to.Add(1)))
	require.True(t, merchant.PublicKey{}.ValidAt(time.Now()))
}

func TestPublicKey_PEM_reads_back(t *testing.T) {
	t.Parallel()
	k := merchant.PublicKey{ID: "AB", Key: &testRSA(t).PublicKey}
	text, err := k.PEM()
	require.NoError(t, err)
	back, err := merchant.ParsePublicKeyPEM(text)
	require.NoError(t, err)
	require.True(t, k.Key.Equal(back))
	_, err = merchant.PublicKey{ID: "AB"}.PEM()
	require.Error(t, err)
}

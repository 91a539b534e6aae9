package merchant_test

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

func apiKey(name, plain string) merchant.APIKey {
	return merchant.APIKey{Name: name, SHA256: sha256.Sum256([]byte(plain))}
}

func TestDirectory_finds_merchants_by_number_and_by_key(t *testing.T) {
	t.Parallel()
	given := []merchant.Merchant{
		{MchID: "1900000109", Apps: []merchant.App{{AppID: "wx1", Kind: "mini_program"}}, APIKeys: []merchant.APIKey{apiKey("shop", "fk_a"), apiKey("till", "fk_b")}},
		{MchID: "1900000110", APIKeys: []merchant.APIKey{apiKey("shop", "fk_c")}},
		{MchID: "1900000111"},
	}
	d, err := merchant.NewDirectory(given)
	require.NoError(t, err)
	given[0].MchID = "changed"
	require.Len(t, d.All(), 3)
	require.Equal(t, pay.MchID("1900000109"), d.All()[0].MchID)

	m, ok := d.ByMchID("1900000109")
	require.True(t, ok)
	require.True(t, m.HasApp("wx1"))
	require.False(t, m.HasApp("wx2"))
	_, ok = d.ByMchID("1900000112")
	require.False(t, ok)

	for plain, want := range map[string]struct {
		mchID pay.MchID
		name  string
	}{"fk_a": {"1900000109", "shop"}, "fk_b": {"1900000109", "till"}, "fk_c": {"1900000110", "shop"}} {
		m, name, ok := d.ByAPIKey(plain)
		require.True(t, ok)
		require.Equal(t, want.mchID, m.MchID)
		require.Equal(t, want.name, name)
	}
	for _, plain := range []string{"", "fk_", "fk_A", "fk_a "} {
		_, _, ok := d.ByAPIKey(plain)
		require.False(t, ok, plain)
	}
}

func TestNewDirectory_tells_all_that_is_wrong(t *testing.T) {
	t.Parallel()
	_, err := merchant.NewDirectory([]merchant.Merchant{
		{MchID: "1900000109", APIKeys: []merchant.APIKey{apiKey("shop", "fk_a")}}, {MchID: "1900000109"},
		{MchID: "1900000110", APIKeys: []merchant.APIKey{apiKey("till", "fk_a")}},
	})
	require.ErrorContains(t, err, "1900000109 is configured twice")
	require.ErrorContains(t, err, `API key "till" of merchant 1900000110`)
	require.NotContains(t, err.Error(), "fk_a")
}

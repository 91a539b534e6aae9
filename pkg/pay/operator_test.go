package pay_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestParseTokenName(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "night-shift", "0.CI_2", strings.Repeat("x", 64)} {
		name, err := pay.ParseTokenName(good)
		require.NoError(t, err, good)
		require.Equal(t, good, name)
	}
	for _, bad := range []string{"", "-a", ".a", "a b", "a:b", "a\n", "夜", strings.Repeat("x", 65)} {
		_, err := pay.ParseTokenName(bad)
		require.Error(t, err, bad)
	}
}

func TestParseTokenRole(t *testing.T) {
	t.Parallel()
	for _, role := range []pay.TokenRole{pay.TokenRead, pay.TokenOperate} {
		got, err := pay.ParseTokenRole(string(role))
		require.NoError(t, err)
		require.Equal(t, role, got)
	}
	_, err := pay.ParseTokenRole("root")
	require.ErrorContains(t, err, "role must be read or operate")
}

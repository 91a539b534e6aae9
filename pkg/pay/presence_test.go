package pay_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestConnectionName_says_who_holds_it_and_fits_into_PostgreSQL(t *testing.T) {
	t.Parallel()
	long := "v0.0.0-20260301040000-0123456789ab"
	part, process, version, ok := pay.ParseConnectionName(pay.ConnectionName("reconciler", "4f2a9c", long))
	require.True(t, ok)
	require.Equal(t, []string{"reconciler", "4f2a9c", long}, []string{part, process, version})

	cut := pay.ConnectionName("worker-commands", "4f2a9c", long+"+dirty")
	require.LessOrEqual(t, len(cut), 63)
	_, process, version, ok = pay.ParseConnectionName(cut)
	require.True(t, ok)
	require.Equal(t, "4f2a9c", process)
	require.True(t, strings.HasPrefix(long, version), version)

	part, process, _, ok = pay.ParseConnectionName("fenflow-cli")
	require.True(t, ok)
	require.Equal(t, "cli", part)
	require.Empty(t, process)
	for _, other := range []string{"", "psql", "fenflow", "fenflow-", "fenflow-/1/2"} {
		_, _, _, ok = pay.ParseConnectionName(other)
		require.False(t, ok, other)
	}
}

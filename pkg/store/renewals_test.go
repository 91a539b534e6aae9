package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestLeaseRenewal_lets_one_worker_at_a_time(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lease := func(no pay.OutTradeNo, d time.Duration) func(context.Context) error {
		end, err := b.LeaseRenewal(t.Context(), shop, no, d)
		require.NoError(t, err)
		return end
	}
	first := lease("T-1", time.Minute)
	require.NotNil(t, first)
	require.Nil(t, lease("T-1", time.Minute), "it is under way")
	require.NotNil(t, lease("T-2", time.Minute), "another order is nobody's business")
	require.NoError(t, first(t.Context()))

	died := lease("T-1", -time.Second)
	require.NotNil(t, died)
	next := lease("T-1", time.Minute)
	require.NotNil(t, next, "whoever had it is gone")
	require.NoError(t, died(t.Context()), "it wakes up, late")
	require.Nil(t, lease("T-1", time.Minute), "and takes nothing from who has it now")
	require.NoError(t, next(t.Context()))
	require.NotNil(t, lease("T-1", time.Minute))
}

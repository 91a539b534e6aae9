package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

func (b *books) abnormal() pay.OutRefundNo {
	b.t.Helper()
	return b.seedRefund(pay.RefundAbnormal)
}

func (b *books) wishes(no pay.OutRefundNo, body string) bool {
	b.t.Helper()
	kept, err := b.WishAbnormal(b.t.Context(), shop, no, []byte(body), "KEY-1", "anna", "")
	require.NoError(b.t, err)
	return kept
}

// Whoever drives it on died after its call, before any plan: nothing tells that
// from a call that was never made, so the first is asked about as well.
func TestWishAbnormal_is_asked_about_before_every_call(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.abnormal()
	for _, counted := range []int{0, 7} {
		require.NoError(t, b.exec(`UPDATE refunds SET check_count = $1, check_api = 'refund_query', leased_until = NULL`, counted))
		require.True(t, b.wishes(no, "{}"))
		claim := b.claimRefunds(pay.APIRefundAbnormal, 1)
		require.Equal(t, 1, claim.Refunds[0].CheckCount, "more than none asks first; what polling counted says nothing of this call")
	}
}

func TestWishAbnormal_that_is_under_way_is_not_disturbed_by_another(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.abnormal()
	mine := func(when string) {
		t.Helper()
		require.Equal(t, "first", b.text(`SELECT convert_from(abnormal_request, 'UTF8') FROM refunds`), when)
		require.Equal(t, 1, b.count(`SELECT count(*) FROM audit WHERE action = 'refund.drive_on'`), when)
	}
	require.True(t, b.wishes(no, "first"))
	require.False(t, b.wishes(no, "second"), "before it is claimed")
	mine("before it is claimed")

	plan := b.heldRefund(no, pay.APIRefundAbnormal)
	require.False(t, b.wishes(no, "second"), "while the call is under way")
	require.Zero(t, b.claimRefunds(pay.APIRefundAbnormal, 10), "a twin gets nothing")
	mine("while the call is under way")

	plan.NextCheckAt, plan.CheckAPI, plan.CheckCount = noon, pay.APIRefundAbnormal, 2
	require.NoError(t, b.PlanRefund(t.Context(), plan))
	require.False(t, b.wishes(no, "second"), "while its outcome is unknown")
	mine("while its outcome is unknown")

	plan = b.heldRefund(no, pay.APIRefundAbnormal)
	plan.NextCheckAt, plan.CheckAPI = time.Now().Add(time.Hour), pay.APIRefundQuery
	require.NoError(t, b.PlanRefund(t.Context(), plan))
	require.True(t, b.wishes(no, "second"), "WeChat Pay refused the first")
}

func TestWishAbnormal_by_twins_at_once_is_kept_and_claimed_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const rounds, twins = 10, 6
	for round := range rounds {
		no := b.abnormal()
		var kept, claimed atomic.Int64
		var together errgroup.Group
		for twin := range twins {
			together.Go(func() error {
				yes, err := b.WishAbnormal(t.Context(), shop, no, fmt.Appendf(nil, "wish %d", twin), "KEY-1", "anna", "")
				if yes {
					kept.Add(1)
				}
				return err
			})
			together.Go(func() error {
				claim, err := b.ClaimRefund(t.Context(), shop, no, plenty(pay.APIRefundAbnormal), time.Minute)
				claimed.Add(int64(len(claim.Refunds)))
				return err
			})
		}
		require.NoError(t, together.Wait())
		claimed.Add(int64(len(b.claimRefunds(pay.APIRefundAbnormal, 10).Refunds)))
		require.EqualValues(t, 1, kept.Load())
		require.EqualValues(t, 1, claimed.Load())
		require.Equal(t, round+1, b.count(`SELECT count(*) FROM audit WHERE action = 'refund.drive_on'`))
	}
}

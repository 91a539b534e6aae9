package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

func (b *books) retry(no pay.OutRefundNo) (bool, string) {
	b.t.Helper()
	retried, why, err := b.RetryRefund(b.t.Context(), shop, no, quarantine, "token:me", "topped up")
	require.NoError(b.t, err)
	return retried, why
}

// waits puts a refund's next call far off.
func (b *books) waits(no pay.OutRefundNo, api pay.API) {
	b.t.Helper()
	require.NoError(b.t, b.exec(`UPDATE refunds SET next_check_at = now() + interval '1 hour', check_api = $2 WHERE out_refund_no = $1`, string(no), string(api)))
}

func TestRetryRefund_makes_the_planned_call_due_and_tells_the_audit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, api := range []pay.API{pay.APIRefund, pay.APIRefundQuery} {
		no := b.seedRefund(pay.RefundRequested)
		b.waits(no, api)
		retried, why := b.retry(no)
		require.True(t, retried)
		require.Empty(t, why)
		require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE out_refund_no = $1 AND next_check_at <= now() AND check_api = $2`, string(no), string(api)), "the call stays what it was")
		again, why := b.retry(no)
		require.False(t, again, "it is due already")
		require.Empty(t, why)
		audits := b.auditsOf("refund.retry", no)
		require.Len(t, audits, 1)
		require.Equal(t, []any{"topped up", string(api)}, []any{audits[0].Detail["reason"], audits[0].Detail["call"]})
	}
}

func TestRetryRefund_leaves_alone_what_may_not_be_hurried(t *testing.T) {
	t.Parallel()
	b := setup(t)
	young := b.seedRefund(pay.RefundRequested)
	b.attempted(young, 1, pay.AttemptUnknown, time.Now().Add(-quarantine+time.Minute), time.Now())
	b.waits(young, pay.APIRefundQuery)
	held := b.seedRefund(pay.RefundRequested)
	b.heldRefund(held, pay.APIRefund)
	wished := b.abnormal()
	require.True(t, b.wishes(wished, "{}"))
	b.waits(wished, pay.APIRefundAbnormal)
	for no, says := range map[pay.OutRefundNo]string{
		young: "never shortened", held: "at this moment", wished: "driven on", b.seedRefund(pay.RefundSucceeded): "is succeeded",
		b.seedRefund(pay.RefundFailed): "is failed", "R-nobody": "no such refund",
	} {
		before := b.text(`SELECT coalesce(string_agg(next_check_at::text || check_api, ''), '') FROM refunds WHERE out_refund_no = $1`, string(no))
		retried, why := b.retry(no)
		require.False(t, retried, no)
		require.Contains(t, why, says)
		require.Equal(t, before, b.text(`SELECT coalesce(string_agg(next_check_at::text || check_api, ''), '') FROM refunds WHERE out_refund_no = $1`, string(no)))
		require.Empty(t, b.auditsOf("refund.retry", no))
	}
	require.NoError(t, b.exec(`UPDATE refunds SET leased_until = now() WHERE out_refund_no = $1`, string(held)))
	_, why := b.retry(held)
	require.Empty(t, why, "whoever held it is gone")
}

// Whoever claims the refund first has it, and the wait of its call's outcome.
func TestRetryRefund_and_claims_at_once_never_both_move_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 8 {
		no := b.seedRefund(pay.RefundRequested)
		require.NoError(t, b.exec(`UPDATE refunds SET next_check_at = now(), check_api = 'refund_query' WHERE out_refund_no = $1`, string(no)))
		var claimed atomic.Int32
		var group errgroup.Group
		for range 4 {
			group.Go(func() error {
				claim, err := b.ClaimRefund(t.Context(), shop, no, plenty(pay.APIRefundQuery), time.Minute)
				claimed.Add(int32(len(claim.Refunds)))
				return err
			})
			group.Go(func() error {
				_, _, err := b.RetryRefund(t.Context(), shop, no, quarantine, "token:me", "x")
				return err
			})
		}
		require.NoError(t, group.Wait())
		claim, err := b.ClaimRefund(t.Context(), shop, no, plenty(pay.APIRefundQuery), time.Minute) // claims pass over what is locked
		require.NoError(t, err)
		require.Equal(t, 1, int(claimed.Load())+len(claim.Refunds))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE out_refund_no = $1 AND next_check_at = leased_until`, string(no)), "its lease is its next check")
	}
}

func TestRefundMoment_is_a_refund_with_its_calls_by_the_databases_clock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.seedRefund(pay.RefundRequested)
	sent := b.attempted(no, 1, pay.AttemptBlocked, noon, noon.Add(time.Second))
	r, found, err := b.RefundMoment(t.Context(), shop, no)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, b.refund(no), r.Refund)
	require.Equal(t, []pay.Attempt{sent}, r.Attempts)
	require.WithinDuration(t, time.Now(), r.At, time.Minute)
	require.False(t, r.Held)
	b.heldRefund(no, pay.APIRefund)
	r, _, err = b.RefundMoment(t.Context(), shop, no)
	require.NoError(t, err)
	require.True(t, r.Held)
	_, found, err = b.RefundMoment(t.Context(), other, no)
	require.NoError(t, err)
	require.False(t, found)
}

package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

const (
	gap      = time.Minute
	minLease = 20 * time.Second
)

// starting asks to begin an attempt of a refund that was just claimed.
func (b *books) starting(no pay.OutRefundNo) pay.AttemptStart {
	b.t.Helper()
	return pay.AttemptStart{
		MchID: shop, OutRefundNo: no, Lease: b.heldRefund(no, pay.APIRefund).Lease,
		Request: []byte(`{"out_refund_no":"` + no + `"}`), Gap: gap, MinLease: minLease,
	}
}

func (b *books) begin(a pay.AttemptStart) pay.AttemptBegun {
	b.t.Helper()
	begun, err := b.BeginAttempt(b.t.Context(), a)
	require.NoError(b.t, err)
	return begun
}

// sendAgain ends the claim and makes sending the refund's next call.
func (b *books) sendAgain(no pay.OutRefundNo) {
	b.t.Helper()
	require.NoError(b.t, b.exec(`UPDATE refunds SET check_api = 'refund', next_check_at = now(), leased_until = NULL WHERE out_refund_no = $1`, string(no)))
}

func (b *books) attempts(no pay.OutRefundNo) int {
	b.t.Helper()
	return b.count(`SELECT count(*) FROM refund_attempts WHERE out_refund_no = $1`, string(no))
}

func TestBeginAttempt_is_on_disk_before_the_call_with_the_bytes_of_the_first(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 40)
	start := b.starting(no)
	begun := b.begin(start)
	require.Equal(t, pay.AttemptBegun{Begun: true, Number: 1, Request: start.Request}, begun)
	require.Equal(t, start.Request, b.refund(no).Request)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refund_attempts WHERE outcome = 'unknown' AND finished_at IS NULL AND started_at <= now()`))

	require.NoError(t, b.EndAttempt(t.Context(), shop, no, pay.Attempt{Number: 1, Outcome: pay.AttemptUnknown}))
	b.sendAgain(no)
	again := b.starting(no)
	again.Request = []byte(`{"other":"bytes"}`)
	require.Equal(t, pay.AttemptBegun{Begun: true, Number: 2, Request: start.Request}, b.begin(again), "what was sent once is sent for ever")
	require.Equal(t, start.Request, b.refund(no).Request)
}

// A caller who dies after the commit leaves a refund that is asked about.
func TestBeginAttempt_that_nobody_comes_back_from_is_asked_about_and_not_sent_again(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 40)
	require.True(t, b.begin(b.starting(no)).Begun)
	require.NoError(t, b.exec(`UPDATE refunds SET next_check_at = now(), leased_until = now()`)) // the lease runs out
	require.Empty(t, b.claimRefunds(pay.APIRefund, 10).Refunds)
	claim := b.claimRefunds(pay.APIRefundQuery, 10)
	require.Equal(t, []pay.OutRefundNo{no}, refundsOf(claim))
	require.Len(t, claim.Refunds[0].Attempts, 1)
	require.Equal(t, pay.AttemptUnknown, claim.Refunds[0].Attempts[0].Outcome)
}

func TestBeginAttempt_is_refused_without_a_claim_that_stands(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, lose := range map[string]func(o pay.Order, no pay.OutRefundNo, start *pay.AttemptStart){
		"never claimed": func(_ pay.Order, _ pay.OutRefundNo, start *pay.AttemptStart) { start.Lease = time.Time{} },
		"another's": func(_ pay.Order, _ pay.OutRefundNo, start *pay.AttemptStart) {
			start.Lease = start.Lease.Add(time.Microsecond)
		},
		"given back": func(_ pay.Order, no pay.OutRefundNo, start *pay.AttemptStart) {
			require.NoError(t, b.PlanRefund(t.Context(), pay.RefundPlan{MchID: shop, OutRefundNo: no, Lease: start.Lease, NextCheckAt: noon, CheckAPI: pay.APIRefund}))
		},
		"too short": func(_ pay.Order, no pay.OutRefundNo, start *pay.AttemptStart) {
			start.Lease = time.Now().UTC().Truncate(time.Microsecond).Add(minLease - time.Second)
			require.NoError(t, b.exec(`UPDATE refunds SET leased_until = $2 WHERE out_refund_no = $1`, string(no), start.Lease))
		},
		"moved": func(o pay.Order, no pay.OutRefundNo, _ *pay.AttemptStart) {
			b.told(seen(o, no, 10, pay.RefundProcessing))
		},
		"begun":   func(_ pay.Order, _ pay.OutRefundNo, start *pay.AttemptStart) { require.True(t, b.begin(*start).Begun) },
		"unknown": func(_ pay.Order, _ pay.OutRefundNo, start *pay.AttemptStart) { start.OutRefundNo = "R-nobody-knows" },
		"question": func(_ pay.Order, no pay.OutRefundNo, _ *pay.AttemptStart) {
			require.NoError(t, b.exec(`UPDATE refunds SET check_api = 'refund_query' WHERE out_refund_no = $1`, string(no)))
		},
	} {
		o := b.paidOrder()
		no := b.wished(o, 1, 10)
		start := b.starting(no)
		lose(o, no, &start)
		before := b.attempts(no)
		require.Equal(t, pay.AttemptBegun{}, b.begin(start), name)
		require.Equal(t, before, b.attempts(no), name)
	}
}

func TestBeginAttempt_moved_to_the_same_lease_is_refused_in_any_other_state(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	no := b.wished(o, 1, 10)
	b.told(seen(o, no, 10, pay.RefundProcessing))
	lease := time.Now().UTC().Truncate(time.Microsecond).Add(time.Minute)
	require.NoError(t, b.exec(`UPDATE refunds SET leased_until = $1, check_api = 'refund'`, lease))
	require.Equal(t, pay.AttemptBegun{}, b.begin(pay.AttemptStart{MchID: shop, OutRefundNo: no, Lease: lease, Request: []byte("{}"), Gap: gap, MinLease: minLease}))
}

func TestBeginAttempt_keeps_parts_of_one_payment_apart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	first, second, stranger := b.wished(o, 1, 10), b.wished(o, 2, 10), b.wished(b.paidOrder(), 1, 10)
	require.True(t, b.begin(b.starting(first)).Begun)
	require.True(t, b.begin(b.starting(stranger)).Begun, "another payment waits for nobody")
	start := b.starting(second)
	begun := b.begin(start)
	require.False(t, begun.Begun)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refund_attempts WHERE out_refund_no = $1 AND started_at + interval '1 minute' = $2`, string(first), begun.WaitUntil))
	require.Nil(t, b.refund(second).Request, "nothing is kept of what may not begin")

	b.forge(`UPDATE refund_attempts SET started_at = started_at - interval '61 seconds' WHERE out_refund_no = $1`, string(first))
	require.True(t, b.begin(start).Begun)
}

func TestBeginAttempt_by_twins_at_once_begins_one_part_of_a_payment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const parts = 10
	for range 5 {
		o := b.paidOrder()
		starts := make([]pay.AttemptStart, parts)
		for i := range starts {
			starts[i] = b.starting(b.wished(o, i+1, 10))
		}
		begun := make([]pay.AttemptBegun, 2*parts)
		var together errgroup.Group
		for i := range begun { // each part twice
			together.Go(func() error {
				var err error
				begun[i], err = b.BeginAttempt(t.Context(), starts[i%parts])
				return err
			})
		}
		require.NoError(t, together.Wait())
		n := 0
		for _, one := range begun {
			if one.Begun {
				n++
			}
		}
		require.Equal(t, 1, n)
		require.Equal(t, 1, b.count(`SELECT count(*) FROM refund_attempts WHERE out_refund_no LIKE '%' || $1`, string(o.OutTradeNo)))
	}
}

func TestBeginAttempt_waits_for_the_settling_of_its_refund_and_then_sees_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	no := b.wished(o, 1, 10)
	start := b.starting(no)
	tx := b.holding(`SELECT 1 FROM payments FOR UPDATE`)
	var begun pay.AttemptBegun
	var together errgroup.Group
	together.Go(func() error {
		var err error
		begun, err = b.BeginAttempt(t.Context(), start)
		return err
	})
	b.waiting(1)
	_, err := tx.ExecContext(t.Context(), `UPDATE refunds SET state = 'processing', leased_until = NULL, next_check_at = now()`)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	require.NoError(t, together.Wait())
	require.Equal(t, pay.AttemptBegun{}, begun)
	require.Zero(t, b.attempts(no))
}

// A claim that ran out is taken over while its holder is about to begin.
func TestBeginAttempt_waits_for_a_claim_of_its_refund_and_then_sees_it(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 10)
	start := b.starting(no)
	tx := b.holding(`UPDATE refunds SET leased_until = leased_until + interval '1 minute', next_check_at = leased_until + interval '1 minute'`)
	var begun pay.AttemptBegun
	var together errgroup.Group
	together.Go(func() error {
		var err error
		begun, err = b.BeginAttempt(t.Context(), start)
		return err
	})
	b.waiting(1)
	require.NoError(t, tx.Commit())
	require.NoError(t, together.Wait())
	require.Equal(t, pay.AttemptBegun{}, begun)
	require.Zero(t, b.attempts(no))
}

func TestBeginAttempt_beside_Settle_does_not_deadlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 10 {
		o := b.place()
		b.settle(asked(o, txOf(o)))
		first, second := b.wished(o, 1, 10), b.wished(o, 2, 10)
		starts := []pay.AttemptStart{b.starting(first), b.starting(second)}
		var together errgroup.Group
		together.Go(func() error {
			_, err := b.Settle(t.Context(), []pay.Entry{hinted(first), hinted(second), arrived(payment(o, txOf(o)))}, defaults)
			return err
		})
		for _, start := range starts {
			together.Go(func() error { _, err := b.BeginAttempt(t.Context(), start); return err })
		}
		for _, obs := range []pay.Observation{seen(o, first, 10, pay.RefundSucceeded), seen(o, second, 10, pay.RefundClosed), wish(o, refundOf(o, 3), 10)} {
			together.Go(func() error {
				_, err := b.Settle(t.Context(), []pay.Entry{{Observation: &obs}}, defaults)
				return err
			})
		}
		together.Go(func() error {
			_, err := b.ClaimRefunds(t.Context(), shop, plenty(pay.APIRefundQuery), 10, time.Minute)
			return err
		})
		require.NoError(t, together.Wait())
	}
	b.mustBalance()
}

func TestBeginAttempt_waits_for_an_attempt_of_its_own_that_may_be_under_way(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 10)
	require.True(t, b.begin(b.starting(no)).Begun)
	b.sendAgain(no)
	start := b.starting(no)
	begun := b.begin(start)
	require.False(t, begun.Begun)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refund_attempts WHERE started_at + interval '20 seconds' = $1`, begun.WaitUntil))
	require.NoError(t, b.EndAttempt(t.Context(), shop, no, pay.Attempt{Number: 1, Outcome: pay.AttemptUnknown}))
	require.True(t, b.begin(start).Begun)
}

func TestBeginAttempt_without_bytes_is_an_error_and_leaves_nothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 10)
	start := b.starting(no)
	for _, none := range [][]byte{nil, {}} {
		start.Request = none
		_, err := b.BeginAttempt(t.Context(), start)
		require.Error(t, err)
		require.False(t, store.Retryable(err))
		require.Zero(t, b.attempts(no))
	}
}

func TestEndAttempt_counts_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 10)
	require.True(t, b.begin(b.starting(no)).Begun)
	end := pay.Attempt{Number: 1, FinishedAt: noon.Add(time.Hour), Outcome: pay.AttemptRejected, Status: 400, Code: "PARAM_ERROR", RequestID: "0815\x00"}
	require.NoError(t, b.EndAttempt(t.Context(), shop, no, end))
	late := end
	late.Outcome, late.FinishedAt = pay.AttemptAccepted, noon.Add(2*time.Hour)
	require.NoError(t, b.EndAttempt(t.Context(), shop, no, late))
	require.Equal(t, "rejected 400 PARAM_ERROR 0815\uFFFD", b.text(`SELECT concat_ws(' ', outcome, status, code, request_id) FROM refund_attempts`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refund_attempts WHERE finished_at = $1`, end.FinishedAt))

	for _, statement := range []string{`UPDATE refund_attempts SET outcome = 'unknown', finished_at = NULL`, `UPDATE refund_attempts SET outcome = 'accepted'`} {
		require.Equal(t, "refund_attempts_end_once", refusedBy(t, b.exec(statement)))
	}
	require.Equal(t, "refund_attempts_are_kept", refusedBy(t, b.exec(`DELETE FROM refund_attempts`)))
}

func TestEndAttempt_of_one_without_an_answer_is_unknown_and_over(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 10)
	require.True(t, b.begin(b.starting(no)).Begun)
	require.NoError(t, b.EndAttempt(t.Context(), shop, no, pay.Attempt{Number: 1}))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refund_attempts WHERE outcome = 'unknown' AND status IS NULL AND finished_at IS NOT NULL`))
	require.NoError(t, b.EndAttempt(t.Context(), shop, no, pay.Attempt{Number: 7, Outcome: pay.AttemptAccepted}))
	require.Equal(t, "unknown", b.text(fmt.Sprintf(`SELECT outcome FROM refund_attempts WHERE out_refund_no = '%s'`, no)))
}

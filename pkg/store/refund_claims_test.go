package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

// wished is a refund that a shop asked for and nobody has sent yet.
func (b *books) wished(o pay.Order, n int, amount pay.Fen) pay.OutRefundNo {
	b.t.Helper()
	no := refundOf(o, n)
	results := b.told(wish(o, no, amount))
	require.Nil(b.t, results[0].Refusal)
	return no
}

func (b *books) claimRefunds(api pay.API, limit int) pay.RefundClaim {
	b.t.Helper()
	claim, err := b.ClaimRefunds(b.t.Context(), shop, plenty(api), limit, time.Minute)
	require.NoError(b.t, err)
	return claim
}

// heldRefund claims one refund and starts a plan for it.
func (b *books) heldRefund(no pay.OutRefundNo, api pay.API) pay.RefundPlan {
	b.t.Helper()
	claim, err := b.ClaimRefund(b.t.Context(), shop, no, plenty(api), time.Minute)
	require.NoError(b.t, err)
	require.Len(b.t, claim.Refunds, 1)
	return pay.RefundPlan{MchID: shop, OutRefundNo: no, Lease: claim.Lease}
}

func refundsOf(claim pay.RefundClaim) []pay.OutRefundNo {
	numbers := make([]pay.OutRefundNo, len(claim.Refunds))
	for i, r := range claim.Refunds {
		numbers[i] = r.OutRefundNo
	}
	return numbers
}

func TestClaimRefunds_come_with_all_that_a_call_needs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	no := b.wished(o, 1, 40)
	second := b.attempted(no, 2, pay.AttemptUnknown, noon.Add(time.Minute), time.Time{})
	first := b.attempted(no, 1, pay.AttemptRejected, noon, noon.Add(time.Second))
	claim := b.claimRefunds(pay.APIRefund, 10)
	require.False(t, claim.More)
	require.Equal(t, []pay.ClaimedRefund{{
		Refund: b.refund(no), AppID: o.AppID, Protocol: o.Protocol, Total: o.Amount, Attempts: []pay.Attempt{first, second},
	}}, claim.Refunds)
	require.Equal(t, claim.Lease, claim.Refunds[0].NextCheckAt)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM refunds WHERE next_check_at = $1 AND leased_until = $1`, claim.Lease))
	require.Zero(t, b.claimRefunds(pay.APIRefund, 10))
}

func TestClaimRefunds_gives_a_held_refund_to_nobody_even_if_it_is_due(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	no := b.wished(o, 1, 40)
	plan := b.heldRefund(no, pay.APIRefund)
	b.settle(pay.Entry{Hint: &pay.RefundHint{MchID: shop, OutRefundNo: no, OutTradeNo: o.OutTradeNo, Protocol: pay.ProtocolV2}})
	require.Zero(t, b.claimRefunds(pay.APIRefund, 10))
	claim, err := b.ClaimRefund(t.Context(), shop, no, plenty(pay.APIRefund), time.Minute)
	require.NoError(t, err)
	require.Zero(t, claim)
	free := b.wished(b.paidOrder(), 1, 40)
	require.Equal(t, []pay.OutRefundNo{free}, refundsOf(b.claimRefunds(pay.APIRefund, 10)), "nor beside one that is free")
	plan.NextCheckAt, plan.CheckAPI = noon.AddDate(1, 0, 0), pay.APIRefundQuery
	require.NoError(t, b.PlanRefund(t.Context(), plan))
	require.Equal(t, []pay.OutRefundNo{no}, refundsOf(b.claimRefunds(pay.APIRefundQuery, 10)), "the hint stays due behind the lease")
}

func TestClaimRefunds_are_taken_over_when_the_lease_ends(t *testing.T) {
	t.Parallel()
	b := setup(t)
	no := b.wished(b.paidOrder(), 1, 40)
	left, err := b.ClaimRefunds(t.Context(), shop, plenty(pay.APIRefund), 10, 50*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, []pay.OutRefundNo{no}, refundsOf(left))
	require.Eventually(t, func() bool { return len(b.claimRefunds(pay.APIRefund, 10).Refunds) == 1 }, 10*time.Second, 10*time.Millisecond)
}

func TestClaimRefunds_sends_one_part_of_a_payment_at_a_time(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.paidOrder(), b.paidOrder()
	firstOfOne, secondOfOne, ofTwo := b.wished(one, 1, 10), b.wished(one, 2, 10), b.wished(two, 1, 10)
	require.ElementsMatch(t, []pay.OutRefundNo{firstOfOne, ofTwo}, refundsOf(b.claimRefunds(pay.APIRefund, 10)))
	require.Equal(t, []pay.OutRefundNo{secondOfOne}, refundsOf(b.claimRefunds(pay.APIRefund, 10)))
	require.NoError(t, b.exec(`UPDATE refunds SET check_api = 'refund_query', next_check_at = now(), leased_until = NULL`))
	require.Len(t, b.claimRefunds(pay.APIRefundQuery, 10).Refunds, 3, "questions do not wait for each other")
}

func TestClaimRefunds_wants_a_token_for_each(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 4 {
		b.wished(b.paidOrder(), 1, 10)
	}
	claim, err := b.ClaimRefunds(t.Context(), shop, ten(), 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, claim.Refunds, 2)
	require.True(t, claim.More)
	b.still()
	again, err := b.ClaimRefunds(t.Context(), shop, ten(), 10, time.Minute)
	require.NoError(t, err)
	require.Empty(t, again.Refunds)
	require.True(t, again.More)
}

func TestClaimRefunds_and_hints_by_twins_at_once_take_each_token_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 8 {
		b.wished(b.paidOrder(), 1, 10)
	}
	require.NoError(t, b.exec(`INSERT INTO refund_hints (mchid, out_refund_no, out_trade_no, protocol, next_check_at)
		SELECT $1, 'R' || g, '', 'v2', $2 FROM generate_series(1, 8) AS g`, string(shop), noon))
	question := pay.Budget{API: pay.APIRefundQuery, PerSecond: 10}
	require.True(t, b.take(ten()))
	require.True(t, b.take(question))
	require.NoError(t, b.exec(`UPDATE api_budgets SET milli_tokens = 2000`))
	b.still()
	var refunds, hints atomic.Int64
	var together errgroup.Group
	for range 8 {
		together.Go(func() error {
			claim, err := b.ClaimRefunds(t.Context(), shop, ten(), 1, time.Minute)
			refunds.Add(int64(len(claim.Refunds)))
			return err
		})
		together.Go(func() error {
			claim, err := b.ClaimHints(t.Context(), shop, question, 1, time.Minute)
			hints.Add(int64(len(claim)))
			return err
		})
	}
	require.NoError(t, together.Wait())
	require.EqualValues(t, 2, refunds.Load())
	require.EqualValues(t, 2, hints.Load())
	require.Zero(t, b.count(`SELECT sum(milli_tokens) FROM api_budgets`))
}

func TestClaimRefunds_drives_abnormal_ones_on_by_the_bucket_of_refunds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	no := b.wished(o, 1, 40)
	b.told(seen(o, no, 40, pay.RefundAbnormal))
	wished, err := b.WishAbnormal(t.Context(), shop, no, []byte(`{"encrypted":true}`), "KEY-1", "anna", "")
	require.NoError(t, err)
	require.True(t, wished)
	require.Empty(t, b.claimRefunds(pay.APIRefund, 10).Refunds)
	claim := b.claimRefunds(pay.APIRefundAbnormal, 10)
	require.Equal(t, []pay.OutRefundNo{no}, refundsOf(claim))
	require.Equal(t, "KEY-1", claim.Refunds[0].AbnormalKeyID)
	require.JSONEq(t, `{"encrypted":true}`, string(claim.Refunds[0].AbnormalRequest))
	require.Equal(t, "refund", b.text(`SELECT string_agg(api, ' ') FROM api_budgets`))
}

func TestClaimRefunds_by_twins_at_once_gives_each_refund_to_one(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const refunds = 120
	for range refunds / 2 {
		o := b.paidOrder()
		b.wished(o, 1, 10)
		b.wished(o, 2, 10)
	}
	seen := b.drain(8, func() ([]pay.OutTradeNo, bool, error) {
		claim, err := b.ClaimRefunds(t.Context(), shop, plenty(pay.APIRefund), 7, time.Hour)
		numbers := make([]pay.OutTradeNo, len(claim.Refunds))
		for i, no := range refundsOf(claim) {
			numbers[i] = pay.OutTradeNo(no)
		}
		return numbers, claim.More || len(numbers) > 0, err
	})
	for _, no := range refundsOf(b.claimRefunds(pay.APIRefund, refunds)) { // of a payment whose first was being claimed
		seen[pay.OutTradeNo(no)]++
	}
	require.Len(t, seen, refunds)
	for no, times := range seen {
		require.Equal(t, 1, times, no)
	}
}

func TestClaimRefunds_reads_by_the_index_of_what_is_due(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.paidOrder()
	require.NoError(t, b.exec(`INSERT INTO refunds (mchid, out_refund_no, out_trade_no, transaction_id, amount_fen, currency, origin, state, sequence, created_at, updated_at, next_check_at, check_api)
		SELECT $1, 'R' || g, $2, $3, 1, 'CNY', 'command', 'requested', 1, $4, $4, $4, 'refund_query' FROM generate_series(1, 20000) AS g`,
		string(shop), string(o.OutTradeNo), string(txOf(o)), noon))
	require.NoError(t, b.exec(`ANALYZE refunds`))
	require.Len(t, b.claimRefunds(pay.APIRefundQuery, 1).Refunds, 1)
	plan := b.explain("claim_refunds", string(shop), "refund_query", 100_000_000, "refund_query", 1000, 60.0, "")
	require.Contains(t, plan, "Index Scan using refunds_due_by_api on refunds", plan)
	require.NotContains(t, plan, "Seq Scan on refunds", plan)
}

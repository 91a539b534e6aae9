package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func (b *books) hinted(h pay.RefundHint) pay.RefundHint {
	b.t.Helper()
	b.settle(pay.Entry{Hint: &h})
	return h
}

func (b *books) claimHints(limit int) []pay.ClaimedHint {
	b.t.Helper()
	hints, err := b.ClaimHints(b.t.Context(), shop, plenty(pay.APIRefundQuery), limit, time.Minute)
	require.NoError(b.t, err)
	return hints
}

// dueAgain lets the leases of all hints run out.
func (b *books) dueAgain() {
	b.t.Helper()
	require.NoError(b.t, b.exec(`UPDATE refund_hints SET next_check_at = now()`))
}

func TestClaimHints_gives_numbers_to_ask_about(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	known := b.hinted(pay.RefundHint{MchID: shop, OutRefundNo: "R-known", OutTradeNo: o.OutTradeNo, Protocol: pay.ProtocolV2})
	strange := b.hinted(pay.RefundHint{MchID: shop, OutRefundNo: "R-strange", OutTradeNo: "T-strange", Protocol: pay.ProtocolV3})
	b.hinted(pay.RefundHint{MchID: other, OutRefundNo: "R-known", OutTradeNo: o.OutTradeNo, Protocol: pay.ProtocolV2})
	require.NoError(t, b.exec(`UPDATE refund_hints SET next_check_at = now() - interval '1 minute', check_count = 4 WHERE out_refund_no = 'R-strange'`))
	hints := b.claimHints(10)
	require.Len(t, hints, 2)
	require.Equal(t, pay.ClaimedHint{RefundHint: strange, CheckCount: 4, Lease: hints[0].Lease}, hints[0])
	require.Equal(t, pay.ClaimedHint{RefundHint: known, AppID: appID, Lease: hints[0].Lease}, hints[1])
	require.Equal(t, 2, b.count(`SELECT count(*) FROM refund_hints WHERE next_check_at = $1`, hints[0].Lease))
	require.Empty(t, b.claimHints(10))
}

func TestClaimHints_wants_a_token_for_each(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, no := range []pay.OutRefundNo{"R1", "R2", "R3"} {
		b.hinted(pay.RefundHint{MchID: shop, OutRefundNo: no, Protocol: pay.ProtocolV2})
	}
	hints, err := b.ClaimHints(t.Context(), shop, pay.Budget{API: pay.APIRefundQuery, PerSecond: 10}, 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, hints, 2)
	require.Len(t, b.claimHints(1), 1)
}

func TestPlanHint_puts_off_or_drops_what_is_claimed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	told := b.hinted(pay.RefundHint{MchID: shop, OutRefundNo: "R1", Protocol: pay.ProtocolV2})
	first := b.claimHints(1)[0]
	require.NoError(t, b.PlanHint(t.Context(), first, noon))
	require.NoError(t, b.PlanHint(t.Context(), first, noon.Add(time.Hour)), "the claim ended with its plan")
	second := b.claimHints(1)[0]
	require.Equal(t, 1, second.CheckCount)

	b.hinted(told)
	require.NoError(t, b.PlanHint(t.Context(), second, time.Time{}))
	require.NoError(t, b.PlanHint(t.Context(), second, noon.AddDate(1, 0, 0)))
	third := b.claimHints(1)
	require.Len(t, third, 1, "what was told again meanwhile stays due")
	require.NoError(t, b.PlanHint(t.Context(), third[0], time.Time{}))
	b.dueAgain()
	require.Empty(t, b.claimHints(1))
	require.Zero(t, b.count(`SELECT count(*) FROM refund_hints`))
}

func TestClaimHints_by_twins_at_once_gives_each_to_one(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const hints = 200
	require.NoError(t, b.exec(`INSERT INTO refund_hints (mchid, out_refund_no, out_trade_no, protocol, next_check_at)
		SELECT $1, 'R' || g, '', 'v2', now() FROM generate_series(1, $2) AS g`, string(shop), hints))
	seen := b.drain(8, func() ([]pay.OutTradeNo, bool, error) {
		claimed, err := b.ClaimHints(t.Context(), shop, plenty(pay.APIRefundQuery), 9, time.Hour)
		numbers := make([]pay.OutTradeNo, len(claimed))
		for i, h := range claimed {
			numbers[i] = pay.OutTradeNo(h.OutRefundNo)
		}
		return numbers, len(claimed) > 0, err
	})
	require.Len(t, seen, hints)
	for no, times := range seen {
		require.Equal(t, 1, times, no)
	}
}

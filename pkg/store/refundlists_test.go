package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

// refundPages reads a whole list of refunds, page by page.
func (b *books) refundPages(f pay.RefundFilter) []pay.OutRefundNo {
	b.t.Helper()
	var numbers []pay.OutRefundNo
	for {
		refunds, err := b.ListRefunds(b.t.Context(), f)
		require.NoError(b.t, err)
		if len(refunds) == 0 {
			return numbers
		}
		require.LessOrEqual(b.t, len(refunds), f.Limit)
		for _, r := range refunds {
			numbers = append(numbers, r.OutRefundNo)
			f.AfterAt, f.AfterMchID, f.AfterNo, f.AfterResolved = r.CreatedAt, r.MchID, r.OutRefundNo, !r.State.Unresolved()
		}
	}
}

// refunded leaves a refund of a merchant in a state, asked for so long after noon.
func (b *books) refunded(mchid pay.MchID, no pay.OutRefundNo, after time.Duration, words ...pay.RefundState) {
	b.t.Helper()
	o := b.placeFor(mchid, pay.OutTradeNo("T-"+no), noon)
	asked := wish(o, no, 10)
	asked.ObservedAt = noon.Add(after)
	told := []pay.Observation{payment(o, txOf(o)), asked}
	for _, state := range words {
		if state == pay.RefundFailed {
			b.told(told...)
			b.attempted(no, 1, pay.AttemptRejected, noon, noon.Add(time.Second))
			told = []pay.Observation{missing(o, no, noon.Add(3*time.Hour))}
			continue
		}
		told = append(told, seen(o, no, 10, state))
	}
	b.told(told...)
}

func TestListRefunds_tells_the_unresolved_ones_first_and_each_part_from_the_newest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.refunded(shop, "R-000001", 0, pay.RefundSucceeded)
	b.refunded(shop, "R-000002", time.Second)
	b.refunded(other, "R-000003", time.Second, pay.RefundProcessing)
	b.refunded(shop, "R-000004", 2*time.Second, pay.RefundSucceeded)
	b.refunded(shop, "R-000005", 2*time.Second, pay.RefundClosed)
	b.refunded(shop, "R-000006", 3*time.Second, pay.RefundAbnormal)
	b.refunded(shop, "R-000007", 3*time.Second, pay.RefundFailed)
	all := []pay.OutRefundNo{"R-000006", "R-000003", "R-000002", "R-000007", "R-000005", "R-000004", "R-000001"}
	for name, row := range map[string]struct {
		filter pay.RefundFilter
		want   []pay.OutRefundNo
	}{
		"all":               {pay.RefundFilter{}, all},
		"of a merchant":     {pay.RefundFilter{MchID: other}, []pay.OutRefundNo{"R-000003"}},
		"of nobody":         {pay.RefundFilter{MchID: "1900000111"}, nil},
		"since":             {pay.RefundFilter{Since: noon.Add(2 * time.Second)}, []pay.OutRefundNo{"R-000006", "R-000007", "R-000005", "R-000004"}},
		"requested":         {pay.RefundFilter{State: pay.RefundRequested}, []pay.OutRefundNo{"R-000002"}},
		"processing":        {pay.RefundFilter{State: pay.RefundProcessing}, []pay.OutRefundNo{"R-000003"}},
		"abnormal, of one":  {pay.RefundFilter{State: pay.RefundAbnormal, MchID: shop}, []pay.OutRefundNo{"R-000006"}},
		"succeeded":         {pay.RefundFilter{State: pay.RefundSucceeded}, []pay.OutRefundNo{"R-000004", "R-000001"}},
		"succeeded, since":  {pay.RefundFilter{State: pay.RefundSucceeded, Since: noon.Add(time.Second)}, []pay.OutRefundNo{"R-000004"}},
		"closed":            {pay.RefundFilter{State: pay.RefundClosed}, []pay.OutRefundNo{"R-000005"}},
		"failed":            {pay.RefundFilter{State: pay.RefundFailed}, []pay.OutRefundNo{"R-000007"}},
		"failed, of other":  {pay.RefundFilter{State: pay.RefundFailed, MchID: other}, nil},
		"of no known state": {pay.RefundFilter{State: "lost"}, nil},
	} {
		for _, limit := range []int{1, 2, 3, 50} {
			row.filter.Limit = limit
			require.Equal(t, row.want, b.refundPages(row.filter), "%s by %d", name, limit)
		}
	}
	one, err := b.ListRefunds(t.Context(), pay.RefundFilter{State: pay.RefundAbnormal, Limit: 9})
	require.NoError(t, err)
	want := b.refund("R-000006")
	want.Request = nil
	require.Equal(t, []pay.Refund{want}, one)
	none, err := b.ListRefunds(t.Context(), pay.RefundFilter{Limit: -1})
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestFindRefunds_leads_from_both_numbers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.refunded(shop, "R-000001", 0, pay.RefundProcessing)
	b.refunded(other, "R-000002", 0, pay.RefundProcessing)
	found := func(number string, mchid pay.MchID) []pay.RefundMatch {
		t.Helper()
		matches, err := b.FindRefunds(t.Context(), number, mchid)
		require.NoError(t, err)
		return matches
	}
	own := pay.RefundMatch{MchID: shop, OutRefundNo: "R-000001", OutTradeNo: "T-R-000001", FoundBy: pay.FoundByOutRefundNo}
	require.Equal(t, []pay.RefundMatch{own}, found("R-000001", ""))
	require.Equal(t, []pay.RefundMatch{own}, found("R-000001", shop))
	require.Empty(t, found("R-000001", other))
	require.Equal(t, []pay.RefundMatch{{MchID: other, OutRefundNo: "R-000002", OutTradeNo: "T-R-000002", FoundBy: pay.FoundByRefundID}}, found("50-R-000002", ""))
	for _, nothing := range []string{"", "R-000009", "T-R-000001", "a\x00", "\xff"} {
		require.Empty(t, found(nothing, ""), nothing)
	}
	// Merchants may use the same number, which may be WeChat Pay's of a third refund.
	b.refunded(other, "50-R-000001", 0)
	require.Len(t, found("50-R-000001", ""), 2)
	require.Equal(t, pay.FoundByOutRefundNo, found("50-R-000001", "")[0].FoundBy)
}

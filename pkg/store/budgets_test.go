package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

func readQuery(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("queries", name+".sql"))
	require.NoError(t, err)
	return string(text)
}

// ten is 10 calls a second: a bucket of two tokens.
func ten() pay.Budget { return pay.Budget{API: pay.APIRefund, PerSecond: 10} }

// still stops the refilling of every bucket, so that its tokens can be counted.
func (b *books) still() {
	b.t.Helper()
	require.NoError(b.t, b.exec(`UPDATE api_budgets SET refilled_at = now() + interval '1 hour'`))
}

func (b *books) take(budget pay.Budget) bool {
	b.t.Helper()
	took, err := b.TakeToken(b.t.Context(), shop, budget)
	require.NoError(b.t, err)
	return took
}

func (b *books) tokens() int {
	b.t.Helper()
	return b.count(`SELECT milli_tokens FROM api_budgets`)
}

func TestBudgetTokens_fill_by_the_rate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, row := range []struct {
		name                string
		tokens, rate, burst int
		after, halved       string // from the refill on
		want                int
	}{
		{"nothing yet", 500, 10_000, 2000, "0", "NULL", 500},
		{"a tenth of a second", 500, 10_000, 2000, "0.1", "NULL", 1500},
		{"no more than fits", 500, 10_000, 2000, "3600", "NULL", 2000},
		{"for years", 500, 10_000, 2000, "1e9", "NULL", 2000},
		{"parts of a thousandth are not counted", 0, 1000, 1000, "0.0019", "NULL", 1},
		{"a clock that was set back", 500, 10_000, 2000, "-60", "NULL", 500},
		{"out of debt", -2000, 10_000, 2000, "0.1", "NULL", -1000},
		{"halved", 500, 10_000, 2000, "0.1", "60", 1000},
		{"halved for the first half", 0, 10_000, 2000, "0.1", "0.05", 750},
		{"halved long ago", 500, 10_000, 2000, "0.1", "-60", 1500},
	} {
		got := b.count(`WITH refilled AS (SELECT '2026-03-01'::timestamptz AS at)
			SELECT budget_tokens($1, $2, $3, at, at + make_interval(secs => `+row.halved+`), at + make_interval(secs => `+row.after+`)) FROM refilled`,
			row.tokens, row.rate, row.burst)
		require.Equal(t, row.want, got, row.name)
	}
}

func TestTakeToken_gives_what_the_bucket_holds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.True(t, b.take(ten()), "a new bucket is full")
	b.still()
	require.True(t, b.take(ten()))
	require.False(t, b.take(ten()))
	require.NoError(t, b.exec(`UPDATE api_budgets SET refilled_at = now() - interval '1 hour'`))
	require.True(t, b.take(ten()))
	require.True(t, b.take(pay.Budget{API: pay.APIRefund, PerSecond: 1}), "one a second still has a bucket of one")
	b.still()
	require.False(t, b.take(pay.Budget{API: pay.APIRefund, PerSecond: 1}))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM api_budgets WHERE milli_rate = 1000 AND milli_burst = 1000`), "the configured rate was taken over")
}

func TestTakeToken_by_twins_at_once_is_given_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.True(t, b.take(ten()))
	require.NoError(t, b.exec(`UPDATE api_budgets SET milli_tokens = 2000`))
	b.still()
	took := make([]bool, 8)
	var together errgroup.Group
	for i := range took {
		together.Go(func() error {
			var err error
			took[i], err = b.TakeToken(t.Context(), shop, ten())
			return err
		})
	}
	require.NoError(t, together.Wait())
	n := 0
	for _, yes := range took {
		if yes {
			n++
		}
	}
	require.Equal(t, 2, n)
}

func TestChargeTokens_overdraws_by_a_bucket_and_gives_back_up_to_one(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.ChargeTokens(t.Context(), shop, ten(), 1), "the first call makes the bucket")
	b.still()
	require.NoError(t, b.ChargeTokens(t.Context(), shop, ten(), 2))
	require.Equal(t, -1000, b.tokens())
	require.NoError(t, b.ChargeTokens(t.Context(), shop, ten(), 100))
	require.Equal(t, -2000, b.tokens())
	require.False(t, b.take(ten()))
	require.NoError(t, b.ChargeTokens(t.Context(), shop, ten(), -3))
	require.Equal(t, 1000, b.tokens())
	require.NoError(t, b.ChargeTokens(t.Context(), shop, ten(), -100))
	require.Equal(t, 2000, b.tokens())
	require.NoError(t, b.ChargeTokens(t.Context(), shop, ten(), 0))
}

func TestHalveBudget_keeps_what_was_gained_and_the_longer_time(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.HalveBudget(t.Context(), shop, ten(), time.Minute), "the first call makes the bucket")
	require.NoError(t, b.exec(`UPDATE api_budgets SET milli_tokens = 0, refilled_at = now() - interval '1 hour', halved_until = NULL`))
	require.NoError(t, b.HalveBudget(t.Context(), shop, ten(), time.Minute))
	require.Equal(t, 2000, b.tokens())
	require.Equal(t, 1, b.count(`SELECT count(*) FROM api_budgets WHERE halved_until BETWEEN now() + interval '50 seconds' AND now() + interval '1 minute'`))
	require.NoError(t, b.HalveBudget(t.Context(), shop, ten(), time.Second))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM api_budgets WHERE halved_until > now() + interval '50 seconds'`))
}

func TestHalveBudget_halves_what_claims_take(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const rate, span = 400, 2 * time.Second
	b.placeMany(rate * 3)
	budget := pay.Budget{API: pay.APIOrderQuery, PerSecond: rate}
	require.NoError(t, b.HalveBudget(t.Context(), shop, budget, time.Minute))
	begin := time.Now()
	seen := b.drain(4, func() ([]pay.OutTradeNo, bool, error) {
		claim, err := b.ClaimOrders(t.Context(), shop, budget, 20, time.Hour)
		return numbersOf(claim.Orders), time.Since(begin) < span, err
	})
	require.LessOrEqual(t, float64(len(seen)), rate*0.2+rate/2*time.Since(begin).Seconds())
	require.GreaterOrEqual(t, float64(len(seen)), 0.8*rate/2*span.Seconds())
}

func TestBudgets_of_merchants_and_calls_are_apart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.True(t, b.take(ten()))
	b.still()
	require.True(t, b.take(ten()))
	took, err := b.TakeToken(t.Context(), other, ten())
	require.NoError(t, err)
	require.True(t, took)
	require.True(t, b.take(pay.Budget{API: pay.APIRefundQuery, PerSecond: 10}))
	require.False(t, b.take(pay.Budget{API: pay.APIRefundAbnormal, PerSecond: 10}), "driving a refund on is a refund request to WeChat Pay")
}

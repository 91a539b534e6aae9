package store_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/testkit/servers"
)

const (
	benchOpen  = 100_000 // unresolved orders, whatever the size of the table
	benchClaim = 1000
)

// benchRows is the size of the large table; FENFLOW_BENCH_ROWS lowers it.
func benchRows(b *testing.B) int {
	b.Helper()
	text := os.Getenv("FENFLOW_BENCH_ROWS")
	if text == "" {
		return 10_000_000
	}
	rows, err := strconv.Atoi(text)
	require.NoError(b, err)
	return rows
}

// BenchmarkClaim claims 1,000 due orders out of 100,000 unresolved ones, in a
// small table and in a large one, and does the rest of what a sweep does there.
// The time must not depend on the size of the table.
//
// In the large table unresolved orders are half of the latest, as in any shop:
// what is older is paid or closed. The third layout is the worst that there can
// be: each unresolved order lies alone among 99 others, so that a claim
// touches 1,000 pages of the table and as many of its index, which a server
// with 256 MB of buffers has to fetch.
func BenchmarkClaim(b *testing.B) {
	rows := benchRows(b)
	layouts := []layout{{"small", benchOpen, 1}, {"large", rows, 2}, {"large and scattered", rows, rows / benchOpen}}
	medians := map[string]time.Duration{}
	for _, l := range layouts {
		b.Run(fmt.Sprintf("%s rows=%d", l.name, l.rows), func(b *testing.B) {
			books := benchBooks(b, l)
			b.Run("claim", func(b *testing.B) { medians[l.name] = benchClaims(b, books) })
			b.Log(books.explain("claim_orders", string(shop), "order_query", 10_000_000, "order_query", benchClaim, 3600.0, ""))
			b.Run("nothing due", func(b *testing.B) { benchNothingDue(b, books) })
			b.Run("backlog", func(b *testing.B) { benchBacklog(b, books) })
			b.Run("plan", func(b *testing.B) { benchPlans(b, books) })
			b.Run("pull", func(b *testing.B) { benchPull(b, books) })
		})
	}
	if small := medians["small"]; small > 0 {
		for _, l := range layouts[1:] {
			b.Logf("median of the %s table over that of the small one: %.2f", l.name, float64(medians[l.name])/float64(small))
		}
	}
}

// layout is a table in which one order in oneIn is unresolved, from the latest
// back, until there are benchOpen of them.
type layout struct {
	name        string
	rows, oneIn int
}

// benchBooks fills a server of its own. Half of the unresolved orders are due.
func benchBooks(b *testing.B, size layout) *books {
	b.Helper()
	server := testkit.OwnPostgres(b, func(o *servers.PostgresOptions) {
		o.Settings = map[string]string{"shared_buffers": "256MB", "max_wal_size": "8GB"}
	})
	require.NoError(b, server.CreateDatabase(b.Context(), "bench"))
	require.NoError(b, migrate(b.Context(), server.URL("bench")))
	books := openBooks(b, server.URL("bench"))
	tx, err := books.sql.BeginTx(b.Context(), nil)
	require.NoError(b, err)
	o := order("")
	for _, statement := range []string{
		`SET LOCAL session_replication_role = replica`, // no trigger, no foreign key: the payments are not there
		fmt.Sprintf(`INSERT INTO orders (mchid, out_trade_no, appid, client, protocol, description, amount_fen, currency, openid, attach,
				digest, state, sequence, created_at, updated_at, expires_at, prepay_request, prepay_id, transaction_id, paid_at, next_check_at)
			SELECT '%s', 'T' || lpad(g::text, 12, '0'), '%s', 'jsapi', 'v3', '%s', 100, 'CNY', '%s', '', '%s',
				CASE WHEN open THEN 'awaiting_payment' ELSE 'paid' END, 3, l.at AS created, l.at AS updated, l.at + interval '2 hours', convert_to(repeat('x', 200), 'UTF8'), 'wx201410272009395522657a690389285100',
				CASE WHEN NOT open THEN 'tx' || g END, CASE WHEN NOT open THEN at END,
				CASE WHEN open THEN now() + (g / %d %% 2 * 2 - 1) * interval '1 hour' * random() END
			FROM generate_series(1, %d) AS g,
			     LATERAL (SELECT g %% %d = 0 AND %d - g < %d AS open, now() - interval '1 second' * (%d - g) / 100 AS at) AS l`,
			o.MchID, o.AppID, o.Description, o.OpenID, o.Digest, size.oneIn, size.rows, size.oneIn, size.rows, benchOpen*size.oneIn, size.rows),
	} {
		_, err = tx.ExecContext(b.Context(), statement)
		require.NoError(b, err)
	}
	require.NoError(b, tx.Commit())
	require.NoError(b, books.exec(`VACUUM ANALYZE orders`))
	require.NoError(b, books.exec(`CHECKPOINT`))
	b.Logf("%d orders, %d unresolved, table and indexes of %s", size.rows, books.count(`SELECT count(*) FROM orders WHERE next_check_at IS NOT NULL`),
		books.text(`SELECT pg_size_pretty(pg_total_relation_size('orders'))`))
	return books
}

// refill makes due again what was claimed, and fills the bucket.
func (b *books) refill() {
	b.t.Helper()
	require.NoError(b.t, b.exec(`UPDATE orders SET next_check_at = now() - interval '1 minute' * random() WHERE next_check_at > now() + interval '3 hours'`))
	require.NoError(b.t, b.exec(`UPDATE api_budgets SET milli_tokens = milli_burst, refilled_at = clock_timestamp()`))
}

// timed runs one thing as often as the benchmark wants and reports the median.
func timed(b *testing.B, before, run func()) time.Duration {
	b.Helper()
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		before()
		b.StartTimer()
		begin := time.Now()
		run()
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	median := took[len(took)/2]
	b.ReportMetric(float64(median.Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
	return median
}

func benchClaims(b *testing.B, books *books) time.Duration {
	b.Helper()
	budget := pay.Budget{API: pay.APIOrderQuery, PerSecond: 10_000}
	return timed(b, books.refill, func() {
		claim, err := books.ClaimOrders(b.Context(), shop, budget, benchClaim, 4*time.Hour)
		require.NoError(b, err)
		require.Len(b, claim.Orders, benchClaim)
	})
}

func benchNothingDue(b *testing.B, books *books) {
	b.Helper()
	timed(b, func() {}, func() {
		claim, err := books.ClaimOrders(b.Context(), shop, plenty(pay.APIOrderClose), benchClaim, time.Hour)
		require.NoError(b, err)
		require.Zero(b, claim)
	})
}

func benchBacklog(b *testing.B, books *books) {
	b.Helper()
	timed(b, func() {}, func() {
		backlog, err := books.Backlog(b.Context(), shop)
		require.NoError(b, err)
		require.Equal(b, benchOpen, backlog.Young+backlog.Old)
	})
}

func benchPlans(b *testing.B, books *books) {
	b.Helper()
	var plans []pay.OrderPlan
	timed(b, func() {
		books.refill()
		claim, err := books.ClaimOrders(b.Context(), shop, pay.Budget{API: pay.APIOrderQuery, PerSecond: 10_000}, 500, 4*time.Hour)
		require.NoError(b, err)
		plans = plans[:0]
		for _, o := range claim.Orders {
			plans = append(plans, pay.OrderPlan{MchID: o.MchID, OutTradeNo: o.OutTradeNo, Lease: claim.Lease, NextCheckAt: time.Now().Add(-time.Second)})
		}
	}, func() { require.NoError(b, books.PlanOrders(b.Context(), plans)) })
}

// benchPull puts off all orders and changes to the tight gear.
func benchPull(b *testing.B, books *books) {
	b.Helper()
	timed(b, func() {
		require.NoError(b, books.exec(`UPDATE orders SET next_check_at = now() + interval '10 minutes' + interval '20 minutes' * random() WHERE next_check_at IS NOT NULL`))
		require.NoError(b, books.exec(`VACUUM orders`))
		require.NoError(b, books.exec(`INSERT INTO merchant_gears (mchid, gear, pull_until) VALUES ($1, 'tight', now() + interval '1 hour')
			ON CONFLICT (mchid) DO UPDATE SET gear = excluded.gear, pull_until = excluded.pull_until`, string(shop)))
	}, func() {
		for calls := 1; ; calls++ {
			_, _, err := books.ShiftGear(b.Context(), shop)
			require.NoError(b, err)
			if books.count(`SELECT count(*) FROM orders WHERE next_check_at > now() + interval '60 seconds'`) == 0 {
				return
			}
			require.Less(b, calls, 100)
		}
	})
}

package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
)

const aLease = 20 * time.Second

// plenty is a budget that no test here comes to the end of.
func plenty(api pay.API) pay.Budget { return pay.Budget{API: api, PerSecond: 100_000} }

func (b *books) claim(budget pay.Budget, limit int) pay.OrderClaim {
	b.t.Helper()
	claim, err := b.ClaimOrders(b.t.Context(), shop, budget, limit, aLease)
	require.NoError(b.t, err)
	return claim
}

// set changes columns of one order by hand.
func (b *books) set(o pay.Order, columns string) {
	b.t.Helper()
	require.NoError(b.t, b.exec(`UPDATE orders SET `+columns+` WHERE mchid = $1 AND out_trade_no = $2`, string(o.MchID), string(o.OutTradeNo)))
}

func numbersOf(orders []pay.Order) []pay.OutTradeNo {
	numbers := make([]pay.OutTradeNo, len(orders))
	for i, o := range orders {
		numbers[i] = o.OutTradeNo
	}
	return numbers
}

func TestClaimOrders_takes_what_is_due_and_nothing_else(t *testing.T) {
	t.Parallel()
	b := setup(t)
	later, sooner, notYet, toClose, paid := b.place(), b.place(), b.place(), b.place(), b.place()
	b.set(sooner, `next_check_at = now() - interval '2 hours', close_count = 2, close_requested_at = '2026-03-01', checked_at = '2026-03-02'`)
	b.set(later, `next_check_at = now() - interval '1 hour'`)
	b.set(notYet, `next_check_at = now() + interval '1 minute'`)
	b.set(toClose, `check_api = 'order_close'`)
	b.settle(arrived(payment(paid, txOf(paid))))
	strange := order("T-of-another")
	strange.MchID = other
	_, _, _, err := b.CreateOrder(t.Context(), strange)
	require.NoError(t, err)

	claim := b.claim(plenty(pay.APIOrderQuery), 10)
	require.Equal(t, []pay.OutTradeNo{sooner.OutTradeNo, later.OutTradeNo}, numbersOf(claim.Orders), "the longest due first")
	require.False(t, claim.More)
	require.Equal(t, b.order(sooner), claim.Orders[0], "orders come whole")
	require.Equal(t, time.UTC, claim.Lease.Location())
	require.Equal(t, 2, b.count(`SELECT count(*) FROM orders WHERE next_check_at = $1`, claim.Lease), "the lease that is returned is the one that is stored")
	require.Equal(t, claim.Lease, claim.Orders[1].NextCheckAt)
	require.Zero(t, b.claim(plenty(pay.APIOrderQuery), 10), "what is claimed is not due")

	require.Equal(t, []pay.OutTradeNo{toClose.OutTradeNo}, numbersOf(b.claim(plenty(pay.APIOrderClose), 10).Orders))
}

func TestClaimOrders_gives_back_what_a_claimer_left(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.placeMany(3)
	first, err := b.ClaimOrders(t.Context(), shop, plenty(pay.APIOrderQuery), 10, 50*time.Millisecond)
	require.NoError(t, err)
	require.Len(t, first.Orders, 3)
	require.Eventually(t, func() bool { return len(b.claim(plenty(pay.APIOrderQuery), 10).Orders) == 3 }, 10*time.Second, 10*time.Millisecond)
}

func TestClaimOrders_says_what_cut_it_short(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.placeMany(30)
	byLimit := b.claim(plenty(pay.APIOrderQuery), 5)
	require.Len(t, byLimit.Orders, 5)
	require.True(t, byLimit.More)
	byBudget := b.claim(pay.Budget{API: pay.APIOrderQuery, PerSecond: 50}, 100) // another rate: what is held shrinks to its bucket
	require.Len(t, byBudget.Orders, 10, "a fifth of a second")
	require.True(t, byBudget.More)
	require.NoError(t, b.exec(`UPDATE api_budgets SET milli_tokens = 0, refilled_at = now() + interval '1 minute'`))
	require.Equal(t, pay.OrderClaim{Orders: []pay.Order{}, More: true}, b.claim(pay.Budget{API: pay.APIOrderQuery, PerSecond: 50}, 100))
	require.Equal(t, pay.OrderClaim{More: true}, b.claim(plenty(pay.APIOrderQuery), 0))
	rest := b.claim(plenty(pay.APIOrderClose), 100)
	require.Zero(t, rest)
	_, err := b.ClaimOrders(t.Context(), shop, pay.Budget{API: pay.APIOrderQuery}, 1, aLease)
	require.ErrorContains(t, err, "order_query: 0 calls a second")
	require.False(t, store.Retryable(err))
}

func TestClaimOrders_that_finds_nothing_writes_nothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	b.set(o, `next_check_at = now() + interval '1 minute'`)
	require.Zero(t, b.claim(plenty(pay.APIOrderQuery), 10))
	require.Zero(t, b.count(`SELECT count(*) FROM api_budgets`))
	b.set(o, `next_check_at = now()`)
	require.Len(t, b.claim(plenty(pay.APIOrderQuery), 10).Orders, 1)
	before := b.text(`SELECT (ctid, xmin, xmax)::text FROM api_budgets`)
	require.Zero(t, b.claim(plenty(pay.APIOrderQuery), 10))
	require.Equal(t, before, b.text(`SELECT (ctid, xmin, xmax)::text FROM api_budgets`), "not even a lock")
}

func TestClaimOrder_takes_one_that_is_due(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.placeMany(5)
	o := b.place()
	claim, err := b.ClaimOrder(t.Context(), shop, o.OutTradeNo, plenty(pay.APIOrderQuery), aLease)
	require.NoError(t, err)
	require.Equal(t, []pay.Order{b.order(o)}, claim.Orders)
	again, err := b.ClaimOrder(t.Context(), shop, o.OutTradeNo, plenty(pay.APIOrderQuery), aLease)
	require.NoError(t, err)
	require.Zero(t, again, "claimed is not due")
	require.NoError(t, b.exec(`UPDATE api_budgets SET milli_tokens = 999, refilled_at = now() + interval '1 minute'`))
	b.set(o, `next_check_at = now()`)
	poor, err := b.ClaimOrder(t.Context(), shop, o.OutTradeNo, plenty(pay.APIOrderQuery), aLease)
	require.NoError(t, err)
	require.Equal(t, pay.OrderClaim{Orders: []pay.Order{}, More: true}, poor, "no token, no claim")
}

func TestClaimOrders_does_not_wait_for_a_row_that_is_being_settled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	held, free := b.place(), b.place()
	tx := b.holding(`SELECT 1 FROM orders WHERE out_trade_no = $1 FOR UPDATE`, string(held.OutTradeNo))
	require.Equal(t, []pay.OutTradeNo{free.OutTradeNo}, numbersOf(b.claim(plenty(pay.APIOrderQuery), 10).Orders))
	require.NoError(t, tx.Rollback())
	require.Equal(t, []pay.OutTradeNo{held.OutTradeNo}, numbersOf(b.claim(plenty(pay.APIOrderQuery), 10).Orders))
}

// holding opens a transaction that has run one statement; the test ends it.
func (b *books) holding(query string, args ...any) *sql.Tx {
	b.t.Helper()
	tx, err := b.sql.BeginTx(context.Background(), nil)
	require.NoError(b.t, err)
	_, err = tx.Exec(query, args...)
	require.NoError(b.t, err)
	return tx
}

// waiting blocks until n statements of the store wait for a lock.
func (b *books) waiting(n int) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'store test' AND wait_event_type = 'Lock'`) == n
	}, 10*time.Second, 5*time.Millisecond)
}

// The claim's snapshot is older than its lock on the bucket: here another
// claimer takes some of the rows in between.
func TestClaimOrders_that_waited_for_the_bucket_sees_what_was_claimed_meanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.placeMany(4)
	require.Len(t, b.claim(plenty(pay.APIOrderQuery), 1).Orders, 1)
	tx := b.holding(`UPDATE api_budgets SET milli_tokens = 2000, refilled_at = now() + interval '1 minute'`)
	var claim pay.OrderClaim
	var together errgroup.Group
	together.Go(func() error {
		var err error
		claim, err = b.ClaimOrders(t.Context(), shop, plenty(pay.APIOrderQuery), 10, aLease)
		return err
	})
	b.waiting(1)
	_, err := tx.ExecContext(t.Context(), `UPDATE orders SET next_check_at = now() + interval '1 minute' WHERE out_trade_no IN
		(SELECT out_trade_no FROM orders WHERE next_check_at <= now() ORDER BY out_trade_no LIMIT 2)`)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	require.NoError(t, together.Wait())
	require.Len(t, claim.Orders, 1, "four, less one claimed before, less two claimed while it waited")
	require.Equal(t, 1000, b.count(`SELECT milli_tokens FROM api_budgets`), "of the two tokens that were there by then it took one")
}

func TestClaimOrders_by_twins_at_once_gives_each_order_to_one(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const orders, twins = 3000, 8
	b.placeMany(orders)
	seen := b.drain(twins, func() ([]pay.OutTradeNo, bool, error) {
		claim, err := b.ClaimOrders(t.Context(), shop, plenty(pay.APIOrderQuery), 70, time.Hour)
		return numbersOf(claim.Orders), claim.More, err
	})
	require.Len(t, seen, orders)
	for no, times := range seen {
		require.Equal(t, 1, times, no)
	}
}

// drain claims by twins at once until each is told that there is no more, and
// counts how often each number was given.
func (b *books) drain(twins int, claim func() (numbers []pay.OutTradeNo, more bool, err error)) map[pay.OutTradeNo]int {
	b.t.Helper()
	var mu sync.Mutex
	seen := map[pay.OutTradeNo]int{}
	var together errgroup.Group
	for range twins {
		together.Go(func() error {
			for {
				numbers, more, err := claim()
				mu.Lock()
				for _, no := range numbers {
					seen[no]++
				}
				mu.Unlock()
				if err != nil || !more {
					return err
				}
			}
		})
	}
	require.NoError(b.t, together.Wait())
	return seen
}

// The promise to WeChat Pay: in any t seconds at most rate × (t + 0.2) calls.
func TestClaim_takes_no_more_than_the_budget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const rate, twins, span = 300, 8, 5 * time.Second
	b.placeMany(rate * 8)
	begin := time.Now()
	end := begin.Add(span)
	seen := b.drain(twins, func() ([]pay.OutTradeNo, bool, error) {
		claim, err := b.ClaimOrders(t.Context(), shop, pay.Budget{API: pay.APIOrderQuery, PerSecond: rate}, 20, time.Hour)
		return numbersOf(claim.Orders), time.Now().Before(end), err
	})
	took := time.Since(begin).Seconds()
	require.LessOrEqual(t, float64(len(seen)), rate*(took+0.2))
	require.GreaterOrEqual(t, float64(len(seen)), 0.8*rate*span.Seconds(), "and the budget is used")
	for no, times := range seen {
		require.Equal(t, 1, times, no)
	}
}

// A claim must stay as fast as it is with any statistics: it may read by the
// index of what is due only.
func TestClaimOrders_reads_by_the_index_of_what_is_due(t *testing.T) {
	t.Parallel()
	b := setup(t)
	explain := func() string {
		return b.explain("claim_orders", string(shop), "order_query", 100_000_000, "order_query", 1000, 20.0, "")
	}
	require.NoError(t, b.exec(`ALTER TABLE orders SET (autovacuum_enabled = off)`))
	b.placeMany(20_000)
	require.Len(t, b.claim(plenty(pay.APIOrderQuery), 1).Orders, 1) // makes the bucket
	check := func(when string) {
		plan := explain()
		require.Contains(t, plan, "Index Scan using orders_due_by_api on orders", when+"\n"+plan)
		require.NotContains(t, plan, "Seq Scan on orders", when+"\n"+plan)
	}
	check("never analyzed")
	require.NoError(t, b.exec(`ANALYZE orders`))
	check("all due")
	require.NoError(t, b.exec(`UPDATE orders SET next_check_at = now() + interval '1 hour' WHERE out_trade_no > 'T000000000100'`))
	require.NoError(t, b.exec(`ANALYZE orders`))
	check("few due")
}

// explain shows how a stored query runs with the values given, and runs it.
func (b *books) explain(query string, args ...any) string {
	b.t.Helper()
	text := readQuery(b.t, query)
	tx, err := b.sql.BeginTx(b.t.Context(), nil)
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, tx.Rollback()) }()
	for i := len(args); i > 0; i-- {
		literal := fmt.Sprint(args[i-1])
		if s, is := args[i-1].(string); is {
			literal = "'" + strings.ReplaceAll(s, "'", "''") + "'"
		}
		text = strings.ReplaceAll(text, fmt.Sprintf("$%d", i), literal)
	}
	rows, err := tx.QueryContext(b.t.Context(), "EXPLAIN (ANALYZE, BUFFERS) "+text)
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, rows.Close()) }()
	var plan strings.Builder
	for rows.Next() {
		var line string
		require.NoError(b.t, rows.Scan(&line))
		plan.WriteString(line + "\n")
	}
	require.NoError(b.t, rows.Err())
	return plan.String()
}

package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
)

func TestSettle_by_twins_at_once_tells_each_payment_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const orders, twins, rounds = 60, 4, 5
	for range rounds {
		entries := make([]pay.Entry, 0, 2*orders)
		for _, o := range b.placeMany(orders) {
			entries = append(entries, arrived(payment(o, pay.TransactionID("tx-"+o.OutTradeNo))))
		}
		entries = append(entries, unknownOrders(10)...)
		told := make([]int, twins)
		var together errgroup.Group
		for i := range twins {
			mine := slices.Clone(entries)
			if i%2 == 1 { // the same orders from the other end
				slices.Reverse(mine)
			}
			together.Go(func() error {
				settled, err := b.Settle(t.Context(), mine[i:], defaults)
				told[i] = len(settled.Events)
				return err
			})
		}
		require.NoError(t, together.Wait(), "no deadlock may surface")
		total := 0
		for _, n := range told {
			total += n
		}
		require.Equal(t, orders, total)
	}
	require.Equal(t, orders*rounds, b.count(`SELECT count(*) FROM orders WHERE state = 'paid' AND sequence = 2`))
	require.Equal(t, orders*rounds, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
	require.Equal(t, orders*rounds, b.count(`SELECT count(*) FROM payments`))
	require.Equal(t, 2*orders*rounds, b.count(`SELECT count(*) FROM history`))
	require.Equal(t, 10*rounds, b.count(`SELECT count(*) FROM dead_letters WHERE state = 'waiting'`))
}

func unknownOrders(n int) []pay.Entry {
	entries := make([]pay.Entry, n)
	for i := range entries {
		entries[i] = arrived(payment(order("T-unknown-order"), "4999"))
	}
	return entries
}

// blockedSettle starts a Settle that waits for the row that change touched in
// another session. It returns how to let it go on, its server process, and its outcome.
func blockedSettle(t *testing.T, b *books, o pay.Order, change string, entries ...pay.Entry) (release func(), pid int, outcome <-chan error) {
	t.Helper()
	holder, err := b.sql.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = holder.ExecContext(t.Context(), change, string(o.MchID), string(o.OutTradeNo))
	require.NoError(t, err)
	result := make(chan error, 1)
	go func() {
		_, err := b.Settle(t.Context(), entries, defaults)
		result <- err
	}()
	require.Eventually(t, func() bool {
		return b.sql.QueryRowContext(t.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'store test' AND wait_event_type = 'Lock'`).Scan(&pid) == nil
	}, 10*time.Second, 5*time.Millisecond)
	return func() { require.NoError(t, holder.Commit()) }, pid, result
}

func TestSettle_on_a_killed_connection_leaves_nothing_and_can_be_repeated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, stranger := b.place(), arrived(payment(order("T-unknown-order"), "4999"))
	entries := []pay.Entry{stranger, arrived(payment(o, "4200"))}
	release, pid, outcome := blockedSettle(t, b, o, `SELECT 1 FROM orders WHERE mchid = $1 AND out_trade_no = $2 FOR UPDATE`, entries...)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM (SELECT pg_terminate_backend($1)) AS killed`, pid))
	err := <-outcome
	require.Error(t, err)
	require.True(t, store.Retryable(err), err)
	release()

	require.Equal(t, o, b.order(o))
	require.Zero(t, b.count(`SELECT count(*) FROM deliveries`))
	require.Zero(t, b.count(`SELECT count(*) FROM dead_letters`))
	require.Equal(t, []pay.Outcome{pay.OutcomeLettered, pay.OutcomeApplied}, outcomes(b.settle(entries...)))
}

func TestSettle_sees_what_was_committed_while_it_waited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	// The holder pays the order by hand while Settle waits for its row.
	release, _, outcome := blockedSettle(t, b, o, `WITH paid AS (
			INSERT INTO payments (mchid, transaction_id, out_trade_no, amount_fen, payer_total_fen, currency, openid, trade_type, bank_type, paid_at, observed_at)
			VALUES ($1, '4200', $2, 100, 100, 'CNY', '', '', '', now(), now()))
		UPDATE orders SET state = 'paid', sequence = sequence + 1, transaction_id = '4200', paid_at = now(), next_check_at = NULL
		WHERE mchid = $1 AND out_trade_no = $2`, arrived(payment(o, "4200")))
	release()
	require.NoError(t, <-outcome)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM payments`))
	require.EqualValues(t, 2, b.order(o).Sequence)
	require.Zero(t, b.count(`SELECT count(*) FROM anomalies`))
}

func TestSettle_gives_up_with_its_context_and_says_so(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.place()
	holder, err := b.sql.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, holder.Rollback()) }()
	_, err = holder.ExecContext(t.Context(), `SELECT 1 FROM orders FOR UPDATE`)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = b.Settle(ctx, []pay.Entry{arrived(payment(o, "4200"))}, defaults)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, store.Retryable(err))
}

// A server that dies in the middle of a run loses nothing that was answered,
// and repeating everything, answered or not, ends in the same books.
func TestSettle_survives_a_killed_server(t *testing.T) {
	t.Parallel()
	server := testkit.OwnPostgres(t)
	require.NoError(t, server.CreateDatabase(t.Context(), "fenflow"))
	require.NoError(t, migrate(t.Context(), server.URL("fenflow")))
	b := openBooks(t, server.URL("fenflow"))
	const batches, size = 30, 10
	var all [batches][]pay.Entry
	for i := range all {
		for _, o := range b.placeMany(size) {
			all[i] = append(all[i], arrived(payment(o, pay.TransactionID("tx-"+o.OutTradeNo))))
		}
	}
	settled, killed := 0, make(chan error, 1)
	for i, entries := range all {
		if i == batches/2 {
			go func() { killed <- server.Kill() }()
		}
		if _, err := b.Settle(t.Context(), entries, defaults); err != nil {
			require.True(t, store.Retryable(err), err)
			break
		}
		settled++
	}
	require.NoError(t, <-killed)
	require.NoError(t, server.Restart())
	require.Eventually(t, func() bool { return b.Ping(t.Context()) == nil }, 20*time.Second, 20*time.Millisecond)
	require.GreaterOrEqual(t, b.count(`SELECT count(*) FROM orders WHERE state = 'paid'`), settled*size)
	for _, entries := range all {
		b.settle(entries...)
	}
	require.Equal(t, batches*size, b.count(`SELECT count(*) FROM orders WHERE state = 'paid' AND sequence = 2`))
	require.Equal(t, batches*size, b.count(`SELECT count(*) FROM outbox WHERE fact = 'order.paid'`))
}

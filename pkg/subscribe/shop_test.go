package subscribe

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/event"
)

// The shop: it delivers what is paid and keeps a copy of each order. Nothing
// in its tables keeps it from delivering twice.
const shopDDL = `
	CREATE TABLE deliveries (out_trade_no text NOT NULL, event_id uuid NOT NULL);
	CREATE TABLE copies (out_trade_no text PRIMARY KEY, sequence bigint NOT NULL)`

func shop(ctx context.Context, tx *sql.Tx, e event.Event) error {
	if e.Type == event.TypeOrderPaid {
		if _, err := tx.ExecContext(ctx, `INSERT INTO deliveries VALUES ($1, $2)`, e.Data.OutTradeNo, e.ID); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO copies VALUES ($1, $2) ON CONFLICT (out_trade_no)
		DO UPDATE SET sequence = excluded.sequence WHERE copies.sequence < excluded.sequence`, e.Data.OutTradeNo, e.Data.Sequence)
	return err
}

func shopOptions(natsURL string, db *sql.DB) Options {
	return Options{
		URL: natsURL, Consumer: "business", User: "subscriber", Password: "pw-subscriber", DB: db,
		Logger:  slog.New(slog.DiscardHandler),
		Backoff: func(int) time.Duration { return 50 * time.Millisecond },
	}
}

// requireOneEffect counts in the shop's own books.
func (w *world) requireOneEffect(t testing.TB, facts []fact) {
	t.Helper()
	paid, newest := map[string]int{}, map[string]int64{}
	for _, f := range facts {
		if f.fact == "order.paid" {
			paid[f.number] = 1
		}
		newest[f.number] = max(newest[f.number], f.sequence)
	}
	require.Equal(t, paid, counts[int](t, w.db, `SELECT out_trade_no, count(*) FROM deliveries GROUP BY 1`))
	require.Equal(t, newest, counts[int64](t, w.db, `SELECT out_trade_no, sequence FROM copies`))
	require.Equal(t, distinct(facts), w.remembered(t))
}

func distinct(facts []fact) int {
	ids := map[string]bool{}
	for _, f := range facts {
		ids[f.id()] = true
	}
	return len(ids)
}

func (w *world) remembered(t testing.TB) int {
	t.Helper()
	var there bool
	require.NoError(t, w.db.QueryRowContext(t.Context(), `SELECT to_regclass('fenflow_inbox') IS NOT NULL`).Scan(&there))
	if !there {
		return 0 // Run has just begun
	}
	var n int
	require.NoError(t, w.db.QueryRowContext(t.Context(), `SELECT count(*) FROM fenflow_inbox`).Scan(&n))
	return n
}

func counts[T int | int64](t testing.TB, db *sql.DB, query string) map[string]T {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	found := map[string]T{}
	for rows.Next() {
		var name string
		var n T
		require.NoError(t, rows.Scan(&name, &n))
		found[name] = n
	}
	require.NoError(t, rows.Err())
	return found
}

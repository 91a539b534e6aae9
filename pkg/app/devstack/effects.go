package devstack

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// books looks into fenflow's tables from outside: for what only they can show.
// No figure of a report that counts money comes from here.
type books struct{ db *sql.DB }

func openBooks(s *Stack) (*books, error) {
	db, err := sql.Open("postgres", s.postgres.URL(databaseName))
	if err != nil {
		return nil, fmt.Errorf("open the books: %w", err)
	}
	return &books{db}, nil
}

func (b *books) close() { _ = b.db.Close() }

// untold is how many committed events are not published yet.
func (b *books) untold(ctx context.Context) (n int, err error) {
	if err := b.db.QueryRowContext(ctx, "SELECT count(*) FROM outbox").Scan(&n); err != nil {
		return 0, fmt.Errorf("count the events in the outbox: %w", err)
	}
	return n, nil
}

// strangers counts money in the books that the platform never moved, in or
// out: each such row is a forgery that was believed.
func (b *books) strangers(ctx context.Context, ledger simulator.Ledger) (int, error) {
	moved := make(map[string]bool, len(ledger.Payments)+len(ledger.Refunds))
	for _, p := range ledger.Payments {
		moved[p.TransactionID] = true
	}
	for _, r := range ledger.Refunds {
		if r.Status == simulator.RefundSuccess {
			moved[r.OutRefundNo] = true
		}
	}
	rows, err := b.db.QueryContext(ctx, `SELECT transaction_id FROM payments
		UNION ALL SELECT out_refund_no FROM refunds WHERE state = 'succeeded'`)
	if err != nil {
		return 0, fmt.Errorf("read the books: %w", err)
	}
	defer func() { _ = rows.Close() }()
	strangers := 0
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return 0, fmt.Errorf("read a row of the books: %w", err)
		}
		if !moved[id] {
			strangers++
		}
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("read the books: %w", err)
	}
	return strangers, nil
}

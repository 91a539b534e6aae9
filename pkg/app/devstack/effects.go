package devstack

import (
	"context"
	"database/sql"
	"fmt"
)

// unknownEffects looks into the books for money that the platform never
// moved: each such row is a forgery that was believed.
func (s *Stack) unknownEffects(ctx context.Context, d *demo, report *Report) error {
	ledger, err := d.platform.ledger(ctx)
	if err != nil {
		return err
	}
	moved := make(map[string]bool, len(ledger.Payments))
	for _, p := range ledger.Payments {
		moved[p.TransactionID] = true
	}
	db, err := sql.Open("postgres", s.postgres.URL(databaseName))
	if err != nil {
		return fmt.Errorf("open the books: %w", err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(ctx, "SELECT transaction_id FROM payments")
	if err != nil {
		return fmt.Errorf("read the payments: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("read a payment: %w", err)
		}
		if !moved[id] {
			report.ForgedAccepted++
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the payments: %w", err)
	}
	return nil
}

package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

const (
	// keepDeliveries: half a year covers the three months for which WeChat Pay
	// keeps bills and a slow audit after them.
	keepDeliveries = 180 * 24 * time.Hour

	// dropPatience bounds how long settling may queue behind this job. Dropping
	// a partition locks its parent; not getting the lock is no harm: the job
	// runs again. (DETACH CONCURRENTLY is not to be had beside a DEFAULT partition.)
	dropPatience = "200ms"
)

//go:embed queries/old_deliveries.sql
var oldDeliveriesSQL string

// DropOldDeliveries drops the days of the archive that are older than half a
// year and says which.
func (s *Store) DropOldDeliveries(ctx context.Context, now time.Time) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	last := "deliveries_" + now.UTC().Add(-keepDeliveries).Format("20060102")
	var old []string
	if err := s.db.SelectContext(ctx, &old, oldDeliveriesSQL, last); err != nil {
		return nil, failed(ctx, "list old deliveries", err)
	}
	for i, name := range old {
		err := s.inTx(ctx, func(tx *sqlx.Tx) error {
			if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '"+dropPatience+"'"); err != nil {
				return failed(ctx, "drop "+name, err)
			}
			_, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+pq.QuoteIdentifier(name))
			return failed(ctx, "drop "+name, err)
		})
		if err != nil {
			return old[:i], err
		}
	}
	return old, nil
}

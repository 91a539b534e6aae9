package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

const (
	// partitionDays ahead: two weeks in which nobody needs to look.
	partitionDays = 14

	// partitionPatience bounds how long inserts into a DEFAULT partition, and
	// nothing else, may be held up. Not getting the lock is no harm: the job
	// runs again, and DEFAULT takes the rows meanwhile.
	partitionPatience = "3s"
)

// partition is one child table that should exist.
type partition struct {
	table, name, column, from, to string // from and to are values of the column
	begins                        time.Time
}

// EnsurePartitions makes the partitions that rows will need in the next two
// weeks. Rows that went to a DEFAULT partition meanwhile move to where they belong.
func (s *Store) EnsurePartitions(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, p := range wantedPartitions(now) {
		if err := s.ensurePartition(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// wantedPartitions starts with yesterday: ids are given by the clocks of
// several machines.
func wantedPartitions(now time.Time) []partition {
	today := now.UTC().Truncate(24 * time.Hour)
	var wanted []partition
	for day := today.AddDate(0, 0, -1); !day.After(today.AddDate(0, 0, partitionDays)); day = day.AddDate(0, 0, 1) {
		wanted = append(wanted, partition{
			table: "deliveries", name: "deliveries_" + day.Format("20060102"), column: "delivery_id",
			from: firstIDOf(day), to: firstIDOf(day.AddDate(0, 0, 1)), begins: day,
		})
	}
	last := today.AddDate(0, 0, partitionDays)
	month := time.Date(today.Year(), today.Month(), 1, 0, 0, 0, 0, time.UTC)
	for ; !month.After(last); month = month.AddDate(0, 1, 0) {
		wanted = append(wanted, partition{
			table: "published", name: "published_" + month.Format("200601"), column: "published_at",
			from: month.Format(time.RFC3339), to: month.AddDate(0, 1, 0).Format(time.RFC3339), begins: month,
		})
	}
	return wanted
}

// firstIDOf is the lowest UUIDv7 of an instant: 48 bits of milliseconds, then
// zeros (RFC 9562, section 5.7).
func firstIDOf(t time.Time) string {
	ms := uint64(max(t.UnixMilli(), 0)) // no id is of before 1970
	h := hex.EncodeToString([]byte{byte(ms >> 40), byte(ms >> 32), byte(ms >> 24), byte(ms >> 16), byte(ms >> 8), byte(ms)})
	return h[:8] + "-" + h[8:] + "-0000-0000-000000000000"
}

func (s *Store) ensurePartition(ctx context.Context, p partition) error {
	exists, err := hasTable(ctx, s.db, p.name)
	if err != nil || exists {
		return err
	}
	return s.inTx(ctx, func(tx *sqlx.Tx) error { return p.create(ctx, tx) })
}

func hasTable(ctx context.Context, db sqlx.QueryerContext, name string) (exists bool, err error) {
	err = sqlx.GetContext(ctx, db, &exists, `SELECT to_regclass($1) IS NOT NULL`, name)
	return exists, failed(ctx, "look for table "+name, err)
}

// create builds the child beside its parent and attaches it: unlike CREATE
// TABLE … PARTITION OF, that lets settling go on. Only the DEFAULT partition
// is locked, so that no row slips in between the move and the check.
func (p partition) create(ctx context.Context, tx *sqlx.Tx) error {
	step := "create partition " + p.name
	child, parent, stray, column := pq.QuoteIdentifier(p.name), pq.QuoteIdentifier(p.table), pq.QuoteIdentifier(p.table+"_default"), pq.QuoteIdentifier(p.column)
	from, to := pq.QuoteLiteral(p.from), pq.QuoteLiteral(p.to)
	if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '"+partitionPatience+"'"); err != nil {
		return failed(ctx, step, err)
	}
	if _, err := tx.ExecContext(ctx, "LOCK TABLE "+stray+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		return failed(ctx, step, err)
	}
	// A twin of this job may have been first while we waited for the lock.
	if exists, err := hasTable(ctx, tx, p.name); err != nil || exists {
		return err
	}
	for _, statement := range []string{
		fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)", child, parent),
		fmt.Sprintf("WITH stray AS (DELETE FROM %s WHERE %s >= %s AND %s < %s RETURNING *) INSERT INTO %s SELECT * FROM stray", stray, column, from, column, to, child),
		fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)", parent, child, from, to),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return failed(ctx, step, err)
		}
	}
	return nil
}

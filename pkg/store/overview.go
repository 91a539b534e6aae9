package store

import (
	"context"
	"database/sql"
	_ "embed"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/overview.sql
	overviewSQL string
	//go:embed queries/list_gears.sql
	listGearsSQL string
	//go:embed queries/list_sweeps.sql
	listSweepsSQL string
)

// Overview reads one screen of what matters, as of one moment.
func (s *Store) Overview(ctx context.Context) (pay.Overview, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return pay.Overview{}, failed(ctx, "begin", err)
	}
	defer func() { _ = tx.Rollback() }() // it wrote nothing
	var row overviewRow
	if err := tx.GetContext(ctx, &row, overviewSQL); err != nil {
		return pay.Overview{}, failed(ctx, "measure queues", err)
	}
	overview := row.overview()
	if err := readGears(ctx, tx, &overview); err != nil {
		return pay.Overview{}, err
	}
	return overview, readSweeps(ctx, tx, &overview)
}

func readGears(ctx context.Context, tx *sqlx.Tx, overview *pay.Overview) error {
	var rows []struct {
		MchID string `db:"mchid"`
		Gear  string `db:"gear"`
	}
	if err := tx.SelectContext(ctx, &rows, listGearsSQL); err != nil {
		return failed(ctx, "list gears", err)
	}
	overview.Gears = make(map[pay.MchID]pay.Gear, len(rows))
	for _, r := range rows {
		overview.Gears[pay.MchID(r.MchID)] = pay.Gear(r.Gear)
	}
	return nil
}

func readSweeps(ctx context.Context, tx *sqlx.Tx, overview *pay.Overview) error {
	var rows []struct {
		Kind    string    `db:"kind"`
		BegunAt time.Time `db:"begun_at"`
	}
	if err := tx.SelectContext(ctx, &rows, listSweepsSQL); err != nil {
		return failed(ctx, "list sweeps", err)
	}
	overview.Sweeps = make(map[string]time.Time, len(rows))
	for _, r := range rows {
		overview.Sweeps[r.Kind] = instant(r.BegunAt)
	}
	return nil
}

type overviewRow struct {
	At          time.Time    `db:"at"`
	Orders      sql.NullTime `db:"orders"`
	OrderRows   int          `db:"order_rows"`
	Refunds     sql.NullTime `db:"refunds"`
	RefundRows  int          `db:"refund_rows"`
	Letters     sql.NullTime `db:"letters"`
	LetterRows  int          `db:"letter_rows"`
	Waiting     sql.NullTime `db:"waiting"`
	WaitingRows int          `db:"waiting_rows"`
	Outbox      sql.NullTime `db:"outbox"`
	OutboxRows  int          `db:"outbox_rows"`
	AnomalyRows int          `db:"anomaly_rows"`
}

func (r *overviewRow) overview() pay.Overview {
	age := func(rows int, oldest sql.NullTime) pay.QueueAge {
		return pay.QueueAge{Count: rows, OldestAt: instant(oldest.Time)}
	}
	return pay.Overview{
		At: instant(r.At), Orders: age(r.OrderRows, r.Orders), Refunds: age(r.RefundRows, r.Refunds),
		Letters: age(r.LetterRows, r.Letters), LettersWaiting: age(r.WaitingRows, r.Waiting),
		Outbox: age(r.OutboxRows, r.Outbox), AnomaliesOpen: r.AnomalyRows,
	}
}

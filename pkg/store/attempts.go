package store

import (
	"context"
	"database/sql"
	_ "embed"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

//go:embed queries/read_attempts.sql
var readAttemptsSQL string

// openAttempts reads how the refunds were sent that WeChat Pay says it lacks:
// whether that is their end depends on it. The refunds are locked by now, so
// that none of them gets another attempt before the commit.
func (b *batch) openAttempts(ctx context.Context, tx *sqlx.Tx) error {
	var keys []refundKey
	for _, obs := range b.observed {
		if obs != nil && obs.Kind == pay.ObservedRefundMissing {
			keys = append(keys, refundKey{obs.MchID, obs.OutRefundNo})
		}
	}
	attempts, err := readAttempts(ctx, tx, keys)
	if err != nil {
		return err
	}
	for key, of := range attempts {
		r := b.refunds[key]
		if r == nil {
			continue
		}
		book := b.books[orderKey{r.MchID, r.OutTradeNo}]
		if book == nil {
			continue // asked about under another order's number
		}
		if book.Attempts == nil {
			book.Attempts = map[pay.OutRefundNo][]pay.Attempt{}
		}
		book.Attempts[key.outRefundNo] = of
	}
	return nil
}

// readAttempts reads the attempts of refunds, in the order in which they were made.
func readAttempts(ctx context.Context, q sqlx.QueryerContext, keys []refundKey) (map[refundKey][]pay.Attempt, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	mchids, numbers := refundTexts(keys)
	var rows []attemptRow
	if err := sqlx.SelectContext(ctx, q, &rows, readAttemptsSQL, mchids, numbers); err != nil {
		return nil, failed(ctx, "read attempts", err)
	}
	attempts := map[refundKey][]pay.Attempt{}
	for i := range rows {
		key := refundKey{pay.MchID(rows[i].MchID), pay.OutRefundNo(rows[i].OutRefundNo)}
		attempts[key] = append(attempts[key], rows[i].attempt())
	}
	return attempts, nil
}

type attemptRow struct {
	MchID       string        `db:"mchid"`
	OutRefundNo string        `db:"out_refund_no"`
	Attempt     int           `db:"attempt"`
	StartedAt   time.Time     `db:"started_at"`
	FinishedAt  sql.NullTime  `db:"finished_at"`
	Outcome     string        `db:"outcome"`
	Status      sql.NullInt64 `db:"status"`
	Code        string        `db:"code"`
	RequestID   string        `db:"request_id"`
}

func (r *attemptRow) attempt() pay.Attempt {
	return pay.Attempt{
		Number: r.Attempt, StartedAt: instant(r.StartedAt), FinishedAt: instant(r.FinishedAt.Time),
		Outcome: pay.AttemptOutcome(r.Outcome), Status: int(r.Status.Int64), Code: r.Code, RequestID: r.RequestID,
	}
}

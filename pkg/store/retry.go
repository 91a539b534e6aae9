package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/read_refund_moment.sql
	readRefundMomentSQL string
	//go:embed queries/hold_refund.sql
	holdRefundSQL string
	//go:embed queries/retry_refund.sql
	retryRefundSQL string
)

// RefundMoment reads one refund with its calls, and the instant by the database's
// clock, which is the one by which calls begin.
func (s *Store) RefundMoment(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo) (pay.RefundMoment, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return refundMoment(ctx, s.db, readRefundMomentSQL, mchid, no)
}

// RetryRefund makes the next call about a refund that waits due now and writes
// down who wanted that and why, in one commit. why says what keeps it from that;
// then nothing is changed. What is due already stays as it is.
//
// Nobody claims the refund or begins a call between the decision and the commit:
// its row is locked.
func (s *Store) RetryRefund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, quarantine time.Duration, actor, reason string) (retried bool, why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		r, found, err := refundMoment(ctx, tx, holdRefundSQL, mchid, no)
		switch {
		case err != nil:
			return err
		case !found:
			why = "there is no such refund"
			return nil
		}
		if why = pay.WhyNotRetry(r.Refund, r.Attempts, r.Held, r.At, quarantine); why != "" {
			return nil
		}
		var made int
		err = tx.GetContext(ctx, &made, retryRefundSQL, string(mchid), string(no), legible(actor), legible(reason))
		retried = made > 0
		return failed(ctx, "retry refund", err)
	})
	return retried, why, err
}

func refundMoment(ctx context.Context, q sqlx.QueryerContext, query string, mchid pay.MchID, no pay.OutRefundNo) (pay.RefundMoment, bool, error) {
	var row refundMomentRow
	err := sqlx.GetContext(ctx, q, &row, query, string(mchid), string(no))
	if errors.Is(err, sql.ErrNoRows) {
		return pay.RefundMoment{}, false, nil
	}
	if err != nil {
		return pay.RefundMoment{}, false, failed(ctx, "read refund", err)
	}
	key := refundKey{mchid, no}
	attempts, err := readAttempts(ctx, q, []refundKey{key})
	if err != nil {
		return pay.RefundMoment{}, false, err
	}
	story := pay.RefundStory{Refund: row.refund(), Attempts: attempts[key]}
	return pay.RefundMoment{RefundStory: story, At: instant(row.At), Held: row.Held}, true, nil
}

type refundMomentRow struct {
	refundRow
	At   time.Time `db:"at"`
	Held bool      `db:"held"`
}

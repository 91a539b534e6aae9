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
	//go:embed queries/story_history.sql
	storyHistorySQL string
	//go:embed queries/story_payments.sql
	storyPaymentsSQL string
	//go:embed queries/story_refunds.sql
	storyRefundsSQL string
	//go:embed queries/story_anomalies.sql
	storyAnomaliesSQL string
)

// Story reads everything that the books tell about one order, as of one moment:
// all statements see the same snapshot, so that the sums fit the rows beside them.
func (s *Store) Story(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) (pay.Story, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return pay.Story{}, false, failed(ctx, "begin", err)
	}
	defer func() { _ = tx.Rollback() }() // it wrote nothing
	var row orderRow
	err = tx.GetContext(ctx, &row, readOrderSQL, string(mchid), string(no))
	if errors.Is(err, sql.ErrNoRows) {
		return pay.Story{}, false, nil
	}
	if err != nil {
		return pay.Story{}, false, failed(ctx, "read order", err)
	}
	story := pay.Story{Order: row.order()}
	for _, read := range []func(context.Context, *sqlx.Tx, *pay.Story) error{readHistory, readStoryPayments, readStoryRefunds, readAnomalies} {
		if err := read(ctx, tx, &story); err != nil {
			return pay.Story{}, false, err
		}
	}
	return story, true, nil
}

func readHistory(ctx context.Context, tx *sqlx.Tx, story *pay.Story) error {
	var rows []historyRow
	if err := tx.SelectContext(ctx, &rows, storyHistorySQL, string(story.Order.MchID), string(story.Order.OutTradeNo)); err != nil {
		return failed(ctx, "read history", err)
	}
	for i := range rows {
		story.History = append(story.History, rows[i].entry())
	}
	return nil
}

func readStoryPayments(ctx context.Context, tx *sqlx.Tx, story *pay.Story) error {
	var rows []paymentRow
	if err := tx.SelectContext(ctx, &rows, storyPaymentsSQL, string(story.Order.MchID), string(story.Order.OutTradeNo)); err != nil {
		return failed(ctx, "read payments", err)
	}
	for i := range rows {
		story.Payments = append(story.Payments, rows[i].payment())
	}
	return nil
}

func readStoryRefunds(ctx context.Context, tx *sqlx.Tx, story *pay.Story) error {
	var rows []refundRow
	if err := tx.SelectContext(ctx, &rows, storyRefundsSQL, string(story.Order.MchID), string(story.Order.OutTradeNo)); err != nil {
		return failed(ctx, "read refunds", err)
	}
	var keys []refundKey
	for i := range rows {
		refund := rows[i].refund()
		keys = append(keys, refundKey{refund.MchID, refund.OutRefundNo})
		story.Refunds = append(story.Refunds, pay.RefundStory{Refund: refund})
	}
	attempts, err := readAttempts(ctx, tx, keys)
	if err != nil {
		return err
	}
	for i, r := range story.Refunds {
		story.Refunds[i].Attempts = attempts[refundKey{r.MchID, r.OutRefundNo}]
	}
	return nil
}

func readAnomalies(ctx context.Context, tx *sqlx.Tx, story *pay.Story) error {
	var rows []anomalyRow
	if err := tx.SelectContext(ctx, &rows, storyAnomaliesSQL, string(story.Order.MchID), string(story.Order.OutTradeNo)); err != nil {
		return failed(ctx, "read anomalies", err)
	}
	for i := range rows {
		story.Anomalies = append(story.Anomalies, rows[i].anomaly())
	}
	return nil
}

type historyRow struct {
	MchID         string         `db:"mchid"`
	OutTradeNo    string         `db:"out_trade_no"`
	Sequence      int64          `db:"sequence"`
	What          string         `db:"what"`
	Source        string         `db:"source"`
	FromState     string         `db:"from_state"`
	ToState       string         `db:"to_state"`
	TransactionID string         `db:"transaction_id"`
	OutRefundNo   string         `db:"out_refund_no"`
	RefundFrom    string         `db:"refund_from"`
	RefundTo      string         `db:"refund_to"`
	DeliveryID    sql.NullString `db:"delivery_id"`
	KeyID         string         `db:"key_id"`
	Detail        string         `db:"detail"`
	At            time.Time      `db:"at"`
}

func (r *historyRow) entry() pay.HistoryEntry {
	return pay.HistoryEntry{
		MchID: pay.MchID(r.MchID), OutTradeNo: pay.OutTradeNo(r.OutTradeNo), Sequence: r.Sequence,
		What: r.What, Source: pay.Source(r.Source), From: pay.OrderState(r.FromState), To: pay.OrderState(r.ToState),
		TransactionID: pay.TransactionID(r.TransactionID), OutRefundNo: pay.OutRefundNo(r.OutRefundNo),
		RefundFrom: pay.RefundState(r.RefundFrom), RefundTo: pay.RefundState(r.RefundTo),
		DeliveryID: pay.DeliveryID(r.DeliveryID.String), KeyID: r.KeyID, Detail: r.Detail, At: instant(r.At),
	}
}

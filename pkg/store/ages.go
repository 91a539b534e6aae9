package store

import (
	"context"
	_ "embed"
	"time"
)

//go:embed queries/oldest_ages.sql
var oldestAgesSQL string

// Ages says how long the oldest row of each queue has been there (zero: the
// queue is empty) and how many rows there are.
type Ages struct {
	Outbox            time.Duration // the oldest unpublished event
	WaitingLetters    time.Duration // since the first failure
	OpenLetters       time.Duration // since the first failure
	UnresolvedOrders  time.Duration // by how much the most overdue check of an order is overdue
	UnresolvedRefunds time.Duration // by how much the most overdue call about a refund is overdue
	OpenAnomalies     time.Duration // since money was found that does not fit, and that nobody decided about

	OutboxRows        int64
	WaitingLetterRows int64
	OpenLetterRows    int64
	OverdueOrders     int64
	OverdueRefunds    int64
	AbnormalRefunds   int64 // whose money cannot reach the buyer: an operator is needed
	OpenAnomalyRows   int64
	StrayRows         int64 // in DEFAULT partitions: nobody made their partition; call EnsurePartitions
}

// OldestAges measures the queues by the database's clock.
func (s *Store) OldestAges(ctx context.Context) (Ages, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row agesRow
	if err := s.db.GetContext(ctx, &row, oldestAgesSQL); err != nil {
		return Ages{}, failed(ctx, "measure queues", err)
	}
	return Ages{
		Outbox: seconds(row.Outbox), WaitingLetters: seconds(row.Waiting), OpenLetters: seconds(row.Open),
		UnresolvedOrders: seconds(row.Orders), UnresolvedRefunds: seconds(row.Refunds), OpenAnomalies: seconds(row.Anomalies),
		OutboxRows: row.OutboxRows, WaitingLetterRows: row.WaitingRows, OpenLetterRows: row.OpenRows,
		OverdueOrders: row.OrderRows, OverdueRefunds: row.RefundRows, AbnormalRefunds: row.AbnormalRows, OpenAnomalyRows: row.AnomalyRows,
		StrayRows: row.StrayRows,
	}, nil
}

type agesRow struct {
	Outbox       float64 `db:"outbox"`
	OutboxRows   int64   `db:"outbox_rows"`
	Waiting      float64 `db:"waiting"`
	WaitingRows  int64   `db:"waiting_rows"`
	Open         float64 `db:"open"`
	OpenRows     int64   `db:"open_rows"`
	Orders       float64 `db:"orders"`
	OrderRows    int64   `db:"order_rows"`
	Refunds      float64 `db:"refunds"`
	RefundRows   int64   `db:"refund_rows"`
	Anomalies    float64 `db:"anomalies"`
	AnomalyRows  int64   `db:"anomaly_rows"`
	AbnormalRows int64   `db:"abnormal_rows"`
	StrayRows    int64   `db:"stray_rows"`
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

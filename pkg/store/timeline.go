package store

import (
	"context"
	"database/sql"
	_ "embed"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

//go:embed queries/timeline.sql
var timelineSQL string

// Timeline reads everything that happened to one order, the oldest first, as
// of one moment: it is one statement.
func (s *Store) Timeline(ctx context.Context, mchid pay.MchID, no pay.OutTradeNo) ([]pay.Moment, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []momentRow
	if err := s.db.SelectContext(ctx, &rows, timelineSQL, string(mchid), string(no)); err != nil {
		return nil, failed(ctx, "read timeline", err)
	}
	moments := make([]pay.Moment, len(rows))
	for i := range rows {
		moments[i] = rows[i].moment()
	}
	return moments, nil
}

type momentRow struct {
	Rank           int            `db:"rank"`
	At             time.Time      `db:"at"`
	Kind           string         `db:"kind"`
	What           string         `db:"what"`
	Source         string         `db:"source"`
	FromState      string         `db:"from_state"`
	ToState        string         `db:"to_state"`
	Sequence       sql.NullInt64  `db:"sequence"`
	TransactionID  string         `db:"transaction_id"`
	OutRefundNo    string         `db:"out_refund_no"`
	DeliveryID     sql.NullString `db:"delivery_id"`
	NotificationID string         `db:"notification_id"`
	KeyID          string         `db:"key_id"`
	EventID        sql.NullString `db:"event_id"`
	PublishedAt    sql.NullTime   `db:"published_at"`
	StreamSequence int64          `db:"stream_sequence"`
	State          string         `db:"state"`
	Actor          string         `db:"actor"`
	Detail         string         `db:"detail"`
}

func (r *momentRow) moment() pay.Moment {
	return pay.Moment{
		At: instant(r.At), Kind: r.Kind, What: r.What, Source: r.Source, From: r.FromState, To: r.ToState, Sequence: r.Sequence.Int64,
		TransactionID: pay.TransactionID(r.TransactionID), OutRefundNo: pay.OutRefundNo(r.OutRefundNo),
		DeliveryID: pay.DeliveryID(r.DeliveryID.String), NotificationID: r.NotificationID, KeyID: r.KeyID,
		EventID: r.EventID.String, PublishedAt: instant(r.PublishedAt.Time), StreamSequence: uint64(r.StreamSequence),
		State: r.State, Actor: r.Actor, Detail: r.Detail,
	}
}

package store

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/list_deliveries.sql
	listDeliveriesSQL string
	//go:embed queries/read_delivery.sql
	readDeliverySQL string
)

const (
	// stretch is how many rows of the archive one statement reads; with their
	// bytes fewer, because one may have 128 KiB.
	stretch      = 500
	stretchBytes = 100
	// maxLook bounds how many rows are looked at for one page: kinds have no
	// index, and a merchant may have none of a kind.
	maxLook = 5000
	// beforeArrival: an id is given when a delivery begins to arrive, and the
	// time of receipt is when all of it was there.
	beforeArrival = time.Minute
)

// ListDeliveries reads a page of the archive, the newest first.
func (s *Store) ListDeliveries(ctx context.Context, f pay.DeliveryFilter) (pay.DeliveryPage, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var p pay.DeliveryPage
	limit, size := page(f.Limit), stretch
	if f.Bytes {
		size = stretchBytes
	}
	at, received := f, time.Time{} // where the search stands
	for looked := 0; looked < maxLook; looked += size {
		rows, err := s.deliveries(ctx, at, size)
		if err != nil {
			return pay.DeliveryPage{}, err
		}
		for _, d := range rows {
			at.AfterID, at.AfterMchID, received = d.ID, d.MchID, d.ReceivedAt
			switch {
			case !f.Wants(d.Kind):
			case len(p.Deliveries) == limit: // one more than fits
				p.More = true
				return p, nil
			default:
				p.Deliveries = append(p.Deliveries, d)
				p.LastID, p.LastMchID, p.LastAt = d.ID, d.MchID, d.ReceivedAt
			}
		}
		if len(rows) < size {
			return p, nil
		}
	}
	p.More, p.LastID, p.LastMchID, p.LastAt = true, at.AfterID, at.AfterMchID, received
	return p, nil
}

func (s *Store) deliveries(ctx context.Context, f pay.DeliveryFilter, size int) ([]pay.Delivery, error) {
	after := orLast(string(f.AfterID))
	var rows []deliveryRow
	err := s.db.SelectContext(ctx, &rows, listDeliveriesSQL, string(f.MchID), firstID(f.Since), after, string(f.AfterMchID), orEdge(f.Since, always), size, f.Bytes)
	if err != nil {
		return nil, failed(ctx, "list deliveries", err)
	}
	all := make([]pay.Delivery, len(rows))
	for i := range rows {
		if all[i], err = rows[i].delivery(); err != nil {
			return nil, &Error{step: "list deliveries", broken: true, err: err}
		}
	}
	return all, nil
}

// Delivery reads one delivery of the archive with its bytes.
func (s *Store) Delivery(ctx context.Context, id pay.DeliveryID) (pay.Delivery, bool, error) {
	key, err := uuid.Parse(string(id))
	if err != nil {
		return pay.Delivery{}, false, nil // what is no UUID is the id of no delivery
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []deliveryRow
	if err := s.db.SelectContext(ctx, &rows, readDeliverySQL, key.String()); err != nil {
		return pay.Delivery{}, false, failed(ctx, "read delivery", err)
	}
	if len(rows) == 0 {
		return pay.Delivery{}, false, nil
	}
	d, err := rows[0].delivery()
	if err != nil {
		return pay.Delivery{}, false, &Error{step: "read delivery", broken: true, err: err}
	}
	return d, true, nil
}

// firstID is below every UUIDv7 that can belong to what was received at an
// instant or later: it lets the planner leave out the days before.
func firstID(since time.Time) string {
	var id uuid.UUID
	if ms := since.Add(-beforeArrival).UnixMilli(); !since.IsZero() && ms > 0 && ms < 1<<48 {
		for i := range 6 {
			id[i] = byte(ms >> (8 * (5 - i)))
		}
	}
	return id.String()
}

// orLast is an id, or the one after all ids.
func orLast(id string) string {
	if id == "" {
		return uuid.Max.String()
	}
	return id
}

type deliveryRow struct {
	MchID          string    `db:"mchid"`
	DeliveryID     string    `db:"delivery_id"`
	Kind           string    `db:"kind"`
	ReceivedAt     time.Time `db:"received_at"`
	Headers        string    `db:"headers"`
	Body           []byte    `db:"body"`
	TraceParent    string    `db:"trace_parent"`
	Stream         string    `db:"stream"`
	StreamSequence int64     `db:"stream_sequence"`
	StreamIndex    int       `db:"stream_index"`
	KeyID          string    `db:"key_id"`
	NotificationID string    `db:"notification_id"`
	EventType      string    `db:"event_type"`
	OutTradeNo     string    `db:"out_trade_no"`
	TransactionID  string    `db:"transaction_id"`
}

func (r *deliveryRow) delivery() (pay.Delivery, error) {
	headers, err := decodeHeaders(r.Headers)
	if err != nil {
		return pay.Delivery{}, fmt.Errorf("delivery %s: %w", r.DeliveryID, err)
	}
	return pay.Delivery{
		ID: pay.DeliveryID(r.DeliveryID), MchID: pay.MchID(r.MchID), Kind: pay.DeliveryKind(r.Kind), ReceivedAt: instant(r.ReceivedAt),
		Headers: headers, Body: r.Body, TraceParent: r.TraceParent,
		Position: pay.Position{Stream: r.Stream, Sequence: uint64(r.StreamSequence), Index: r.StreamIndex},
		KeyID:    r.KeyID, NotificationID: r.NotificationID, EventType: r.EventType,
		OutTradeNo: pay.OutTradeNo(r.OutTradeNo), TransactionID: pay.TransactionID(r.TransactionID),
	}, nil
}

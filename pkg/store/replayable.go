package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/find_stored.sql
	findStoredSQL string
	//go:embed queries/list_replayable.sql
	listReplayableSQL string
	//go:embed queries/count_replayable.sql
	countReplayableSQL string
	//go:embed queries/audit_republish.sql
	auditRepublishSQL string
)

// maxCounted is where counting ends: beyond it nobody needs to know to the last one.
const maxCounted = 100_000

// FindStored reads deliveries with their bytes. An id that nothing has is left out.
func (s *Store) FindStored(ctx context.Context, ids []pay.DeliveryID) (map[pay.DeliveryID]pay.Stored, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []storedRow
	if err := s.db.SelectContext(ctx, &rows, findStoredSQL, usableIDs(ids)); err != nil {
		return nil, failed(ctx, "find deliveries", err)
	}
	stored := make(map[pay.DeliveryID]pay.Stored, len(rows))
	for i := range rows {
		one, err := rows[i].stored()
		if err != nil {
			return nil, &Error{step: "find deliveries", broken: true, err: err}
		}
		stored[one.Delivery.ID] = one
	}
	return stored, nil
}

// ListReplayable reads a page of archived notifications, the oldest first, without
// their bytes.
func (s *Store) ListReplayable(ctx context.Context, f pay.ArchiveFilter) ([]pay.Delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	from, to := idsBetween(f)
	var rows []archivedRow
	err := s.db.SelectContext(ctx, &rows, listReplayableSQL, string(f.MchID), from, to, orFirst(string(f.AfterID)), page(f.Limit))
	if err != nil {
		return nil, failed(ctx, "list notifications", err)
	}
	deliveries := make([]pay.Delivery, len(rows))
	for i, r := range rows {
		deliveries[i] = pay.Delivery{
			ID: pay.DeliveryID(r.DeliveryID), MchID: pay.MchID(r.MchID), Kind: pay.DeliveryKind(r.Kind), ReceivedAt: instant(r.ReceivedAt),
			EventType: r.EventType, OutTradeNo: pay.OutTradeNo(r.OutTradeNo),
		}
	}
	return deliveries, nil
}

// CountReplayable counts the notifications that a filter leaves, to 100,000 at most.
func (s *Store) CountReplayable(ctx context.Context, f pay.ArchiveFilter) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	from, to := idsBetween(f)
	var n int
	err := s.db.GetContext(ctx, &n, countReplayableSQL, string(f.MchID), from, to, maxCounted)
	return n, failed(ctx, "count notifications", err)
}

// RecordReplay writes down who has notifications settled again, and why.
func (s *Store) RecordReplay(ctx context.Context, deliveries []pay.Delivery, actor, why string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var mchids, ids texts
	for _, d := range deliveries {
		mchids, ids = append(mchids, archiveMchid(d.MchID)), append(ids, string(d.ID))
	}
	_, err := s.db.ExecContext(ctx, auditRepublishSQL, mchids, ids, legible(actor), legible(why))
	return failed(ctx, "write audit", err)
}

// idsBetween are the ids that were given in a time.
func idsBetween(f pay.ArchiveFilter) (from, to string) {
	from, to = orFirst(""), orLast("")
	if !f.Since.IsZero() {
		from = firstIDOf(f.Since)
	}
	if !f.Until.IsZero() {
		to = firstIDOf(f.Until)
	}
	return from, to
}

type archivedRow struct {
	MchID      string    `db:"mchid"`
	DeliveryID string    `db:"delivery_id"`
	Kind       string    `db:"kind"`
	ReceivedAt time.Time `db:"received_at"`
	EventType  string    `db:"event_type"`
	OutTradeNo string    `db:"out_trade_no"`
}

type storedRow struct {
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
	State          string    `db:"state"`
	Attempts       int       `db:"attempts"`
}

func (r *storedRow) stored() (pay.Stored, error) {
	headers, err := decodeHeaders(r.Headers)
	if err != nil {
		return pay.Stored{}, err
	}
	return pay.Stored{
		Delivery: pay.Delivery{
			ID: pay.DeliveryID(r.DeliveryID), MchID: pay.MchID(r.MchID), Kind: pay.DeliveryKind(r.Kind), ReceivedAt: instant(r.ReceivedAt),
			Headers: headers, Body: r.Body, TraceParent: r.TraceParent,
			Position: pay.Position{Stream: r.Stream, Sequence: uint64(r.StreamSequence), Index: r.StreamIndex},
		},
		LetterState: pay.LetterState(r.State), Attempts: r.Attempts,
	}, nil
}

package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/claim_outbox.sql
	claimOutboxSQL string
	//go:embed queries/mark_published.sql
	markPublishedSQL string
)

// outboxLease is how long a claimed event is kept from other sweeps. A batch
// is published within seconds; after a crash the next sweep waits this long.
const outboxLease = 15 * time.Second

// ClaimOutbox leases events that have waited longer than olderThan, the oldest
// first. Rows that another sweep is claiming are passed over, not waited for.
func (s *Store) ClaimOutbox(ctx context.Context, olderThan time.Duration, limit int) ([]pay.Outgoing, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []outboxRow
	err := s.db.SelectContext(ctx, &rows, claimOutboxSQL, olderThan.Seconds(), limit, outboxLease.Seconds())
	if err != nil {
		return nil, failed(ctx, "claim outbox", err)
	}
	events := make([]pay.Outgoing, len(rows))
	for i, r := range rows {
		events[i] = pay.Outgoing{
			EventID: r.EventID, MchID: pay.MchID(r.MchID), OutTradeNo: pay.OutTradeNo(r.OutTradeNo),
			Fact: pay.Fact(r.Fact), Payload: []byte(r.Payload), CreatedAt: instant(r.CreatedAt),
		}
	}
	return events, nil
}

// MarkPublished moves events from the outbox to published, by the broker's
// receipts. Events that were moved before are passed over.
func (s *Store) MarkPublished(ctx context.Context, published []pay.Publication) error {
	if len(published) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var (
		ids        uuids
		sequences  integers
		duplicates booleans
		at         instants
	)
	for _, p := range published {
		ids = append(ids, p.EventID)
		sequences = append(sequences, int64(p.Sequence))
		duplicates = append(duplicates, p.Duplicate)
		at = append(at, instant(p.At))
	}
	_, err := s.db.ExecContext(ctx, markPublishedSQL, ids, sequences, duplicates, at)
	return failed(ctx, "mark published", err)
}

type outboxRow struct {
	EventID    string    `db:"event_id"`
	MchID      string    `db:"mchid"`
	OutTradeNo string    `db:"out_trade_no"`
	Fact       string    `db:"fact"`
	Payload    string    `db:"payload"`
	CreatedAt  time.Time `db:"created_at"`
}

package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/restore_published.sql
	restorePublishedSQL string
	//go:embed queries/read_told.sql
	readToldSQL string
	//go:embed queries/told_of_refund.sql
	toldOfRefundSQL string
	//go:embed queries/hush_events.sql
	hushEventsSQL string
)

// RestorePublished puts back what was told, as the stream holds it, and says
// how much of it the books did not know. What is no event of ours is left out.
func (s *Store) RestorePublished(ctx context.Context, events []pay.ToldEvent) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var (
		ids                          uuids
		mchids, numbers, facts, said texts
		created, published           instants
		sequences                    integers
	)
	for _, e := range events {
		if _, err := uuid.Parse(e.EventID); err != nil {
			continue
		}
		ids, sequences = append(ids, e.EventID), append(sequences, int64(e.Sequence))
		mchids, numbers, facts = append(mchids, string(e.MchID)), append(numbers, string(e.OutTradeNo)), append(facts, string(e.Fact))
		said = append(said, string(e.Payload))
		created, published = append(created, instant(e.CreatedAt)), append(published, instant(e.StoredAt))
	}
	if len(ids) == 0 {
		return 0, nil
	}
	result, err := s.db.ExecContext(ctx, restorePublishedSQL, ids, mchids, numbers, facts, said, created, published, sequences)
	if err != nil {
		return 0, failed(ctx, "restore published", err)
	}
	n, err := result.RowsAffected()
	return int(n), failed(ctx, "restore published", err)
}

// Told reads what was told about some orders, in no order.
func (s *Store) Told(ctx context.Context, keys []pay.OrderKey) ([]pay.ToldEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	mchids, numbers := keyTexts(keys)
	var rows []struct {
		outboxRow

		PublishedAt    time.Time `db:"published_at"`
		StreamSequence int64     `db:"stream_sequence"`
	}
	if err := s.db.SelectContext(ctx, &rows, readToldSQL, mchids, numbers); err != nil {
		return nil, failed(ctx, "read what was told", err)
	}
	told := make([]pay.ToldEvent, len(rows))
	for i, r := range rows {
		told[i] = pay.ToldEvent{
			Outgoing: pay.Outgoing{
				EventID: r.EventID, MchID: pay.MchID(r.MchID), OutTradeNo: pay.OutTradeNo(r.OutTradeNo), Fact: pay.Fact(r.Fact),
				Payload: []byte(r.Payload), CreatedAt: instant(r.CreatedAt),
			},
			Sequence: uint64(r.StreamSequence), StoredAt: instant(r.PublishedAt),
		}
	}
	return told, nil
}

// ToldOfRefund finds the order of a refund by what was told of it; empty: nothing
// was.
func (s *Store) ToldOfRefund(ctx context.Context, mchid pay.MchID, no pay.OutRefundNo, since time.Time) (pay.OutTradeNo, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var found []string
	err := s.db.SelectContext(ctx, &found, toldOfRefundSQL, string(mchid), string(no), instant(since))
	if err != nil || len(found) == 0 {
		return "", failed(ctx, "look for a refund", err)
	}
	return pay.OutTradeNo(found[0]), nil
}

// HushEvents takes those of the events out of the outbox that were told before,
// and says how many of the rest are on their way.
func (s *Store) HushEvents(ctx context.Context, ids []string) (fresh int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = s.db.GetContext(ctx, &fresh, hushEventsSQL, uuids(ids))
	return fresh, failed(ctx, "hush events", err)
}

func keyTexts(keys []pay.OrderKey) (mchids, numbers texts) {
	for _, k := range keys {
		mchids, numbers = append(mchids, string(k.MchID)), append(numbers, string(k.OutTradeNo))
	}
	return mchids, numbers
}

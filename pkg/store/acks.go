package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/claim_subscribers.sql
	claimSubscribersSQL string
	//go:embed queries/read_kept_subscriber.sql
	readKeptSubscriberSQL string
	//go:embed queries/sample_ack.sql
	sampleAckSQL string
	//go:embed queries/drop_subscriber.sql
	dropSubscriberSQL string
	//go:embed queries/first_acks.sql
	firstAcksSQL string
	//go:embed queries/last_acks.sql
	lastAcksSQL string
	//go:embed queries/drop_old_acks.sql
	dropOldAcksSQL string
)

// keepAcks is as long as the stream keeps events.
const keepAcks = 90 * 24 * time.Hour

// ClaimSubscribers takes subscribers whose consumer is due to be looked at, removed
// ones whose consumer may still be there included. They are due again when the lease
// ends; until then nobody else is given them.
func (s *Store) ClaimSubscribers(ctx context.Context, limit int, lease time.Duration) ([]pay.KeptSubscriber, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []keptSubscriberRow
	if err := s.db.SelectContext(ctx, &rows, claimSubscribersSQL, limit, lease.Seconds()); err != nil {
		return nil, failed(ctx, "claim subscribers", err)
	}
	kept := make([]pay.KeptSubscriber, len(rows))
	for i := range rows {
		kept[i] = rows[i].kept()
	}
	return kept, nil
}

// KeptSubscriber reads one, due or not. A removed one whose consumer is known to be
// gone is not found.
func (s *Store) KeptSubscriber(ctx context.Context, id string) (pay.KeptSubscriber, bool, error) {
	key, err := uuid.Parse(id)
	if err != nil {
		return pay.KeptSubscriber{}, false, nil // what is no UUID is the id of no subscriber
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row keptSubscriberRow
	err = s.db.GetContext(ctx, &row, readKeptSubscriberSQL, key.String())
	if errors.Is(err, sql.ErrNoRows) {
		return pay.KeptSubscriber{}, false, nil
	}
	return row.kept(), err == nil, failed(ctx, "read subscriber", err)
}

// SampleAck keeps how far a subscriber has acknowledged by now, if that has moved since
// the latest sample.
func (s *Store) SampleAck(ctx context.Context, id string, sample pay.AckSample) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	moved, err := affected(s.db.ExecContext(ctx, sampleAckSQL, id, instant(sample.StreamAt), int64(sample.Floor), nullTime(instant(sample.StoredAt))))
	return moved, failed(ctx, "sample acknowledgements", err)
}

// SubscriberDropped notes that the consumer of a removed subscriber is gone.
func (s *Store) SubscriberDropped(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, dropSubscriberSQL, id)
	return failed(ctx, "drop subscriber", err)
}

// FirstAcks gives, for each question, when the position was first seen acknowledged;
// zero: in no sample.
func (s *Store) FirstAcks(ctx context.Context, questions []pay.AckQuestion) ([]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var (
		ids            uuids
		streams, since instants
		sequences      integers
	)
	for _, q := range questions {
		ids, streams = append(ids, q.SubscriberID), append(streams, instant(q.StreamAt))
		sequences, since = append(sequences, int64(q.Sequence)), append(since, instant(q.PublishedAt))
	}
	var rows []struct {
		Place     int       `db:"place"`
		SampledAt time.Time `db:"sampled_at"`
	}
	if err := s.db.SelectContext(ctx, &rows, firstAcksSQL, ids, streams, sequences, since); err != nil {
		return nil, failed(ctx, "read first acknowledgements", err)
	}
	first := make([]time.Time, len(questions))
	for _, r := range rows {
		first[r.Place-1] = instant(r.SampledAt)
	}
	return first, nil
}

// LastAcks gives the latest sample of each subscriber, by id.
func (s *Store) LastAcks(ctx context.Context, ids []string) (map[string]pay.AckSample, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []ackSampleRow
	if err := s.db.SelectContext(ctx, &rows, lastAcksSQL, uuids(ids)); err != nil {
		return nil, failed(ctx, "read latest acknowledgements", err)
	}
	last := map[string]pay.AckSample{}
	for i := range rows {
		last[rows[i].ID] = rows[i].sample()
	}
	return last, nil
}

// DropOldAcks drops samples that are older than ninety days, so many at most, and says
// how many it dropped.
func (s *Store) DropOldAcks(ctx context.Context, now time.Time, limit int) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	result, err := s.db.ExecContext(ctx, dropOldAcksSQL, instant(now.Add(-keepAcks)), limit)
	if err != nil {
		return 0, failed(ctx, "drop old acknowledgements", err)
	}
	dropped, err := result.RowsAffected()
	return dropped, failed(ctx, "drop old acknowledgements", err)
}

type ackSampleRow struct {
	ID           string       `db:"subscriber_id"`
	SampleStream time.Time    `db:"sample_stream"`
	AckFloor     int64        `db:"ack_floor"`
	StoredAt     sql.NullTime `db:"stored_at"`
	SampledAt    time.Time    `db:"sampled_at"`
}

func (r *ackSampleRow) sample() pay.AckSample {
	return pay.AckSample{StreamAt: instant(r.SampleStream), Floor: uint64(r.AckFloor), StoredAt: instant(r.StoredAt.Time), At: instant(r.SampledAt)}
}

type keptSubscriberRow struct {
	subscriberRow
	SampleStream time.Time    `db:"sample_stream"`
	AckFloor     int64        `db:"ack_floor"`
	StoredAt     sql.NullTime `db:"stored_at"`
	SampledAt    time.Time    `db:"sampled_at"`
}

func (r *keptSubscriberRow) kept() pay.KeptSubscriber {
	sample := ackSampleRow{SampleStream: r.SampleStream, AckFloor: r.AckFloor, StoredAt: r.StoredAt, SampledAt: r.SampledAt}
	return pay.KeptSubscriber{Subscriber: r.subscriber(), Last: sample.sample()}
}

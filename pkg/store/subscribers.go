package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/add_subscriber.sql
	addSubscriberSQL string
	//go:embed queries/remove_subscriber.sql
	removeSubscriberSQL string
	//go:embed queries/list_subscribers.sql
	listSubscribersSQL string
	//go:embed queries/read_subscriber.sql
	readSubscriberSQL string
	//go:embed queries/subscriber_of_key.sql
	subscriberOfKeySQL string
)

// AddSubscriber keeps a subscriber with where it starts, its first sample, and tells
// the audit; an empty id is made here. Where its name or key is taken, nothing is
// added and the one that has it is given: the same wish twice is one subscriber.
func (s *Store) AddSubscriber(ctx context.Context, sub pay.Subscriber, startStoredAt time.Time, reason string) (pay.Subscriber, pay.SubscriberOutcome, error) {
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if sub.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return pay.Subscriber{}, "", failed(ctx, "make subscriber id", err)
		}
		sub.ID = id.String()
	}
	sub.Facts = slices.Compact(slices.Sorted(slices.Values(sub.Facts))) // the same choice is the same row
	var added int
	err := s.db.GetContext(within, &added, addSubscriberSQL, sub.ID, string(sub.Name), string(sub.MchID), sub.NKey, factTexts(sub.Facts),
		nullTime(instant(sub.From)), instant(sub.StreamAt), int64(sub.StartsAfter), nullTime(instant(startStoredAt)), legible(sub.CreatedBy), legible(reason))
	if err != nil {
		return pay.Subscriber{}, "", failed(within, "add subscriber", err)
	}
	there, found, err := s.Subscriber(ctx, sub.Name)
	switch {
	case err != nil:
		return pay.Subscriber{}, "", err
	case added > 0:
		return there, pay.SubscriberAdded, nil
	case found && there.RemovedAt.IsZero() && there.MchID == sub.MchID && there.NKey == sub.NKey && slices.Equal(there.Facts, sub.Facts):
		return there, pay.SubscriberSame, nil
	case found:
		return there, pay.SubscriberNameTaken, nil
	}
	there, _, err = s.subscriber(ctx, "read subscriber of a key", subscriberOfKeySQL, sub.NKey)
	return there, pay.SubscriberKeyTaken, err
}

func factTexts(facts []pay.Fact) texts {
	list := texts{}
	for _, f := range facts {
		list = append(list, string(f))
	}
	return list
}

// RemoveSubscriber ends a living subscriber and tells the audit; unacknowledged is nil
// where nobody could say. Its consumer is for the worker to delete.
func (s *Store) RemoveSubscriber(ctx context.Context, id, actor, reason string, unacknowledged *uint64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var lost any
	if unacknowledged != nil {
		lost = int64(*unacknowledged)
	}
	var removed int
	err := s.db.GetContext(ctx, &removed, removeSubscriberSQL, id, legible(actor), legible(reason), lost)
	return removed > 0, failed(ctx, "remove subscriber", err)
}

// Subscribers reads a page of living subscribers, the newest first.
func (s *Store) Subscribers(ctx context.Context, f pay.SubscriberFilter) ([]pay.Subscriber, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var rows []subscriberRow
	err := s.db.SelectContext(ctx, &rows, listSubscribersSQL, string(f.MchID), orEdge(f.Since, always), orEdge(f.AfterAt, never), orFirst(f.AfterID), page(f.Limit))
	if err != nil {
		return nil, failed(ctx, "list subscribers", err)
	}
	subscribers := make([]pay.Subscriber, len(rows))
	for i := range rows {
		subscribers[i] = rows[i].subscriber()
	}
	return subscribers, nil
}

// Subscriber finds the subscriber of a name: the living one, or one that was removed
// and whose consumer may still be there.
func (s *Store) Subscriber(ctx context.Context, name pay.SubscriberName) (pay.Subscriber, bool, error) {
	return s.subscriber(ctx, "read subscriber", readSubscriberSQL, string(name))
}

func (s *Store) subscriber(ctx context.Context, step, query, value string) (pay.Subscriber, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var row subscriberRow
	err := s.db.GetContext(ctx, &row, query, value)
	if errors.Is(err, sql.ErrNoRows) {
		return pay.Subscriber{}, false, nil
	}
	return row.subscriber(), err == nil, failed(ctx, step, err)
}

type subscriberRow struct {
	ID              string       `db:"subscriber_id"`
	Name            string       `db:"name"`
	MchID           string       `db:"mchid"`
	NKey            string       `db:"nkey"`
	Facts           string       `db:"facts"`
	FromAt          sql.NullTime `db:"from_at"`
	StreamCreatedAt time.Time    `db:"stream_created_at"`
	StartsAfter     int64        `db:"starts_after"`
	CreatedAt       time.Time    `db:"created_at"`
	CreatedBy       string       `db:"created_by"`
	RemovedAt       sql.NullTime `db:"removed_at"`
}

func (r *subscriberRow) subscriber() pay.Subscriber {
	s := pay.Subscriber{
		ID: r.ID, Name: pay.SubscriberName(r.Name), MchID: pay.MchID(r.MchID), NKey: r.NKey, From: instant(r.FromAt.Time),
		StreamAt: instant(r.StreamCreatedAt), StartsAfter: uint64(r.StartsAfter),
		CreatedAt: instant(r.CreatedAt), CreatedBy: r.CreatedBy, RemovedAt: instant(r.RemovedAt.Time),
	}
	for fact := range strings.SplitSeq(r.Facts, ",") {
		if fact != "" {
			s.Facts = append(s.Facts, pay.Fact(fact))
		}
	}
	return s
}

package devstack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/event"
)

// subscriber is a business system: it reads events from the bus under a user
// of its own and acts on each event id once.
type subscriber struct {
	conn *nats.Conn
	js   jetstream.JetStream

	mu       sync.Mutex
	seen     map[string]uint64    // event id → position in the stream
	paid     map[string]time.Time // out_trade_no → receipt of order.paid
	messages map[uint64]struct{}  // positions in the stream
	repeated int                  // messages whose event id was there before; a consumer's redeliveries do not count
	bad      []error
	changed  chan struct{} // capacity 1: a pending wake-up is enough
}

// What a business system is given: the stream, the consumer that the worker
// made for it, and the door to JetStream that deploy/nats.conf opens for it.
const (
	eventStream   = "EVENT"
	eventConsumer = "business"
	apiPrefix     = "fenflow.events"
)

func subscribe(ctx context.Context, url, user, password string) (*subscriber, error) {
	conn, err := nats.Connect(url, nats.Name("demo subscriber"), nats.UserInfo(user, password),
		nats.CustomInboxPrefix("_INBOX_"+user), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("connect the subscriber: %w", err)
	}
	js, err := jetstream.NewWithAPIPrefix(conn, apiPrefix)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	s := &subscriber{conn: conn, js: js, seen: map[string]uint64{}, paid: map[string]time.Time{}, messages: map[uint64]struct{}{}, changed: make(chan struct{}, 1)}
	if err := s.consume(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *subscriber) consume(ctx context.Context) error {
	consumer, err := s.js.Consumer(ctx, eventStream, eventConsumer)
	if err != nil {
		return fmt.Errorf("find the consumer: %w", err)
	}
	if _, err := consumer.Consume(s.take); err != nil {
		return fmt.Errorf("consume events: %w", err)
	}
	return nil
}

// take acts on one message. The position in the stream tells a redelivery to
// this consumer from a second message.
func (s *subscriber) take(msg jetstream.Msg) {
	at := time.Now()
	e, err := event.Parse(msg.Data())
	meta, metaErr := msg.Metadata()
	s.mu.Lock()
	if metaErr == nil {
		s.messages[meta.Sequence.Stream] = struct{}{}
	}
	switch position, again := s.seen[e.ID]; {
	case err != nil || metaErr != nil:
		s.bad = append(s.bad, errors.Join(err, metaErr))
	case again:
		if meta.Sequence.Stream != position {
			s.repeated++
		}
	default:
		s.seen[e.ID] = meta.Sequence.Stream
		if e.Type == event.TypeOrderPaid {
			s.paid[e.Data.OutTradeNo] = at
		}
	}
	s.mu.Unlock()
	_ = msg.Ack() // an ack that is lost brings the message again, which is known by its id
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// paidCount is how many orders this business system may deliver.
func (s *subscriber) paidCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.paid)
}

// messageCount is how many different messages were taken.
func (s *subscriber) messageCount() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.messages))
}

// receipts copies what was received, for the count at the end.
func (s *subscriber) receipts() (paid map[string]time.Time, repeated int, bad []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	paid = make(map[string]time.Time, len(s.paid))
	for no, at := range s.paid {
		paid[no] = at
	}
	return paid, s.repeated, s.bad
}

// drained waits until every message of the stream was taken, so that a late
// second message cannot escape the count. A throw-away stream begins at 1 and
// has no gaps.
func (s *subscriber) drained(ctx context.Context) error {
	for {
		info, err := s.info(ctx)
		if err == nil && info.NumPending == 0 && s.messageCount() >= info.Delivered.Stream {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the last events: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *subscriber) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	consumer, err := s.js.Consumer(ctx, eventStream, eventConsumer)
	if err != nil {
		return nil, fmt.Errorf("find the consumer: %w", err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the consumer: %w", err)
	}
	return info, nil
}

func (s *subscriber) close() { s.conn.Close() }

package devstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	seen     map[string]uint64        // event id → position in the stream
	messages map[uint64]struct{}      // positions in the stream
	awaited  map[string]chan struct{} // out_trade_no → closed at the receipt of order.paid
	got      received
	changed  chan struct{} // capacity 1: a pending wake-up is enough
}

// received is what came, counted by what it says.
type received struct {
	paid        map[string]receipt  // out_trade_no → order.paid
	refunds     map[string]struct{} // out_refund_no of each refund.succeeded
	refundedFen int64               // over all refund.succeeded: a second one for a refund would show
	anomalies   int                 // order.anomaly
	repeated    int                 // messages whose event id was there before; a consumer's redeliveries do not count
	bad         []error
}

// receipt is one order.paid.
type receipt struct {
	at            time.Time
	transactionID string
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
	s := &subscriber{
		conn: conn, js: js, seen: map[string]uint64{}, messages: map[uint64]struct{}{}, awaited: map[string]chan struct{}{},
		got: received{paid: map[string]receipt{}, refunds: map[string]struct{}{}}, changed: make(chan struct{}, 1),
	}
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
		s.got.bad = append(s.got.bad, errors.Join(err, metaErr))
	case again:
		if meta.Sequence.Stream != position {
			s.got.repeated++
		}
	default:
		s.seen[e.ID] = meta.Sequence.Stream
		s.act(e, at)
	}
	s.mu.Unlock()
	_ = msg.Ack() // an ack that is lost brings the message again, which is known by its id
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// act does what a business system does with an event that is new to it. The
// lock must be held.
func (s *subscriber) act(e event.Event, at time.Time) {
	switch e.Type {
	case event.TypeOrderPaid:
		s.got.paid[e.Data.OutTradeNo] = receipt{at, e.Data.TransactionID}
		if waiting, is := s.awaited[e.Data.OutTradeNo]; is {
			close(waiting)
			delete(s.awaited, e.Data.OutTradeNo)
		}
	case event.TypeRefundSucceeded:
		if e.Data.Refund == nil {
			s.got.bad = append(s.got.bad, fmt.Errorf("event %s tells of no refund", e.ID))
			return
		}
		s.got.refunds[e.Data.Refund.OutRefundNo] = struct{}{}
		s.got.refundedFen += e.Data.Refund.AmountFen
	case event.TypeOrderAnomaly:
		s.got.anomalies++
	}
}

// awaitPaid waits for an order's order.paid and gives its transaction.
func (s *subscriber) awaitPaid(ctx context.Context, outTradeNo string) (transactionID string, _ error) {
	s.mu.Lock()
	r, came := s.got.paid[outTradeNo]
	waiting := s.awaited[outTradeNo]
	if !came && waiting == nil {
		waiting = make(chan struct{})
		s.awaited[outTradeNo] = waiting
	}
	s.mu.Unlock()
	if came {
		return r.transactionID, nil
	}
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-waiting:
		return s.awaitPaid(ctx, outTradeNo)
	}
}

// paidCount is how many orders this business system may deliver.
func (s *subscriber) paidCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got.paid)
}

// refundCount is how many refunds this business system knows to have succeeded.
func (s *subscriber) refundCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got.refunds)
}

// messageCount is how many different messages were taken.
func (s *subscriber) messageCount() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.messages))
}

// received copies what came, for the count at the end.
func (s *subscriber) received() received {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	got.paid, got.refunds, got.bad = maps.Clone(got.paid), maps.Clone(got.refunds), slices.Clone(got.bad)
	return got
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
			return fmt.Errorf("wait for the last events: %w", context.Cause(ctx))
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

package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	maxEventBatch = 500 // the broker takes 1,000; 500 is where the rate flattens
	maxEventBytes = 1 << 20

	// Headers of an atomic batch (nats-server, server/stream.go; ADR-50).
	headerBatchID     = "Nats-Batch-Id"
	headerBatchSeq    = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"

	headerContentType = "Content-Type"
	cloudEvents       = "application/cloudevents+json"
)

// PublishEvents stores events, each under its event id, and gives a receipt
// for each that is stored, also when it fails half-way. Repeating it is safe:
// within the window a repeat answers with the position of the first.
func (b *Bus) PublishEvents(ctx context.Context, events []pay.Outgoing) ([]pay.Publication, error) {
	var done []pay.Publication
	for len(events) > 0 {
		batch, size := events[:0:0], 0
		for _, e := range events {
			if len(batch) == maxEventBatch || (len(batch) > 0 && size+len(e.Payload) > maxEventBytes) {
				break
			}
			batch, size = append(batch, e), size+len(e.Payload)
		}
		events = events[len(batch):]
		published, err := b.publishBatch(ctx, batch)
		done = append(done, published...)
		if err != nil {
			return done, fmt.Errorf("publish events: %w", err)
		}
	}
	return done, nil
}

func (b *Bus) publishBatch(ctx context.Context, events []pay.Outgoing) ([]pay.Publication, error) {
	msgs := make([]*nats.Msg, len(events))
	for i, e := range events {
		subject, err := eventSubject(e)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", e.EventID, err)
		}
		msgs[i] = nats.NewMsg(subject)
		msgs[i].Data = e.Payload
		msgs[i].Header.Set(jetstream.MsgIDHeader, e.EventID)
		msgs[i].Header.Set(headerContentType, cloudEvents)
	}
	if len(msgs) == 1 {
		return b.publishSingles(ctx, events, msgs)
	}
	last, err := b.publishAtomic(ctx, msgs)
	if isDuplicateInBatch(err) {
		// One event that is stored already spoils the batch, and the broker
		// does not say which.
		return b.publishSingles(ctx, events, msgs)
	}
	if err != nil {
		return nil, err
	}
	// A batch is stored in one piece: its sequences follow each other.
	first := last - uint64(len(events)) + 1
	published := make([]pay.Publication, len(events))
	for i, e := range events {
		published[i] = pay.Publication{EventID: e.EventID, Sequence: first + uint64(i), At: time.Now().UTC()}
	}
	return published, nil
}

// publishAtomic stores all messages or none, and gives the last sequence. Only
// the last message is answered; what goes wrong before it spoils the commit.
func (b *Bus) publishAtomic(ctx context.Context, msgs []*nats.Msg) (last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.PublishTimeout)
	defer cancel()
	batch := rand.Text()
	for i, msg := range msgs {
		msg := &nats.Msg{Subject: msg.Subject, Data: msg.Data, Header: nats.Header{}}
		for name, values := range msgs[i].Header {
			msg.Header[name] = values
		}
		msg.Header.Set(headerBatchID, batch)
		msg.Header.Set(headerBatchSeq, strconv.Itoa(i+1))
		msg.Header.Set(jetstream.ExpectedStreamHeader, StreamEvent)
		if i < len(msgs)-1 {
			if err := b.conn.PublishMsg(msg); err != nil {
				return 0, classify(err)
			}
			continue
		}
		msg.Header.Set(headerBatchCommit, "1")
		answer, err := b.conn.RequestMsgWithContext(ctx, msg)
		if err != nil {
			return 0, classify(err)
		}
		return readBatchAck(answer.Data, batch, len(msgs))
	}
	return 0, errors.New("empty batch")
}

func readBatchAck(data []byte, batch string, count int) (uint64, error) {
	var ack struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
		Batch    string              `json:"batch"`
		Count    int                 `json:"count"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return 0, fmt.Errorf("read batch ack: %w", err)
	}
	if ack.Error != nil {
		return 0, classify(ack.Error)
	}
	if ack.Batch != batch || ack.Count != count || ack.Sequence < uint64(count) {
		return 0, fmt.Errorf("batch ack is for %d messages, sent %d", ack.Count, count)
	}
	return ack.Sequence, nil
}

// publishSingles sends all at once and then collects the answers.
func (b *Bus) publishSingles(ctx context.Context, events []pay.Outgoing, msgs []*nats.Msg) ([]pay.Publication, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.PublishTimeout)
	defer cancel()
	inbox := b.conn.NewInbox()
	answers := make(chan *nats.Msg, len(msgs)) // room for every answer
	sub, err := b.conn.ChanSubscribe(inbox+".*", answers)
	if err != nil {
		return nil, classify(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for i, msg := range msgs {
		msg.Reply = inbox + "." + strconv.Itoa(i)
		msg.Header.Set(jetstream.ExpectedStreamHeader, StreamEvent)
		if err := b.conn.PublishMsg(msg); err != nil {
			return nil, classify(err)
		}
	}
	return collectAcks(ctx, events, inbox, answers)
}

func collectAcks(ctx context.Context, events []pay.Outgoing, inbox string, answers <-chan *nats.Msg) ([]pay.Publication, error) {
	var published []pay.Publication
	var failed error
	for range events {
		select {
		case <-ctx.Done():
			return published, errors.Join(failed, classify(ctx.Err()))
		case msg := <-answers:
			i, err := strconv.Atoi(msg.Subject[len(inbox)+1:])
			if err != nil || i < 0 || i >= len(events) {
				continue
			}
			p, err := readAck(msg)
			if err != nil {
				failed = err // the others may be stored: collect them
				continue
			}
			p.EventID = events[i].EventID
			published = append(published, p)
		}
	}
	return published, failed
}

func readAck(msg *nats.Msg) (pay.Publication, error) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
		return pay.Publication{}, classify(nats.ErrNoResponders)
	}
	var ack struct {
		Error     *jetstream.APIError `json:"error"`
		Sequence  uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
	}
	if err := json.Unmarshal(msg.Data, &ack); err != nil {
		return pay.Publication{}, fmt.Errorf("read ack: %w", err)
	}
	if ack.Error != nil {
		return pay.Publication{}, classify(ack.Error)
	}
	return pay.Publication{Sequence: ack.Sequence, Duplicate: ack.Duplicate, At: time.Now().UTC()}, nil
}

func isDuplicateInBatch(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && int(api.ErrorCode) == codeDuplicateInBatch
}

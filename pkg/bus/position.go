package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
)

// maxReading bounds the events that are read at the same time for one question.
const maxReading = 8

// EventStream tells where the stream of events stands.
func (b *Bus) EventStream(ctx context.Context) (pay.EventStream, error) {
	stream, err := b.events(ctx)
	if err != nil {
		return pay.EventStream{}, fmt.Errorf("look at the stream of events: %w", classify(err))
	}
	info := stream.CachedInfo()
	return pay.EventStream{CreatedAt: whole(info.Created), First: info.State.FirstSeq, Last: info.State.LastSeq}, nil
}

func (b *Bus) events(ctx context.Context) (jetstream.Stream, error) {
	stream, err := b.js.Stream(ctx, StreamEvent)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, ErrNoEvents
	}
	return stream, err
}

// EventsAt tells which event stands at each position; one without an id: none does
// (any more).
func (b *Bus) EventsAt(ctx context.Context, sequences []uint64) ([]pay.EventPosition, error) {
	stream, err := b.events(ctx)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", classify(err))
	}
	found := make([]pay.EventPosition, len(sequences))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxReading)
	for i, sequence := range sequences {
		group.Go(func() (err error) {
			found[i], _, err = readEvent(ctx, stream, sequence)
			return err
		})
	}
	return found, group.Wait() //nolint:wrapcheck // each read names itself
}

// FirstEvent finds the first event at a position or after it that a subscriber wants.
func (b *Bus) FirstEvent(ctx context.Context, s pay.Subscriber, from uint64) (first pay.EventPosition, found bool, err error) {
	filters, err := filtersOf(s)
	if err != nil {
		return first, false, fmt.Errorf("find an event of %s: %w", s.Name, err)
	}
	stream, err := b.events(ctx)
	if err != nil {
		return first, false, fmt.Errorf("find an event of %s: %w", s.Name, classify(err))
	}
	for _, subject := range filters {
		at, there, err := readEvent(ctx, stream, max(from, 1), jetstream.WithGetMsgSubject(subject))
		if err != nil {
			return first, false, err
		}
		if there && (!found || at.Sequence < first.Sequence) {
			first, found = at, true
		}
	}
	return first, found, nil
}

func readEvent(ctx context.Context, stream jetstream.Stream, sequence uint64, options ...jetstream.GetMsgOpt) (pay.EventPosition, bool, error) {
	if sequence == 0 { // the first is 1
		return pay.EventPosition{}, false, nil
	}
	msg, err := stream.GetMsg(ctx, sequence, options...)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return pay.EventPosition{}, false, nil
	}
	if err != nil {
		return pay.EventPosition{}, false, fmt.Errorf("read event %d: %w", sequence, classify(err))
	}
	return pay.EventPosition{Sequence: msg.Sequence, EventID: msg.Header.Get(jetstream.MsgIDHeader), StoredAt: whole(msg.Time)}, true, nil
}

// EventsBefore gives the position of the last event that was stored before an instant;
// 0: there is none.
func (b *Bus) EventsBefore(ctx context.Context, at time.Time) (uint64, error) {
	stream, err := b.events(ctx)
	if err != nil {
		return 0, fmt.Errorf("find the events of a time: %w", classify(err))
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return state.LastSeq, nil
	}
	// Single messages are never deleted, so positions have no gaps and grow with time.
	low, high := state.FirstSeq, state.LastSeq+1
	for low < high {
		middle := low + (high-low)/2
		msg, err := stream.GetMsg(ctx, middle)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // its time ran out just now
			low = middle + 1
		case err != nil:
			return 0, fmt.Errorf("find the events of a time: %w", classify(err))
		case msg.Time.Before(at):
			low = middle + 1
		default:
			high = middle
		}
	}
	return low - 1, nil
}

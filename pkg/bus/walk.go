package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	cloudevent "github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Reading a stream beside its consumers, which notice nothing of it.

// walkAhead is how many messages are asked for at the same time: one question
// and its answer take about 0.2 ms, nearly all of it waiting.
const walkAhead = 16

// Since gives the part of a stream that was stored at an instant or later, up
// to what is its end now. What the stream has dropped is not in it.
func (b *Bus) Since(ctx context.Context, stream string, at time.Time) (pay.Stretch, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return pay.Stretch{}, fmt.Errorf("look at stream %s: %w", stream, classify(err))
	}
	state := s.CachedInfo().State
	part := pay.Stretch{First: state.LastSeq + 1, Until: state.LastSeq + 1}
	if state.Msgs > 0 {
		if part.First, err = firstAt(ctx, s, state.FirstSeq, state.LastSeq+1, at); err != nil {
			return pay.Stretch{}, fmt.Errorf("seek in stream %s: %w", stream, classify(err))
		}
	}
	part.Next = part.First
	return part, nil
}

// Tail gives the last messages of a stream, at most so many.
func (b *Bus) Tail(ctx context.Context, stream string, most uint64) (pay.Stretch, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return pay.Stretch{}, fmt.Errorf("look at stream %s: %w", stream, classify(err))
	}
	state := s.CachedInfo().State
	until := state.LastSeq + 1
	first := max(until-min(until, most), state.FirstSeq, 1)
	return pay.Stretch{First: first, Next: first, Until: max(until, first)}, nil
}

// firstAt searches [low, high) by halving for the first message that was not
// stored before an instant; high, if there is none. A message that is gone by
// now was stored before all that are left.
func firstAt(ctx context.Context, s jetstream.Stream, low, high uint64, at time.Time) (uint64, error) {
	for low < high {
		middle := low + (high-low)/2
		msg, err := s.GetMsg(ctx, middle)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			low = middle + 1
		case err != nil:
			return 0, fmt.Errorf("read message %d: %w", middle, err)
		case msg.Time.Before(at):
			low = middle + 1
		default:
			high = middle
		}
	}
	return low, nil
}

// ReadNotifications gives the packs of a part of NOTIFY, at most so many.
func (b *Bus) ReadNotifications(ctx context.Context, part pay.Stretch, most int) ([]wechatpay.StoredPack, error) {
	return walk(ctx, b, StreamNotify, part, most, func(m *jetstream.RawStreamMsg) wechatpay.StoredPack {
		position := pay.Position{Stream: StreamNotify, Sequence: m.Sequence}
		return wechatpay.StoredPack{Sequence: m.Sequence, StoredAt: m.Time.UTC(), Arrivals: readPack(m.Data, m.Time.UTC(), 1, position)}
	})
}

// ReadCommands gives the commands of a part of COMMAND, at most so many. The
// inbox where its caller once waited is not in them.
func (b *Bus) ReadCommands(ctx context.Context, part pay.Stretch, most int) ([]pay.StoredCommand, error) {
	return walk(ctx, b, StreamCommand, part, most, func(m *jetstream.RawStreamMsg) pay.StoredCommand {
		stored := pay.StoredCommand{Sequence: m.Sequence, StoredAt: m.Time.UTC()}
		c, err := readCommand(m.Subject, m.Header, m.Data)
		if err != nil {
			stored.Spoilt = err.Error()
			return stored
		}
		c.Reply = ""
		stored.Command = c
		return stored
	})
}

// ReadTold gives the events of a part of EVENT, at most so many.
func (b *Bus) ReadTold(ctx context.Context, part pay.Stretch, most int) ([]pay.ToldEvent, error) {
	return walk(ctx, b, StreamEvent, part, most, readTold)
}

// readTold reads an event as PublishEvents stored it. One that is none keeps
// its place and nothing else.
func readTold(m *jetstream.RawStreamMsg) pay.ToldEvent {
	stored := pay.ToldEvent{Sequence: m.Sequence, StoredAt: m.Time.UTC()}
	parts := strings.SplitN(strings.TrimPrefix(m.Subject, subjectEvent), ".", 2)
	e, err := cloudevent.Parse(m.Data)
	if err != nil || len(parts) != 2 || parts[0] != e.Data.MchID || e.Type != cloudevent.TypeOf(parts[1]) {
		return stored
	}
	stored.Outgoing = pay.Outgoing{
		EventID: e.ID, MchID: pay.MchID(e.Data.MchID), OutTradeNo: pay.OutTradeNo(e.Data.OutTradeNo), Fact: pay.Fact(parts[1]),
		Payload: m.Data, CreatedAt: e.Time.UTC(),
	}
	return stored
}

// walk reads a part of a stream, message by message: that takes no right that
// the worker has not got anyway, and no consumer that somebody would have to
// take away again. Messages that the stream dropped meanwhile are left out.
func walk[T any](ctx context.Context, b *Bus, stream string, part pay.Stretch, most int, read func(*jetstream.RawStreamMsg) T) ([]T, error) {
	if part.Ended() {
		return nil, nil
	}
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", stream, classify(err))
	}
	n := min(uint64(most), part.Until-part.Next)
	msgs := make([]*jetstream.RawStreamMsg, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(walkAhead)
	for i := range msgs {
		group.Go(func() error {
			m, err := s.GetMsg(ctx, part.Next+uint64(i))
			if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
				return fmt.Errorf("read message %d of stream %s: %w", part.Next+uint64(i), stream, classify(err))
			}
			msgs[i] = m
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err //nolint:wrapcheck // wrapped above
	}
	found := make([]T, 0, n)
	for _, m := range msgs {
		if m != nil {
			found = append(found, read(m))
		}
	}
	return found, nil
}

// CommandFloors says, for each merchant, up to which message of COMMAND every
// command was acknowledged: those have an outcome, and are never handed out
// again. A merchant without a consumer is not in it.
func (b *Bus) CommandFloors(ctx context.Context) (map[pay.MchID]uint64, error) {
	s, err := b.js.Stream(ctx, StreamCommand)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", StreamCommand, classify(err))
	}
	last := s.CachedInfo().State.LastSeq // read before the consumers are: see ackFloor
	floors := map[pay.MchID]uint64{}
	list := s.ListConsumers(ctx)
	for c := range list.Info() {
		mchid, ours := strings.CutPrefix(c.Name, durableCommand)
		if !ours {
			continue
		}
		floor := last
		if c.NumPending+uint64(c.NumAckPending) > 0 {
			floor = c.AckFloor.Stream
		}
		floors[pay.MchID(mchid)] = floor
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list the consumers of %s: %w", StreamCommand, classify(err))
	}
	return floors, nil
}

package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// How long what is settled stays in a stream, and when its size is alarming.
const (
	keepNotify  = 72 * time.Hour
	keepCommand = 7 * 24 * time.Hour

	warnFill  = 0.60
	alarmFill = 0.80
)

// Fill says how full a stream is.
type Fill string

// The levels of Fill.
const (
	FillOK    Fill = "ok"
	FillWarn  Fill = "warn"  // over 60 %
	FillAlarm Fill = "alarm" // over 80 %; at 100 % publishing fails and WeChat Pay is told 503
)

// StreamHealth is one stream after a look at it.
type StreamHealth struct {
	Stream   string
	Messages uint64
	Bytes    uint64
	MaxBytes int64
	Fill     Fill
	Pending  uint64    // messages that no consumer has acknowledged, the slowest consumer's count
	OldestAt time.Time // of what is stored
	Purged   uint64    // messages dropped just now
}

// Tidy drops from NOTIFY and COMMAND what every consumer has acknowledged and
// what is older than 72 hours and 7 days, and reports how full the streams
// are. The worker calls it from time to time; doubled calls do no harm.
func (b *Bus) Tidy(ctx context.Context, now time.Time) ([]StreamHealth, error) {
	var all []StreamHealth
	for _, s := range []struct {
		name string
		keep time.Duration // 0: the stream has an age or a size of its own
		must []string      // consumers without which nothing in it is settled
	}{{StreamNotify, keepNotify, []string{durableLive, durableReplay}}, {StreamCommand, keepCommand, nil}, {StreamEvent, 0, nil}, {StreamRejected, 0, nil}, {StreamMessage, 0, nil}} {
		health, err := b.tidyStream(ctx, s.name, s.keep, s.must, now)
		if err != nil {
			return all, fmt.Errorf("tidy stream %s: %w", s.name, classify(err))
		}
		all = append(all, health)
	}
	return all, nil
}

func (b *Bus) tidyStream(ctx context.Context, name string, keep time.Duration, must []string, now time.Time) (StreamHealth, error) {
	stream, err := b.js.Stream(ctx, name)
	if err != nil {
		return StreamHealth{}, err
	}
	info := stream.CachedInfo()
	var purged, pending uint64
	if keep > 0 {
		var floor uint64
		if floor, pending, err = ackFloor(ctx, stream, info.State.LastSeq, must); err != nil {
			return StreamHealth{}, err
		}
		if purged, err = purgeBefore(ctx, stream, info.State, floor, now.Add(-keep)); err != nil {
			return StreamHealth{}, err
		}
		if purged > 0 {
			if info, err = stream.Info(ctx); err != nil {
				return StreamHealth{}, err
			}
		}
	}
	h := StreamHealth{
		Stream: name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes,
		Pending: pending, OldestAt: info.State.FirstTime, Purged: purged,
	}
	h.Fill = fillOf(h.Bytes, h.MaxBytes)
	return h, nil
}

func fillOf(bytes uint64, limit int64) Fill {
	if limit <= 0 {
		return FillOK
	}
	switch part := float64(bytes) / float64(limit); {
	case part >= alarmFill:
		return FillAlarm
	case part >= warnFill:
		return FillWarn
	}
	return FillOK
}

// ackFloor gives the last sequence up to which every consumer has acknowledged
// all that concerns it. A consumer with nothing outstanding has acknowledged
// everything up to last, which was read before the consumers were: its own
// floor only says where its last message was. Without consumers nothing is
// settled, and neither is it while one of must does not answer: a cluster
// leaves a consumer without a leader out of its list, and one that was deleted
// is made again and begins at the first message.
func ackFloor(ctx context.Context, stream jetstream.Stream, last uint64, must []string) (floor, pending uint64, err error) {
	floor = last
	consumers := map[string]bool{}
	list := stream.ListConsumers(ctx)
	for c := range list.Info() {
		consumers[c.Name] = true
		outstanding := c.NumPending + uint64(c.NumAckPending)
		pending = max(pending, outstanding)
		if outstanding > 0 {
			floor = min(floor, c.AckFloor.Stream)
		}
	}
	if err := list.Err(); err != nil {
		return 0, 0, err
	}
	if len(consumers) == 0 || slices.ContainsFunc(must, func(name string) bool { return !consumers[name] }) {
		return 0, pending, nil
	}
	return floor, pending, nil
}

// purgeBefore drops messages up to floor that were stored before an instant.
func purgeBefore(ctx context.Context, stream jetstream.Stream, state jetstream.StreamState, floor uint64, before time.Time) (uint64, error) {
	if state.Msgs == 0 || floor < state.FirstSeq || !state.FirstTime.Before(before) {
		return 0, nil
	}
	// The streams forbid deleting single messages, so sequences have no gaps
	// and grow with time: search by halving for the first one to keep.
	low, high := state.FirstSeq, floor+1
	for low < high {
		middle := low + (high-low)/2
		msg, err := stream.GetMsg(ctx, middle)
		if err != nil {
			return 0, fmt.Errorf("read message %d: %w", middle, err)
		}
		if msg.Time.Before(before) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low <= state.FirstSeq {
		return 0, nil
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(low)); err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	return low - state.FirstSeq, nil
}

package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// maxReplayPack bounds a pack of the replay lane below what a lane would take: the
// lane settles slowly, a pack at a time.
const maxReplayPack = 50

// PublishReplay puts one envelope on the replay lane, as it is: the worker that takes it
// verifies it as it does any other. It returns nil after the PubAck.
func (b *Bus) PublishReplay(ctx context.Context, env wechatpay.Envelope) error {
	_, err := b.PublishReplays(ctx, []wechatpay.Envelope{env})
	return err
}

// PublishReplays puts envelopes, as they once arrived, on the replay lane, and gives
// the position of the last: once the lane has acknowledged that, all are settled.
// After an error some of them may be on the lane; to repeat it does no harm.
func (b *Bus) PublishReplays(ctx context.Context, envelopes []wechatpay.Envelope) (last uint64, err error) {
	var records [][]byte
	size := packHead
	send := func() error {
		if len(records) == 0 {
			return nil
		}
		last, err = b.publishReplayPack(ctx, encodePack(records))
		records, size = nil, packHead
		return err
	}
	for _, env := range envelopes {
		record, err := encodeEnvelope(env)
		if err != nil {
			return last, fmt.Errorf("publish replay: %w", err)
		}
		if len(records) == maxReplayPack || size+len(record) > maxPackBytes {
			if err := send(); err != nil {
				return last, err
			}
		}
		records, size = append(records, record), size+len(record)
	}
	return last, send()
}

func (b *Bus) publishReplayPack(ctx context.Context, pack []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.PublishTimeout)
	defer cancel()
	msg := &nats.Msg{Subject: SubjectReplay, Data: pack}
	ack, err := b.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(StreamNotify), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, fmt.Errorf("publish replay: %w", classify(err))
	}
	return ack.Sequence, nil
}

// ReplayLane says how far the replay lane has come.
func (b *Bus) ReplayLane(ctx context.Context) (pay.Lane, error) {
	consumer, err := b.js.Consumer(ctx, StreamNotify, durableReplay)
	if err != nil {
		return pay.Lane{}, fmt.Errorf("look at the replay lane: %w", classify(err))
	}
	info := consumer.CachedInfo() // of just now: the handle asked for it
	return pay.Lane{Acknowledged: info.AckFloor.Stream, Waiting: int(info.NumPending) + info.NumAckPending}, nil
}

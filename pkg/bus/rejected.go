package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Headers of a rejected sample.
const (
	headerReason = "Fenflow-Reason"
	headerDetail = "Fenflow-Detail"
)

// sampleChunk is how many samples are asked for at the same time: each is a
// round trip of its own.
const sampleChunk = 32

// maxSaid is the most of a reason or detail that is read.
const maxSaid = 500

// PublishRejected stores a sample of what the edge turned away: a pack of one
// envelope, with the reason in the headers.
func (b *Bus) PublishRejected(ctx context.Context, r wechatpay.Rejected) error {
	if err := token("mchid", string(r.Envelope.MchID)); err != nil {
		return fmt.Errorf("publish rejected sample: %w", err)
	}
	record, err := encodeEnvelope(r.Envelope)
	if err != nil {
		return fmt.Errorf("publish rejected sample: %w", err)
	}
	msg := nats.NewMsg(subjectRejected + string(r.Envelope.MchID))
	msg.Data = encodePack([][]byte{record})
	msg.Header.Set(headerReason, r.Reason)
	msg.Header.Set(headerDetail, r.Detail)
	if err := b.publish(ctx, msg, StreamRejected); err != nil {
		return fmt.Errorf("publish rejected sample: %w", err)
	}
	return nil
}

// Sample reads one sample; found is false where there is none of this number,
// because it was dropped as an old one, or never was.
func (b *Bus) Sample(ctx context.Context, sequence uint64) (s wechatpay.Sample, found bool, err error) {
	stream, err := b.js.Stream(ctx, StreamRejected)
	if err != nil {
		return s, false, fmt.Errorf("read sample: %w", classify(err))
	}
	return sampleAt(ctx, stream, sequence)
}

// WalkSamples visits samples, the newest first, from the one before a sequence
// (0: from the newest of all) until visit returns false.
func (b *Bus) WalkSamples(ctx context.Context, before uint64, visit func(wechatpay.Sample) bool) error {
	stream, err := b.js.Stream(ctx, StreamRejected)
	if err != nil {
		return fmt.Errorf("read samples: %w", classify(err))
	}
	state := stream.CachedInfo().State
	at := state.LastSeq
	if before > 0 {
		at = min(at, before-1)
	}
	for first := max(state.FirstSeq, 1); at >= first; {
		n := min(sampleChunk, at-first+1)
		samples, err := chunkOf(ctx, stream, at, n)
		if err != nil {
			return err
		}
		for _, s := range samples {
			if s != nil && !visit(*s) {
				return nil
			}
		}
		at -= n
	}
	return nil
}

// chunkOf reads n samples, the last first; nil stands for one that is gone.
func chunkOf(ctx context.Context, stream jetstream.Stream, last, n uint64) ([]*wechatpay.Sample, error) {
	samples := make([]*wechatpay.Sample, n)
	group, ctx := errgroup.WithContext(ctx)
	for i := range n {
		group.Go(func() error {
			s, found, err := sampleAt(ctx, stream, last-i)
			if found {
				samples[i] = &s
			}
			return err
		})
	}
	return samples, group.Wait() //nolint:wrapcheck // sampleAt has named the step
}

func sampleAt(ctx context.Context, stream jetstream.Stream, sequence uint64) (wechatpay.Sample, bool, error) {
	if sequence == 0 {
		return wechatpay.Sample{}, false, nil
	}
	msg, err := stream.GetMsg(ctx, sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return wechatpay.Sample{}, false, nil
	case err != nil:
		return wechatpay.Sample{}, false, fmt.Errorf("read sample %d: %w", sequence, classify(err))
	}
	return sampleOf(msg), true, nil
}

// sampleOf reads what was stored. The merchant is the one that the broker filed
// it under; one that names another inside cannot be believed.
func sampleOf(msg *jetstream.RawStreamMsg) wechatpay.Sample {
	s := wechatpay.Sample{Sequence: msg.Sequence, StoredAt: msg.Time.UTC()}
	s.Reason, s.Detail = clip(msg.Header.Get(headerReason)), clip(msg.Header.Get(headerDetail))
	filed := strings.TrimPrefix(msg.Subject, subjectRejected)
	parts, err := decodePack(msg.Data)
	switch {
	case err != nil:
		s.Unreadable = err.Error()
	case len(parts) != 1:
		s.Unreadable = fmt.Sprintf("it holds %d envelopes, and a sample holds one", len(parts))
	case parts[0].err != nil:
		s.Unreadable = parts[0].err.Error()
	case string(parts[0].envelope.MchID) != filed:
		s.Unreadable = "it was filed under another merchant than it names"
	default:
		s.Envelope = parts[0].envelope
		return s
	}
	s.Envelope = wechatpay.Envelope{MchID: pay.MchID(filed), ReceivedAt: s.StoredAt, Body: msg.Data[:min(len(msg.Data), maxPackBytes)]}
	return s
}

// clip bounds what is told of a sample; what the edge says is far shorter.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxSaid)], "\uFFFD") }

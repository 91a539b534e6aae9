package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Headers of a rejected sample.
const (
	headerReason = "Fenflow-Reason"
	headerDetail = "Fenflow-Detail"
)

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

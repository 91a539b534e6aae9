package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// PublishReplay hands one envelope to the replay lane, as it is: the worker that
// takes it verifies it as it does any other. It returns nil after the PubAck.
func (b *Bus) PublishReplay(ctx context.Context, env wechatpay.Envelope) error {
	record, err := encodeEnvelope(env)
	if err != nil {
		return fmt.Errorf("publish replay: %w", err)
	}
	msg := &nats.Msg{Subject: SubjectReplay, Data: encodePack([][]byte{record})}
	if err := b.publish(ctx, msg, StreamNotify); err != nil {
		return fmt.Errorf("publish replay: %w", err)
	}
	return nil
}

package bus

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fenflow/fenflow/pkg/pay"
)

// otherType stands for a type that cannot be part of a subject. Subjects are made
// of what a stranger sent, so that there must be no way for them to grow.
const otherType = "other"

// maxType is longer than any event that WeChat documents ("subscribe_msg_popup_event").
const maxType = 64

// PublishMessage stores what WeChat told an app, and returns once it is on disk.
// id is the message's own for ever: within the stream's window a repeat is stored
// once. typ is MsgType, or "event_" and the event's name; one that a subject
// cannot hold counts as "other".
func (b *Bus) PublishMessage(ctx context.Context, appid pay.AppID, typ, id string, body []byte) error {
	if err := token("appid", string(appid)); err != nil {
		return fmt.Errorf("publish message: %w", err)
	}
	msg := nats.NewMsg(subjectMessage + string(appid) + "." + messageType(typ))
	msg.Data = body
	msg.Header.Set(jetstream.MsgIDHeader, id)
	msg.Header.Set(headerContentType, cloudEvents)
	if err := b.publish(ctx, msg, StreamMessage); err != nil {
		return fmt.Errorf("publish message: %w", err)
	}
	return nil
}

func messageType(typ string) string {
	typ = strings.ToLower(typ)
	strange := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }
	if typ == "" || len(typ) > maxType || strings.ContainsFunc(typ, strange) {
		return otherType
	}
	return typ
}

package message

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/fenflow/fenflow/pkg/event"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// messageSpace is the UUIDv5 namespace of message ids (itself made from the name
// "fenflow/message" in the URL namespace). It must never change: subscribers
// remember ids for ever.
const messageSpace = "007f181e-cc45-5cc9-ad1c-b99c7d6d372b"

// encode turns a message into a CloudEvent under the id that it has for ever.
func encode(mchid pay.MchID, appid pay.AppID, m wechat.Message) (id string, body []byte, err error) {
	id = uuid.NewSHA1(uuid.MustParse(messageSpace), []byte(string(appid)+"\n"+m.DedupKey())).String()
	body, err = json.Marshal(event.MessageEvent{
		SpecVersion: event.SpecVersion, ID: id, Source: event.AppSource(string(appid)), Type: event.TypeMessageReceived,
		Subject: string(m.FromUser), Time: m.CreatedAt.UTC(), DataContentType: event.ContentType,
		Data: event.Message{
			MchID: string(mchid), AppID: string(appid), OpenID: string(m.FromUser), MsgType: m.MsgType, Event: m.Event, EventKey: m.EventKey,
			MsgID: m.MsgID, CreatedAt: m.CreatedAt.UTC(), Fields: m.Fields, Raw: string(m.Raw),
		},
	})
	if err != nil {
		return "", nil, fmt.Errorf("encode message: %w", err)
	}
	return id, body, nil
}

// typeOf names a message in the subject that it is published on.
func typeOf(m wechat.Message) string {
	if m.Event != "" {
		return "event_" + m.Event
	}
	return m.MsgType
}

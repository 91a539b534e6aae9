package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// TypeMessageReceived is a message of a WeChat user to an app, or an event that
// WeChat tells the app of, such as subscribe. It is no event of a merchant's
// orders: it has a stream of its own, and [ParseMessage] reads it.
const TypeMessageReceived = "fenflow.message.received.v1"

// AppSource gives the CloudEvents source of an app's messages.
func AppSource(appid string) string { return "/apps/" + appid }

// MessageEvent is one CloudEvent about a message. ID is the same for the same
// message for ever: act on each id once.
type MessageEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"` // openid
	Time            time.Time `json:"time"`              // when WeChat made it
	DataContentType string    `json:"datacontenttype"`
	Data            Message   `json:"data"`
}

// Message is what WeChat told an app: proven to come from WeChat, and not to be
// believed about money.
type Message struct {
	MchID     string            `json:"mchid"`
	AppID     string            `json:"appid"`
	OpenID    string            `json:"openid,omitempty"` // FromUserName
	MsgType   string            `json:"msg_type"`         // text, image, event, and so on
	Event     string            `json:"event,omitempty"`  // of msg_type event, as WeChat writes it: subscribe, CLICK
	EventKey  string            `json:"event_key,omitempty"`
	MsgID     string            `json:"msg_id,omitempty"` // events have none
	CreatedAt time.Time         `json:"created_at"`
	Fields    map[string]string `json:"fields,omitempty"` // all elements by name; of those within others, Outer.Inner
	Raw       string            `json:"raw"`              // as WeChat wrote it, decrypted: XML, or JSON of mini programs
}

// ParseMessage reads one message and refuses what is not one.
func ParseMessage(raw []byte) (MessageEvent, error) {
	var e MessageEvent
	if err := json.Unmarshal(raw, &e); err != nil {
		return MessageEvent{}, fmt.Errorf("parse message: %w", err)
	}
	switch {
	case e.SpecVersion != SpecVersion:
		return MessageEvent{}, fmt.Errorf("parse message: specversion is %q, want %q", e.SpecVersion, SpecVersion)
	case e.Type != TypeMessageReceived:
		return MessageEvent{}, fmt.Errorf("parse message: type is %q, want %q", e.Type, TypeMessageReceived)
	case e.ID == "" || e.Data.AppID == "" || e.Data.MsgType == "":
		return MessageEvent{}, errors.New("parse message: id, appid or msg_type is missing")
	}
	return e, nil
}

package wechat

import (
	"bytes"
	"regexp"
	"strconv"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// maxMessageBytes: a text has at most 2 KiB, a list of pictures some KiB.
const maxMessageBytes = 256 << 10

var (
	messageWordShape = regexp.MustCompile(`^[0-9A-Za-z_]{1,64}$`)
	messageUserShape = regexp.MustCompile(`^[0-9A-Za-z_@.-]{0,128}$`)
	messageIDShape   = regexp.MustCompile(`^[0-9]{0,20}$`)
)

// Message is a message of a person, or an event, as WeChat pushed it.
type Message struct {
	ToUser    string     // our account's original id, gh_…
	FromUser  pay.OpenID // the person
	CreatedAt time.Time
	MsgType   string // text, image, event, …
	Event     string // of an event: subscribe, CLICK, …
	EventKey  string
	MsgID     string // of a message; events have none
	// Fields are all the texts of the message; what lies deeper is named by
	// its path: ScanCodeInfo.ScanType, SendPicsInfo.PicList.item[1].PicMd5Sum.
	Fields map[string]string
	Raw    []byte // decrypted, as it came
}

// DedupKey is the same for every repeat of one message: WeChat repeats what was
// not answered within 5 s, three times.
func (m Message) DedupKey() string {
	if m.MsgID != "" {
		return "message:" + m.MsgID
	}
	return "event:" + string(m.FromUser) + ":" + strconv.FormatInt(m.CreatedAt.Unix(), 10) + ":" + m.Event
}

// ParseMessage reads a decrypted message, XML or JSON.
func ParseMessage(text []byte) (Message, error) {
	fields, err := fieldsOf(text)
	if err != nil {
		return Message{}, err
	}
	seconds, err := strconv.ParseInt(fields["CreateTime"], 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return Message{}, reject(RejectMalformed, "CreateTime is not a number of seconds")
	}
	m := Message{
		ToUser: fields["ToUserName"], FromUser: pay.OpenID(fields["FromUserName"]), CreatedAt: time.Unix(seconds, 0).UTC(),
		MsgType: fields["MsgType"], EventKey: fields["EventKey"], Fields: fields, Raw: bytes.Clone(text),
	}
	if m.MsgType == "event" {
		m.Event = fields["Event"]
		if !messageWordShape.MatchString(m.Event) {
			return Message{}, reject(RejectMalformed, "Event is missing or not a word")
		}
	} else {
		m.MsgID = fields["MsgId"]
	}
	switch {
	case !messageWordShape.MatchString(m.MsgType):
		return Message{}, reject(RejectMalformed, "MsgType is missing or not a word")
	case !messageUserShape.MatchString(m.ToUser) || !messageUserShape.MatchString(string(m.FromUser)):
		return Message{}, reject(RejectMalformed, "ToUserName or FromUserName is of an unusual shape")
	case !messageIDShape.MatchString(m.MsgID):
		return Message{}, reject(RejectMalformed, "MsgId is not a number")
	}
	return m, nil
}

func fieldsOf(text []byte) (map[string]string, error) {
	if len(text) > maxMessageBytes {
		return nil, reject(RejectMalformed, "the message has %d bytes, and at most %d are read", len(text), maxMessageBytes)
	}
	if isJSON(text) {
		return parseJSON(text)
	}
	return parseXML(text)
}

func isJSON(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
}

package message

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/wechat"
)

const (
	plainText = "text/plain; charset=utf-8"
	xmlText   = "application/xml; charset=utf-8"
	jsonText  = "application/json; charset=utf-8"
)

// success tells WeChat that the message is taken, and that it need show nothing.
func success() reply { return reply{ContentType: plainText, Body: wechat.ReplySuccess} }

// replyTo is what the configuration has for a message, sealed with the key that
// opened it: while a key is changed, WeChat knows that one for certain.
func (s *Service) replyTo(p push, o wechat.Opened) (reply, error) {
	chosen, found := choose(p.secrets.Replies, o.Message)
	if !found {
		return success(), nil
	}
	written, contentType := s.write(chosen, o), xmlText
	if o.JSON {
		contentType = jsonText
	}
	if written == nil {
		return success(), nil
	}
	random := make([]byte, 32)
	if _, err := io.ReadFull(s.Random, random); err != nil {
		return reply{}, fmt.Errorf("seal the reply: %w", err)
	}
	nonce := base64.RawURLEncoding.EncodeToString(random[16:])
	sealed, err := wechat.SealReply(p.keys(), o, written, strconv.FormatInt(s.Now().Unix(), 10), nonce, random[:16])
	if err != nil {
		return reply{}, fmt.Errorf("seal the reply: %w", err)
	}
	return reply{ContentType: contentType, Body: string(sealed)}, nil
}

// choose finds the first reply that fits: on names the type of a message, or an
// event, and contains a part of its text or key, letter for letter.
func choose(replies []merchant.Reply, m wechat.Message) (merchant.Reply, bool) {
	on, text := m.MsgType, m.Fields["Content"]
	if m.Event != "" {
		on, text = m.Event, m.EventKey
	}
	for _, r := range replies {
		if strings.EqualFold(r.On, on) && strings.Contains(text, r.Contains) {
			return r, true
		}
	}
	return merchant.Reply{}, false
}

// write is the reply as WeChat reads it; nil where it takes none of this kind: to a
// message in JSON, which mini programs send, a passive reply may only hand the user
// over to customer service.
func (s *Service) write(r merchant.Reply, o wechat.Opened) []byte {
	switch {
	case o.JSON && r.TransferToService:
		raw, err := json.Marshal(map[string]any{
			"ToUserName": o.Message.FromUser, "FromUserName": o.Message.ToUser, "CreateTime": s.Now().Unix(), "MsgType": "transfer_customer_service",
		})
		if err != nil { // texts and a number always marshal
			return nil
		}
		return raw
	case o.JSON:
		return nil
	case r.TransferToService:
		return wechat.CustomerServiceReply(o.Message, s.Now(), "")
	case r.ImageMediaID != "":
		return wechat.ImageReply(o.Message, s.Now(), r.ImageMediaID)
	}
	return wechat.TextReply(o.Message, s.Now(), r.Text)
}

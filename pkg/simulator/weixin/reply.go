package weixin

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Reply is what an account answered, after WeChat's checks.
type Reply struct {
	// Kind is success, empty, the type of a passive reply, or echo.
	Kind      string `json:"kind"`
	Encrypted bool   `json:"encrypted,omitempty"`
	Key       string `json:"key,omitempty"` // which AES key it was encrypted with
	Content   string `json:"content,omitempty"`
	XML       string `json:"xml,omitempty"` // decrypted
}

// passive is a passive reply, encrypted or not.
type passive struct {
	XMLName      xml.Name `xml:"xml"`
	ToUserName   string   `xml:"ToUserName"`
	FromUserName string   `xml:"FromUserName"`
	CreateTime   int64    `xml:"CreateTime"`
	MsgType      string   `xml:"MsgType"`
	Content      string   `xml:"Content"`

	Encrypt      string `xml:"Encrypt"`
	MsgSignature string `xml:"MsgSignature"`
	TimeStamp    string `xml:"TimeStamp"`
	Nonce        string `xml:"Nonce"`
}

// readReply judges an answer as WeChat does before it shows anything to the person.
func readReply(app App, m Message, body []byte) (Reply, error) {
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0:
		return Reply{Kind: "empty"}, nil
	case string(text) == "success":
		return Reply{Kind: "success"}, nil
	}
	var p passive
	if err := xml.Unmarshal(text, &p); err != nil {
		return Reply{}, fmt.Errorf("the answer is neither success, nor empty, nor XML: %w", err)
	}
	reply := Reply{XML: string(text)}
	if (p.Encrypt != "") != (m.Mode == "aes") {
		return reply, errors.New("a message in safe mode wants an encrypted reply, and a plain one a plain reply")
	}
	if p.Encrypt != "" {
		plain, key, err := openReply(app, p)
		if err != nil {
			return reply, err
		}
		reply.Encrypted, reply.Key, reply.XML = true, key, string(plain)
		p = passive{}
		if err := xml.Unmarshal(plain, &p); err != nil {
			return reply, fmt.Errorf("the decrypted reply is no XML: %w", err)
		}
	}
	reply.Kind, reply.Content = p.MsgType, p.Content
	return reply, p.check(app, m)
}

func openReply(app App, p passive) (plain []byte, key string, err error) {
	if p.MsgSignature != signParts(app.Token, p.TimeStamp, p.Nonce, p.Encrypt) {
		return nil, "", errors.New("MsgSignature is wrong (-40001)")
	}
	if plain, err = OpenMessage(app.AESKey, app.Appid, p.Encrypt); err == nil {
		return plain, "current", nil
	}
	if old, errOld := OpenMessage(app.AESKeyPrevious, app.Appid, p.Encrypt); errOld == nil {
		return old, "previous", nil
	}
	return nil, "", fmt.Errorf("decrypt the reply: %w", err)
}

func (p passive) check(app App, m Message) error {
	switch {
	case p.ToUserName != OpenidOf(app.Appid, m.User):
		return fmt.Errorf("ToUserName must be the person's openid, not %q", p.ToUserName)
	case p.FromUserName != app.originalID():
		return fmt.Errorf("FromUserName must be %s, not %q", app.originalID(), p.FromUserName)
	case p.CreateTime == 0:
		return errors.New("CreateTime is missing")
	case p.MsgType == "":
		return errors.New("MsgType is missing")
	case p.MsgType == "text" && p.Content == "":
		return errors.New("Content is empty") //nolint:staticcheck // the element's name
	}
	return nil
}

func sortedNames(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

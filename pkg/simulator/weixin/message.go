package weixin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Message is what a person does that an account is told of.
type Message struct {
	Appid string `json:"appid"`
	ToURL string `json:"to_url"`
	// Mode is plain or aes, Key says which AES key: current or previous.
	Mode string `json:"mode,omitempty"`
	Key  string `json:"key,omitempty"`
	// Format is xml or, for mini programs that chose it, json.
	Format string `json:"format,omitempty"`
	User   string `json:"user"`
	// Type is text, image, event and so on.
	Type       string            `json:"type"`
	Content    string            `json:"content,omitempty"`
	Event      string            `json:"event,omitempty"`
	EventKey   string            `json:"event_key,omitempty"`
	MsgID      int64             `json:"msg_id,omitempty"`
	CreateTime int64             `json:"create_time,omitempty"`
	Fields     map[string]string `json:"fields,omitempty"` // further elements, as they are
	// VerifyURL asks as the console does when the address is entered: no message.
	VerifyURL bool `json:"verify_url,omitempty"`
	// Wrong forges one thing: signature, msg_signature, encrypt, appid or timestamp.
	Wrong string `json:"wrong,omitempty"`
}

// setDefaults fills what the real WeChat would decide.
func (m *Message) setDefaults(p *Platform) error {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&m.Mode, "plain")
	set(&m.Key, "current")
	set(&m.Format, "xml")
	set(&m.Type, "text")
	set(&m.ToURL, p.messageURL(m.Appid))
	if m.CreateTime == 0 {
		m.CreateTime = p.now().Unix()
	}
	if m.MsgID == 0 && m.Type != "event" {
		digits, err := p.random.text(16, decimal)
		if err != nil {
			return err
		}
		m.MsgID, err = strconv.ParseInt("2"+digits, 10, 64)
		return err
	}
	return nil
}

// messageURL is where fenflow takes an app's messages.
func (p *Platform) messageURL(appid string) string {
	if p.frontURL == "" {
		return ""
	}
	return strings.TrimRight(p.frontURL, "/") + "/wx/message/" + appid
}

func (m *Message) check(p *Platform) (App, error) {
	app, _, err := p.parties(m.Appid, m.User)
	if m.VerifyURL {
		err = nil
		if _, known := p.app(m.Appid); !known {
			err = fmt.Errorf("appid %q is none of this merchant's", m.Appid)
		}
	}
	target, bad := url.Parse(m.ToURL)
	var problems []error
	refuse := func(wrong bool, text string) {
		if wrong {
			problems = append(problems, errors.New(text))
		}
	}
	refuse(err == nil && !app.receivesMessages(), "only official accounts and mini programs are sent messages")
	refuse(bad != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https", "to_url must be an absolute address")
	refuse(m.Mode != "plain" && m.Mode != "aes", "mode must be plain or aes")
	refuse(m.Key != "current" && m.Key != "previous", "key must be current or previous")
	refuse(m.Format != "xml" && m.Format != "json", "format must be xml or json")
	refuse(m.Type == "event" && m.Event == "", "an event needs event, such as subscribe")
	return app, errors.Join(append(problems, err)...)
}

// field is one element of a message, in WeChat's order.
type field struct {
	name, value string
	number      bool
}

func (m *Message) elements(app App) []field {
	list := []field{{"ToUserName", app.originalID(), false}, {"FromUserName", OpenidOf(app.Appid, m.User), false},
		{"CreateTime", strconv.FormatInt(m.CreateTime, 10), true}, {"MsgType", m.Type, false}}
	if m.Type == "event" {
		list = append(list, field{"Event", m.Event, false}, field{"EventKey", m.EventKey, false})
	}
	if m.Content != "" {
		list = append(list, field{"Content", m.Content, false})
	}
	for _, name := range sortedNames(m.Fields) {
		list = append(list, field{name, m.Fields[name], false})
	}
	if m.MsgID != 0 {
		list = append(list, field{"MsgId", strconv.FormatInt(m.MsgID, 10), true})
	}
	return list
}

// encode writes elements as XML with CDATA, or as JSON.
func encode(format string, list []field) ([]byte, error) {
	if format == "json" {
		object := map[string]any{}
		for _, f := range list {
			object[f.name] = f.value
			if f.number {
				object[f.name] = json.Number(f.value)
			}
		}
		return marshal(object)
	}
	var out strings.Builder
	out.WriteString("<xml>")
	for _, f := range list {
		value := "<![CDATA[" + strings.ReplaceAll(f.value, "]]>", "]]]]><![CDATA[>") + "]]>"
		if f.number {
			value = f.value
		}
		out.WriteString("<" + f.name + ">" + value + "</" + f.name + ">")
	}
	out.WriteString("</xml>")
	return []byte(out.String()), nil
}

// parcel is a message ready to go: where to, and with what body.
type parcel struct {
	method, address, mediaType string
	body                       []byte
	echo                       string // what a VerifyURL wants back
}

// wrap signs a message and, in safe mode, encrypts it.
func (p *Platform) wrap(app App, m Message) (parcel, error) {
	nonce, err1 := p.random.text(10, decimal)
	prefix, err2 := p.random.text(messagePrefix, alphanumeric)
	echo, err3 := p.random.text(19, decimal)
	if err := errors.Join(err1, err2, err3); err != nil {
		return parcel{}, err
	}
	stamp := strconv.FormatInt(p.now().Unix(), 10)
	q := url.Values{"timestamp": {stamp}, "nonce": {nonce}, "signature": {m.spoil("signature", signParts(app.Token, stamp, nonce))}}
	if m.Wrong == "timestamp" {
		q.Set("timestamp", strconv.FormatInt(p.now().Unix()-86400, 10))
	}
	if m.VerifyURL {
		q.Set("echostr", echo)
		return parcel{method: http.MethodGet, address: withQuery(m.ToURL, q), echo: echo}, nil
	}
	q.Set("openid", OpenidOf(app.Appid, m.User))
	body, err := encode(m.Format, m.elements(app))
	if err == nil && m.Mode == "aes" {
		body, err = m.seal(app, q, prefix, body)
	}
	return parcel{http.MethodPost, withQuery(m.ToURL, q), mediaTypes()[m.Format], body, ""}, err
}

// seal adds the parameters of safe mode and encrypts the body.
func (m *Message) seal(app App, q url.Values, prefix string, plain []byte) ([]byte, error) {
	key, appid := app.AESKey, app.Appid
	if m.Key == "previous" {
		key = app.AESKeyPrevious
	}
	if m.Wrong == "appid" {
		appid = "wx0000000000000000"
	}
	sealed, err := sealMessage(key, appid, prefix, plain)
	if err != nil {
		return nil, err
	}
	q.Set("encrypt_type", "aes")
	q.Set("msg_signature", m.spoil("msg_signature", signParts(app.Token, q.Get("timestamp"), q.Get("nonce"), sealed)))
	return encode(m.Format, []field{{"ToUserName", app.originalID(), false}, {"Encrypt", m.spoil("encrypt", sealed), false}})
}

// spoil changes the first character of what shall be wrong.
func (m *Message) spoil(what, right string) string {
	if m.Wrong != what || right == "" {
		return right
	}
	if right[0] == '0' {
		return "1" + right[1:]
	}
	return "0" + right[1:]
}

func mediaTypes() map[string]string {
	return map[string]string{"xml": "text/xml", "json": "application/json"}
}

func withQuery(address string, q url.Values) string {
	if strings.Contains(address, "?") {
		return address + "&" + q.Encode()
	}
	return address + "?" + q.Encode()
}

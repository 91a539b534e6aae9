package wechat

import (
	"encoding/json"
	"fmt"

	"github.com/fenflow/fenflow/pkg/problem"
)

// Limits of a menu (developers.weixin.qq.com, custom menu). WeChat answers most
// offences with a bare number; here the button is named.
const (
	maxMenuBytes    = 64 << 10
	maxButtons      = 3
	maxSubButtons   = 5
	maxNameBytes    = 16
	maxSubNameBytes = 60
	maxKeyBytes     = 128
	maxURLBytes     = 1024
)

type menuButton struct {
	Name      string       `json:"name"`
	Type      string       `json:"type"`
	Key       string       `json:"key"`
	URL       string       `json:"url"`
	AppID     string       `json:"appid"`
	PagePath  string       `json:"pagepath"`
	MediaID   string       `json:"media_id"`
	ArticleID string       `json:"article_id"`
	Sub       []menuButton `json:"sub_button"`
}

// CheckMenu holds a menu against WeChat's limits and reports every offence,
// each with its button.
func CheckMenu(menu json.RawMessage) error {
	if len(menu) > maxMenuBytes {
		return problem.InvalidFields(problem.Field{Field: "menu", Message: fmt.Sprintf("it has %d bytes, and at most %d are sent", len(menu), maxMenuBytes)})
	}
	var read struct {
		Buttons []menuButton `json:"button"`
	}
	if err := json.Unmarshal(menu, &read); err != nil {
		return problem.InvalidFields(problem.Field{Field: "menu", Message: "it is not a JSON object with `button`, a list of buttons whose fields are texts"})
	}
	var found menuFaults
	if n := len(read.Buttons); n < 1 || n > maxButtons {
		found.add("button", "there must be 1 to %d buttons, not %d", maxButtons, n)
	}
	for i, b := range read.Buttons {
		found.button(fmt.Sprintf("button[%d]", i), b)
	}
	if len(found) > 0 {
		return problem.InvalidFields(found...)
	}
	return nil
}

type menuFaults []problem.Field

func (f *menuFaults) add(field, format string, args ...any) {
	*f = append(*f, problem.Field{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (f *menuFaults) button(at string, b menuButton) {
	f.name(at, b.Name, maxNameBytes)
	if len(b.Sub) == 0 { // an empty list is what menu_get tells of a plain button
		f.action(at, b)
		return
	}
	if len(b.Sub) > maxSubButtons {
		f.add(at+".sub_button", "there must be 1 to %d buttons, not %d", maxSubButtons, len(b.Sub))
	}
	for i, sub := range b.Sub {
		below := fmt.Sprintf("%s.sub_button[%d]", at, i)
		f.name(below, sub.Name, maxSubNameBytes)
		if len(sub.Sub) > 0 {
			f.add(below+".sub_button", "a menu has two levels, not three")
		}
		f.action(below, sub)
	}
}

func (f *menuFaults) name(at, name string, limit int) {
	if name == "" || len(name) > limit {
		f.add(at+".name", "it must have 1 to %d bytes of UTF-8 (a Chinese character has 3), not %d", limit, len(name))
	}
}

// action checks what a type asks for. A type that we do not know is WeChat's
// to judge.
func (f *menuFaults) action(at string, b menuButton) {
	switch b.Type {
	case "":
		f.add(at+".type", "a button without sub_button needs a type, such as click or view")
	case "click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select":
		f.need(at, b.Type, "key", b.Key, maxKeyBytes)
	case "view":
		f.need(at, b.Type, "url", b.URL, maxURLBytes)
	case "miniprogram":
		f.need(at, b.Type, "url", b.URL, maxURLBytes)
		f.need(at, b.Type, "appid", b.AppID, maxURLBytes)
		f.need(at, b.Type, "pagepath", b.PagePath, maxURLBytes)
	case "media_id", "view_limited":
		f.need(at, b.Type, "media_id", b.MediaID, maxURLBytes)
	case "article_id", "article_view_limited":
		f.need(at, b.Type, "article_id", b.ArticleID, maxURLBytes)
	}
}

func (f *menuFaults) need(at, kind, field, value string, limit int) {
	if value == "" || len(value) > limit {
		f.add(at+"."+field, "a button of type %s needs it, with 1 to %d bytes, not %d", kind, limit, len(value))
	}
}

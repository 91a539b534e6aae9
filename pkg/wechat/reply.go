package wechat

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// ReplySuccess tells WeChat that a message arrived and that no reply comes.
const ReplySuccess = "success"

// Article is one card of a news reply.
type Article struct {
	Title       string
	Description string
	PictureURL  string
	URL         string
}

// TextReply answers a message with text.
func TextReply(m Message, at time.Time, text string) []byte {
	x := replyTo(m, at, "text")
	x.text("Content", text)
	return x.bytes()
}

// ImageReply answers with an uploaded picture.
func ImageReply(m Message, at time.Time, mediaID string) []byte {
	x := replyTo(m, at, "image")
	x.group("Image", func() { x.text("MediaId", mediaID) })
	return x.bytes()
}

// NewsReply answers with cards that lead to pages.
func NewsReply(m Message, at time.Time, articles ...Article) []byte {
	x := replyTo(m, at, "news")
	x.number("ArticleCount", int64(len(articles)))
	x.group("Articles", func() {
		for _, a := range articles {
			x.group("item", func() {
				x.text("Title", a.Title)
				x.text("Description", a.Description)
				x.text("PicUrl", a.PictureURL)
				x.text("Url", a.URL)
			})
		}
	})
	return x.bytes()
}

// CustomerServiceReply hands the conversation to WeChat's customer service; to
// one agent's account where that is named.
func CustomerServiceReply(m Message, at time.Time, account string) []byte {
	x := replyTo(m, at, "transfer_customer_service")
	if account != "" {
		x.group("TransInfo", func() { x.text("KfAccount", account) })
	}
	return x.bytes()
}

// replyTo goes back the way the message came.
func replyTo(m Message, at time.Time, kind string) *xmlReply {
	x := &xmlReply{}
	x.text("ToUserName", string(m.FromUser))
	x.text("FromUserName", m.ToUser)
	x.number("CreateTime", at.Unix())
	x.text("MsgType", kind)
	return x
}

// xmlReply writes the one shape that WeChat reads: elements with CDATA.
type xmlReply struct{ out bytes.Buffer }

func (x *xmlReply) text(name, value string) {
	x.out.WriteString("<" + name + "><![CDATA[" + cdata(value) + "]]></" + name + ">")
}

func (x *xmlReply) number(name string, value int64) {
	x.out.WriteString("<" + name + ">" + strconv.FormatInt(value, 10) + "</" + name + ">")
}

func (x *xmlReply) group(name string, inner func()) {
	x.out.WriteString("<" + name + ">")
	inner()
	x.out.WriteString("</" + name + ">")
}

func (x *xmlReply) bytes() []byte { return []byte("<xml>" + x.out.String() + "</xml>") }

// cdata keeps a text inside its section: the end mark is split over two, and
// characters that XML 1.0 does not have are left out.
func cdata(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' || (r >= ' ' && r <= 0xd7ff) || (r >= 0xe000 && r <= 0xfffd) || r >= 0x10000 {
			return r
		}
		return -1
	}, text)
	return strings.ReplaceAll(text, "]]>", "]]]]><![CDATA[>")
}

package wechat

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const eventHead = `<xml><ToUserName>gh_1</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1767254400</CreateTime><MsgType>event</MsgType>`

func TestParseMessage_reads_a_text(t *testing.T) {
	t.Parallel()
	m, err := ParseMessage([]byte(testText))
	require.NoError(t, err)
	require.Equal(t, "gh_1", m.ToUser)
	require.Equal(t, "oUser", string(m.FromUser))
	require.Equal(t, testAt, m.CreatedAt)
	require.Equal(t, "text", m.MsgType)
	require.Equal(t, "6054768590064713728", m.MsgID)
	require.Equal(t, "message:6054768590064713728", m.DedupKey())
	require.Equal(t, testText, string(m.Raw))
}

func TestParseMessage_names_nested_fields_by_their_path(t *testing.T) {
	t.Parallel()
	m, err := ParseMessage([]byte(eventHead + `<Event>pic_sysphoto</Event><EventKey>K</EventKey><SendPicsInfo><Count>2</Count><PicList>
<item><PicMd5Sum>aa</PicMd5Sum></item> <item><PicMd5Sum>bb</PicMd5Sum></item></PicList></SendPicsInfo></xml>`))
	require.NoError(t, err)
	require.Equal(t, "pic_sysphoto", m.Event)
	require.Equal(t, "K", m.EventKey)
	require.Equal(t, "event:oUser:1767254400:pic_sysphoto", m.DedupKey())
	require.Equal(t, "2", m.Fields["SendPicsInfo.Count"])
	require.Equal(t, "aa", m.Fields["SendPicsInfo.PicList.item.PicMd5Sum"])
	require.Equal(t, "bb", m.Fields["SendPicsInfo.PicList.item[1].PicMd5Sum"])
}

func TestParseMessage_reads_a_mini_programs_JSON_the_same_way(t *testing.T) {
	t.Parallel()
	m, err := ParseMessage([]byte(` {"ToUserName":"gh_1","FromUserName":"oUser","CreateTime":1767254400,"MsgType":"event","Event":"subscribe_msg_popup_event","List":[{"PopupScene":"1","Ok":true},{"PopupScene":"2","Ok":null}]}`))
	require.NoError(t, err)
	require.Equal(t, testAt, m.CreatedAt)
	require.Equal(t, "1", m.Fields["List.item.PopupScene"])
	require.Equal(t, "true", m.Fields["List.item.Ok"])
	require.Equal(t, "2", m.Fields["List.item[1].PopupScene"])
}

func TestDedupKey_tells_events_apart_and_repeats_alike(t *testing.T) {
	t.Parallel()
	one := Message{FromUser: "o", CreatedAt: testAt, MsgType: "event", Event: "CLICK"}
	require.Equal(t, one.DedupKey(), Message{FromUser: "o", CreatedAt: testAt.In(time.FixedZone("CST", 8*3600)), MsgType: "event", Event: "CLICK"}.DedupKey())
	for _, other := range []Message{
		{FromUser: "p", CreatedAt: testAt, Event: "CLICK"}, {FromUser: "o", CreatedAt: testAt.Add(time.Second), Event: "CLICK"}, {FromUser: "o", CreatedAt: testAt, Event: "VIEW"},
	} {
		require.NotEqual(t, one.DedupKey(), other.DedupKey())
	}
}

func TestParseMessage_refuses_what_WeChat_never_sends(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1)
	for name, text := range map[string]string{
		"a DTD":              `<!DOCTYPE xml [<!ENTITY x SYSTEM "file:///etc/passwd">]><xml><A>&x;</A></xml>`,
		"an entity":          `<xml><A>&x;</A></xml>`,
		"a comment":          `<xml><!-- --></xml>`,
		"an attribute":       `<xml><A b="c"/></xml>`,
		"a name space":       `<x:xml></x:xml>`,
		"another root":       `<html></html>`,
		"two roots":          `<xml></xml><xml></xml>`,
		"an early end":       `<xml><A>`,
		"crossed tags":       `<xml><A><B></A></B></xml>`,
		"a late close":       `<xml></xml></xml>`,
		"a name twice":       eventHead + `<Event>a</Event><Event>b</Event></xml>`,
		"text between":       eventHead + `<Event>a</Event>loose</xml>`,
		"text in a group":    eventHead + `<Event>a</Event><G><H>1</H>loose</G></xml>`,
		"text before":        eventHead + `<Event>a</Event><G>loose<H>1</H></G></xml>`,
		"text after":         eventHead + `<Event>a</Event></xml>loose`,
		"deep nesting":       eventHead + `<Event>a</Event>` + deep + `</xml>`,
		"many elements":      eventHead + `<Event>a</Event><L>` + strings.Repeat("<i></i>", maxFields) + `</L></xml>`,
		"no UTF-8":           "<xml><A>\xff</A></xml>",
		"a late instruction": `<xml><?php ?></xml>`,
		"an odd name":        `<xml><A-B></A-B></xml>`,
		"an event unnamed":   eventHead + `</xml>`,
		"an event with dots": eventHead + `<Event>a.b</Event></xml>`,
		"no type":            `<xml><CreateTime>1</CreateTime></xml>`,
		"no time":            `<xml><MsgType>text</MsgType></xml>`,
		"a negative time":    `<xml><MsgType>text</MsgType><CreateTime>-1</CreateTime></xml>`,
		"a type for a bus":   `<xml><MsgType>a.></MsgType><CreateTime>1</CreateTime></xml>`,
		"an odd sender":      `<xml><MsgType>text</MsgType><CreateTime>1</CreateTime><FromUserName>a b</FromUserName></xml>`,
		"an odd number":      `<xml><MsgType>text</MsgType><CreateTime>1</CreateTime><MsgId>1x</MsgId></xml>`,
		"nothing":            "",
		"JSON cut short":     `{"MsgType":"text"`,
		"JSON twice":         `{"MsgType":"text","CreateTime":1}{}`,
		"a JSON name twice":  `{"MsgType":"text","CreateTime":1,"A":1,"A":2}`,
		"deep JSON":          `{"a":` + strings.Repeat(`[`, maxDepth+1) + strings.Repeat(`]`, maxDepth+1) + `}`,
		"JSON of two values": `{"a" 1}`,
	} {
		_, err := ParseMessage([]byte(text))
		require.Equal(t, RejectMalformed, ReasonOf(err), "%s: %v", name, err)
	}
}

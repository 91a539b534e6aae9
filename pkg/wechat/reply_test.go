package wechat

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReplies_go_back_to_the_sender(t *testing.T) {
	t.Parallel()
	m := Message{ToUser: "gh_1", FromUser: "oUser"}
	require.Equal(t, `<xml><ToUserName><![CDATA[oUser]]></ToUserName><FromUserName><![CDATA[gh_1]]></FromUserName><CreateTime>1767254400</CreateTime>`+
		`<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[你好]]></Content></xml>`, string(TextReply(m, testAt, "你好")))
	for kind, text := range map[string][]byte{
		"image":                     ImageReply(m, testAt, "MEDIA"),
		"news":                      NewsReply(m, testAt, Article{Title: "T", URL: "https://x"}, Article{Title: "U"}),
		"transfer_customer_service": CustomerServiceReply(m, testAt, "kf1@shop"),
	} {
		fields, err := parseXML(text)
		require.NoError(t, err, kind)
		require.Equal(t, kind, fields["MsgType"])
		require.Equal(t, "oUser", fields["ToUserName"])
	}
	fields, err := parseXML(NewsReply(m, testAt, Article{Title: "T"}, Article{Title: "U"}))
	require.NoError(t, err)
	require.Equal(t, "2", fields["ArticleCount"])
	require.Equal(t, "U", fields["Articles.item[1].Title"])
}

func TestReplies_keep_any_text_in_its_section(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"]]>", "]]]]>>", "]]><Evil>1</Evil><![CDATA[", "a]]", "<xml>&amp;", "", "\t\n"} {
		fields, err := parseXML(TextReply(Message{}, testAt, text))
		require.NoError(t, err, text)
		require.Equal(t, text, fields["Content"])
		require.Len(t, fields, 5)
	}
	fields, err := parseXML(TextReply(Message{}, testAt, "a\x00\x1b\ufffeb\xff"))
	require.NoError(t, err)
	require.Equal(t, "ab\ufffd", fields["Content"])
}

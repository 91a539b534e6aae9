package message_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/message"
	"github.com/fenflow/fenflow/pkg/wechat"
)

// opens reads a sealed reply as WeChat does: with the key that it knows.
func (s *stage) opens(key merchant.Secret, raw []byte) string {
	s.t.Helper()
	e := envelope(s.t, raw)
	require.Equal(s.t, signature(token.Reveal(), e.TimeStamp, e.Nonce, e.Encrypt), e.MsgSignature)
	keys := wechat.PushKeys{AppID: safeApp, Token: token, AESKeys: []merchant.Secret{key}}
	opened, err := wechat.OpenMessage(keys, wechat.PushQuery{MsgSignature: e.MsgSignature, Timestamp: e.TimeStamp, Nonce: e.Nonce, Encrypted: true}, raw)
	require.NoError(s.t, err)
	return string(opened.Message.Raw)
}

func (s *stage) replies(all ...merchant.Reply) {
	for app, secrets := range s.secrets {
		secrets.Replies = all
		s.secrets[app] = secrets
	}
}

func TestReplies_are_the_first_that_fits(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.replies(
		merchant.Reply{On: "text", Contains: "tea", Text: "Tea is 1 yuan ]]> <b>"},
		merchant.Reply{On: "text", Contains: "人工", TransferToService: true},
		merchant.Reply{On: "Subscribe", ImageMediaID: "media-1"},
		merchant.Reply{On: "click", Contains: "help", Text: "press again"},
		merchant.Reply{On: "text", Text: "what?"},
	)
	for n, c := range []struct{ message, want string }{
		{textMessage("1", "a cup of tea"), "<Content><![CDATA[Tea is 1 yuan ]]]]><![CDATA[> <b>]]></Content>"},
		{textMessage("2", "我要人工"), "<MsgType><![CDATA[transfer_customer_service]]></MsgType>"},
		{textMessage("3", "TEA"), "<Content><![CDATA[what?]]></Content>"},
		{eventMessage("subscribe", ""), "<Image><MediaId><![CDATA[media-1]]></MediaId></Image>"},
		{eventMessage("CLICK", "help_me"), "press again"},
		{eventMessage("CLICK", "other"), "success"},
		{eventMessage("VIEW", "help"), "success"},
	} {
		got := s.ask(s.plain(c.message))
		require.Equal(t, 200, got.status)
		require.Contains(t, got.body, c.want, n)
		if c.want != "success" {
			require.Contains(t, got.body, "<ToUserName><![CDATA[oBuyer]]></ToUserName><FromUserName><![CDATA[gh_1]]></FromUserName><CreateTime>1772337600</CreateTime>")
			sealed := s.ask(s.sealed(newKey, safeApp, c.message))
			require.NotContains(t, sealed.body, c.want, "it is sealed")
			require.Equal(t, got.body, s.opens(newKey, []byte(sealed.body)))
		}
	}
}

func TestReplies_to_mini_programs_hand_over_or_say_nothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.replies(merchant.Reply{On: "text", Contains: "human", TransferToService: true}, merchant.Reply{On: "text", Text: "no"})
	ask := func(id, content string) string {
		return s.ask(s.plain(fmt.Sprintf(`{"ToUserName":"gh_1","FromUserName":"oBuyer","CreateTime":1772337600,"MsgType":"text","Content":%q,"MsgId":%s}`, content, id))).body
	}
	var handed map[string]any
	require.NoError(t, json.Unmarshal([]byte(ask("1", "a human")), &handed))
	require.Equal(t, map[string]any{"ToUserName": "oBuyer", "FromUserName": "gh_1", "CreateTime": float64(noon.Unix()), "MsgType": "transfer_customer_service"}, handed)
	require.Equal(t, "success", ask("2", "hello"))
}

func TestReplies_that_fail_cost_no_message(t *testing.T) {
	t.Parallel()
	s := setup(t, func(o *message.Options) { o.Random = iotest.ErrReader(errors.New("no entropy")) })
	s.replies(merchant.Reply{On: "text", Text: "thanks"})
	require.Equal(t, answered{status: 200, body: "success"}, s.ask(s.sealed(newKey, safeApp, textMessage("1", "hello"))))
	require.Contains(t, s.log.String(), "no entropy")
	s.published(1)
}

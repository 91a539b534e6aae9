package weixin_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

func (w *world) send(t *testing.T, server *httptest.Server, more map[string]any) answer {
	t.Helper()
	m := map[string]any{"appid": w.official.Appid, "user": "lilei", "to_url": server.URL + "/wx/message", "type": "text", "content": "hello"}
	for name, value := range more {
		m[name] = value
	}
	return w.post(t, "/control/weixin/messages", m)
}

func account(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func TestMessages_are_signed_and_their_replies_judged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reply := "success"
	var query, body, mediaType string
	server := account(t, func(out http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		query, body, mediaType = r.URL.RawQuery, string(text), r.Header.Get("Content-Type")
		_, _ = io.WriteString(out, reply)
	})
	sent := w.send(t, server, map[string]any{"msg_id": 42})
	require.Nil(t, sent["problem"], sent)
	require.Contains(t, body, "<Content><![CDATA[hello]]></Content><MsgId>42</MsgId>")
	require.Equal(t, "text/xml", mediaType)
	require.Contains(t, query, "signature=")
	require.NotContains(t, query, "msg_signature")

	to, from := sent.text("openid"), between(body, "<ToUserName><![CDATA[", "]]>")
	reply = fmt.Sprintf("<xml><ToUserName><![CDATA[%s]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName><CreateTime>1</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[welcome]]></Content></xml>", to, from)
	got, _ := w.send(t, server, nil)["reply"].(map[string]any)
	require.Equal(t, []any{"text", "welcome"}, []any{got["kind"], got["content"]})
	reply = strings.Replace(reply, to, "somebody", 1)
	require.Contains(t, w.send(t, server, nil).text("problem"), "ToUserName")
	reply = "hello"
	require.Contains(t, w.send(t, server, nil).text("problem"), "neither success")

	reply = ""
	w.send(t, server, map[string]any{"format": "json", "appid": w.mini.Appid, "type": "event", "event": "user_enter_tempsession", "content": ""})
	require.Equal(t, "application/json", mediaType)
	require.Contains(t, body, `"Event":"user_enter_tempsession"`)
}

func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	found, _, _ := strings.Cut(rest, to)
	return found
}

func TestSafeMode_encrypts_with_either_key(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var query, sealed string
	server := account(t, func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		query, sealed = r.URL.RawQuery, between(string(text), "<Encrypt><![CDATA[", "]]>")
	})
	for key, aes := range map[string]string{"current": w.official.AESKey, "previous": w.official.AESKeyPrevious} {
		require.Nil(t, w.send(t, server, map[string]any{"mode": "aes", "key": key})["problem"])
		require.Contains(t, query, "encrypt_type=aes")
		require.Contains(t, query, "msg_signature=")
		plain, err := weixin.OpenMessage(aes, w.official.Appid, sealed)
		require.NoError(t, err)
		require.Contains(t, string(plain), "hello")
	}
}

func TestMessages_are_sent_four_times(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var n atomic.Int32
	server := account(t, func(out http.ResponseWriter, _ *http.Request) {
		if n.Add(1) < 4 {
			http.Error(out, "busy", http.StatusServiceUnavailable)
		}
	})
	sent := w.send(t, server, nil)
	attempts, _ := sent["attempts"].([]any)
	require.Len(t, attempts, 4)
	require.Nil(t, sent["problem"])
	n.Store(-10)
	require.Contains(t, w.send(t, server, nil).text("problem"), "no attempt")
}

func TestVerifyURL_wants_the_echo_and_nothing_else(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tail, method := "", ""
	server := account(t, func(out http.ResponseWriter, r *http.Request) {
		method = r.Method
		_, _ = io.WriteString(out, r.URL.Query().Get("echostr")+tail)
	})
	require.Nil(t, w.send(t, server, map[string]any{"verify_url": true})["problem"])
	require.Equal(t, http.MethodGet, method)
	tail = "\n"
	require.Contains(t, w.send(t, server, map[string]any{"verify_url": true}).text("problem"), "echostr")
}

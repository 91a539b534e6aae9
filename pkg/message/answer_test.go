package message_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
)

func TestAnswer_verifies_the_address_with_the_token_alone(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, app := range []push{{AppID: plainApp}, {AppID: safeApp}} {
		app.Method, app.Query = http.MethodGet, s.query(token, "echostr", "1616140317555161061")
		require.Equal(t, answered{status: 200, body: "1616140317555161061"}, s.ask(app))
	}
	for name, c := range map[string]struct {
		change func(*push)
		code   string
	}{
		"another token":        {func(p *push) { p.Query = s.query("another", "echostr", "1") }, "FEN-4050"},
		"no signature":         {func(p *push) { p.Query = "echostr=1&timestamp=1&nonce=2" }, "FEN-4050"},
		"recorded an hour ago": {func(p *push) { s.now = noon.Add(-time.Hour); p.Query = s.query(token, "echostr", "1"); s.now = noon }, "FEN-4050"},
		"something twice":      {func(p *push) { p.Query += "&nonce=3" }, "FEN-4051"},
		"an unknown app":       {func(p *push) { p.AppID = "wx0" }, "FEN-4053"},
		"an app without token": {func(p *push) { p.AppID = "wx1" }, "FEN-4053"},
		"another method":       {func(p *push) { p.Method = http.MethodPut }, "FEN-3005"},
	} {
		p := push{AppID: plainApp, Method: http.MethodGet, Query: s.query(token, "echostr", "1")}
		c.change(&p)
		got := s.ask(p)
		require.Equal(t, c.code, got.code, name)
		require.GreaterOrEqual(t, got.status, 400, name)
		require.Less(t, got.status, 500, name)
	}
	s.published(0)
}

func TestAnswer_publishes_a_message_with_all_there_is_to_it(t *testing.T) {
	t.Parallel()
	s := setup(t)
	require.Equal(t, answered{status: 200, body: "success"}, s.ask(s.plain(textMessage("1234567890123456", "你好 <b>"))))
	require.Equal(t, answered{status: 200, body: "success"}, s.ask(s.sealed(newKey, safeApp, eventMessage("CLICK", "tea"))))
	got := s.published(2)
	require.Equal(t, "/apps/"+string(plainApp), got[0].Source)
	require.Equal(t, "oBuyer", got[0].Subject)
	require.Equal(t, noon, got[0].Time)
	require.Equal(t, textMessage("1234567890123456", "你好 <b>"), got[0].Data.Raw)
	require.Equal(t, "你好 <b>", got[0].Data.Fields["Content"])
	require.Equal(t, "1234567890123456", got[0].Data.MsgID)
	require.Equal(t, string(shop), got[0].Data.MchID)
	require.Equal(t, []string{"event", "CLICK", "tea"}, []string{got[1].Data.MsgType, got[1].Data.Event, got[1].Data.EventKey})
	require.Equal(t, eventMessage("CLICK", "tea"), got[1].Data.Raw, "decrypted")
	require.NotContains(t, s.log.String(), "oBuyer")
	require.NotContains(t, s.log.String(), "你好")
}

// flipped has one character of its sealed part changed.
func flipped(p push) push {
	at := strings.Index(string(p.Body), "<Encrypt><![CDATA[") + 40
	p.Body[at] ^= 1
	return p
}

// resigned is signed by somebody who knows the token, and no AES key.
func (s *stage) resigned(p push) push {
	body := string(p.Body)
	from := strings.Index(body, "<Encrypt><![CDATA[") + len("<Encrypt><![CDATA[")
	encrypted := body[from : from+strings.Index(body[from:], "]]>")]
	p.Query = s.query(token, "encrypt_type", "aes", "msg_signature", signature(token.Reveal(), "1772337600", "263014780", encrypted))
	return p
}

func TestAnswer_refuses_what_is_not_WeChat_s(t *testing.T) {
	t.Parallel()
	s := setup(t)
	text := textMessage("1", "hello")
	plainToSafe := s.plain(text)
	plainToSafe.AppID = safeApp
	downgraded := s.sealed(newKey, safeApp, text)
	downgraded.Query, downgraded.Body = s.query(token, "encrypt_type", "raw"), []byte(text)
	plainClaimsSealed := plainToSafe
	plainClaimsSealed.Query = s.query(token, "encrypt_type", "aes", "msg_signature", signature(token.Reveal(), "1772337600", "263014780"))
	old := s.sealed(newKey, safeApp, text)
	s.now = noon.Add(-6 * time.Minute)
	replayed := s.sealed(newKey, safeApp, text)
	s.now = noon
	forged := s.plain(text)
	forged.Query = s.query("another")
	sealedForPlain := s.sealed(newKey, plainApp, text)
	sealedForPlain.AppID = plainApp
	noSignature := old
	noSignature.Query = s.query(token, "encrypt_type", "aes")
	for name, c := range map[string]struct {
		p    push
		code string
	}{
		"a forged signature":                   {forged, "FEN-4050"},
		"plain text to an app with AES keys":   {plainToSafe, "FEN-4052"},
		"plain text that says it is raw":       {downgraded, "FEN-4052"},
		"plain text that says it is sealed":    {plainClaimsSealed, "FEN-4051"},
		"a sealed part that was changed":       {flipped(s.sealed(newKey, safeApp, text)), "FEN-4050"},
		"changed and signed again":             {s.resigned(flipped(s.sealed(newKey, safeApp, text))), "FEN-4051"},
		"a sealed part without its signature":  {noSignature, "FEN-4050"},
		"sealed with a key that is not ours":   {s.sealed(foreign, safeApp, text), "FEN-4051"},
		"sealed for another app":               {s.sealed(newKey, plainApp, text), "FEN-4051"},
		"sealed to an app without AES keys":    {sealedForPlain, "FEN-4051"},
		"recorded six minutes ago":             {replayed, "FEN-4050"},
		"no XML":                               {s.plain("hello"), "FEN-4051"},
		"XML with an entity of its own":        {s.plain(`<!DOCTYPE x [<!ENTITY a "b">]><xml><MsgType>&a;</MsgType></xml>`), "FEN-4051"},
		"a message without a type":             {s.plain("<xml><CreateTime>1</CreateTime></xml>"), "FEN-4051"},
		"JSON where the sealed part is a list": {push{AppID: safeApp, Method: "POST", Query: old.Query, Body: []byte(`{"Encrypt":["a"]}`)}, "FEN-4051"},
	} {
		got := s.ask(c.p)
		require.Equal(t, c.code, got.code, name)
		require.Less(t, got.status, 500, name)
	}
	raw, err := s.service.Answer(t.Context(), []byte("{"))
	require.NoError(t, err)
	require.Equal(t, "FEN-3002", readAnswer(t, raw).code)
	s.published(0)
	require.Zero(t, s.remembered())
	for _, secret := range []merchant.Secret{token, newKey, oldKey} {
		require.NotContains(t, s.log.String(), secret.Reveal())
	}
}

func TestAnswer_opens_with_the_previous_key_and_replies_with_it(t *testing.T) {
	t.Parallel()
	s := setup(t)
	secrets := s.secrets[safeApp]
	secrets.Replies = []merchant.Reply{{On: "text", Text: "thanks"}}
	s.secrets[safeApp] = secrets
	for n, key := range []merchant.Secret{newKey, oldKey} {
		got := s.ask(s.sealed(key, safeApp, textMessage(fmt.Sprint(n), "hello")))
		require.Equal(t, 200, got.status)
		require.Contains(t, s.opens(key, []byte(got.body)), "<Content><![CDATA[thanks]]></Content>")
	}
	s.published(2)
}

// In compatible mode WeChat sends the message twice in one body: as it is, and
// sealed. What stands beside the sealed part counts for nothing.
func TestAnswer_believes_the_sealed_part_alone_in_compatible_mode(t *testing.T) {
	t.Parallel()
	s := setup(t)
	p := s.sealed(newKey, safeApp, textMessage("7", "genuine"))
	p.Body = []byte(strings.Replace(string(p.Body), "<xml>", "<xml><MsgType>text</MsgType><Content>forged</Content><MsgId>8</MsgId>", 1))
	require.Equal(t, 200, s.ask(p).status)
	got := s.published(1)
	require.Equal(t, "genuine", got[0].Data.Fields["Content"])
	require.Equal(t, "7", got[0].Data.MsgID)
}

func TestAnswer_reads_the_JSON_of_mini_programs(t *testing.T) {
	t.Parallel()
	s := setup(t)
	p := s.plain(`{"ToUserName":"gh_1","FromUserName":"oBuyer","CreateTime":1772337600,"MsgType":"event","Event":"user_enter_tempsession","SessionFrom":"x"}`)
	p.ContentType = "application/json"
	require.Equal(t, "success", s.ask(p).body)
	got := s.published(1)
	require.Equal(t, "user_enter_tempsession", got[0].Data.Event)
	require.Equal(t, "x", got[0].Data.Fields["SessionFrom"])
}

var errAway = errors.New("away")

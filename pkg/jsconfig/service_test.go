package jsconfig_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/jsconfig"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechat"
)

const (
	account   = pay.AppID("wx8888888888888888")
	neighbour = pay.AppID("wx9999999999999999")
	noSecret  = pay.AppID("wx7777777777777777")
	secret    = merchant.Secret("0123456789abcdef0123456789abcdef")
)

// The example that the JS-SDK's documentation signs (appendix 1).
const (
	docTicket    = merchant.Secret("sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg")
	docNonce     = "Wm3WZYTPz0wzccnW"
	docStamp     = 1414587457
	docPage      = "http://mp.weixin.qq.com?params=value"
	docSignature = "0f9de62fce790f9a083d5c99e95740ceb90c27ed"
)

// stage is a service whose time and nonce are the documented ones. It is its
// own apps and its own source of tickets.
type stage struct {
	refusal error // of the next ticket
	asked   []wechat.App
	limited bool // the last ticket was asked for with a deadline
	log     bytes.Buffer
}

func (s *stage) AppSecrets(id pay.AppID) (pay.MchID, merchant.App, merchant.AppSecrets, bool) {
	app := merchant.App{AppID: id, Kind: merchant.KindOfficialAccount, JSDomains: []string{"mp.weixin.qq.com", "shop.example.com"}}
	switch id {
	case account:
		return "1900000109", app, merchant.AppSecrets{Secret: secret}, true
	case neighbour:
		app.JSDomains = []string{"neighbour.example.com"}
		return "1900000110", app, merchant.AppSecrets{Secret: secret}, true
	case noSecret:
		return "1900000109", app, merchant.AppSecrets{}, true
	}
	return "", merchant.App{}, merchant.AppSecrets{}, false
}

func (s *stage) Ticket(ctx context.Context, app wechat.App) (merchant.Secret, error) {
	s.asked = append(s.asked, app)
	_, s.limited = ctx.Deadline()
	return docTicket, s.refusal
}

// ask gives the answer as the edge receives it.
func (s *stage) ask(t *testing.T, question string) []byte {
	t.Helper()
	service := jsconfig.New(jsconfig.Options{
		Apps: s, Tickets: s, Now: func() time.Time { return time.Unix(docStamp, 0) },
		Nonce: func() string { return docNonce }, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	raw, err := service.Answer(t.Context(), []byte(question))
	require.NoError(t, err)
	require.NotContains(t, string(raw)+s.log.String(), docTicket.Reveal(), "the ticket stays with the worker")
	require.NotContains(t, string(raw)+s.log.String(), secret.Reveal())
	return raw
}

func question(t *testing.T, id pay.AppID, page string) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"appid": id, "url": page})
	require.NoError(t, err)
	return string(raw)
}

func signatureOf(signed string) string {
	sum := sha1.Sum([]byte(signed))
	return hex.EncodeToString(sum[:])
}

func TestAnswer_signs_the_documented_page_as_documented(t *testing.T) {
	t.Parallel()
	s := &stage{}
	raw := s.ask(t, question(t, account, docPage))
	require.JSONEq(t, `{"status":200,"body":{"appId":"wx8888888888888888","timestamp":1414587457,"nonceStr":"`+docNonce+`","signature":"`+docSignature+`"}}`, string(raw))
	require.Equal(t, []wechat.App{{ID: account, Secret: secret}}, s.asked)
	require.True(t, s.limited, "nobody waits for a ticket for ever")
}

func TestAnswer_signs_what_the_page_sees_of_its_address(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ page, signed string }{
		"without the fragment":         {docPage + "#/tea?cup=2", docPage},
		"without a second fragment":    {docPage + "#a#b", docPage},
		"with escapes as they were":    {"https://shop.example.com/tea?name=%E8%8C%B6&a=b%20c", "https://shop.example.com/tea?name=%E8%8C%B6&a=b%20c"},
		"with the order of its query":  {"https://shop.example.com/?b=2&a=1&b=", "https://shop.example.com/?b=2&a=1&b="},
		"with a path and no last /":    {"https://shop.example.com/tea", "https://shop.example.com/tea"},
		"with the case of its letters": {"https://Shop.Example.com/Tea", "https://Shop.Example.com/Tea"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := problem.ReadAnswer((&stage{}).ask(t, question(t, account, c.page)))
			require.NoError(t, err)
			var params struct{ Signature string }
			require.NoError(t, json.Unmarshal(body, &params))
			require.Equal(t, signatureOf("jsapi_ticket="+docTicket.Reveal()+"&noncestr="+docNonce+"&timestamp=1414587457&url="+c.signed), params.Signature)
		})
	}
}

func TestAnswer_refuses_pages_that_are_not_the_apps_own(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]string{
		"another app's page":           "https://neighbour.example.com/",
		"a domain below":               "https://evil.shop.example.com/",
		"a domain that ends like ours": "https://notshop.example.com/",
		"ours as the user":             "https://shop.example.com@evil.example/",
		"ours as the path":             "https://evil.example/shop.example.com/",
		"ours behind a backslash":      `https://evil.example\@shop.example.com/`,
		"another port":                 "https://shop.example.com:8443/",
		"another scheme":               "javascript://shop.example.com/%0aalert(1)",
		"no scheme":                    "//shop.example.com/",
		"a line break":                 "https://shop.example.com/\r\nHost: evil",
		"nothing":                      "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stage{}
			_, err := problem.ReadAnswer(s.ask(t, question(t, account, page)))
			require.Equal(t, problem.PageRefused, problem.KindOf(err), "%v", err)
			require.Empty(t, s.asked, "no ticket is asked for")
		})
	}
}

func TestAnswer_says_which_app_it_cannot_sign_for(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		question string
		kind     problem.Kind
	}{
		"unknown":        {question(t, "wx0000000000000000", docPage), problem.UnknownApp},
		"without secret": {question(t, noSecret, docPage), problem.AppNotReady},
		"not JSON":       {`{"appid":`, problem.Malformed},
		"wrong type":     {`{"appid":"` + string(account) + `","url":7}`, problem.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stage{}
			_, err := problem.ReadAnswer(s.ask(t, c.question))
			require.Equal(t, c.kind, problem.KindOf(err), "%v", err)
			require.Empty(t, s.asked)
		})
	}
}

func TestAnswer_says_why_there_is_no_ticket(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refusal error
		kind    problem.Kind
	}{
		"WeChat is busy":       {&wechat.APIError{Code: -1, Message: "system error", Class: wechat.ClassRetry}, problem.WeChatUnavailable},
		"wrong AppSecret":      {&wechat.APIError{Code: 40125, Message: "invalid appsecret", Class: wechat.ClassSecret}, problem.AppRefused},
		"our address":          {&wechat.APIError{Code: 40164, Message: "invalid ip", Class: wechat.ClassAddress}, problem.AppRefused},
		"something of our own": {errors.New("books are away at 10.0.0.7"), problem.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stage{refusal: c.refusal}
			raw := s.ask(t, question(t, account, docPage))
			_, err := problem.ReadAnswer(raw)
			require.Equal(t, c.kind, problem.KindOf(err), "%v", err)
			require.NotContains(t, string(raw), "signature")
			require.NotContains(t, string(raw), "10.0.0.7", "a page learns nothing of our inside")
			require.Contains(t, s.log.String(), string(account), "the operator reads which app")
		})
	}
}

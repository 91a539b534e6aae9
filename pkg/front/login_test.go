package front_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
)

const loggedIn = `{"status":200,"body":{"session":"s","token_type":"Bearer","expires_at":"2026-11-21T06:00:00Z","account_id":"0191d5e4-7a3b-7c00-8000-000000000001"}}`

func TestLogin_asks_for_exactly_what_was_sent(t *testing.T) {
	t.Parallel()
	raw := `{\"nickName\":\"茶 😀\\u0000\",\"gender\":0}`
	for body, question := range map[string]string{
		`{"ticket":"` + ticket + `","verifier":"` + verifier + `"}`:                                       `{"appid":"` + mini + `","ticket":"` + ticket + `","verifier":"` + verifier + `"}`,
		`{"code":"` + code + `"}`:                                                                         `{"appid":"` + mini + `","code":"` + code + `"}`,
		`{"code":"` + code + `","phone_code":"p1_-"}`:                                                     `{"appid":"` + mini + `","code":"` + code + `","phone_code":"p1_-"}`,
		`{"code":"` + code + `","encrypted_data":"aGk+/w==","iv":"AAAAAAAAAAAAAAAAAAAAAA=="}`:             `{"appid":"` + mini + `","code":"` + code + `","encrypted_data":"aGk+/w==","iv":"AAAAAAAAAAAAAAAAAAAAAA=="}`,
		`{"code":"` + code + `","raw_data":"` + raw + `","signature":"` + strings.Repeat("aF", 20) + `"}`: `{"appid":"` + mini + `","code":"` + code + `","raw_data":"` + raw + `","signature":"` + strings.Repeat("aF", 20) + `"}`,
	} {
		d := open(t)
		d.worker.answer = says(loggedIn)
		answer := d.send(http.MethodPost, "/wx/login/"+mini, body)
		require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
		require.JSONEq(t, loggedIn, `{"status":200,"body":`+answer.body+`}`)
		require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
		require.Len(t, d.worker.questions(), 1)
		subject, asked, _ := strings.Cut(d.worker.questions()[0], " ")
		require.Equal(t, "fenflow.wechat.login", subject)
		require.JSONEq(t, question, asked)
		require.Equal(t, 8*time.Second, d.worker.waits[0])
	}
}

func TestLogin_refuses_what_is_no_login_and_repeats_nothing_of_it(t *testing.T) {
	t.Parallel()
	pair := `"ticket":"` + ticket + `","verifier":"` + verifier + `"`
	for body, kind := range map[string]problem.Kind{
		`{}`:                                   problem.Invalid,
		`[]`:                                   problem.Malformed,
		`null`:                                 problem.Malformed,
		`{` + pair + `}x`:                      problem.Malformed,
		`{` + pair + `,"code":"` + code + `"}`: problem.Invalid, // one of the two
		`{` + pair + `,` + pair + `}`:          problem.Invalid,
		`{"ticket":"` + ticket + `"}`:          problem.Invalid,
		`{"verifier":"` + verifier + `"}`:      problem.Invalid,
		`{"ticket":"` + ticket + `","verifier":"` + verifier[:42] + `"}`:            problem.Invalid,
		`{"ticket":"` + ticket + `","verifier":"` + strings.Repeat("a", 129) + `"}`: problem.Invalid,
		`{"ticket":"` + ticket + `","verifier":"` + verifier + `&"}`:                problem.Invalid,
		`{"ticket":"` + ticket + `/","verifier":"` + verifier + `"}`:                problem.Invalid,
		`{"code":""}`:           problem.Invalid,
		`{"code":1}`:            problem.Invalid,
		`{"code":"a&secret=x"}`: problem.Invalid,
		`{"code":"` + strings.Repeat("a", 513) + `"}`:                           problem.Invalid,
		`{"code":"` + code + `","iv":"AAAA"}`:                                   problem.Invalid,
		`{"code":"` + code + `","signature":"` + strings.Repeat("a", 40) + `"}`: problem.Invalid,
		`{"code":"` + code + `","raw_data":"{}","signature":"x"}`:               problem.Invalid,
		`{"code":"` + code + `","encrypted_data":"!!","iv":"AAAA"}`:             problem.Invalid,
		`{"code":"` + code + `","phone_code":"a b"}`:                            problem.Invalid,
		`{"code":"` + code + `","session_key":"AAAA"}`:                          problem.Invalid,
		`{"code":"` + code + `","appid":"` + official + `"}`:                    problem.Invalid,
		`{"code":"` + strings.Repeat("a", 17<<10) + `"}`:                        problem.TooLarge,
		"{\"code\":\"\xff\"}":                                                   problem.Malformed,
	} {
		d := open(t)
		d.worker.answer = says(loggedIn)
		answer := d.send(http.MethodPost, "/wx/login/"+mini, body)
		require.Equal(t, kind.Code(), answer.problem(t).Code, body)
		for _, secret := range []string{code, ticket, verifier} {
			require.NotContains(t, answer.body, secret)
		}
		require.Empty(t, d.worker.questions())
	}
	d := open(t)
	require.Equal(t, problem.UnsupportedMedia.Code(), d.send(http.MethodPost, "/wx/login/"+mini, "code="+code, "Content-Type", "application/x-www-form-urlencoded").problem(t).Code)
	require.Equal(t, problem.UnknownApp.Code(), d.send(http.MethodPost, "/wx/login/wx0", `{"code":"`+code+`"}`).problem(t).Code)
	require.Equal(t, problem.UnknownApp.Code(), d.send(http.MethodPost, "/wx/login/"+shared, `{"code":"`+code+`"}`).problem(t).Code)
}

func TestLogin_passes_on_refusals_and_tells_when_nobody_is_there(t *testing.T) {
	t.Parallel()
	d := open(t)
	body := `{"code":"` + code + `"}`
	answer := d.send(http.MethodPost, "/wx/login/"+mini, body)
	require.Equal(t, problem.NoWorker.Code(), answer.problem(t).Code)
	require.Equal(t, "2", answer.Header.Get("Retry-After"))
	d.worker.answer = func(string, []byte) ([]byte, error) { return nil, context.DeadlineExceeded }
	require.Equal(t, problem.NoWorker.Code(), d.send(http.MethodPost, "/wx/login/"+mini, body).problem(t).Code)
	d.worker.answer = refuses(problem.Refused, "spent")
	answer = d.send(http.MethodPost, "/wx/login/"+mini, body)
	require.Equal(t, problem.Refused.Code(), answer.problem(t).Code)
	require.Contains(t, answer.body, "spent")
	for _, nonsense := range []string{"", "{}", `{"status":200}`, `{"status":99,"body":{}}`, "[]"} {
		d.worker.answer = says(nonsense)
		require.Equal(t, problem.Internal.Code(), d.send(http.MethodPost, "/wx/login/"+mini, body).problem(t).Code, nonsense)
	}
}

func TestJSConfig_signs_for_the_apps_own_pages_only(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.worker.answer = says(`{"status":200,"body":{"appId":"wx","timestamp":1,"nonceStr":"n","signature":"s"}}`)
	page := "https://m.example.com/tea?a=1&b=茶"
	at := func(page string) string { return "/wx/jsconfig/" + official + "?url=" + url.QueryEscape(page) }
	require.Equal(t, problem.PageRefused.Code(), d.send(http.MethodGet, at(page), "").problem(t).Code, "as a browser never writes it")
	page = "https://m.example.com/tea?a=1&b=%E8%8C%B6"
	answer := d.send(http.MethodGet, at(page), "")
	require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	require.Equal(t, []string{`fenflow.wechat.jsconfig {"appid":"` + official + `","url":"https://m.example.com/tea?a=1\u0026b=%E8%8C%B6"}`}, d.worker.questions())
	for target, kind := range map[string]problem.Kind{
		at("https://shop.example.com/"):                        problem.PageRefused,
		at("https://m.example.com.evil.example/"):              problem.PageRefused,
		at("https://m.example.com@evil.example/"):              problem.PageRefused,
		"/wx/jsconfig/" + official:                             problem.Invalid,
		at(page) + "&url=https://m.example.com/":               problem.Invalid,
		"/wx/jsconfig/" + mini + "?url=https://m.example.com/": problem.PageRefused,
		"/wx/jsconfig/wx0?url=https://m.example.com/":          problem.UnknownApp,
	} {
		require.Equal(t, kind.Code(), d.send(http.MethodGet, target, "").problem(t).Code, target)
	}
	require.Len(t, d.worker.questions(), 1)
}

func TestMessage_is_passed_on_as_it_came_and_answered_word_for_word(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.worker.answer = says(`{"status":200,"body":{"content_type":"text/xml; charset=utf-8","body":"<xml>\n<a>茶</a></xml>"}}`)
	answer := d.send(http.MethodPost, "/wx/message/"+official+"?signature=a&openid=o%2F1&x", "<xml>\x00\xff</xml>", "Content-Type", "text/xml")
	require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	require.Equal(t, "text/xml; charset=utf-8", answer.Header.Get("Content-Type"))
	require.Equal(t, "<xml>\n<a>茶</a></xml>", answer.body)
	d.worker.answer = says(`{"status":200,"body":{"content_type":"text/plain","body":"12345"}}`)
	answer = d.send(http.MethodGet, "/wx/message/"+official+"?echostr=12345", "")
	require.Equal(t, "12345", answer.body)
	require.Equal(t, []string{
		`fenflow.wechat.message {"appid":"` + official + `","method":"POST","query":"signature=a\u0026openid=o%2F1\u0026x","content_type":"text/xml","body":"PHhtbD4A/zwveG1sPg=="}`,
		`fenflow.wechat.message {"appid":"` + official + `","method":"GET","query":"echostr=12345","content_type":"","body":""}`,
	}, d.worker.questions())
	require.Equal(t, 4500*time.Millisecond, d.worker.waits[0], "WeChat waits 5 s")
}

func TestMessage_is_answered_so_that_WeChat_repeats_unless_it_was_taken(t *testing.T) {
	t.Parallel()
	d := open(t)
	at := "/wx/message/" + official
	require.Equal(t, problem.NoWorker.Code(), d.send(http.MethodPost, at, "<xml/>").problem(t).Code)
	d.worker.answer = refuses(problem.Forbidden, "signature")
	require.Equal(t, http.StatusForbidden, d.send(http.MethodPost, at, "<xml/>").StatusCode)
	for _, nonsense := range []string{`{}`, `{"status":200,"body":{}}`, `{"status":200,"body":{"content_type":"text/html","body":"<script>"}}`, `{"status":200,"body":7}`} {
		d.worker.answer = says(nonsense)
		require.Equal(t, problem.Internal.Code(), d.send(http.MethodPost, at, "<xml/>").problem(t).Code, nonsense)
	}
	asked := len(d.worker.questions())
	require.Equal(t, problem.TooLarge.Code(), d.send(http.MethodPost, at, strings.Repeat("x", 64<<10+1)).problem(t).Code)
	require.Equal(t, problem.UnknownApp.Code(), d.send(http.MethodPost, "/wx/message/wx0", "<xml/>").problem(t).Code)
	require.Len(t, d.worker.questions(), asked)
}

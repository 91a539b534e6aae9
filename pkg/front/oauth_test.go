package front_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/front"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/problem"
)

func startAt(app, returnTo string, more ...string) string {
	return "/wx/oauth/" + app + "/start?return_to=" + url.QueryEscape(returnTo) + "&challenge=" + challenge() + strings.Join(more, "")
}

func callbackAt(app, code, state string) string {
	return "/wx/oauth/" + app + "/callback?code=" + code + "&state=" + state
}

func stateOf(t *testing.T, answer reply) string {
	t.Helper()
	require.Equal(t, http.StatusFound, answer.StatusCode, answer.body)
	at, err := url.Parse(answer.Header.Get("Location"))
	require.NoError(t, err)
	return at.Query().Get("state")
}

func TestStart_sends_the_buyer_to_WeChat_with_the_parameters_in_its_order(t *testing.T) {
	t.Parallel()
	for app, want := range map[string]string{
		startAt(official, shopPage):                              "https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx8888888888888801&redirect_uri=https%3A%2F%2Fpay.example.com%2Fwx%2Foauth%2Fwx8888888888888801%2Fcallback&response_type=code&scope=snsapi_base&state=AAAAAAAAAAAAAAAAAAAAAAAAAA#wechat_redirect",
		startAt(official, shopPage, "&scope=snsapi_userinfo"):    "https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx8888888888888801&redirect_uri=https%3A%2F%2Fpay.example.com%2Fwx%2Foauth%2Fwx8888888888888801%2Fcallback&response_type=code&scope=snsapi_userinfo&state=AAAAAAAAAAAAAAAAAAAAAAAAAA#wechat_redirect",
		startAt(website, "https://www.example.com/cart"):         "https://open.weixin.qq.com/connect/qrconnect?appid=wx8888888888888802&redirect_uri=https%3A%2F%2Fpay.example.com%2Fwx%2Foauth%2Fwx8888888888888802%2Fcallback&response_type=code&scope=snsapi_login&state=AAAAAAAAAAAAAAAAAAAAAAAAAA#wechat_redirect",
		startAt(website, "https://www.example.com", "&utm=mail"): "https://open.weixin.qq.com/connect/qrconnect?appid=wx8888888888888802&redirect_uri=https%3A%2F%2Fpay.example.com%2Fwx%2Foauth%2Fwx8888888888888802%2Fcallback&response_type=code&scope=snsapi_login&state=AAAAAAAAAAAAAAAAAAAAAAAAAA#wechat_redirect",
	} {
		d := open(t)
		b := d.browser()
		answer := b.get(app)
		require.Equal(t, http.StatusFound, answer.StatusCode, answer.body)
		require.Equal(t, want, answer.Header.Get("Location"))
		require.Equal(t, "no-referrer", answer.Header.Get("Referrer-Policy"))
		require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
		require.Len(t, b.cookies, 1)
		require.Contains(t, b.cookies, "fenflow_login_AAAAAAAA")
		require.Equal(t, 600, answer.Cookies()[0].MaxAge)
		require.Empty(t, d.worker.questions())
	}
}

func TestStart_refuses_what_it_could_not_finish(t *testing.T) {
	t.Parallel()
	for target, kind := range map[string]problem.Kind{
		startAt("wx0000000000000000", shopPage):                                             problem.UnknownApp,
		startAt("wx%2F..", shopPage):                                                        problem.UnknownApp,
		startAt(shared, shopPage):                                                           problem.UnknownApp,
		startAt(mini, shopPage):                                                             problem.Invalid,
		startAt(phoneApp, shopPage):                                                         problem.Invalid,
		startAt(official, "https://shop.example.com@evil.example/buy/"):                     problem.ReturnRefused,
		startAt(official, "//evil.example/buy/"):                                            problem.ReturnRefused,
		startAt(official, "https://shop.example.com/buy/%2e%2e/admin"):                      problem.ReturnRefused,
		startAt(official, "https://shop.example.com/buy/\r\nSet-Cookie: a=b"):               problem.ReturnRefused,
		startAt(official, "https://www.example.com/"):                                       problem.ReturnRefused, // another app's
		startAt(official, ""):                                                               problem.ReturnRefused,
		startAt(official, shopPage, "&return_to=https://shop.example.com/buy/x"):            problem.Invalid,
		startAt(official, shopPage, "&scope=snsapi_login"):                                  problem.Invalid,
		startAt(official, shopPage, "&scope=snsapi_base&scope=snsapi_userinfo"):             problem.Invalid,
		startAt(website, "https://www.example.com/", "&scope=snsapi_userinfo"):              problem.Invalid,
		startAt(official, shopPage, "x"):                                                    problem.Invalid, // 44 characters
		strings.Replace(startAt(official, shopPage), challenge(), challenge()[1:], 1):       problem.Invalid,
		strings.Replace(startAt(official, shopPage), challenge(), "", 1):                    problem.Invalid,
		strings.Replace(startAt(official, shopPage), challenge(), challenge()[1:]+"%2B", 1): problem.Invalid,
	} {
		d := open(t)
		answer := d.send(http.MethodGet, target, "", "Accept", "application/json")
		require.Equal(t, kind.Code(), answer.problem(t).Code, target)
		require.Empty(t, answer.Header.Get("Set-Cookie"))
		require.Empty(t, answer.Header.Get("Location"))
	}
}

func TestCallback_leads_back_with_a_ticket_and_ends_the_login(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.worker.answer = says(`{"status":200,"body":{"ticket":"` + ticket + `"}}`)
	b := d.browser()
	state := stateOf(t, b.get(startAt(official, shopPage)))
	answer := b.get(callbackAt(official, code, state))
	require.Equal(t, http.StatusFound, answer.StatusCode, answer.body)
	require.Equal(t, shopPage+"&ticket="+ticket, answer.Header.Get("Location"))
	require.Equal(t, "no-referrer", answer.Header.Get("Referrer-Policy"))
	require.Empty(t, b.cookies)
	require.Equal(t, []string{`fenflow.wechat.authorize {"appid":"` + official + `","code":"` + code + `","challenge":"` + challenge() + `"}`}, d.worker.questions())

	again := b.get(callbackAt(official, code, state), "Accept", "application/json")
	require.Equal(t, problem.LoginStateLost.Code(), again.problem(t).Code, "a state is good for one return")
	require.Len(t, d.worker.questions(), 1)
}

func TestCallback_puts_the_ticket_in_the_place_of_an_old_one(t *testing.T) {
	t.Parallel()
	for returnTo, want := range map[string]string{
		"https://shop.example.com/buy/":                              "https://shop.example.com/buy/?ticket=" + ticket,
		"https://shop.example.com/buy/?":                             "https://shop.example.com/buy/?ticket=" + ticket,
		"https://shop.example.com/buy/?ticket=old&a=1":               "https://shop.example.com/buy/?a=1&ticket=" + ticket,
		"https://shop.example.com/buy/?b=%20&tick%65t=x&a=1&&ticket": "https://shop.example.com/buy/?b=%20&a=1&ticket=" + ticket,
		"https://shop.example.com/buy/?tickets=2&x=?y":               "https://shop.example.com/buy/?tickets=2&x=?y&ticket=" + ticket,
	} {
		d := open(t)
		d.worker.answer = says(`{"status":200,"body":{"ticket":"` + ticket + `"}}`)
		b := d.browser()
		state := stateOf(t, b.get(startAt(official, returnTo)))
		require.Equal(t, want, b.get(callbackAt(official, code, state)).Header.Get("Location"))
	}
}

func TestCallback_finishes_each_of_two_tabs(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.worker.answer = says(`{"status":200,"body":{"ticket":"` + ticket + `"}}`)
	b := d.browser()
	one := stateOf(t, b.get(startAt(official, "https://shop.example.com/buy/one")))
	two := stateOf(t, b.get(startAt(website, "https://www.example.com/two")))
	require.Len(t, b.cookies, 2)
	require.Contains(t, b.get(callbackAt(website, code, two)).Header.Get("Location"), "/two?")
	require.Contains(t, b.get(callbackAt(official, code, one)).Header.Get("Location"), "/one?")
}

// Whoever brings a state or a code that this browser did not begin gets nothing,
// and no code is spent.
func TestCallback_refuses_logins_of_other_browsers(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.worker.answer = says(`{"status":200,"body":{"ticket":"` + ticket + `"}}`)
	attacker, victim := d.browser(), d.browser()
	theirs := stateOf(t, attacker.get(startAt(official, shopPage)))
	ours := stateOf(t, victim.get(startAt(official, shopPage)))
	cookie := func(login map[string]string) string {
		raw, err := json.Marshal(login)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	good := map[string]string{"s": ours, "a": official, "r": shopPage, "c": challenge()}
	forged := func(name, value string) string {
		login := maps.Clone(good)
		login[name] = value
		return cookie(login)
	}
	name := "fenflow_login_" + ours[:8]
	for what, row := range map[string]struct{ target, cookie string }{
		"no cookie":                   {callbackAt(official, code, ours), ""},
		"another browser's state":     {callbackAt(official, code, theirs), name + "=" + cookie(good)},
		"the state of another cookie": {callbackAt(official, code, ours), name + "=" + forged("s", ours[:8]+theirs[8:])},
		"a state that only begins so": {callbackAt(official, code, ours[:20]), name + "=" + cookie(good)},
		"a short state":               {callbackAt(official, code, ours[:8]), name + "=" + forged("s", ours[:8])},
		"no state":                    {"/wx/oauth/" + official + "/callback?code=" + code, name + "=" + cookie(good)},
		"two states":                  {callbackAt(official, code, ours) + "&state=" + theirs, name + "=" + cookie(good)},
		"two codes":                   {callbackAt(official, code, ours) + "&code=x", name + "=" + cookie(good)},
		"another app":                 {callbackAt(website, code, ours), name + "=" + cookie(good)},
		"no base64":                   {callbackAt(official, code, ours), name + "=%%%"},
		"no JSON":                     {callbackAt(official, code, ours), name + "=" + base64.RawURLEncoding.EncodeToString([]byte("{"))},
		"no challenge":                {callbackAt(official, code, ours), name + "=" + forged("c", "")},
		"two cookies of the name":     {callbackAt(official, code, ours), name + "=" + cookie(good) + "; " + name + "=" + cookie(good)},
	} {
		answer := d.send(http.MethodGet, row.target, "", "Cookie", row.cookie, "Accept", "application/json")
		require.Equal(t, http.StatusBadRequest, answer.StatusCode, what)
		require.Equal(t, problem.LoginStateLost.Code(), answer.problem(t).Code, what)
		require.Empty(t, answer.Header.Get("Location"), what)
	}
	forgedReturn := d.send(http.MethodGet, callbackAt(official, code, ours), "", "Cookie", name+"="+forged("r", "https://evil.example/"), "Accept", "application/json")
	require.Equal(t, problem.ReturnRefused.Code(), forgedReturn.problem(t).Code, "a cookie is the browser's to write")
	require.Empty(t, d.worker.questions(), "no code is spent")
}

func TestCallback_follows_the_configuration_in_force(t *testing.T) {
	t.Parallel()
	d := open(t)
	b := d.browser()
	state := stateOf(t, b.get(startAt(official, shopPage)))
	changed, err := merchant.NewDirectory([]merchant.Merchant{{MchID: shopMch, Apps: []merchant.App{{AppID: official, Kind: merchant.KindOfficialAccount, RedirectURLs: []string{"https://new.example.com/"}}}}})
	require.NoError(t, err)
	d.settings.Directory = changed
	require.Equal(t, problem.ReturnRefused.Code(), b.get(callbackAt(official, code, state), "Accept", "application/json").problem(t).Code)
}

func TestCallback_shows_a_buyer_what_is_the_matter_in_both_languages(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		answer func(string, []byte) ([]byte, error)
		code   string
		status int
		kind   problem.Kind
		says   string
	}{
		"a code that is spent": {refuses(problem.Refused, "the code was used <b>before</b>"), code, 422, problem.Refused, "the code was used &lt;b&gt;before&lt;/b&gt;"},
		"a preview":            {refuses(problem.SnapshotUser, ""), code, 403, problem.SnapshotUser, "使用完整服务"},
		"no worker":            {nil, code, 503, problem.NoWorker, "暂时无法登录"},
		"the buyer said no":    {nil, "", 403, problem.LoginDeclined, "没有同意"},
		"no code of WeChat's":  {nil, "%3Cscript%3E", 422, problem.Invalid, "商家的登录设置有误"},
		"a worker's nonsense":  {says(`{"status":200,"body":{"ticket":"x\r\n"}}`), code, 500, problem.Internal, "暂时无法登录"},
		"no answer at all":     {says(`nonsense`), code, 500, problem.Internal, "暂时无法登录"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.worker.answer = row.answer
			b := d.browser()
			state := stateOf(t, b.get(startAt(official, shopPage)))
			page := b.get(callbackAt(official, row.code, state))
			require.Equal(t, row.status, page.StatusCode, page.body)
			require.Equal(t, "text/html; charset=utf-8", page.Header.Get("Content-Type"))
			require.Contains(t, page.body, row.kind.Code())
			require.Contains(t, page.body, row.says)
			require.Contains(t, page.body, `href="`+shopPage+`"`, "the way back")
			require.Contains(t, page.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
			require.Contains(t, page.Header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-")
			require.Equal(t, "nosniff", page.Header.Get("X-Content-Type-Options"))
			_, style, _ := strings.Cut(page.body, "<style>")
			style, _, _ = strings.Cut(style, "</style>")
			sum := sha256.Sum256([]byte(style))
			require.Contains(t, page.Header.Get("Content-Security-Policy"), "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'", "the browser takes the style")
			require.Equal(t, row.status == 503, page.Header.Get("Retry-After") != "")
			require.NotContains(t, page.body, code)
			require.Empty(t, b.cookies, "the login is over")
		})
	}
}

func TestStart_forgets_old_logins_before_the_headers_overflow(t *testing.T) {
	t.Parallel()
	states := 0
	d := open(t, func(c *front.Config) {
		c.NewState = func() string { states++; return fmt.Sprintf("%08dxxxxxxxxxxxxxxxxxx", states) }
	})
	b := d.browser()
	for range 50 {
		stateOf(t, b.get(startAt(official, "https://shop.example.com/buy/"+strings.Repeat("x", 1900))))
		size := 0
		for name, value := range b.cookies {
			size += len(name) + len(value) + 3
		}
		require.Less(t, size, 16<<10, "what a request's headers may have")
	}
}

func TestStart_is_for_browsers_below_a_path_too(t *testing.T) {
	t.Parallel()
	d := open(t, func(c *front.Config) { c.URL = "http://127.0.0.1:8082/door" })
	answer := d.send(http.MethodGet, startAt(official, shopPage), "")
	require.Contains(t, answer.Header.Get("Location"), "redirect_uri=http%3A%2F%2F127.0.0.1%3A8082%2Fdoor%2Fwx%2Foauth%2F")
	require.Equal(t, "/door/wx/oauth/", answer.Cookies()[0].Path)
	require.False(t, answer.Cookies()[0].Secure, "plain HTTP has no secure cookies")
}

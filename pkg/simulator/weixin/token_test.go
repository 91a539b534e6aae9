package weixin_test

import (
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStableToken_stays_until_five_minutes_before_its_end(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.stable(t, w.official, false)
	require.EqualValues(t, 7200, first["expires_in"])
	w.clock.advance(time.Hour)
	again := w.stable(t, w.official, false)
	require.Equal(t, first.text("access_token"), again.text("access_token"))
	require.EqualValues(t, 3600, again["expires_in"])
	w.clock.advance(55 * time.Minute)
	next := w.stable(t, w.official, false)
	require.NotEqual(t, first.text("access_token"), next.text("access_token"))
	require.Zero(t, w.ticket(t, first.text("access_token")).errcode(), "both are good for five minutes")
	w.clock.advance(5*time.Minute + time.Second)
	require.Equal(t, 42001, w.ticket(t, first.text("access_token")).errcode())
	require.Zero(t, w.ticket(t, next.text("access_token")).errcode())
}

func (w *world) ticket(t *testing.T, token string) answer {
	t.Helper()
	return w.get(t, "/cgi-bin/ticket/getticket", "access_token", token, "type", "jsapi")
}

func TestStableToken_is_forced_twenty_times_a_day_and_half_a_minute_apart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.token(t, w.official)
	require.NotEmpty(t, w.stable(t, w.official, true).text("access_token"))
	require.Equal(t, 40001, w.ticket(t, old).errcode(), "the one before ends at once")
	require.Equal(t, 45011, w.stable(t, w.official, true).errcode())
	w.clock.now = time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC).AddDate(1, 0, 0)
	for range 20 {
		w.clock.advance(31 * time.Second)
		require.NotEmpty(t, w.stable(t, w.official, true).text("access_token"))
	}
	w.clock.advance(31 * time.Second)
	require.Equal(t, 45009, w.stable(t, w.official, true).errcode())
}

func TestPlainToken_ends_the_one_before_after_five_minutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := func() string {
		return w.get(t, "/cgi-bin/token", "grant_type", "client_credential", "appid", w.official.Appid, "secret", w.official.Secret).text("access_token")
	}
	first, stable := ask(), w.token(t, w.official)
	second := ask()
	require.Zero(t, w.ticket(t, first).errcode())
	w.clock.advance(6 * time.Minute)
	require.Equal(t, 42001, w.ticket(t, first).errcode())
	require.Zero(t, w.ticket(t, second).errcode())
	require.Zero(t, w.ticket(t, stable).errcode(), "stable tokens are apart")
	require.Equal(t, 40014, w.ticket(t, "short").errcode())
	require.Equal(t, 40001, w.ticket(t, strings.Repeat("a", len(second))).errcode())
	require.Equal(t, 41001, w.ticket(t, "").errcode())
	require.Equal(t, 48001, w.ticket(t, w.token(t, w.mini)).errcode())
}

func TestControl_expires_tokens_with_a_chosen_code(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.token(t, w.official)
	require.EqualValues(t, 1, w.post(t, "/control/weixin/tokens/expire", map[string]any{"appid": w.official.Appid, "as": 40014})["expired"])
	require.Equal(t, 40014, w.ticket(t, old).errcode())
	require.Zero(t, w.ticket(t, w.token(t, w.official)).errcode(), "a new one is given out")
}

func TestFaults_and_calls_are_told_by_api_and_appid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(t, "/control/weixin/faults", map[string]any{"api": "/cgi-bin/stable_token", "errcode": -1, "count": 2})
	require.Equal(t, -1, w.stable(t, w.mini, false).errcode())
	require.Equal(t, -1, w.stable(t, w.official, false).errcode())
	require.Zero(t, w.stable(t, w.official, false).errcode())
	calls, _ := w.get(t, "/control/weixin/calls")["calls"].(map[string]any)
	require.Equal(t, map[string]any{w.mini.Appid: 1.0, w.official.Appid: 2.0}, calls["/cgi-bin/stable_token"])

	w.post(t, "/control/weixin/faults", map[string]any{"status": 502})
	response, err := http.Get(w.url + "/cgi-bin/token")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusBadGateway, response.StatusCode)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, w.url+"/control/weixin/faults", nil)
	require.NoError(t, err)
	response, err = http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 40002, w.get(t, "/cgi-bin/token").errcode())
	require.Equal(t, 43002, w.get(t, "/cgi-bin/stable_token").errcode())
}

func TestJSConfig_knows_a_wrong_signature(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ticket := w.ticket(t, w.token(t, w.official)).text("ticket")
	page := "http://127.0.0.1:8095/buy?a=1"
	sum := sha1.Sum([]byte("jsapi_ticket=" + ticket + "&noncestr=N&timestamp=1&url=" + page))
	check := func(signature, page string) string {
		return w.get(t, "/weixin/jsconfig", "appid", w.official.Appid, "timestamp", "1", "nonceStr", "N", "signature", signature, "url", page).text("errMsg")
	}
	right := hex.EncodeToString(sum[:])
	require.Equal(t, "config:ok", check(right, page))
	require.Equal(t, "config:invalid signature", check(right, page+"2"))
	require.Equal(t, "config:invalid url domain", check(right, "http://evil.example.com/"))
	w.post(t, "/control/weixin/tokens/expire", map[string]any{"kind": "ticket"})
	require.Equal(t, "config:invalid signature", check(right, page))
}

func TestMenu_keeps_to_the_limits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.token(t, w.official)
	create := func(buttons ...map[string]any) int {
		return w.post(t, "/cgi-bin/menu/create?access_token="+token, map[string]any{"button": buttons}).errcode()
	}
	get := func() answer { return w.get(t, "/cgi-bin/menu/get", "access_token", token) }
	view := map[string]any{"type": "view", "name": "茶", "url": "https://shop.example.com/"}
	require.Equal(t, 46003, get().errcode())
	require.Zero(t, create(view))
	require.Contains(t, get(), "menu")
	require.Equal(t, 40016, create())
	require.Equal(t, 40016, create(view, view, view, view))
	require.Equal(t, 40018, create(map[string]any{"type": "view", "name": "一二三四五六", "url": "https://a/"}), "18 bytes")
	require.Equal(t, 40017, create(map[string]any{"type": "dance", "name": "a"}))
	require.Equal(t, 40019, create(map[string]any{"type": "click", "name": "a"}))
	require.Equal(t, 40020, create(map[string]any{"type": "view", "name": "a"}))
	require.Equal(t, 40023, create(map[string]any{"name": "a", "sub_button": []any{view, view, view, view, view, view}}))
	require.Zero(t, w.get(t, "/cgi-bin/menu/delete", "access_token", token).errcode())
	require.Equal(t, 46003, get().errcode())
}

func TestFollower_is_known_by_the_account_alone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	users, _ := w.get(t, "/control/weixin/users")["users"].([]any)
	first, _ := users[0].(map[string]any)
	openids, _ := first["openids"].(map[string]any)
	openid, _ := openids[w.official.Appid].(string)
	info := w.get(t, "/cgi-bin/user/info", "access_token", w.token(t, w.official), "openid", openid)
	require.EqualValues(t, 1, info["subscribe"])
	require.Equal(t, first["unionid"], info["unionid"])
	foreign, _ := openids[w.mini.Appid].(string)
	require.Equal(t, 40003, w.get(t, "/cgi-bin/user/info", "access_token", w.token(t, w.official), "openid", foreign).errcode())
}

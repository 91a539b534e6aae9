package weixin_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

func authorizeURL(w *world, scope string) string {
	return w.url + "/connect/oauth2/authorize?appid=" + w.official.Appid + "&redirect_uri=" + url.QueryEscape("http://127.0.0.1:9/wx/cb?x=1") +
		"&response_type=code&scope=" + scope + "&state=abc123"
}

func TestLogin_inside_WeChat_is_silent_for_base_and_asks_for_userinfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, _, page := w.browse(t, authorizeURL(w, "snsapi_base"))
	require.Contains(t, page, "Whose WeChat is this?", "nobody is inside yet")

	status, to, _ := w.browse(t, w.url+"/weixin/inside?user=lilei&url="+url.QueryEscape(authorizeURL(w, "snsapi_base")))
	require.Equal(t, http.StatusSeeOther, status)
	status, to, _ = w.browse(t, to.String())
	require.Equal(t, http.StatusFound, status)
	require.Equal(t, "/wx/cb", to.Path)
	require.Equal(t, []string{"1", "abc123"}, []string{to.Query().Get("x"), to.Query().Get("state")})
	base := w.exchange(t, w.official, to.Query().Get("code"))
	require.Equal(t, weixin.OpenidOf(w.official.Appid, "lilei"), base.text("openid"))
	require.Empty(t, base.text("unionid"), "the person was not asked")
	require.Equal(t, 48001, w.get(t, "/sns/userinfo", "access_token", base.text("access_token"), "openid", base.text("openid")).errcode())

	status, _, page = w.browse(t, authorizeURL(w, "snsapi_userinfo"))
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "Allow")
	status, to, _ = w.submit(t, authorizeURL(w, "snsapi_userinfo"), nil)
	require.Equal(t, http.StatusFound, status)
	asked := w.exchange(t, w.official, to.Query().Get("code"))
	require.Equal(t, weixin.UnionidOf("lilei"), asked.text("unionid"))
	info := w.get(t, "/sns/userinfo", "access_token", asked.text("access_token"), "openid", asked.text("openid"), "lang", "zh_CN")
	require.Equal(t, "李雷", info.text("nickname"))
	require.Contains(t, info.text("headimgurl"), w.url+"/weixin/avatars/")
}

func TestLogin_refuses_what_WeChat_refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	right := authorizeURL(w, "snsapi_base")
	for what, address := range map[string]string{
		"10003": strings.Replace(right, "127.0.0.1%3A9", "evil.example.com", 1),
		"10005": strings.Replace(right, "snsapi_base", "snsapi_login", 1),
		"state": right + "-",
		"order": w.url + "/connect/oauth2/authorize?redirect_uri=" + url.QueryEscape("http://127.0.0.1:9/") + "&appid=" + w.official.Appid + "&response_type=code&scope=snsapi_base&state=a",
		"appid": strings.Replace(right, w.official.Appid, w.website.Appid, 1),
	} {
		status, to, page := w.browse(t, address)
		require.Equal(t, http.StatusOK, status, what)
		require.Empty(t, to.String(), what)
		require.Contains(t, page, what)
	}
}

func TestQRLogin_leads_back_as_whoever_scans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := strings.NewReplacer("oauth2/authorize", "qrconnect", w.official.Appid, w.website.Appid, "snsapi_base", "snsapi_login").Replace(authorizeURL(w, "snsapi_base"))
	_, _, page := w.browse(t, address)
	require.Contains(t, page, "Scan as 韩梅梅")
	_, to, _ := w.submit(t, address, url.Values{"user": {"hanmeimei"}})
	w.clock.advance(9 * time.Minute)
	got := w.exchange(t, w.website, to.Query().Get("code"))
	require.Equal(t, []string{"snsapi_login", weixin.UnionidOf("hanmeimei")}, []string{got.text("scope"), got.text("unionid")}, "ten minutes")
}

func TestCodes_are_spent_once_by_their_own_app_in_time(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.code(t, w.app, "jim", "app").text("code")
	require.Equal(t, 40029, w.exchange(t, w.official, code).errcode())
	wrong := w.app
	wrong.Secret = "no"
	require.Equal(t, 40125, w.exchange(t, wrong, code).errcode())
	require.Equal(t, weixin.OpenidOf(w.app.Appid, "jim"), w.exchange(t, w.app, code).text("openid"))
	require.Equal(t, 40163, w.exchange(t, w.app, code).errcode())
	require.Equal(t, 40029, w.exchange(t, w.app, "nonsense").errcode())
	require.Equal(t, 41008, w.exchange(t, w.app, "").errcode())
	late := w.code(t, w.app, "jim", "app").text("code")
	w.clock.advance(5*time.Minute + time.Second)
	require.Equal(t, 42003, w.exchange(t, w.app, late).errcode())
}

func TestOAuthToken_is_checked_and_refreshed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.exchange(t, w.official, w.code(t, w.official, "lucy", "oauth").text("code"))
	check := func(token string) int {
		return w.get(t, "/sns/auth", "access_token", token, "openid", got.text("openid")).errcode()
	}
	refresh := func() answer {
		return w.get(t, "/sns/oauth2/refresh_token", "appid", w.official.Appid, "grant_type", "refresh_token", "refresh_token", got.text("refresh_token"))
	}
	require.Zero(t, check(got.text("access_token")))
	require.Equal(t, 40003, w.get(t, "/sns/auth", "access_token", got.text("access_token"), "openid", "other").errcode())
	w.clock.advance(2*time.Hour + time.Second)
	require.Equal(t, 42001, check(got.text("access_token")))
	fresh := refresh()
	require.Zero(t, check(fresh.text("access_token")))
	require.EqualValues(t, 1, w.post(t, "/control/weixin/tokens/expire", map[string]any{"kind": "refresh"})["expired"])
	require.Equal(t, 42001, check(fresh.text("access_token")))
	require.Equal(t, 42002, refresh().errcode())
}

func TestSnapshotUser_has_nothing_of_the_person(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(t, "/control/weixin/codes/next", map[string]any{"is_snapshotuser": true})
	got := w.exchange(t, w.official, w.code(t, w.official, "lucy", "oauth").text("code"))
	require.EqualValues(t, 1, got["is_snapshotuser"])
	require.NotEqual(t, weixin.OpenidOf(w.official.Appid, "lucy"), got.text("openid"))
	require.NotEqual(t, weixin.UnionidOf("lucy"), got.text("unionid"))
	next := w.exchange(t, w.official, w.code(t, w.official, "lucy", "oauth").text("code"))
	require.Nil(t, next["is_snapshotuser"], "one code only")
}

func TestMiniProgram_gives_a_session_key_that_opens_the_user_data(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.code(t, w.mini, "lilei", "mini")
	got := w.get(t, "/sns/jscode2session", "appid", w.mini.Appid, "secret", w.mini.Secret, "js_code", made.text("code"), "grant_type", "authorization_code")
	require.Equal(t, weixin.OpenidOf(w.mini.Appid, "lilei"), got.text("openid"))
	sum := sha1.Sum([]byte(made.text("rawData") + got.text("session_key")))
	require.Equal(t, hex.EncodeToString(sum[:]), made.text("signature"))
	var opened struct {
		OpenID    string `json:"openId"`
		NickName  string `json:"nickName"`
		Watermark struct {
			Appid     string
			Timestamp int64
		}
	}
	require.NoError(t, json.Unmarshal(decrypt(t, got.text("session_key"), made.text("iv"), made.text("encryptedData")), &opened))
	require.Equal(t, []any{got.text("openid"), "李雷", w.mini.Appid, w.clock.Now().Unix()}, []any{opened.OpenID, opened.NickName, opened.Watermark.Appid, opened.Watermark.Timestamp})
	require.Equal(t, 40163, w.get(t, "/sns/jscode2session", "appid", w.mini.Appid, "secret", w.mini.Secret, "js_code", made.text("code"), "grant_type", "authorization_code").errcode())
}

func decrypt(t *testing.T, key, iv, data string) []byte {
	t.Helper()
	decode := func(text string) []byte {
		raw, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		return raw
	}
	block, err := aes.NewCipher(decode(key))
	require.NoError(t, err)
	plain := decode(data)
	cipher.NewCBCDecrypter(block, decode(iv)).CryptBlocks(plain, plain)
	return plain[:len(plain)-int(plain[len(plain)-1])]
}

func TestPhoneNumber_is_told_once_for_its_code(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.post(t, "/control/weixin/users", map[string]any{"user": "zhangsan", "phone": "13811112222"})
	require.Equal(t, "13811112222", made.text("phone"))
	code := w.code(t, w.mini, "zhangsan", "phone").text("code")
	ask := func(token string) answer {
		return w.post(t, "/wxa/business/getuserphonenumber?access_token="+token, map[string]string{"code": code})
	}
	require.Equal(t, 40029, ask(w.token(t, w.official)).errcode(), "another app's token")
	got := ask(w.token(t, w.mini))
	info, _ := got["phone_info"].(map[string]any)
	require.Equal(t, "13811112222", info["purePhoneNumber"])
	require.Equal(t, 40163, ask(w.token(t, w.mini)).errcode())
}

package wechat

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
)

func TestExchangeCode_asks_as_documented_and_surfaces_the_snapshot(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	p.answer("GET /sns/oauth2/access_token", `{"access_token":"`+testOAuthToken+`","expires_in":7200,"refresh_token":"`+testRefreshToken+`","openid":"`+testOpenID+`","scope":"snsapi_base","unionid":"`+testUnionID+`"}`)
	got, err := c.ExchangeCode(t.Context(), testApp(), testCode)
	require.NoError(t, err)
	require.Equal(t, OAuthGrant{
		OpenID: testOpenID, UnionID: testUnionID, Scope: "snsapi_base", AccessToken: testOAuthToken, RefreshToken: testRefreshToken, ExpiresAt: testAt.Add(2 * time.Hour),
	}, got)
	require.Equal(t, "appid="+testAppID+"&code="+testCode+"&grant_type=authorization_code&secret="+testSecret, p.last(t).query.Encode())

	p.answer("GET /sns/oauth2/access_token", `{"access_token":"T","expires_in":7200,"refresh_token":"R","openid":"virtual","scope":"snsapi_userinfo","is_snapshotuser":1}`)
	got, err = c.ExchangeCode(t.Context(), testApp(), testCode)
	require.NoError(t, err)
	require.True(t, got.Snapshot)
	require.Empty(t, got.UnionID)
}

func TestRefreshGrant_tells_a_refresh_token_that_ran_out(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	p.answer("GET /sns/oauth2/refresh_token", `{"access_token":"NEW","expires_in":7200,"refresh_token":"`+testRefreshToken+`","openid":"`+testOpenID+`","scope":"snsapi_base"}`)
	got, err := c.RefreshGrant(t.Context(), testApp(), testRefreshToken)
	require.NoError(t, err)
	require.Equal(t, "NEW", got.AccessToken.Reveal())
	require.Empty(t, p.last(t).query.Get("secret"))

	p.answer("GET /sns/oauth2/refresh_token", `{"errcode":42002,"errmsg":"refresh_token expired"}`)
	_, err = c.RefreshGrant(t.Context(), testApp(), testRefreshToken)
	require.Equal(t, ClassToken, ClassOf(err))
}

// The library answers "not valid" to every errcode, a busy WeChat's too.
func TestCheckGrant_does_not_take_a_busy_platform_for_an_invalid_token(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	for body, want := range map[string]bool{
		`{"errcode":0,"errmsg":"ok"}`: true, `{"errcode":40003,"errmsg":"invalid openid"}`: false,
		`{"errcode":40001,"errmsg":"invalid credential"}`: false, `{"errcode":42001,"errmsg":"access_token expired"}`: false,
	} {
		p.answer("GET /sns/auth", body)
		valid, err := c.CheckGrant(t.Context(), testOAuthToken, testOpenID)
		require.NoError(t, err, body)
		require.Equal(t, want, valid, body)
	}
	p.answer("GET /sns/auth", `{"errcode":-1,"errmsg":"system error"}`)
	_, err := c.CheckGrant(t.Context(), testOAuthToken, testOpenID)
	require.Equal(t, ClassRetry, ClassOf(err))
}

func TestUserInfo_and_Follower_read_a_profile(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	want := Profile{OpenID: testOpenID, UnionID: testUnionID, Nickname: "小明", AvatarURL: "https://thirdwx.qlogo.cn/a/132"}
	wire := `{"subscribe":1,"openid":"` + testOpenID + `","unionid":"` + testUnionID + `","nickname":"小明","headimgurl":"https://thirdwx.qlogo.cn/a/132","sex":0,"privilege":[]}`
	p.answer("GET /sns/userinfo", wire)
	got, err := c.UserInfo(t.Context(), testOAuthToken, testOpenID)
	require.NoError(t, err)
	require.Equal(t, want, got)

	p.answer("GET /cgi-bin/user/info", wire)
	got, follows, err := c.Follower(t.Context(), testGlobalToken, testOpenID)
	require.NoError(t, err)
	require.True(t, follows)
	require.Equal(t, want, got)

	p.answer("GET /cgi-bin/user/info", `{"subscribe":0,"openid":"`+testOpenID+`"}`)
	_, follows, err = c.Follower(t.Context(), testGlobalToken, testOpenID)
	require.NoError(t, err)
	require.False(t, follows)
}

func TestCodeToSession_keeps_the_session_key_unprintable(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	p.answer("GET /sns/jscode2session", `{"openid":"`+testOpenID+`","session_key":"`+testSessionKey+`","unionid":"`+testUnionID+`"}`)
	got, err := c.CodeToSession(t.Context(), testApp(), testCode)
	require.NoError(t, err)
	require.Equal(t, MiniSession{OpenID: testOpenID, UnionID: testUnionID, SessionKey: testSessionKey}, got)
	require.Equal(t, testCode, p.last(t).query.Get("js_code"))
}

func TestPhoneNumber_must_be_of_the_same_app(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	answer := func(appid string) {
		p.answer("POST /wxa/business/getuserphonenumber", `{"errcode":0,"errmsg":"ok","phone_info":{"phoneNumber":"13580006666","purePhoneNumber":"13580006666","countryCode":"86","watermark":{"timestamp":1637744274,"appid":"`+appid+`"}}}`)
	}
	answer(testAppID)
	got, err := c.PhoneNumber(t.Context(), testAppID, testGlobalToken, testCode)
	require.NoError(t, err)
	require.Equal(t, Phone{Number: "13580006666", PureNumber: "13580006666", CountryCode: "86"}, got)
	require.JSONEq(t, `{"code":"`+testCode+`"}`, p.last(t).body)
	require.Equal(t, testGlobalToken, p.last(t).query.Get("access_token"))

	answer("wx0000000000000000")
	_, err = c.PhoneNumber(t.Context(), testAppID, testGlobalToken, testCode)
	require.Equal(t, ClassOther, ClassOf(err))
}

func TestStableToken_and_Ticket_ask_as_documented(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	p.answer("POST /cgi-bin/stable_token", `{"access_token":"`+testGlobalToken+`","expires_in":7200}`)
	got, err := c.StableToken(t.Context(), testApp(), true)
	require.NoError(t, err)
	require.Equal(t, Granted{Value: testGlobalToken, ExpiresAt: testAt.Add(2 * time.Hour)}, got)
	require.JSONEq(t, `{"grant_type":"client_credential","appid":"`+testAppID+`","secret":"`+testSecret+`","force_refresh":true}`, p.last(t).body)

	p.answer("GET /cgi-bin/ticket/getticket", `{"errcode":0,"errmsg":"ok","ticket":"TICKET","expires_in":7200}`)
	got, err = c.Ticket(t.Context(), testGlobalToken)
	require.NoError(t, err)
	require.Equal(t, "TICKET", got.Value.Reveal())
	require.Equal(t, "access_token="+testGlobalToken+"&type=jsapi", p.last(t).query.Encode())
}

func TestCalls_of_unusual_shape_are_never_sent(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	for _, code := range []string{"", "a&secret=x", "a b", "a%20b", "ä", "a\n", "a#", string(make([]byte, 300))} {
		_, err := c.ExchangeCode(t.Context(), testApp(), code)
		require.Equal(t, ClassCodeInvalid, ClassOf(err))
		_, err = c.CodeToSession(t.Context(), testApp(), code)
		require.Equal(t, ClassCodeInvalid, ClassOf(err))
	}
	_, err := c.ExchangeCode(t.Context(), App{ID: testAppID}, testCode)
	require.Equal(t, ClassSecret, ClassOf(err))
	_, err = c.UserInfo(t.Context(), "a&openid=other", testOpenID)
	require.Equal(t, ClassToken, ClassOf(err))
	_, _, err = c.Follower(t.Context(), testGlobalToken, pay.OpenID("a&b"))
	require.Equal(t, ClassOther, ClassOf(err))
	require.Zero(t, p.calls())
}

func TestErrors_have_the_class_of_their_code(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	for code, want := range map[string]Class{
		"-1": ClassRetry, "40163": ClassCodeSpent, "40029": ClassCodeInvalid, "41008": ClassCodeInvalid, "40125": ClassSecret,
		"40001": ClassSecret, "40164": ClassAddress, "45009": ClassTooOften, "45011": ClassTooOften, "40226": ClassRiskUser, "48001": ClassOther,
	} {
		p.answer("GET /sns/jscode2session", `{"errcode":`+code+`,"errmsg":"says WeChat"}`)
		_, err := c.CodeToSession(t.Context(), testApp(), testCode)
		require.Equal(t, want, ClassOf(err), code)
		require.ErrorContains(t, err, "says WeChat")
	}
	for _, code := range []string{"40001", "42001", "40014"} {
		p.answer("GET /cgi-bin/ticket/getticket", `{"errcode":`+code+`,"errmsg":"no"}`)
		_, err := c.Ticket(t.Context(), testGlobalToken)
		require.Equal(t, ClassToken, ClassOf(err), code)
	}
}

func TestAnswers_that_are_none_are_told_apart(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	for body, want := range map[string]Class{
		"":                               ClassRetry,
		"<html>":                         ClassRetry,
		"[]":                             ClassRetry,
		`{"openid":7}`:                   ClassRetry,
		`{"openid":"a b"}`:               ClassRetry,
		`{"openid":"o","session_key":7}`: ClassRetry,
		`{"openid":"o"}`:                 ClassRetry,
		`{"errcode":"x"}`:                ClassRetry,
	} {
		p.answer("GET /sns/jscode2session", body)
		_, err := c.CodeToSession(t.Context(), testApp(), testCode)
		require.Equal(t, want, ClassOf(err), "%q: %v", body, err)
	}
	for status, want := range map[int]Class{500: ClassRetry, 503: ClassRetry, 429: ClassTooOften, 302: ClassOther, 404: ClassOther} {
		p.mu.Lock()
		p.status = status
		p.mu.Unlock()
		_, err := c.CodeToSession(t.Context(), testApp(), testCode)
		require.Equal(t, want, ClassOf(err), "%d", status)
	}
}

func TestCalls_are_counted_once_each(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	var told []string
	c, err := New(Options{BaseURL: p.URL, HTTPClient: p.Client(), Now: time.Now, Called: func(api, class string) { told = append(told, api+" "+class) }})
	require.NoError(t, err)
	p.answer("POST /cgi-bin/stable_token", `{"access_token":"T","expires_in":7200}`)
	_, err = c.StableToken(t.Context(), testApp(), false) // through the library
	require.NoError(t, err)
	p.answer("GET /cgi-bin/ticket/getticket", `{"errcode":42001,"errmsg":"access_token expired"}`)
	_, err = c.Ticket(t.Context(), testGlobalToken) // without it
	require.Error(t, err)
	_, err = c.Ticket(t.Context(), "not a token")
	require.Error(t, err)
	require.Equal(t, []string{"stable_token ok", "get_ticket token"}, told, "what was not sent is no call")
}

func TestAnswers_are_bounded(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := newClient(t, p.URL)
	p.answer("GET /sns/jscode2session", `{"openid":"`+string(make([]byte, maxAnswerBytes))+`"}`)
	_, err := c.CodeToSession(t.Context(), testApp(), testCode)
	require.ErrorContains(t, err, "1 MiB")
}

func TestCalls_end_with_their_caller(t *testing.T) {
	t.Parallel()
	c := newClient(t, newPlatform(t).URL)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.ExchangeCode(ctx, testApp(), testCode)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, ClassRetry, ClassOf(err))
	_, err = c.Ticket(ctx, testGlobalToken)
	require.ErrorIs(t, err, context.Canceled)
}

func TestNew_refuses_what_is_no_address(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "api.weixin.qq.com", "ftp://x", "https://u:p@x", "https://x?a=b", "https://x#y"} {
		_, err := New(Options{BaseURL: base, HTTPClient: &http.Client{}, Now: time.Now})
		require.ErrorContains(t, err, "base URL")
	}
}

func TestCalls_follow_no_redirect(t *testing.T) {
	t.Parallel()
	elsewhere := newPlatform(t)
	p := newPlatform(t)
	p.status, p.location = http.StatusFound, elsewhere.URL+"/take"
	c := newClient(t, p.URL)
	_, err := c.ExchangeCode(t.Context(), testApp(), testCode)
	require.Equal(t, ClassOther, ClassOf(err))
	_, err = c.StableToken(t.Context(), testApp(), false)
	require.Equal(t, ClassOther, ClassOf(err))
	require.Zero(t, elsewhere.calls(), "the secret would go along")
}

// deaf takes a request and never answers.
type deaf struct{}

func (deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestCalls_wait_five_seconds_and_no_longer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{BaseURL: "https://api.invalid", HTTPClient: &http.Client{Transport: deaf{}}, Now: time.Now})
		require.NoError(t, err)
		for name, err := range everyCall(t, c) {
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
			require.Equal(t, ClassRetry, ClassOf(err), name)
		}
		began := time.Now()
		_, err = c.CodeToSession(t.Context(), testApp(), testCode)
		require.Error(t, err)
		require.Equal(t, 5*time.Second, time.Since(began))
	})
}

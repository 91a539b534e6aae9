package main

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator"
)

// walkThroughTheDoor has every kind of login, an order, messages, and whatever goes
// wrong with them, happen once.
func (b *buyers) walkThroughTheDoor() {
	official, website := appidOf(b.stack, simulator.KindOfficialAccount), appidOf(b.stack, simulator.KindWebsite)
	native, mini := appidOf(b.stack, simulator.KindApp), appidOf(b.stack, simulator.KindMiniProgram)
	page := b.webLogin(official, "snsapi_base", "lilei")
	named := b.webLogin(official, "snsapi_userinfo", "hanmeimei")
	b.webLogin(website, "", "jim")
	b.logsIn(native, map[string]any{"code": b.code(native, "lucy", "app", nil).text("code")})
	program := b.programLogin(mini, "lilei")
	b.ordersAndAsks(official, page)
	b.looksAfter(official, named, http.StatusOK)
	b.looksAfter(official, page, http.StatusOK) // who follows the account
	b.looksAfter(mini, program, http.StatusConflict)
	b.isTurnedAway(official, mini, native)
	b.meetsATiredWeChat(official, mini, native)
	b.writes(official, mini)
}

// programLogin brings all that a mini program can bring.
func (b *buyers) programLogin(appid, user string) reply {
	b.t.Helper()
	made := b.code(appid, user, "mini", nil)
	question := map[string]any{
		"code": made.text("code"), "encrypted_data": made.text("encryptedData"), "iv": made.text("iv"), "raw_data": made.text("rawData"),
		"signature": made.text("signature"), "phone_code": b.code(appid, user, "phone", nil).text("code"),
	}
	answer := b.logsIn(appid, question)
	b.isRefused(appid, question) // codes are good once
	return answer
}

// ordersAndAsks: the shop places an order, and its buyer's page asks all it may.
func (b *buyers) ordersAndAsks(appid string, login reply) {
	b.t.Helper()
	front, session := b.stack.FrontURL(), login.text("session")
	_, account := b.send(http.MethodGet, b.stack.APIURL()+"/v1/accounts/"+login.text("account_id"), b.stack.Merchant().APIKey, nil)
	identities, _ := account["identities"].([]any)
	require.NotEmpty(b.t, identities)
	identity, _ := identities[0].(map[string]any)
	status, placed := b.send(http.MethodPost, b.stack.APIURL()+"/v1/orders", b.stack.Merchant().APIKey, map[string]any{
		"out_trade_no": "FRONT-DOOR-1", "appid": appid, "client": "jsapi", "openid": identity["openid"], "description": "tea", "amount_fen": 100, "currency": "CNY",
	})
	require.Equal(b.t, http.StatusCreated, status, placed)
	for _, ask := range [][2]string{
		{http.MethodGet, "/wx/orders/FRONT-DOOR-1"}, {http.MethodPost, "/wx/orders/FRONT-DOOR-1/pay"}, {http.MethodPost, "/wx/orders/FRONT-DOOR-1/check"},
	} {
		status, answer := b.send(ask[0], front+ask[1], session, map[string]any{})
		require.Equal(b.t, http.StatusOK, status, "%s: %v", ask[1], answer)
	}
	for _, forged := range []string{session[:len(session)-4] + "AAAA", session[1:], "ab" + session} {
		status, _ = b.send(http.MethodGet, front+"/wx/orders/FRONT-DOOR-1", forged, nil)
		require.Equal(b.t, http.StatusUnauthorized, status)
		b.ear.keep("session", forged)
	}
	status, _ = b.send(http.MethodGet, front+"/wx/orders/NOBODYS-1", session, nil)
	require.Equal(b.t, http.StatusNotFound, status)
	status, config := b.send(http.MethodGet, front+"/wx/jsconfig/"+appid+"?url="+url.QueryEscape(b.stack.Merchant().ShopURL+"/"), "", nil)
	require.Equal(b.t, http.StatusOK, status, config)
}

// looksAfter: the shop asks whose session it is, and for the profile made fresh.
func (b *buyers) looksAfter(appid string, login reply, want int) {
	b.t.Helper()
	api, key := b.stack.APIURL(), b.stack.Merchant().APIKey
	for suffix, active := range map[string]bool{"": true, "x": false} {
		status, told := b.send(http.MethodPost, api+"/v1/sessions/introspect", key, map[string]any{"session": login.text("session") + suffix})
		require.Equal(b.t, http.StatusOK, status)
		require.Equal(b.t, active, told["active"], told)
	}
	for range 2 {
		status, told := b.send(http.MethodPost, api+"/v1/accounts/"+login.text("account_id")+"/refresh", key, map[string]any{"appid": appid})
		require.Equal(b.t, want, status, told)
		b.control("/control/weixin/tokens/expire", map[string]any{"kind": "oauth"}) // is refreshed the next time
	}
}

// isTurnedAway: what is wrong about a login is a refusal.
func (b *buyers) isTurnedAway(official, mini, native string) {
	b.t.Helper()
	b.isRefused(native, map[string]any{"code": b.code(mini, "lilei", "mini", nil).text("code")})
	b.isRefused(mini, map[string]any{"code": "never-given-out-1"})
	for _, change := range []string{"encryptedData", "signature"} {
		made := b.code(mini, "lilei", "mini", nil)
		other := b.code(mini, "hanmeimei", "mini", nil)
		made[change] = other[change]
		b.isRefused(mini, map[string]any{
			"code": made.text("code"), "encrypted_data": made.text("encryptedData"), "iv": made.text("iv"), "raw_data": made.text("rawData"), "signature": made.text("signature"),
		})
	}
	b.control("/control/weixin/codes/next", map[string]any{"is_snapshotuser": true})
	status, ticket := b.browser("lucy").walks(official, "snsapi_userinfo", "lucy")
	require.GreaterOrEqual(b.t, status, http.StatusBadRequest)
	require.Empty(b.t, ticket)
	status, _ = b.browser("lucy").open(http.MethodGet, b.stack.FrontURL()+"/wx/oauth/"+official+"/callback?code=0foreignCODE0001&state=of0no0cookie", nil)
	require.GreaterOrEqual(b.t, status, http.StatusBadRequest)
	b.ear.keep("login code", "0foreignCODE0001")
}

// meetsATiredWeChat: WeChat refuses, is broken, or hangs up in the middle.
func (b *buyers) meetsATiredWeChat(official, mini, native string) {
	b.t.Helper()
	page := b.stack.FrontURL() + "/wx/jsconfig/" + official + "?url=" + url.QueryEscape(b.stack.Merchant().ShopURL+"/")
	for _, fault := range []map[string]any{{"errcode": -1}, {"errcode": 40164}, {"errcode": 40013}, {"status": 502}} {
		for _, path := range []string{"/sns/oauth2/access_token", "/sns/jscode2session"} {
			b.control("/control/weixin/faults", spoilt(fault, "api", path, "count", 1))
		}
		b.isRefused(native, map[string]any{"code": b.code(native, "lucy", "app", nil).text("code")})
		b.isRefused(mini, map[string]any{"code": b.code(mini, "lucy", "mini", nil).text("code")})
	}
	for _, path := range []string{"/sns/oauth2/access_token", "/sns/jscode2session", "/wxa/business/getuserphonenumber"} {
		b.ear.cutNext(path, 2) // a transport may try again by itself
		appid, question := mini, map[string]any{"code": b.code(mini, "lucy", "mini", nil).text("code"), "phone_code": b.code(mini, "lucy", "phone", nil).text("code")}
		if path == "/sns/oauth2/access_token" {
			appid, question = native, map[string]any{"code": b.code(native, "lucy", "app", nil).text("code")}
		}
		b.login(appid, question)
		b.ear.cutNext(path, -b.ear.left(path))
	}
	b.control("/control/weixin/tokens/expire", map[string]any{"as": 40001})
	b.ear.cutNext("/cgi-bin/stable_token", 2)
	b.login(mini, map[string]any{"code": b.code(mini, "lucy", "mini", nil).text("code"), "phone_code": b.code(mini, "lucy", "phone", nil).text("code")})
	b.ear.cutNext("/cgi-bin/stable_token", -b.ear.left("/cgi-bin/stable_token"))
	b.send(http.MethodGet, page, "", nil)
}

func spoilt(fields map[string]any, more ...any) map[string]any {
	all := map[string]any{}
	for name, value := range fields {
		all[name] = value
	}
	for i := 0; i < len(more); i += 2 {
		name, _ := more[i].(string)
		all[name] = more[i+1]
	}
	return all
}

// writes: messages of all sorts, forged ones among them.
func (b *buyers) writes(official, mini string) {
	b.t.Helper()
	for _, message := range []map[string]any{
		{"appid": official, "verify_url": true},
		{"appid": official, "user": "lilei", "mode": "aes", "type": "text", "content": "hello"},
		{"appid": official, "user": "lilei", "mode": "aes", "key": "previous", "type": "event", "event": "subscribe"},
		{"appid": mini, "user": "lilei", "mode": "aes", "format": "json", "type": "text", "content": "hello"},
		{"appid": official, "user": "lilei", "type": "text", "content": "plain"},
		{"appid": official, "user": "lilei", "mode": "aes", "type": "text", "wrong": "msg_signature"},
		{"appid": official, "user": "lilei", "mode": "aes", "type": "text", "wrong": "signature"},
		{"appid": official, "user": "lilei", "mode": "aes", "type": "text", "wrong": "encrypt"},
		{"appid": official, "user": "lilei", "mode": "aes", "type": "text", "wrong": "appid"},
	} {
		b.control("/control/weixin/messages", message)
	}
}

// walk leaves behind what is searched when all scripts have ended, and searches at
// once for what is not kept so long.
func walk(t *testing.T, b *buyers) {
	t.Helper()
	b.walkThroughTheDoor()
	official := appidOf(b.stack, simulator.KindOfficialAccount)
	_, ticket := b.browser("lilei").walks(official, "snsapi_base", "lilei") // and nobody takes it up
	require.NotEmpty(t, ticket)
	b.ear.requireHeard(t, "AppSecret", "access token", "refresh token", "login code", "jsapi_ticket", "session_key", "phone number", "session", "login ticket")
	all := places(t, b.stack)
	require.Contains(t, all["table login_tickets"], official)
	requireNowhere(t, all, append(secretsOf(b.stack), b.ear.secrets()...))
}

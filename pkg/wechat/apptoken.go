package wechat

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/credential"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// Granted is a value of an app's own that runs out: its access token or its
// jsapi_ticket.
type Granted struct {
	Value     merchant.Secret
	ExpiresAt time.Time
}

// StableToken asks for the app's access token. Without force, WeChat gives the
// current one until 5 minutes before its end; with force it makes a new one at
// once (at most 20 a day, 30 s apart).
func (c *Client) StableToken(ctx context.Context, app App, force bool) (Granted, error) {
	call := c.callWithSecret("stable_token", app)
	if err := call.checkApp(app); err != nil {
		return Granted{}, err
	}
	got, err := viaLibrary(ctx, call, func(ctx context.Context) (credential.ResAccessToken, error) {
		// The cache is asked for and, on this way, never looked at.
		handle, ok := credential.NewStableAccessToken(string(app.ID), app.Secret.Reveal(), "", cache.NewMemory()).(*credential.StableAccessToken)
		if !ok {
			return credential.ResAccessToken{}, errNotOurs
		}
		return handle.GetAccessTokenDirectly(ctx, force)
	})
	if err != nil {
		return Granted{}, err
	}
	return c.granted(call, got.AccessToken, got.ExpiresIn)
}

// Ticket asks for the app's jsapi_ticket.
func (c *Client) Ticket(ctx context.Context, accessToken merchant.Secret) (Granted, error) {
	call := c.call("get_ticket", accessToken.Reveal())
	if err := call.checkToken(accessToken.Reveal()); err != nil {
		return Granted{}, err
	}
	var got struct {
		Ticket    string `json:"ticket"`
		ExpiresIn int64  `json:"expires_in"`
	}
	query := url.Values{"access_token": {accessToken.Reveal()}, "type": {"jsapi"}}
	if err := call.do(ctx, http.MethodGet, "/cgi-bin/ticket/getticket", query, nil, &got); err != nil {
		return Granted{}, err
	}
	return c.granted(call, got.Ticket, got.ExpiresIn)
}

// Follower reads the profile of a follower of an official account; false: that
// person does not follow it, and WeChat tells nothing.
func (c *Client) Follower(ctx context.Context, accessToken merchant.Secret, openID pay.OpenID) (Profile, bool, error) {
	call := c.call("user_info", accessToken.Reveal())
	if err := firstOf(call.checkToken(accessToken.Reveal()), call.checkOpenID(openID)); err != nil {
		return Profile{}, false, err
	}
	var got struct {
		Subscribe int    `json:"subscribe"`
		OpenID    string `json:"openid"`
		UnionID   string `json:"unionid"`
		Nickname  string `json:"nickname"`
		AvatarURL string `json:"headimgurl"`
	}
	query := url.Values{"access_token": {accessToken.Reveal()}, "openid": {string(openID)}, "lang": {"zh_CN"}}
	if err := call.do(ctx, http.MethodGet, "/cgi-bin/user/info", query, nil, &got); err != nil {
		return Profile{}, false, err
	}
	if got.Subscribe == 0 {
		return Profile{}, false, nil
	}
	if err := call.checkAnswered(got.OpenID, got.UnionID); err != nil {
		return Profile{}, false, err
	}
	return Profile{OpenID: pay.OpenID(got.OpenID), UnionID: pay.UnionID(got.UnionID), Nickname: got.Nickname, AvatarURL: got.AvatarURL}, true, nil
}

func (c *Client) granted(call *call, value string, seconds int64) (Granted, error) {
	if !tokenShape.MatchString(value) || seconds <= 0 {
		return Granted{}, call.unreadable("its answer lacks the value or its expiry")
	}
	return Granted{Value: merchant.Secret(value), ExpiresAt: c.expiry(seconds)}, nil
}

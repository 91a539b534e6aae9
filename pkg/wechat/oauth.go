package wechat

import (
	"context"
	"time"

	"github.com/silenceper/wechat/v2/officialaccount/config"
	account "github.com/silenceper/wechat/v2/officialaccount/context"
	"github.com/silenceper/wechat/v2/officialaccount/oauth"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// OAuthGrant is what a buyer's code was exchanged for. Its tokens are the
// buyer's, not the app's, and stay in the worker.
type OAuthGrant struct {
	OpenID       pay.OpenID
	UnionID      pay.UnionID // empty where the app is not bound to an Open Platform account
	Scope        string
	AccessToken  merchant.Secret
	RefreshToken merchant.Secret // lives 30 days
	ExpiresAt    time.Time       // of the access token
	// Snapshot: WeChat showed the page as a preview; openid, unionid and name
	// are made up for it. No account and no order may be made of them.
	Snapshot bool
}

// Profile is what WeChat tells about a person.
type Profile struct {
	OpenID    pay.OpenID
	UnionID   pay.UnionID
	Nickname  string
	AvatarURL string
}

// ExchangeCode spends the code of a web, website or app login.
func (c *Client) ExchangeCode(ctx context.Context, app App, code string) (OAuthGrant, error) {
	call := c.callWithSecret("oauth2_access_token", app, code)
	if err := firstOf(call.checkApp(app), call.checkCode(code)); err != nil {
		return OAuthGrant{}, err
	}
	got, err := viaLibrary(ctx, call, func(ctx context.Context) (oauth.ResAccessToken, error) {
		return oauthOf(app).GetUserAccessTokenContext(ctx, code)
	})
	if err != nil {
		return OAuthGrant{}, err
	}
	return c.grant(call, got)
}

// RefreshGrant makes an access token of a buyer's new. ClassToken: the refresh
// token ran out, too, and the buyer must log in again.
func (c *Client) RefreshGrant(ctx context.Context, app App, refreshToken merchant.Secret) (OAuthGrant, error) {
	call := c.call("oauth2_refresh_token", refreshToken.Reveal())
	if err := firstOf(call.checkApp(app), call.checkToken(refreshToken.Reveal())); err != nil {
		return OAuthGrant{}, err
	}
	got, err := viaLibrary(ctx, call, func(ctx context.Context) (oauth.ResAccessToken, error) {
		return oauthOf(app).RefreshAccessTokenContext(ctx, refreshToken.Reveal())
	})
	if err != nil {
		return OAuthGrant{}, err
	}
	return c.grant(call, got)
}

// CheckGrant asks whether a buyer's access token is still valid.
func (c *Client) CheckGrant(ctx context.Context, accessToken merchant.Secret, openID pay.OpenID) (bool, error) {
	call := c.call("sns_auth", accessToken.Reveal())
	if err := firstOf(call.checkToken(accessToken.Reveal()), call.checkOpenID(openID)); err != nil {
		return false, err
	}
	valid, err := viaLibrary(ctx, call, func(ctx context.Context) (bool, error) {
		return oauthOf(App{}).CheckAccessTokenContext(ctx, accessToken.Reveal(), string(openID))
	})
	if ClassOf(err) == ClassToken || codeOf(err) == codeOpenID {
		return false, nil // an expected answer: not valid, or not this person's
	}
	return valid, err
}

// UserInfo reads the profile that a buyer consented to (snsapi_userinfo).
func (c *Client) UserInfo(ctx context.Context, accessToken merchant.Secret, openID pay.OpenID) (Profile, error) {
	call := c.call("sns_userinfo", accessToken.Reveal())
	if err := firstOf(call.checkToken(accessToken.Reveal()), call.checkOpenID(openID)); err != nil {
		return Profile{}, err
	}
	got, err := viaLibrary(ctx, call, func(ctx context.Context) (oauth.UserInfo, error) {
		return oauthOf(App{}).GetUserInfoContext(ctx, accessToken.Reveal(), string(openID), "zh_CN")
	})
	if err != nil {
		return Profile{}, err
	}
	if err := call.checkAnswered(got.OpenID, got.Unionid); err != nil {
		return Profile{}, err
	}
	return Profile{OpenID: pay.OpenID(got.OpenID), UnionID: pay.UnionID(got.Unionid), Nickname: got.Nickname, AvatarURL: got.HeadImgURL}, nil
}

func (c *Client) grant(call *call, got oauth.ResAccessToken) (OAuthGrant, error) {
	if err := call.checkAnswered(got.OpenID, got.UnionID); err != nil {
		return OAuthGrant{}, err
	}
	if !tokenShape.MatchString(got.AccessToken) || got.ExpiresIn <= 0 {
		return OAuthGrant{}, call.unreadable("its answer lacks an access token or its expiry")
	}
	return OAuthGrant{
		OpenID: pay.OpenID(got.OpenID), UnionID: pay.UnionID(got.UnionID), Scope: got.Scope,
		AccessToken: merchant.Secret(got.AccessToken), RefreshToken: merchant.Secret(got.RefreshToken),
		ExpiresAt: c.expiry(got.ExpiresIn), Snapshot: got.IsSnapShotUser == 1,
	}, nil
}

func oauthOf(app App) *oauth.Oauth {
	return oauth.NewOauth(&account.Context{Config: &config.Config{AppID: string(app.ID), AppSecret: app.Secret.Reveal()}})
}

// expiry bounds what an answer says, so that no number of its own overflows.
func (c *Client) expiry(seconds int64) time.Time {
	const day = 24 * 60 * 60
	return c.now().UTC().Add(time.Duration(min(seconds, day)) * time.Second)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

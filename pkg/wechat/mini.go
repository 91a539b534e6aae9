package wechat

import (
	"context"

	"github.com/silenceper/wechat/v2/miniprogram/auth"
	"github.com/silenceper/wechat/v2/miniprogram/config"
	program "github.com/silenceper/wechat/v2/miniprogram/context"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// MiniSession is what a mini program's login code was exchanged for. The
// session key opens encrypted user data; it is neither stored nor sent.
type MiniSession struct {
	OpenID     pay.OpenID
	UnionID    pay.UnionID
	SessionKey merchant.Secret
}

// Phone is a phone number that its owner let the mini program have.
type Phone struct {
	Number      string // with country code where it is foreign
	PureNumber  string
	CountryCode string
}

// CodeToSession spends the code of wx.login.
func (c *Client) CodeToSession(ctx context.Context, app App, code string) (MiniSession, error) {
	call := c.callWithSecret("code_to_session", app, code)
	if err := firstOf(call.checkApp(app), call.checkCode(code)); err != nil {
		return MiniSession{}, err
	}
	got, err := viaLibrary(ctx, call, func(ctx context.Context) (auth.ResCode2Session, error) {
		return authOf(app, "").Code2SessionContext(ctx, code)
	})
	if err != nil {
		return MiniSession{}, err
	}
	if err := call.checkAnswered(got.OpenID, got.UnionID); err != nil {
		return MiniSession{}, err
	}
	if got.SessionKey == "" {
		return MiniSession{}, call.unreadable("its answer lacks a session key")
	}
	return MiniSession{OpenID: pay.OpenID(got.OpenID), UnionID: pay.UnionID(got.UnionID), SessionKey: merchant.Secret(got.SessionKey)}, nil
}

// PhoneNumber spends the code of getPhoneNumber. The access token is the app's.
func (c *Client) PhoneNumber(ctx context.Context, appid pay.AppID, accessToken merchant.Secret, code string) (Phone, error) {
	call := c.call("get_user_phone_number", accessToken.Reveal(), code)
	if err := firstOf(call.checkToken(accessToken.Reveal()), call.checkCode(code)); err != nil {
		return Phone{}, err
	}
	got, err := viaLibrary(ctx, call, func(ctx context.Context) (*auth.GetPhoneNumberResponse, error) {
		return authOf(App{ID: appid}, heldToken(accessToken.Reveal())).GetPhoneNumberContext(ctx, code)
	})
	if err != nil {
		return Phone{}, err
	}
	info := got.PhoneInfo
	if info.WaterMark.AppID != string(appid) {
		return Phone{}, call.refused(ClassOther, "the phone number is another app's")
	}
	if info.PurePhoneNumber == "" {
		return Phone{}, call.unreadable("its answer lacks a phone number")
	}
	return Phone{Number: info.PhoneNumber, PureNumber: info.PurePhoneNumber, CountryCode: info.CountryCode}, nil
}

func authOf(app App, token heldToken) *auth.Auth {
	return auth.NewAuth(&program.Context{
		Config:            &config.Config{AppID: string(app.ID), AppSecret: app.Secret.Reveal()},
		AccessTokenHandle: token,
	})
}

// heldToken hands the library a token that we hold; it would fetch its own.
type heldToken string

// GetAccessToken is the library's way to ask.
func (t heldToken) GetAccessToken() (string, error) { return string(t), nil }

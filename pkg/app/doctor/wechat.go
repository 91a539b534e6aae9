package doctor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/fenflow/fenflow/pkg/config"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/wechat"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// wechat looks at WeChat's API as the worker uses it: the host, and whether it
// gives each app an access token.
func (d *doctor) wechat() []check {
	c, there := d.of(config.RoleWorker)
	if !there || !wantsFront(c) || c.WeChat.BaseURL == "" {
		return nil
	}
	var probed wechatpay.Probed
	checks := d.foreignHost(foreign{group: "wechat", address: c.WeChat.BaseURL}, &probed)
	var needs []string
	for _, one := range checks {
		needs = append(needs, one.id())
	}
	for _, e := range c.Entries {
		for _, a := range e.Apps {
			if a.SecretFile != "" {
				checks = append(checks, check{name: "wechat.app", subject: a.AppID, needs: needs, look: func(ctx context.Context) []outcome {
					return d.appToken(ctx, c, pay.MchID(e.MchID), a)
				}})
			}
		}
	}
	return checks
}

// appToken asks for the app's access token, not forced: it gets the one that is in
// use, and nothing changes. It is dropped.
func (d *doctor) appToken(ctx context.Context, c config.Config, mchid pay.MchID, a config.AppEntry) []outcome {
	if kind := merchant.AppKind(a.Kind); kind == merchant.KindWebsite || kind == merchant.KindApp {
		return skipped("it is of kind %s: WeChat looks at its secret when somebody logs in, and not before", a.Kind)
	}
	var secret merchant.Secret
	if cred, err := c.Credentials(mchid); err == nil {
		secret = cred.Apps[pay.AppID(a.AppID)].Secret
	}
	if secret == "" {
		return skipped("not looked at, because its secret cannot be read")
	}
	client, err := wechat.New(wechat.Options{BaseURL: c.WeChat.BaseURL, Now: d.Now, HTTPClient: &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
	}})
	if err != nil {
		return skipped("not looked at: %v", err)
	}
	if _, err = client.StableToken(ctx, wechat.App{ID: pay.AppID(a.AppID), Secret: secret}, false); err != nil {
		return refusedToken(a, err)
	}
	return ok("%s: WeChat takes its secret and this machine's address", a.Kind)
}

// codeAppID is WeChat's errcode for an appid that it does not know, or that is of
// another kind (developers.weixin.qq.com, global return codes).
const codeAppID = 40013

// refusedToken says what to change, and in which console.
func refusedToken(a config.AppEntry, err error) []outcome {
	var refused *wechat.APIError
	if !errors.As(err, &refused) {
		return fail("Look at appid and secret_file of this app.", "%v", err)
	}
	at := console(a.Kind)
	switch {
	case refused.Class == wechat.ClassAddress:
		whose := "the address that the worker goes out by"
		if ip := addressIn(refused.Message); ip != "" {
			whose = ip
		}
		return fail("Add "+whose+" to the app's IP allow-list (IP白名单) at "+at+", developer settings (开发接口管理, 基本配置); every worker's address belongs there.",
			"WeChat does not take calls from %s: %v", whose, err)
	case refused.Class == wechat.ClassSecret:
		return fail("Compare the file of secret_file with the AppSecret at "+at+"; it is shown once, so that a lost one is reset there.", "its secret is not the one that WeChat has: %v", err)
	case refused.Code == codeAppID:
		return fail("Compare appid and kind with what "+at+" shows.", "WeChat knows no such appid: %v", err)
	case refused.Class == wechat.ClassTooOften, refused.Class == wechat.ClassRetry:
		return warn("Look again in a few minutes; if it stays so, look at what stands between, and at "+at+".", "%v", err)
	}
	return fail("WeChat's words say why; its list of return codes (全局返回码) at developers.weixin.qq.com has more.", "%v", err)
}

// addressIn finds the address that WeChat says a call came from.
func addressIn(message string) string {
	for _, word := range strings.FieldsFunc(message, func(r rune) bool { return strings.ContainsRune(" ,;()[]", r) }) {
		if ip := net.ParseIP(word); ip != nil {
			return ip.String()
		}
	}
	return ""
}

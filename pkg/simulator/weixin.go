package simulator

import (
	"fmt"
	"net/url"
	"slices"

	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

// App is an appid with all that WeChat and the merchant share about it.
type App = weixin.App

// The kinds of apps, as fenflow.yaml spells them.
const (
	KindMiniProgram     = weixin.KindMiniProgram
	KindOfficialAccount = weixin.KindOfficialAccount
	KindWebsite         = weixin.KindWebsite
	KindApp             = weixin.KindApp
)

// Weixin is the WeChat side: logins, tokens, messages.
func (s *Simulator) Weixin() *weixin.Platform { return s.weixin }

func (s *Simulator) openWeixin(o Options) error {
	var err error
	s.weixin, err = weixin.New(weixin.Options{
		Apps: o.Merchant.Apps, ShopURL: o.Merchant.ShopURL, FrontURL: o.Merchant.FrontURL, Cashier: cashier{s},
		Now: o.Now, Rand: o.Rand, Logger: o.Logger, Speed: o.Speed, QR: qrSVG,
	})
	if err != nil {
		return fmt.Errorf("start the WeChat side: %w", err)
	}
	return nil
}

// bound says whether an appid may place orders of this merchant.
func (m Merchant) bound(appid string) bool {
	return appid == m.Appid || slices.ContainsFunc(m.Apps, func(a App) bool { return a.Appid == appid })
}

// app finds an appid; an older merchant directory has none.
func (m Merchant) app(appid string) (App, bool) {
	i := slices.IndexFunc(m.Apps, func(a App) bool { return a.Appid == appid })
	if i < 0 {
		return App{}, false
	}
	return m.Apps[i], true
}

// withDomains lets logins lead back to the front door, and the shop's pages use the
// JS-SDK.
func (m Merchant) withDomains(frontURL, shopURL string) Merchant {
	m.ShopURL, m.FrontURL, m.Apps = shopURL, frontURL, slices.Clone(m.Apps)
	for i := range m.Apps {
		m.Apps[i].OAuthDomains = withHost(m.Apps[i].OAuthDomains, frontURL)
		m.Apps[i].JSDomains = withHost(m.Apps[i].JSDomains, shopURL)
	}
	return m
}

func withHost(domains []string, address string) []string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || slices.Contains(domains, u.Hostname()) {
		return domains
	}
	return append(slices.Clone(domains), u.Hostname())
}

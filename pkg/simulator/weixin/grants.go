package weixin

import (
	"net/http"
	"time"
)

// Lives of what a login gives (WeChat's web OAuth document).
const (
	grantLife   = 2 * time.Hour
	refreshLife = 30 * 24 * time.Hour
)

// grant is what a person allowed one app: an OAuth token. It has nothing to do with
// the app's own access_token.
type grant struct {
	appid, user, openid, scope string
	access, refresh            string
	until, refreshUntil        time.Time
	nextCode
}

// grantAnswer is the answer of both sns/oauth2 paths.
type grantAnswer struct {
	AccessToken  string `json:"access_token"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Openid       string `json:"openid"`
	Scope        string `json:"scope"`
	Snapshot     int    `json:"is_snapshotuser,omitempty"`
	Unionid      string `json:"unionid,omitempty"`
}

func (p *Platform) oauthAccessToken(c *call) (any, error) {
	q := c.URL.Query()
	app, refused := p.authorized(q.Get("appid"), q.Get("secret"))
	if refused != nil {
		return nil, refused
	}
	if q.Get("grant_type") != "authorization_code" {
		return nil, refuse(invalidGrantType)
	}
	spent, refused := p.spend(q.Get("code"), app.Appid, codeOAuth, codeApp)
	if refused != nil {
		return nil, refused
	}
	openid := OpenidOf(app.Appid, spent.user)
	if spent.Snapshot {
		openid = OpenidOf(app.Appid, "snapshot of "+spent.text)
	}
	g := &grant{appid: app.Appid, user: spent.user, openid: openid, scope: spent.scope, nextCode: spent.nextCode,
		refreshUntil: p.now().Add(refreshLife)}
	var err error
	if g.refresh, err = p.random.text(86, alphanumeric); err != nil {
		return nil, err
	}
	return p.renew(g)
}

// renew gives a grant a fresh access_token.
func (p *Platform) renew(g *grant) (any, error) {
	access, err := p.random.text(86, alphanumeric)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g.access, g.until = access, p.now().Add(grantLife)
	p.grants[g.access], p.renews[g.refresh] = g, g
	answer := grantAnswer{AccessToken: g.access, ExpiresIn: seconds(grantLife), RefreshToken: g.refresh,
		Openid: g.openid, Scope: g.scope, Unionid: g.unionid()}
	if g.Snapshot {
		answer.Snapshot = 1
	}
	return answer, nil
}

// unionid is told only with the person's consent: not under snsapi_base.
func (g *grant) unionid() string {
	switch {
	case g.scope == scopeBase || g.NoUnionid:
		return ""
	case g.Snapshot:
		return UnionidOf("snapshot of " + g.openid)
	}
	return UnionidOf(g.user)
}

func (p *Platform) oauthRefresh(c *call) (any, error) {
	q := c.URL.Query()
	if _, known := p.app(q.Get("appid")); !known {
		return nil, refuse(invalidAppid)
	}
	if q.Get("grant_type") != "refresh_token" {
		return nil, refuse(invalidGrantType)
	}
	if q.Get("refresh_token") == "" {
		return nil, refuse(missingRefreshToken)
	}
	p.mu.Lock()
	g, known := p.renews[q.Get("refresh_token")]
	expired := known && p.now().After(g.refreshUntil)
	p.mu.Unlock()
	if !known || g.appid != q.Get("appid") {
		return nil, refuse(invalidRefreshToken)
	}
	if expired {
		return nil, refuse(refreshTokenExpired)
	}
	return p.renew(g)
}

// granted finds the grant of access_token and openid.
func (p *Platform) granted(c *call) (grant, *failure) {
	q := c.URL.Query()
	p.mu.Lock()
	defer p.mu.Unlock()
	found, known := p.grants[q.Get("access_token")]
	switch {
	case q.Get("access_token") == "":
		return grant{}, refuse(missingToken)
	case q.Get("openid") == "":
		return grant{}, refuse(missingOpenid)
	case !known:
		return grant{}, refuse(invalidCredential).because("no such OAuth token; the app's own access_token does not do here")
	case found.openid != q.Get("openid"):
		return grant{}, refuse(invalidOpenid)
	case found.access != q.Get("access_token") || p.now().After(found.until):
		return grant{}, refuse(tokenExpired)
	}
	return *found, nil
}

func (p *Platform) oauthCheck(c *call) (any, error) {
	if _, refused := p.granted(c); refused != nil {
		return nil, refused
	}
	return failure{Code: 0, Message: "ok"}, nil
}

// profile is the answer of sns/userinfo.
type profile struct {
	Openid    string   `json:"openid"`
	Nickname  string   `json:"nickname"`
	Sex       int      `json:"sex"`
	Language  string   `json:"language"`
	City      string   `json:"city"`
	Province  string   `json:"province"`
	Country   string   `json:"country"`
	Avatar    string   `json:"headimgurl"`
	Privilege []string `json:"privilege"`
	Unionid   string   `json:"unionid,omitempty"`
}

func (p *Platform) oauthUserinfo(c *call) (any, error) {
	g, refused := p.granted(c)
	if refused != nil {
		return nil, refused
	}
	if g.scope == scopeBase {
		return nil, refuse(unauthorized).because("the person was not asked: the scope is snsapi_base")
	}
	who, _ := p.person(g.user) // people never go away
	answer := profile{Openid: g.openid, Nickname: who.Nickname, Avatar: avatarURL(c.Request, who.User), Privilege: []string{}, Unionid: g.unionid()}
	if g.Snapshot {
		answer.Nickname, answer.Avatar = "微信用户", avatarURL(c.Request, "")
	}
	return answer, nil
}

// baseURL is where a caller reached the stand-in.
func baseURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

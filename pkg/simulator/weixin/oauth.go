package weixin

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxState is the length of state that WeChat keeps (web OAuth document).
const maxState = 128

// login is a request of either login page that was found right.
type login struct {
	app              App
	redirect         *url.URL
	scope, state     string
	remembered, path string
}

// loginKind says which page a request belongs to and what it may ask for.
type loginKind struct {
	app    Kind
	scopes []string
}

func webLogin() loginKind {
	return loginKind{KindOfficialAccount, []string{scopeBase, scopeUserinfo}}
}
func qrLogin() loginKind { return loginKind{KindWebsite, []string{scopeLogin}} }

// readLogin checks a login address as strictly as WeChat does, order included.
func (p *Platform) readLogin(r *http.Request, kind loginKind) (login, error) {
	q := r.URL.Query()
	app, known := p.app(q.Get("appid"))
	redirect, err := url.Parse(q.Get("redirect_uri"))
	l := login{app: app, redirect: redirect, scope: q.Get("scope"), state: q.Get("state"), path: r.URL.Path, remembered: r.URL.RequestURI()}
	switch {
	case !known:
		return l, fmt.Errorf("appid 参数错误: %q is no appid of this merchant", q.Get("appid"))
	case app.Kind != kind.app:
		return l, fmt.Errorf("appid 参数错误: %s is a %s; this page is for a %s", app.Appid, app.Kind, kind.app)
	case err != nil || redirect.Host == "" || redirect.Scheme != "http" && redirect.Scheme != "https":
		return l, fmt.Errorf("redirect_uri 参数错误 (10003): %q is no absolute address", q.Get("redirect_uri"))
	case !app.mayLeadTo(redirect.Hostname()):
		return l, fmt.Errorf("redirect_uri 参数错误 (10003): %s is not one of the app's domains (%s)", redirect.Hostname(), strings.Join(app.OAuthDomains, ", "))
	case q.Get("response_type") != "code":
		return l, fmt.Errorf("response_type 参数错误: it must be code")
	case !slices.Contains(kind.scopes, l.scope):
		return l, fmt.Errorf("scope 参数错误或没有 scope 权限 (10005): %q; it must be %s", l.scope, strings.Join(kind.scopes, " or "))
	case !stateFits(l.state):
		return l, fmt.Errorf("state 参数错误: at most 128 of a-z, A-Z and 0-9")
	}
	return l, checkOrder(r.URL.RawQuery)
}

func stateFits(state string) bool {
	return len(state) <= maxState && strings.Trim(state, alphanumeric) == ""
}

// checkOrder: WeChat reads the parameters in their documented order only.
func checkOrder(query string) error {
	order := []string{"appid", "redirect_uri", "response_type", "scope", "state"}
	at := -1
	for _, pair := range strings.Split(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		i := slices.Index(order, name)
		if i < 0 {
			continue
		}
		if i < at {
			return fmt.Errorf("参数顺序错误: the parameters must come in the order %s", strings.Join(order, ", "))
		}
		at = i
	}
	return nil
}

// authorize is the login page of official accounts, which opens inside WeChat.
func (p *Platform) authorize(w http.ResponseWriter, r *http.Request) {
	l, err := p.readLogin(r, webLogin())
	if err != nil {
		p.refuseLogin(w, r, err)
		return
	}
	who, inside := p.inside(r)
	switch {
	case !inside:
		p.render(w, http.StatusOK, "inside.html", view{Title: "Who are you?", Page: insidePage{
			People: p.everyone(), URL: l.remembered, Note: "This page opens inside WeChat only. Choose whose WeChat it is."}})
	case r.Method == http.MethodPost || l.scope == scopeBase && r.URL.Query().Get("forcePopup") != "true":
		p.leadBack(w, r, l, who, code{kind: codeOAuth})
	default:
		p.render(w, http.StatusOK, "consent.html", view{Title: "Sign in", Page: map[string]any{
			"Who": who, "App": l.app, "Action": l.remembered, "Host": l.redirect.Host}})
	}
}

// qrconnect is the page with a QR code that a website shows on a desktop.
func (p *Platform) qrconnect(w http.ResponseWriter, r *http.Request) {
	l, err := p.readLogin(r, qrLogin())
	if err != nil {
		p.refuseLogin(w, r, err)
		return
	}
	if r.Method == http.MethodPost {
		who, known := p.person(r.FormValue("user"))
		if !known {
			p.refuseLogin(w, r, fmt.Errorf("nobody is called %q", r.FormValue("user")))
			return
		}
		p.leadBack(w, r, l, who, code{kind: codeOAuth, until: p.now().Add(qrCodeLife)})
		return
	}
	picture, err := p.qr(baseURL(r)+l.remembered, "QR code of this login")
	if err != nil {
		p.log.Error("QR code failed", "error", err)
	}
	p.render(w, http.StatusOK, "qrconnect.html", view{Title: "Scan to sign in", Page: map[string]any{
		"People": p.everyone(), "App": l.app, "Action": l.remembered, "Host": l.redirect.Host, "QR": picture}})
}

// leadBack sends the browser back to the shop with a code.
func (p *Platform) leadBack(w http.ResponseWriter, r *http.Request, l login, who Person, c code) {
	c.appid, c.user, c.scope = l.app.Appid, who.User, l.scope
	made, err := p.issue(c)
	if err != nil {
		p.log.Error("no code could be made", "error", err)
		http.Error(w, "no code could be made", http.StatusInternalServerError)
		return
	}
	target := *l.redirect
	target.Fragment = ""
	if target.RawQuery != "" {
		target.RawQuery += "&"
	}
	target.RawQuery += "code=" + made.text + "&state=" + l.state
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target.String(), http.StatusFound)
}

func (p *Platform) refuseLogin(w http.ResponseWriter, r *http.Request, err error) {
	p.log.Warn("login refused", "uri", r.URL.RequestURI(), "error", err)
	p.render(w, http.StatusOK, "refused.html", view{Title: "Sign-in failed", Page: err.Error()})
}

// avatar draws a person as the first letter on a colour.
func (p *Platform) avatar(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, avatarPath), ".svg")
	who, known := p.person(name)
	letter := "?"
	if known {
		letter = string([]rune(who.Nickname)[:1])
	}
	colours := []string{"#2f6f4f", "#355c9a", "#8a4b2d", "#6b4a8e", "#8a2d4d", "#2d6f7a"}
	sum := 0
	for _, c := range name {
		sum += int(c)
	}
	colour := colours[sum%len(colours)]
	w.Header().Set("Content-Type", "image/svg+xml")
	_, _ = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96"><rect width="96" height="96" fill="%s"/>`+
		`<text x="48" y="50" fill="#fff" font-family="system-ui,sans-serif" font-size="48" text-anchor="middle" dominant-baseline="central">%s</text></svg>`,
		colour, template.HTMLEscapeString(letter)) // the reader may be gone
}

const avatarPath = "/weixin/avatars/"

func avatarURL(r *http.Request, user string) string {
	if user == "" {
		user = "nobody"
	}
	return baseURL(r) + avatarPath + user + ".svg"
}

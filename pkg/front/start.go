package front

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/problem"
)

// The scopes of a login over the web (WeChat, web logins).
const (
	scopeBase     = "snsapi_base"     // silent: the openid and no more
	scopeUserInfo = "snsapi_userinfo" // asks the buyer: nickname and picture, too
	scopeLogin    = "snsapi_login"    // the QR code of a website
)

// start sends the buyer's browser to WeChat, and keeps there what it takes to
// finish the login in the same browser.
func (h *Handler) start(w http.ResponseWriter, r *http.Request) error {
	app, err := h.app(w, r)
	if err != nil {
		return err
	}
	login, scope, err := readStart(r.URL.Query(), app)
	if err != nil {
		return err
	}
	if login.State = h.NewState(); !stateShape.MatchString(login.State) {
		return problem.Wrap(problem.Internal, fmt.Errorf("a state of %d bytes was made, which WeChat would not hand back", len(login.State)), "")
	}
	if err := h.keep(w, r, login); err != nil {
		return problem.Wrap(problem.Internal, fmt.Errorf("keep a login: %w", err), "")
	}
	w.Header().Set("Location", h.authorizeURL(app, scope, login.State))
	w.WriteHeader(http.StatusFound)
	return nil
}

// authorizeURL is WeChat's own page. It looks at the order of the parameters.
func (h *Handler) authorizeURL(app merchant.App, scope, state string) string {
	path := "/connect/oauth2/authorize"
	if app.Kind == merchant.KindWebsite {
		path = "/connect/qrconnect"
	}
	back := h.URL + "/wx/oauth/" + url.PathEscape(string(app.AppID)) + "/callback"
	return h.OpenURL + path + "?appid=" + url.QueryEscape(string(app.AppID)) + "&redirect_uri=" + url.QueryEscape(back) +
		"&response_type=code&scope=" + scope + "&state=" + state + "#wechat_redirect"
}

// readStart takes what a page asks for, and says all that is wrong with it.
func readStart(query url.Values, app merchant.App) (begun, string, error) {
	var bad []problem.Field
	one := func(name string) string {
		if len(query[name]) > 1 {
			bad = append(bad, problem.Field{Field: name, Message: "is there more than once"})
			return ""
		}
		return query.Get(name)
	}
	login := begun{AppID: app.AppID, ReturnTo: one("return_to"), Challenge: one("challenge")}
	scope, scopes := one("scope"), scopesOf(app.Kind)
	if scopes == nil {
		bad = append(bad, problem.Field{Field: "appid", Message: fmt.Sprintf("is a %s: its buyers log in with a code of their own, at POST /wx/login/{appid}", app.Kind)})
	} else if scope == "" {
		scope = scopes[0]
	}
	if scopes != nil && !slices.Contains(scopes, scope) {
		bad = append(bad, problem.Field{Field: "scope", Message: fmt.Sprintf("must be one of %v, or left out", scopes)})
	}
	if !challengeShape.MatchString(login.Challenge) {
		bad = append(bad, problem.Field{Field: "challenge", Message: "must be the SHA-256 of the page's verifier in base64url without padding: 43 characters"})
	}
	if len(bad) > 0 {
		return begun{}, "", problem.InvalidFields(bad...)
	}
	if err := app.MayReturnTo(login.ReturnTo); err != nil {
		return begun{}, "", problem.Newf(problem.ReturnRefused, "return_to: %v", err)
	}
	return login, scope, nil
}

// scopesOf lists what an app of a kind may ask for, the usual one first; nil:
// its buyers do not log in over the web.
func scopesOf(kind merchant.AppKind) []string {
	switch kind {
	case merchant.KindOfficialAccount:
		return []string{scopeBase, scopeUserInfo}
	case merchant.KindWebsite:
		return []string{scopeLogin}
	case merchant.KindMiniProgram, merchant.KindApp:
	}
	return nil
}

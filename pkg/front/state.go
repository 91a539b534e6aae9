package front

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	// stateLifetime is how long a buyer has for WeChat's own pages; a code of a web
	// login lives 5 minutes, one of a QR login 10.
	stateLifetime = 10 * time.Minute
	// cookiePrefix and the beginning of the state name a login's cookie, so that
	// two tabs do not overwrite each other's.
	cookiePrefix  = "fenflow_login_"
	stateInCookie = 8
	// maxLogins a browser may have begun: their cookies come with each request, and
	// a request's headers are bounded.
	maxLogins = 4
)

var (
	// stateShape is what WeChat hands back unchanged: at most 128 letters and digits.
	stateShape     = regexp.MustCompile(`^[0-9A-Za-z]{20,128}$`)
	challengeShape = regexp.MustCompile(`^[0-9A-Za-z_-]{43}$`)
)

// begun is a login under way, as the browser keeps it. It needs no signature: who
// can write cookies into a browser can finish a login there that the page did not
// begin, and the page, which has another verifier, has no use for its ticket.
type begun struct {
	State     string    `json:"s"`
	AppID     pay.AppID `json:"a"`
	ReturnTo  string    `json:"r"`
	Challenge string    `json:"c"`
}

// keep writes the login into the browser, and forgets those that it began before
// where they are too many.
func (h *Handler) keep(w http.ResponseWriter, r *http.Request, login begun) error {
	raw, err := json.Marshal(login)
	if err != nil {
		return err //nolint:wrapcheck // four strings; the caller says what for
	}
	if others := loginCookies(r); len(others) >= maxLogins {
		for _, name := range others {
			h.setCookie(w, name, "", -1)
		}
	}
	h.setCookie(w, cookieName(login.State), base64.RawURLEncoding.EncodeToString(raw), int(stateLifetime/time.Second))
	return nil
}

// recall finds the login that this browser began with the state. Whatever is
// wrong with it, there is none.
func recall(r *http.Request, app pay.AppID, state string) (begun, bool) {
	if !stateShape.MatchString(state) {
		return begun{}, false
	}
	cookies := r.CookiesNamed(cookieName(state))
	if len(cookies) != 1 {
		return begun{}, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(cookies[0].Value)
	var login begun
	if err != nil || json.Unmarshal(raw, &login) != nil {
		return begun{}, false
	}
	same := subtle.ConstantTimeCompare([]byte(login.State), []byte(state)) == 1
	return login, same && login.AppID == app && challengeShape.MatchString(login.Challenge)
}

// forget ends a login: its state is good for one return.
func (h *Handler) forget(w http.ResponseWriter, state string) {
	h.setCookie(w, cookieName(state), "", -1)
}

func cookieName(state string) string { return cookiePrefix + state[:stateInCookie] }

func loginCookies(r *http.Request) (names []string) {
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, cookiePrefix) {
			names = append(names, c.Name)
		}
	}
	return names
}

// setCookie: Lax, because the buyer comes back from WeChat's site; the path is
// that of the browser, which may be below one of a proxy.
func (h *Handler) setCookie(w http.ResponseWriter, name, value string, maxAge int) {
	at, err := url.Parse(h.URL)
	if err != nil { // the configuration was checked
		at = &url.URL{}
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // secure unless the front door is plain HTTP, where no cookie can be
		Name: name, Value: value, Path: strings.TrimRight(at.EscapedPath(), "/") + "/wx/oauth/", MaxAge: maxAge,
		Secure: at.Scheme == "https", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

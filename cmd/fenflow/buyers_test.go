package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/app/devstack"
	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

// buyers come through the front door in every way there is, and in many that are
// refused; what is secret of it is told to the eavesdropper.
type buyers struct {
	t     *testing.T
	stack *devstack.Stack
	ear   *eavesdropper
}

// reply is any JSON object.
type reply map[string]any

func (r reply) text(name string) string {
	text, _ := r[name].(string)
	return text
}

// appidOf is the first app of a kind that the test merchant has.
func appidOf(stack *devstack.Stack, kind weixin.Kind) string {
	for _, app := range stack.Merchant().Apps {
		if app.Kind == kind {
			return app.Appid
		}
	}
	return ""
}

// send sends JSON and reads JSON; what is no JSON is no reply.
func (b *buyers) send(method, address, bearer string, body any) (int, reply) {
	b.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(b.t, err)
	req, err := http.NewRequestWithContext(b.t.Context(), method, address, bytes.NewReader(raw))
	require.NoError(b.t, err)
	if method == http.MethodGet {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Body.Close())
	answer := reply{}
	_ = json.Unmarshal(text, &answer)
	return resp.StatusCode, answer
}

func (b *buyers) control(path string, body any) reply {
	b.t.Helper()
	status, answer := b.send(http.MethodPost, b.stack.SimulatorURL()+path, "", body)
	require.Less(b.t, status, http.StatusMultipleChoices, "%s: %v", path, answer)
	return answer
}

// code is what WeChat gives to a client, with what belongs to it.
func (b *buyers) code(appid, user, kind string, more map[string]any) reply {
	b.t.Helper()
	ask := map[string]any{"appid": appid, "user": user, "kind": kind}
	for name, value := range more {
		ask[name] = value
	}
	made := b.control("/control/weixin/codes", ask)
	b.ear.keep("login code", made.text("code"))
	return made
}

// login posts to the front door, and keeps the session where there is one.
func (b *buyers) login(appid string, question map[string]any) (int, reply) {
	b.t.Helper()
	status, answer := b.send(http.MethodPost, b.stack.FrontURL()+"/wx/login/"+appid, "", question)
	if session := answer.text("session"); session != "" {
		b.ear.keep("session", session)
		b.ear.keep("session", session[strings.LastIndexByte(session, '.')+1:]) // the signature makes it one
	}
	return status, answer
}

func (b *buyers) logsIn(appid string, question map[string]any) reply {
	b.t.Helper()
	status, answer := b.login(appid, question)
	require.Equal(b.t, http.StatusOK, status, "%s: %v %v", appid, answer.text("code"), answer.text("detail"))
	return answer
}

func (b *buyers) isRefused(appid string, question map[string]any) {
	b.t.Helper()
	status, answer := b.login(appid, question)
	require.GreaterOrEqual(b.t, status, http.StatusBadRequest)
	require.NotEmpty(b.t, answer.text("code"), answer)
	require.Empty(b.t, answer.text("session"))
}

// browser keeps cookies and goes no further than told.
type browser struct {
	*buyers

	client *http.Client
}

func (b *buyers) browser(user string) *browser {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(b.t, err)
	w := &browser{buyers: b, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	w.open(http.MethodPost, b.stack.SimulatorURL()+"/weixin/inside", url.Values{"user": {user}, "url": {"/"}})
	return w
}

// open opens an address and says where it leads, if anywhere.
func (w *browser) open(method, address string, form url.Values) (status int, next string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, address, strings.NewReader(form.Encode()))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := w.client.Do(req)
	require.NoError(w.t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	if location, err := resp.Location(); err == nil {
		next = location.String()
	}
	return resp.StatusCode, next
}

const verifier = "a-verifier-of-a-page-that-nobody-else-may-know"

// walks goes from the shop's page to WeChat and back to the door, and says what
// the door did: the page's address with a ticket, or the status of a refusal.
func (w *browser) walks(appid, scope, user string) (status int, ticket string) {
	w.t.Helper()
	challenge := sha256.Sum256([]byte(verifier))
	w.ear.keep("verifier", verifier)
	_, page := w.open(http.MethodGet, w.stack.FrontURL()+"/wx/oauth/"+appid+"/start?"+url.Values{
		"return_to": {w.stack.Merchant().ShopURL + "/"}, "challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "scope": {scope},
	}.Encode(), nil)
	require.NotEmpty(w.t, page)
	page, _, _ = strings.Cut(page, "#")
	_, back := w.open(http.MethodGet, page, nil)
	if back == "" { // somebody has to agree, or to scan
		_, back = w.open(http.MethodPost, page, url.Values{"user": {user}})
	}
	status, to := w.open(http.MethodGet, back, nil)
	returned, err := url.Parse(back)
	require.NoError(w.t, err)
	w.ear.keep("login code", returned.Query().Get("code"))
	if to == "" {
		return status, ""
	}
	arrived, err := url.Parse(to)
	require.NoError(w.t, err)
	w.ear.keep("login ticket", arrived.Query().Get("ticket"))
	return status, arrived.Query().Get("ticket")
}

// webLogin is a whole one; its ticket is good once, and for that page.
func (b *buyers) webLogin(appid, scope, user string) reply {
	b.t.Helper()
	_, ticket := b.browser(user).walks(appid, scope, user)
	require.NotEmpty(b.t, ticket)
	b.isRefused(appid, map[string]any{"ticket": ticket, "verifier": strings.Repeat("b", 43)})
	answer := b.logsIn(appid, map[string]any{"ticket": ticket, "verifier": verifier})
	b.isRefused(appid, map[string]any{"ticket": ticket, "verifier": verifier})
	return answer
}

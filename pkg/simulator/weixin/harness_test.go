package weixin_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a platform behind a real HTTP server, and its apps.
type world struct {
	url                          string
	clock                        *clock
	mini, official, website, app weixin.App
	client                       *http.Client // a browser that follows no redirect
}

func newWorld(t *testing.T) *world {
	t.Helper()
	apps, err := weixin.NewApps(rand.Reader, "wx8888888888888888")
	require.NoError(t, err)
	w := &world{clock: &clock{now: time.Now()}, mini: apps[0], official: apps[1], website: apps[2], app: apps[3]}
	p, err := weixin.New(weixin.Options{Apps: apps, Now: w.clock.Now, Speed: 1000})
	require.NoError(t, err)
	r := chi.NewRouter()
	r.Group(p.Routes)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	w.url = server.URL
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	w.client = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return w
}

// answer is any JSON object.
type answer map[string]any

func (a answer) text(name string) string {
	text, _ := a[name].(string)
	return text
}

func (a answer) errcode() int {
	code, _ := a["errcode"].(float64)
	return int(code)
}

func (w *world) get(t *testing.T, path string, query ...string) answer {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	response, err := http.Get(w.url + path + "?" + values.Encode())
	require.NoError(t, err)
	return object(t, response)
}

func (w *world) post(t *testing.T, path string, body any) answer {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	response, err := http.Post(w.url+path, "application/json", bytes.NewReader(text))
	require.NoError(t, err)
	return object(t, response)
}

func object(t *testing.T, r *http.Response) answer {
	t.Helper()
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	a := answer{}
	require.NoError(t, json.Unmarshal(text, &a), string(text))
	return a
}

// code asks the control for a login code.
func (w *world) code(t *testing.T, app weixin.App, user, kind string, more ...any) answer {
	t.Helper()
	ask := map[string]any{"appid": app.Appid, "user": user, "kind": kind}
	for i := 0; i < len(more); i += 2 {
		name, _ := more[i].(string)
		ask[name] = more[i+1]
	}
	made := w.post(t, "/control/weixin/codes", ask)
	require.NotEmpty(t, made.text("code"), made)
	return made
}

func (w *world) exchange(t *testing.T, app weixin.App, code string) answer {
	t.Helper()
	return w.get(t, "/sns/oauth2/access_token", "appid", app.Appid, "secret", app.Secret, "code", code, "grant_type", "authorization_code")
}

// token is an access_token of an app.
func (w *world) token(t *testing.T, app weixin.App) string {
	t.Helper()
	made := w.stable(t, app, false)
	require.NotEmpty(t, made.text("access_token"), made)
	return made.text("access_token")
}

func (w *world) stable(t *testing.T, app weixin.App, force bool) answer {
	t.Helper()
	return w.post(t, "/cgi-bin/stable_token", map[string]any{"grant_type": "client_credential", "appid": app.Appid, "secret": app.Secret, "force_refresh": force})
}

// browse opens an address as the browser and does not follow it.
func (w *world) browse(t *testing.T, address string) (status int, location *url.URL, page string) {
	t.Helper()
	response, err := w.client.Get(address)
	require.NoError(t, err)
	return w.seen(t, response)
}

func (w *world) submit(t *testing.T, address string, form url.Values) (status int, location *url.URL, page string) {
	t.Helper()
	response, err := w.client.Post(address, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	return w.seen(t, response)
}

func (w *world) seen(t *testing.T, response *http.Response) (int, *url.URL, string) {
	t.Helper()
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	location, err := response.Location()
	if err != nil {
		location = &url.URL{}
	}
	return response.StatusCode, location, string(page)
}

package weixin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// call is one request to the API.
type call struct {
	*http.Request

	appid string // who asked, once that is known
	body  []byte
}

// endpoint does the work of one path. A *failure is an answer like another.
type endpoint func(*call) (any, error)

// serve wraps an endpoint in what all share: the method, faults, counting, and
// WeChat's habit of answering 200 whatever happened.
func (p *Platform) serve(method string, work endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r, appid: r.URL.Query().Get("appid")}
		answer, err := p.perform(w, c, method, work)
		var gone *gateway
		if errors.As(err, &gone) {
			http.Error(w, "fault", gone.status)
			return
		}
		if err != nil {
			answer = p.told(c, err)
		}
		w.Header().Set("Content-Type", mediaTypeOf(r.URL.Path))
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(answer) // the caller may be gone
	}
}

// mediaTypeOf: sns/* calls its JSON text/plain, and integrators fall over it.
func mediaTypeOf(path string) string {
	if strings.HasPrefix(path, "/sns/") {
		return "text/plain; charset=utf-8"
	}
	return "application/json; encoding=utf-8"
}

func (p *Platform) perform(w http.ResponseWriter, c *call, method string, work endpoint) (any, error) {
	if c.Method != method {
		if method == http.MethodGet {
			return nil, refuse(wantsGet)
		}
		return nil, refuse(wantsPost)
	}
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, c.Body, maxBody)); err != nil {
		return nil, refuse(badFormat).because("the body is too long or broke off")
	}
	if c.appid == "" {
		c.appid = p.askedBy(c)
	}
	p.count(c.URL.Path, c.appid)
	if err := p.misbehave(c); err != nil {
		return nil, err
	}
	return work(c)
}

// askedBy finds out who asks where the query does not name the appid.
func (p *Platform) askedBy(c *call) string {
	var named struct {
		Appid string `json:"appid"`
	}
	if json.Unmarshal(c.body, &named) == nil && named.Appid != "" {
		return named.Appid
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	text := c.URL.Query().Get("access_token")
	if t, known := p.tokens[text]; known {
		return t.appid
	}
	if g, known := p.grants[text]; known {
		return g.appid
	}
	return ""
}

// told turns an error into WeChat's answer and says in the log what it was about.
func (p *Platform) told(c *call, err error) any {
	var refused *failure
	if !errors.As(err, &refused) {
		p.log.Error("request failed", "path", c.URL.Path, "error", err)
		return refuse(busy)
	}
	p.log.Warn("request refused", "method", c.Method, "path", c.URL.Path, "appid", c.appid, "errcode", refused.Code, "errmsg", refused.Message, "why", refused.why)
	id, err := p.random.text(24, hexDigits)
	if err != nil {
		id = "unknown" // the answer matters more
	}
	return failure{Code: refused.Code, Message: fmt.Sprintf("%s rid: %s-%s-%s", refused.Message, id[:8], id[8:16], id[16:])}
}

// authorized finds the app of appid and secret.
func (p *Platform) authorized(appid, secret string) (App, *failure) {
	app, known := p.app(appid)
	switch {
	case appid == "":
		return App{}, refuse(missingAppid)
	case !known:
		return App{}, refuse(invalidAppid).because("appid %q is none of this merchant's", appid)
	case secret == "":
		return App{}, refuse(missingSecret)
	case secret != app.Secret:
		return App{}, refuse(invalidSecret).because("the secret is not that of merchant.json")
	}
	return app, nil
}

// seconds left until an instant, never negative.
func seconds(left time.Duration) int { return max(0, int(left/time.Second)) }

// count notes a request to an API.
func (p *Platform) count(path, appid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls[path] == nil {
		p.calls[path] = map[string]int{}
	}
	p.calls[path][appid]++
}

// Calls is how often each path was asked for, by appid.
func (p *Platform) Calls() map[string]map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]map[string]int{}
	for path, by := range p.calls {
		all[path] = map[string]int{}
		for appid, n := range by {
			all[path][appid] = n
		}
	}
	return all
}

func (p *Platform) controlCalls(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"calls": p.Calls()})
}

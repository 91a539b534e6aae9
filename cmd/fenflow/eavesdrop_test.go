package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// eavesdropper stands between the worker and the stand-in's API and keeps every
// secret that passes: it knows what to look for without asking fenflow. It can cut
// a connection, because an error of HTTP names the address, secrets included.
type eavesdropper struct {
	*httptest.Server

	target atomic.Pointer[url.URL]

	mu     sync.Mutex
	heard  map[string]map[string]bool // values by what they are
	cut    map[string]int             // so many next calls of a path end without an answer
	ending int                        // how many did
}

// secretFields are parameters and answers of WeChat's API that nobody else may see.
func secretFields() map[string]string {
	return map[string]string{
		"secret": "AppSecret", "access_token": "access token", "refresh_token": "refresh token", "code": "login code", "js_code": "login code",
		"ticket": "jsapi_ticket", "session_key": "session_key", "phoneNumber": "phone number",
	}
}

func newEavesdropper(t *testing.T) *eavesdropper {
	t.Helper()
	e := &eavesdropper{heard: map[string]map[string]bool{}, cut: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(e.target.Load()) },
		ModifyResponse: e.answered,
	}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asked(r)
		if e.cuts(r.URL.Path) {
			panic(http.ErrAbortHandler) // closes the connection
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *eavesdropper) passTo(t *testing.T, address string) {
	t.Helper()
	target, err := url.Parse(address)
	require.NoError(t, err)
	e.target.Store(target)
}

// cutNext lets a call of a path end without an answer: the next, or the next few.
func (e *eavesdropper) cutNext(path string, calls int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cut[path] += calls
}

func (e *eavesdropper) cuts(path string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cut[path] == 0 {
		return false
	}
	e.cut[path]--
	e.ending++
	return true
}

func (e *eavesdropper) asked(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	for name, values := range r.URL.Query() {
		for _, value := range values {
			e.hear(name, value)
		}
	}
	e.hearAll(body)
}

func (e *eavesdropper) answered(r *http.Response) error {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	e.hearAll(body)
	return err
}

// hearAll looks into a JSON document, at any depth.
func (e *eavesdropper) hearAll(raw []byte) {
	var document any
	if json.Unmarshal(raw, &document) != nil {
		return
	}
	e.look(document)
}

func (e *eavesdropper) look(value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, below := range v {
			if text, is := below.(string); is {
				e.hear(name, text)
			}
			e.look(below)
		}
	case []any:
		for _, below := range v {
			e.look(below)
		}
	}
}

func (e *eavesdropper) hear(field, value string) {
	what, secret := secretFields()[field]
	if !secret || strings.TrimSpace(value) == "" {
		return
	}
	e.keep(what, value)
}

// keep adds a secret that went another way.
func (e *eavesdropper) keep(what, value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heard[what] == nil {
		e.heard[what] = map[string]bool{}
	}
	e.heard[what][value] = true
}

// secrets are all that were heard.
func (e *eavesdropper) secrets() []secret {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []secret
	for what, values := range e.heard {
		for value := range values {
			all = append(all, secretText(what, value))
		}
	}
	return all
}

// requireHeard fails where there was nothing to hear of a kind.
func (e *eavesdropper) requireHeard(t *testing.T, kinds ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, what := range kinds {
		require.NotEmpty(t, e.heard[what], what)
	}
	require.NotZero(t, e.ending, "no connection was cut")
}

// left is how many calls of a path are still to be cut.
func (e *eavesdropper) left(path string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cut[path]
}

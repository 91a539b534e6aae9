package wechat

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/simulator/weixin"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
)

const stableTokenPath = "/cgi-bin/stable_token"

// gateway stands before the stand-in platform: it holds back answers to
// stable_token, and remembers which tokens were in them.
type gateway struct {
	*httptest.Server

	t       *testing.T
	app     weixin.App
	inner   http.Handler
	holding []chan struct{} // the nth answer waits for the nth channel
	arrived chan struct{}   // an answer is ready

	mu     sync.Mutex
	tokens []string
	forced int
}

// newGateway opens the stand-in with a test merchant's official account.
func newGateway(t *testing.T, holding ...chan struct{}) *gateway {
	t.Helper()
	m, err := simulator.NewTestMerchant()
	require.NoError(t, err)
	platform, err := simulator.New(simulator.Options{Merchant: m, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, platform.Close()) })
	g := &gateway{t: t, inner: platform.Handler(), holding: holding, arrived: make(chan struct{}, 100)} // more than calls that a test makes
	for _, app := range m.Apps {
		if app.Kind == weixin.KindOfficialAccount {
			g.app = app
		}
	}
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	return g
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != stableTokenPath {
		g.inner.ServeHTTP(w, r)
		return
	}
	asked, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(asked))
	answer := httptest.NewRecorder()
	g.inner.ServeHTTP(answer, r)
	n := g.note(asked, answer.Body.Bytes())
	g.arrived <- struct{}{}
	if n < len(g.holding) {
		select {
		case <-g.holding[n]:
		case <-r.Context().Done(): // who asked is gone
		}
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// note keeps an answer, and says which it is.
func (g *gateway) note(asked, answered []byte) int {
	var question struct {
		Force bool `json:"force_refresh"`
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	_ = json.Unmarshal(asked, &question)
	_ = json.Unmarshal(answered, &answer)
	g.mu.Lock()
	defer g.mu.Unlock()
	if question.Force {
		g.forced++
	}
	g.tokens = append(g.tokens, answer.Token)
	return len(g.tokens) - 1
}

// token is what the nth answer held.
func (g *gateway) token(n int) string {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	require.Greater(g.t, len(g.tokens), n)
	require.NotEmpty(g.t, g.tokens[n])
	return g.tokens[n]
}

func (g *gateway) forcedSoFar() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.forced
}

// calls is how often the platform was asked for a path, as it says itself.
func (g *gateway) calls(path string) int {
	g.t.Helper()
	resp, err := g.Client().Get(g.URL + "/control/weixin/calls")
	require.NoError(g.t, err)
	defer resp.Body.Close()
	var counted struct {
		Calls map[string]map[string]int `json:"calls"`
	}
	require.NoError(g.t, json.NewDecoder(resp.Body).Decode(&counted))
	return counted.Calls[path][g.app.Appid]
}

// invalidate has the platform refuse every token that it gave, as after a reset.
func (g *gateway) invalidate() {
	g.t.Helper()
	resp, err := g.Client().Post(g.URL+"/control/weixin/tokens/expire", "application/json", strings.NewReader(`{"as":40001}`))
	require.NoError(g.t, err)
	require.NoError(g.t, resp.Body.Close())
	require.Equal(g.t, http.StatusOK, resp.StatusCode)
}

// books is a migrated database, and what the store reads in it.
func books(t *testing.T) (url string, shelf *store.Store) {
	t.Helper()
	url = testkit.Database(t, "books", func(ctx context.Context, url string) error {
		_, err := store.Migrate(ctx, url)
		return err
	})
	shelf, err := store.Open(t.Context(), store.Config{URL: url, MaxConns: 2, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, shelf.Close()) })
	return url, shelf
}

// life of a process that asks this platform for its official account.
func (g *gateway) life(url string) life {
	return life{DB: url, Platform: g.URL, AppID: pay.AppID(g.app.Appid), Secret: g.app.Secret}
}

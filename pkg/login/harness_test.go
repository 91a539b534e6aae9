package login_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/login"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/session"
	"github.com/fenflow/fenflow/pkg/store"
	"github.com/fenflow/fenflow/pkg/testkit"
	"github.com/fenflow/fenflow/pkg/wechat"
)

const (
	shop      = pay.MchID("1900000109")
	account   = pay.AppID("wx8888888888888888") // an official account
	site      = pay.AppID("wx7777777777777777")
	mini      = pay.AppID("wx6666666666666666")
	phoneApp  = pay.AppID("wx5555555555555555")
	poor      = pay.AppID("wx4444444444444444") // has no secret
	appSecret = "d4624c36b6795d1d99dcf0547af5443d"
	union     = "o6_bmasdasdsad6_2sgVt7hMZOPfL"
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

var (
	sessionKey = base64.StdEncoding.EncodeToString([]byte("0123456789ABCDEF"))
	noon       = time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
)

// stage is a front door without an edge: a real database, the real client and
// authority, and a WeChat of this test.
type stage struct {
	*platform
	t       *testing.T
	clock   *testkit.Clock
	books   *store.Store
	sql     *sql.DB
	service *login.Service
	verify  *session.Verifier
	log     *lines
	apps    map[pay.AppID]login.App
}

// App is the configuration.
func (s *stage) App(id pay.AppID) (login.App, bool) {
	app, ok := s.apps[id]
	return app, ok
}

// lines is a log that many write to.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

func setup(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, clock: testkit.NewClock(noon), log: &lines{}, apps: map[pay.AppID]login.App{}}
	for id, kind := range map[pay.AppID]merchant.AppKind{
		account: merchant.KindOfficialAccount, site: merchant.KindWebsite, mini: merchant.KindMiniProgram, phoneApp: merchant.KindApp, poor: merchant.KindMiniProgram,
	} {
		s.apps[id] = login.App{ID: id, MchID: shop, Kind: kind, Secret: appSecret}
	}
	s.apps[poor] = login.App{ID: poor, MchID: shop, Kind: merchant.KindMiniProgram}
	var err error
	url := testkit.Database(t, "login", migrate)
	s.books, err = store.Open(t.Context(), store.Config{URL: url, MaxConns: 12, Name: "login test"})
	require.NoError(t, err)
	s.sql, err = sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.books.Close())
		require.NoError(t, s.sql.Close())
	})
	var address string
	s.platform, address = newPlatform(t)
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := wechat.New(wechat.Options{BaseURL: address, HTTPClient: &http.Client{Transport: &http.Transport{}}, Now: s.clock.Now, Logger: log})
	require.NoError(t, err)
	seed := sha256.Sum256([]byte("session key of the test"))
	key := ed25519.NewKeyFromSeed(seed[:])
	sealer, err := wechat.NewSealer(key)
	require.NoError(t, err)
	authority, err := wechat.NewAuthority(wechat.AuthorityOptions{Client: client, Shelf: s.books, Sealer: sealer, Holder: "test", Now: s.clock.Now, Logger: log})
	require.NoError(t, err)
	t.Cleanup(authority.Close)
	s.verify = session.NewVerifier([]ed25519.PublicKey{key.Public().(ed25519.PublicKey)}, s.clock.Now)
	s.service = login.New(login.Options{
		Apps: s, WeChat: client, Authority: authority, Books: s.books, Signer: session.NewSigner(key, 2*time.Hour, s.clock.Now), Sealer: sealer,
		Retryable: store.Retryable, Now: s.clock.Now, Random: rand.Text, Registry: prometheus.NewRegistry(), Log: log,
	})
	return s
}

// ask puts a question and gives the document, or the problem.
func (s *stage) ask(method func(context.Context, []byte) ([]byte, error), question, into any) error {
	s.t.Helper()
	raw, err := json.Marshal(question)
	require.NoError(s.t, err)
	answered, err := method(s.t.Context(), raw)
	require.NoError(s.t, err)
	body, err := problem.ReadAnswer(answered)
	if err == nil {
		require.NoError(s.t, json.Unmarshal(body, into))
	}
	return err
}

// welcome is a login's answer.
type welcome struct {
	Session   string        `json:"session"`
	TokenType string        `json:"token_type"`
	ExpiresAt time.Time     `json:"expires_at"`
	AccountID pay.AccountID `json:"account_id"`
}

func (s *stage) authorize(appid pay.AppID, code string) (string, error) {
	s.t.Helper()
	var said struct {
		Ticket string `json:"ticket"`
	}
	err := s.ask(s.service.Authorize, answer{"appid": appid, "code": code, "challenge": challenge}, &said)
	return said.Ticket, err
}

func (s *stage) login(question answer) (welcome, error) {
	s.t.Helper()
	var w welcome
	err := s.ask(s.service.Login, question, &w)
	return w, err
}

// comes logs a buyer in and checks the session.
func (s *stage) comes(question answer) session.Claims {
	s.t.Helper()
	w, err := s.login(question)
	require.NoError(s.t, err)
	require.Equal(s.t, "Bearer", w.TokenType)
	claims, err := s.verify.Verify(w.Session)
	require.NoError(s.t, err)
	require.Equal(s.t, w.AccountID, claims.AccountID)
	require.Equal(s.t, w.ExpiresAt, claims.ExpiresAt)
	require.Equal(s.t, shop, claims.MchID)
	return claims
}

// onWeb goes the whole way of the web.
func (s *stage) onWeb(appid pay.AppID, code string) session.Claims {
	s.t.Helper()
	ticket, err := s.authorize(appid, code)
	require.NoError(s.t, err)
	return s.comes(answer{"appid": appid, "ticket": ticket, "verifier": verifier})
}

func (s *stage) account(id pay.AccountID) pay.Account {
	s.t.Helper()
	a, found, err := s.books.Account(s.t.Context(), shop, id)
	require.NoError(s.t, err)
	require.True(s.t, found)
	return a
}

// nobodyIsKnown looks into the database: no account and no identity of this openid.
func (s *stage) nobodyIsKnown(openid pay.OpenID) {
	s.t.Helper()
	var n int
	require.NoError(s.t, s.sql.QueryRowContext(s.t.Context(), `SELECT count(*) FROM identities WHERE openid = $1`, string(openid)).Scan(&n))
	require.Zero(s.t, n)
}

func requireKind(t *testing.T, kind problem.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, problem.KindOf(err), err)
}

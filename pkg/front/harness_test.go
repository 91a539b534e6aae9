package front_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/front"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/session"
)

const (
	shopMch   = pay.MchID("1900000109")
	otherMch  = pay.MchID("1900000110")
	account   = pay.AccountID("0191d5e4-7a3b-7c00-8000-000000000001")
	mini      = "wx8888888888888888"
	official  = "wx8888888888888801"
	website   = "wx8888888888888802"
	phoneApp  = "wx8888888888888803"
	shared    = "wx8888888888888804" // of two merchants
	otherApp  = "wx9999999999999999"
	shopPage  = "https://shop.example.com/buy/tea?size=2"
	shopFrom  = "https://shop.example.com"
	verifier  = "a-verifier-that-a-page-made-and-kept-for-itself-1"
	code      = "011AbC2wXyZ"
	ticket    = "ticket-0123456789abcdef"
	client    = "203.0.113.7"
	verifyTxt = "MP_verify_AbCdEf123456.txt"
)

// secrets never stand in a log.
func secrets() []string { return []string{verifier, code, ticket, "return_to=", "size=2", "eyJ"} }

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// worker answers with what the test says, and remembers what it was asked.
type worker struct {
	mu     sync.Mutex
	asked  []string // "subject question"
	waits  []time.Duration
	answer func(subject string, question []byte) ([]byte, error)
}

func (w *worker) Request(_ context.Context, subject string, question []byte, wait time.Duration) ([]byte, error) {
	w.mu.Lock()
	w.asked, w.waits = append(w.asked, subject+" "+string(question)), append(w.waits, wait)
	answer := w.answer
	w.mu.Unlock()
	if answer == nil {
		return nil, errors.New("nobody serves " + subject)
	}
	return answer(subject, question)
}

func (w *worker) questions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.asked...)
}

func says(body string) func(string, []byte) ([]byte, error) {
	return func(string, []byte) ([]byte, error) { return []byte(body), nil }
}

func refuses(kind problem.Kind, detail string) func(string, []byte) ([]byte, error) {
	return func(string, []byte) ([]byte, error) { return problem.WriteRefusal(problem.New(kind, detail)) }
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// door is a front door with everything around it in the test's hands.
type door struct {
	*front.Handler

	t        *testing.T
	worker   *worker
	registry *prometheus.Registry
	log      *syncBuffer
	clock    time.Time
	settings front.Settings
	signer   *session.Signer
}

func shops(t *testing.T) *merchant.Directory {
	t.Helper()
	d, err := merchant.NewDirectory([]merchant.Merchant{
		{MchID: shopMch, Apps: []merchant.App{
			{AppID: mini, Kind: merchant.KindMiniProgram},
			{AppID: official, Kind: merchant.KindOfficialAccount, RedirectURLs: []string{"https://shop.example.com/buy/"}, JSDomains: []string{"m.example.com"}},
			{AppID: website, Kind: merchant.KindWebsite, RedirectURLs: []string{"https://www.example.com/"}},
			{AppID: phoneApp, Kind: merchant.KindApp},
			{AppID: shared, Kind: merchant.KindOfficialAccount, RedirectURLs: []string{"https://shop.example.com/buy/"}},
		}},
		{MchID: otherMch, Apps: []merchant.App{{AppID: otherApp, Kind: merchant.KindOfficialAccount, RedirectURLs: []string{"https://other.example.com/"}}, {AppID: shared}}},
	})
	require.NoError(t, err)
	return d
}

func open(t *testing.T, change ...func(*front.Config)) *door {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	d := &door{t: t, worker: &worker{}, registry: prometheus.NewRegistry(), log: &syncBuffer{}, clock: time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)}
	now := func() time.Time { return d.clock }
	d.settings = front.Settings{Directory: shops(t), VerifyFiles: []string{verifyTxt}}
	d.signer = session.NewSigner(private, 2*time.Hour, now)
	states := 0
	c := front.Config{
		URL: "https://pay.example.com", OpenURL: "https://open.weixin.qq.com", Current: func() front.Settings { return d.settings },
		Sessions: session.NewVerifier([]ed25519.PublicKey{public}, now), Worker: d.worker, Metrics: front.NewMetrics(d.registry),
		Logger: slog.New(slog.NewJSONHandler(d.log, nil)), Now: now,
		NewState: func() string { states++; return strings.Repeat(string(rune('A'+states-1)), 26) },
	}
	for _, f := range change {
		f(&c)
	}
	d.Handler = front.New(c)
	t.Cleanup(func() {
		for _, secret := range secrets() {
			require.NotContains(t, d.log.String(), secret)
		}
	})
	return d
}

// sessionOf is a buyer's session at a merchant's app.
func (d *door) sessionOf(m pay.MchID, app pay.AppID) string {
	token, _, err := d.signer.Sign(session.Claims{AccountID: account, MchID: m, AppID: app, OpenID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"})
	require.NoError(d.t, err)
	return token
}

// reply is an answer.
type reply struct {
	*http.Response
	body string
}

func (d *door) send(method, target, body string, headers ...string) reply {
	d.t.Helper()
	r := httptest.NewRequestWithContext(d.t.Context(), method, target, strings.NewReader(body))
	r.RemoteAddr = client + ":1234"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "From" {
			r.RemoteAddr = headers[i+1]
			continue
		}
		if headers[i] == "Content-Type" {
			r.Header.Del(headers[i])
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	answer := w.Result()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(d.t, err)
	return reply{answer, string(raw)}
}

// problem reads a refusal of a program's request.
func (r reply) problem(t *testing.T) problem.Document {
	t.Helper()
	require.Equal(t, problem.ContentType, r.Header.Get("Content-Type"), r.body)
	var d problem.Document
	require.NoError(t, json.Unmarshal([]byte(r.body), &d), r.body)
	require.Equal(t, r.StatusCode, d.Status)
	require.NotEmpty(t, d.NextStep)
	return d
}

// browser keeps cookies as one does.
type browser struct {
	door    *door
	cookies map[string]string
}

func (d *door) browser() *browser { return &browser{door: d, cookies: map[string]string{}} }

func (b *browser) get(target string, headers ...string) reply {
	b.door.t.Helper()
	for name, value := range b.cookies {
		headers = append(headers, "Cookie", name+"="+value)
	}
	answer := b.door.send(http.MethodGet, target, "", headers...)
	for _, c := range answer.Cookies() {
		require.True(b.door.t, c.HttpOnly && c.Secure && c.SameSite == http.SameSiteLaxMode, c)
		require.Equal(b.door.t, "/wx/oauth/", c.Path)
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return answer
}

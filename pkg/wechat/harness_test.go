package wechat

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
)

// Fixture secrets: a test looks for each of them in every error and log line.
const (
	testAppID        = "wx8888888888888888"
	testSecret       = "9c8f1f2b7a5d4e3c9c8f1f2b7a5d4e3c"
	testCode         = "081Kq4Ga1Yxt8B0mzJFa1dXUNf1Kq4GZ"
	testOAuthToken   = "OAUTH_ACCESS_TOKEN-3xAmPlE"
	testRefreshToken = "REFRESH_TOKEN-3xAmPlE"
	testGlobalToken  = "GLOBAL_TOKEN_77-3xAmPlE"
	testSessionKey   = "HyVFkGl5F5OQWJZZaNzBBg=="
	testOpenID       = "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
	testUnionID      = "ocMvos6NjeKLIBqg5Mr9QjxrP1FA"
)

func fixtureSecrets() []string {
	return []string{testSecret, testCode, testOAuthToken, testRefreshToken, testGlobalToken, testSessionKey}
}

var testAt = time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)

func testApp() App { return App{ID: testAppID, Secret: testSecret} }

// platformFake is WeChat as documented, on loopback: one answer a path.
type platformFake struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]string
	asked   []askedFor
	status  int

	location string // of a redirect
}

type askedFor struct {
	path  string
	query url.Values
	body  string
}

func newPlatform(t *testing.T) *platformFake {
	t.Helper()
	p := &platformFake{answers: map[string]string{}, status: http.StatusOK}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *platformFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, askedFor{r.Method + " " + r.URL.Path, r.URL.Query(), string(body)})
	w.Header().Set("Content-Type", "text/plain") // as WeChat does for JSON
	if p.location != "" {
		w.Header().Set("Location", p.location)
	}
	w.WriteHeader(p.status)
	_, _ = io.WriteString(w, p.answers[r.Method+" "+r.URL.Path])
}

func (p *platformFake) answer(path, body string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[path] = body
}

func (p *platformFake) last(t *testing.T) askedFor {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.NotEmpty(t, p.asked)
	return p.asked[len(p.asked)-1]
}

func (p *platformFake) calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

func newClient(t *testing.T, base string) *Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := New(Options{BaseURL: base, HTTPClient: &http.Client{Transport: transport}, Now: func() time.Time { return testAt }})
	require.NoError(t, err)
	return c
}

func requireReason(t *testing.T, want RejectReason, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, want, ReasonOf(err), "%v", err)
}

// vector is one known answer; the file holds a union of all their fields.
type vector struct {
	ID             string `json:"id"`
	Category       string `json:"category"`
	Token          string `json:"token"`
	Timestamp      string `json:"timestamp"`
	Nonce          string `json:"nonce"`
	NonceStr       string `json:"noncestr"`
	Signature      string `json:"signature"`
	Ticket         string `json:"jsapi_ticket"`
	URL            string `json:"url"`
	AppID          string `json:"appid"`
	SessionKey     string `json:"session_key"`
	IV             string `json:"iv"`
	EncryptedData  string `json:"encrypted_data"`
	Plaintext      string `json:"plaintext"`
	RawData        string `json:"raw_data"`
	EncodingAESKey string `json:"encoding_aes_key"`
	Random16       string `json:"random16"`
	Message        string `json:"message"`
	Encrypt        string `json:"encrypt"`
	MsgSignature   string `json:"msg_signature"`
	XML            string `json:"xml"`
}

func (v vector) keys() PushKeys {
	return PushKeys{AppID: asAppID(v.AppID), Token: merchant.Secret(v.Token), AESKeys: []merchant.Secret{merchant.Secret(v.EncodingAESKey)}}
}

func vectors(tb testing.TB, category string) []vector {
	tb.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	require.NoError(tb, err)
	var file struct {
		Vectors []vector `json:"vectors"`
	}
	require.NoError(tb, json.Unmarshal(text, &file))
	var found []vector
	for _, v := range file.Vectors {
		if v.Category == category {
			found = append(found, v)
		}
	}
	require.NotEmpty(tb, found, category)
	return found
}

func vectorByID(tb testing.TB, id string) vector {
	tb.Helper()
	for _, category := range []string{"msg_aes_decrypt", "msg_aes_encrypt", "mini_decrypt"} {
		for _, v := range vectors(tb, category) {
			if v.ID == id {
				return v
			}
		}
	}
	require.FailNow(tb, "no vector "+id)
	return vector{}
}

// requireNoSecret greps a text for every fixture secret, in the encodings that
// an echo is likely to have.
func requireNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range fixtureSecrets() {
		for _, shape := range encodings(secret) {
			require.NotContains(t, text, shape)
		}
	}
}

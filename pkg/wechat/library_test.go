package wechat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/silenceper/wechat/v2/util"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/problem"
)

func TestLibrary_serves_many_clients_at_once_without_mixing_them(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for i := range 8 {
		p := newPlatform(t)
		c := newClient(t, p.URL+"/under/a/path")
		openID := fmt.Sprintf("openid-%d", i)
		p.answer("GET /under/a/path/sns/jscode2session", `{"openid":"`+openID+`","session_key":"k"}`)
		wg.Go(func() {
			for range 20 {
				got, err := c.CodeToSession(t.Context(), testApp(), testCode)
				if err != nil || string(got.OpenID) != openID {
					t.Errorf("client %d got %q, %v", i, got.OpenID, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestLibrary_sends_nothing_that_is_not_a_call_of_ours(t *testing.T) {
	t.Parallel()
	newClient(t, newPlatform(t).URL)
	_, err := util.HTTPGetContext(t.Context(), platform+"/cgi-bin/token")
	require.ErrorIs(t, err, errNotOurs)
	_, err = util.HTTPPostContext(t.Context(), platform+"/cgi-bin/token", []byte("{}"), nil)
	require.ErrorIs(t, err, errNotOurs)
}

// echo is a platform, or a proxy before it, that repeats everything it was sent.
type echo struct{ status int }

func (e echo) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	said := r.URL.String() + " " + string(body)
	for _, secret := range fixtureSecrets() {
		said += " " + strings.Join(encodings(secret), " ")
	}
	if e.status == 0 {
		return nil, errors.New("broken: " + said)
	}
	answer := fmt.Sprintf(`{"errcode":41008,"errmsg":%q}`, said)
	return &http.Response{StatusCode: e.status, Body: io.NopCloser(strings.NewReader(answer)), Header: http.Header{}, Request: r}, nil
}

func TestErrors_and_logs_never_hold_a_secret(t *testing.T) {
	t.Parallel()
	for _, status := range []int{0, 200, 500} {
		var log bytes.Buffer
		c, err := New(Options{
			BaseURL: "https://api.invalid", HTTPClient: &http.Client{Transport: echo{status}}, Now: time.Now,
			Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		require.NoError(t, err)
		for name, err := range everyCall(t, c) {
			require.Error(t, err, name)
			if status == 0 || status == 500 {
				require.Equal(t, ClassRetry, ClassOf(err), name)
			}
			text := fmt.Sprintf("%v %+v %#v %v %s", err, err, err, errors.Unwrap(err), problem.Text(Problem(err)))
			// Only what this very call was sent can be echoed to it by WeChat.
			requireNoSecretOf(t, name, text)
		}
		requireNoSecret(t, log.String())
	}
}

// requireNoSecretOf looks for the secrets that a call carries.
func requireNoSecretOf(t *testing.T, name, text string) {
	t.Helper()
	carried := map[string][]string{
		"exchange": {testSecret, testCode}, "refresh": {testRefreshToken}, "check": {testOAuthToken}, "userinfo": {testOAuthToken},
		"session": {testSecret, testCode}, "phone": {testGlobalToken, testCode}, "stable": {testSecret}, "ticket": {testGlobalToken},
		"follower": {testGlobalToken}, "menu get": {testGlobalToken}, "menu set": {testGlobalToken}, "menu remove": {testGlobalToken},
	}[name]
	require.NotEmpty(t, carried, name)
	for _, secret := range carried {
		for _, shape := range encodings(secret) {
			require.NotContains(t, text, shape, name)
		}
	}
}

func everyCall(t *testing.T, c *Client) map[string]error {
	t.Helper()
	ctx, app, token := t.Context(), testApp(), merchant.Secret(testGlobalToken)
	errs := map[string]error{}
	_, errs["exchange"] = c.ExchangeCode(ctx, app, testCode)
	_, errs["refresh"] = c.RefreshGrant(ctx, app, testRefreshToken)
	_, errs["check"] = c.CheckGrant(ctx, testOAuthToken, testOpenID)
	_, errs["userinfo"] = c.UserInfo(ctx, testOAuthToken, testOpenID)
	_, errs["session"] = c.CodeToSession(ctx, app, testCode)
	_, errs["phone"] = c.PhoneNumber(ctx, testAppID, token, testCode)
	_, errs["stable"] = c.StableToken(ctx, app, false)
	_, errs["ticket"] = c.Ticket(ctx, token)
	_, _, errs["follower"] = c.Follower(ctx, token, testOpenID)
	_, errs["menu get"] = c.MenuGet(ctx, token)
	errs["menu set"] = c.MenuSet(ctx, token, []byte(`{"button":[{"name":"a","type":"view","url":"https://x"}]}`))
	errs["menu remove"] = c.MenuRemove(ctx, token)
	return errs
}

// A call that succeeds hands out what it was sent only as secrets.
func TestValues_print_no_secret(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		testApp(), OAuthGrant{AccessToken: testOAuthToken, RefreshToken: testRefreshToken}, MiniSession{SessionKey: testSessionKey},
		Granted{Value: testGlobalToken}, PushKeys{Token: testSecret, AESKeys: []merchant.Secret{testSecret}},
	} {
		requireNoSecret(t, fmt.Sprintf("%v %+v %#v %s", v, v, v, v))
	}
}

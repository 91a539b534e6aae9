package ingest_test

import (
	"crypto/ed25519"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/session"
)

const accountID = "0191d5e4-7a3b-7c00-8000-000000000001"

// house makes and takes sessions.
func house(t *testing.T) (*session.Signer, *session.Verifier) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	return session.NewSigner(private, time.Hour, now), session.NewVerifier([]ed25519.PublicKey{public}, now)
}

func TestIntrospect_tells_a_shop_whose_session_it_was_shown(t *testing.T) {
	t.Parallel()
	signer, verifier := house(t)
	stranger, _ := house(t)
	by := func(s *session.Signer, m pay.MchID, app pay.AppID) string {
		token, _, err := s.Sign(session.Claims{AccountID: accountID, MchID: m, AppID: app, OpenID: "o1"})
		require.NoError(t, err)
		return token
	}
	good := by(signer, mchid, "wx8888888888888888")
	for token, want := range map[string]string{
		good:       `{"active":true,"account_id":"` + accountID + `","appid":"wx8888888888888888","openid":"o1","expires_at":"2026-11-21T05:00:00Z"}`,
		good[1:]:   `{"active":false,"reason":"malformed"}`,
		good + "A": `{"active":false,"reason":"signature"}`,
		"x":        `{"active":false,"reason":"malformed"}`,
		by(stranger, mchid, "wx8888888888888888"):  `{"active":false,"reason":"unknown_key"}`,
		by(signer, otherMch, "wx8888888888888888"): `{"active":false,"reason":"other_merchant"}`,
		by(signer, mchid, "wx0000000000000000"):    `{"active":false,"reason":"not_configured"}`,
		strings.Repeat("a", 3000):                  `{"active":false,"reason":"too_long"}`,
	} {
		b := newBench(t)
		b.Sessions = verifier
		answer := b.send(ask("POST", "/v1/sessions/introspect", `{"session":"`+token+`"}`))
		require.Equal(t, http.StatusOK, answer.Code, answer.Body)
		require.JSONEq(t, want, answer.Body.String())
		require.NotContains(t, b.log.String(), token)
		require.Empty(t, b.worker.questions(), "public keys are enough")
	}
}

func TestIntrospect_refuses_odd_bodies_and_says_when_it_has_no_keys(t *testing.T) {
	t.Parallel()
	for body, kind := range map[string]problem.Kind{
		`{}`: problem.Invalid, `{"session":""}`: problem.Invalid, `{"session":1}`: problem.Invalid, `{"session":"x","appid":"wx1"}`: problem.Invalid,
		`[]`: problem.Malformed, ``: problem.Malformed, `{"session":"` + strings.Repeat("a", 4<<10) + `"}`: problem.TooLarge,
	} {
		b := newBench(t)
		require.Equal(t, kind.Code(), problemOf(t, b.send(ask("POST", "/v1/sessions/introspect", body))).Code, body)
	}
	b := newBench(t)
	b.Sessions = keyless{}
	answer := b.send(ask("POST", "/v1/sessions/introspect", `{"session":"x.y.z"}`))
	require.Equal(t, problem.NoSessionKeys.Code(), problemOf(t, answer).Code)
	require.Contains(t, answer.Body.String(), "front.session_public_key_files")
}

type keyless struct{}

func (keyless) Verify(string) (session.Claims, error) {
	return session.Claims{}, problem.New(problem.NoSessionKeys, "")
}

func TestAccounts_are_asked_for_in_the_name_of_the_keys_merchant(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker.answer = says(`{"status":200,"body":{"account_id":"` + accountID + `"}}`)
	for _, r := range []*http.Request{
		ask("GET", "/v1/accounts/"+accountID, ""), ask("POST", "/v1/accounts/"+accountID+"/refresh", `{"appid":"wx9999999999999999"}`),
	} {
		answer := b.send(r)
		require.Equal(t, http.StatusOK, answer.Code, answer.Body)
		require.JSONEq(t, `{"account_id":"`+accountID+`"}`, answer.Body.String())
	}
	require.Equal(t, []string{
		`fenflow.read.account {"account_id":"` + accountID + `","mchid":"1900000109"}`,
		`fenflow.act.profile {"account_id":"` + accountID + `","appid":"wx9999999999999999","mchid":"1900000109"}`,
	}, b.worker.questions())
}

func TestAccounts_know_numbers_and_apps_by_their_shape(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		request *http.Request
		kind    problem.Kind
	}{
		{ask("GET", "/v1/accounts/1", ""), problem.NotFound},
		{ask("GET", "/v1/accounts/"+strings.ToUpper(accountID), ""), problem.NotFound},
		{ask("GET", "/v1/accounts/%ff", ""), problem.NotFound},
		{ask("POST", "/v1/accounts/1/refresh", `{"appid":"wx8888888888888888"}`), problem.NotFound},
		{ask("POST", "/v1/accounts/"+accountID+"/refresh", `{}`), problem.Invalid},
		{ask("POST", "/v1/accounts/"+accountID+"/refresh", `{"appid":"wx0000000000000000"}`), problem.Invalid},
		{ask("POST", "/v1/accounts/"+accountID+"/refresh", ``), problem.Malformed},
	} {
		b := newBench(t)
		require.Equal(t, row.kind.Code(), problemOf(t, b.send(row.request)).Code, row.request.URL)
		require.Empty(t, b.worker.questions())
	}
	b := newBench(t)
	require.Equal(t, problem.NoWorker.Code(), problemOf(t, b.send(ask("GET", "/v1/accounts/"+accountID, ""))).Code)
}

package operator_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/operator"
	"github.com/fenflow/fenflow/pkg/pay"
)

const statusPath = "/operator/v1/status"

func TestTokens_nothing_is_answered_without_a_live_one(t *testing.T) {
	t.Parallel()
	s := setup(t)
	revoked := s.mint("leaver", pay.TokenOperate)
	done, err := s.RevokeToken(t.Context(), "leaver", "cli:test")
	require.NoError(t, err)
	require.True(t, done)
	for name, headers := range map[string][]string{
		"none":                  nil,
		"no scheme":             {s.read},
		"another scheme":        {"Basic " + s.read},
		"two of them":           {"Bearer " + s.read, "Bearer " + s.read},
		"empty":                 {"Bearer "},
		"a shop's key":          {"Bearer fk_" + strings.Repeat("a", 43)},
		"one that is known not": {"Bearer fft_" + strings.Repeat("a", 43)},
		"too long":              {"Bearer " + s.read + "a"},
		"very long":             {"Bearer fft_" + strings.Repeat("a", 5000)},
		"revoked":               {"Bearer " + revoked},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, statusPath, nil)
		r.Header["Authorization"] = headers
		answer := s.send(r)
		require.Equal(t, http.StatusUnauthorized, answer.status, name)
		require.Contains(t, answer.header.Get("WWW-Authenticate"), "Bearer", name)
		require.Equal(t, "FEN-3010", answer.problem(t).Code, name)
		require.Contains(t, answer.problem(t).NextStep, "fenflow token create", name)
	}
	require.Equal(t, http.StatusOK, s.get(statusPath).status)
	require.Contains(t, s.logs.String(), "token=watch", "the line about a request names its token")
	require.NotEmpty(t, s.text("SELECT last_used_at::text FROM operator_tokens WHERE name = 'watch'"))
}

func TestTokens_strangers_learn_of_no_address(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, path := range []string{statusPath, statusPath + "/", "/" + statusPath, "/", "/nope", "/metrics", "/operator/v1/dead-letters/x/discard", "/operator/v2/status"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace, "BREW"} {
			answer := s.send(httptest.NewRequestWithContext(t.Context(), method, path, nil))
			require.Equal(t, http.StatusUnauthorized, answer.status, "%s %s", method, path)
		}
	}
	nothing := s.get("/nope")
	require.Equal(t, http.StatusNotFound, nothing.status)
	require.Contains(t, nothing.problem(t).NextStep, "openapi.yaml")
}

func TestTokens_of_role_read_change_nothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	d := s.letter(order(shop, "order-0001"), pay.LetterMalformed)
	answer := s.do(http.MethodPost, "/operator/v1/dead-letters/"+string(d.ID)+"/discard", `{"reason":"probe"}`, s.read)
	require.Equal(t, http.StatusForbidden, answer.status)
	require.Equal(t, "FEN-3008", answer.problem(t).Code)
	require.Equal(t, "open", s.text("SELECT state FROM dead_letters WHERE delivery_id = $1", string(d.ID)))
}

func TestLockout_slows_guessing_and_ends(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ask := func(from, token string) reply {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, statusPath, nil)
		r.RemoteAddr = from
		r.Header.Set("Authorization", "Bearer "+token)
		return s.send(r)
	}
	unknown := "fft_" + strings.Repeat("b", 43)
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, ask("192.0.2.1:1", unknown).status)
	}
	for _, token := range []string{unknown, s.read, ""} {
		locked := ask("192.0.2.1:2", token)
		require.Equal(t, http.StatusTooManyRequests, locked.status, "tokens that are good, too, if they were not seen there before")
		require.Equal(t, "60", locked.header.Get("Retry-After"))
		require.Equal(t, "FEN-3009", locked.problem(t).Code)
	}
	require.Equal(t, http.StatusOK, ask("192.0.2.2:1", s.read).status, "others go on")
	s.clock.Advance(59 * time.Second)
	require.Equal(t, "1", ask("192.0.2.1:3", s.read).header.Get("Retry-After"))
	s.clock.Advance(time.Second)
	require.Equal(t, http.StatusOK, ask("192.0.2.1:3", s.read).status)
	require.Equal(t, http.StatusUnauthorized, ask("192.0.2.1:3", unknown).status, "and counting begins anew")
}

func TestLockout_spares_who_was_there_before(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ask := func(from, token string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, statusPath, nil)
		r.RemoteAddr = from
		r.Header.Set("Authorization", "Bearer "+token)
		return s.send(r).status
	}
	leaver := s.mint("leaver", pay.TokenRead)
	for _, token := range []string{s.read, leaver} {
		require.Equal(t, http.StatusOK, ask("192.0.2.1:1", token))
	}
	for range 20 {
		ask("192.0.2.1:2", "fft_"+strings.Repeat("b", 43))
	}
	require.Equal(t, http.StatusOK, ask("192.0.2.1:3", s.read), "somebody else behind that address sent them")
	require.Equal(t, http.StatusTooManyRequests, ask("192.0.2.1:3", s.operate))
	_, err := s.RevokeToken(t.Context(), "leaver", "cli:test")
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, ask("192.0.2.1:3", leaver), "it is looked up all the same")
	require.Equal(t, http.StatusTooManyRequests, ask("192.0.2.1:3", leaver), "and then forgotten")
}

func TestPace_keeps_a_token_to_its_speed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for range 100 {
		require.Equal(t, http.StatusOK, s.get("/operator/v1/audit?limit=1").status)
	}
	tooFast := s.get(statusPath)
	require.Equal(t, http.StatusTooManyRequests, tooFast.status)
	require.Equal(t, "1", tooFast.header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, s.do(http.MethodGet, statusPath, "", s.operate).status, "another token is not slowed down")
	s.clock.Advance(time.Second)
	require.Equal(t, http.StatusOK, s.get(statusPath).status)
}

func TestAPI_refuses_other_methods_and_addresses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodHead, "BREW"} {
		answer := s.do(method, statusPath, "", s.operate)
		require.Equal(t, http.StatusMethodNotAllowed, answer.status)
		require.Equal(t, http.MethodGet, answer.header.Get("Allow"))
	}
	require.Equal(t, "FEN-3004", s.get("/operator/v2/status").problem(t).Code)
	require.Equal(t, "FEN-3004", s.get("/").problem(t).Code)
}

func TestAPI_tells_faults_of_the_books_apart_and_nothing_of_their_causes(t *testing.T) {
	t.Parallel()
	away := setup(t, func(o *operator.Options) {
		o.Books = broken{o.Books, errors.New("connect to s3cret-host")}
	})
	answer := away.get(statusPath)
	require.Equal(t, http.StatusServiceUnavailable, answer.status)
	require.Equal(t, "FEN-5002", answer.problem(t).Code)
	require.NotEmpty(t, answer.header.Get("Retry-After"))
	require.NotContains(t, answer.body, "s3cret")
	require.Contains(t, away.logs.String(), "s3cret-host", "the cause is in the log")

	faulty := setup(t, func(o *operator.Options) {
		o.Books, o.Retryable = broken{o.Books, errors.New("s3cret")}, func(error) bool { return false }
	})
	answer = faulty.get(statusPath)
	require.Equal(t, "FEN-9001", answer.problem(t).Code)
	require.NotContains(t, answer.body, "s3cret")

	buggy := setup(t, func(o *operator.Options) { o.Books = panicking{o.Books} })
	answer = buggy.get(statusPath)
	require.Equal(t, http.StatusInternalServerError, answer.status)
	require.NotContains(t, answer.body+buggy.logs.String(), "s3cret")
	require.Contains(t, buggy.logs.String(), "panic in a request")
}

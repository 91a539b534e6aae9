package session_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/session"
	"github.com/fenflow/fenflow/pkg/testkit"
)

func TestSession_is_read_back_as_it_was_signed(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(noon.Add(123 * time.Millisecond))
	token, expires, err := session.NewSigner(keyOf('a'), 2*time.Hour, clock.Now).Sign(buyer())
	require.NoError(t, err)
	require.Equal(t, noon.Add(2*time.Hour), expires)
	require.Less(t, len(token), 600)
	read, err := verifier(clock, keyOf('a')).Verify(token)
	require.NoError(t, err)
	require.NotEmpty(t, read.ID)
	want := buyer()
	want.ID, want.IssuedAt, want.ExpiresAt = read.ID, noon, expires
	require.Equal(t, want, read)
}

// The format is a contract: others verify it with libraries of their own.
func TestSession_is_a_JWT_that_a_stranger_can_check(t *testing.T) {
	t.Parallel()
	claims := buyer()
	claims.ID = "S1"
	token, _, err := session.NewSigner(keyOf('a'), 2*time.Hour, testkit.NewClock(noon).Now).Sign(claims)
	require.NoError(t, err)
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	require.NoError(t, err)
	require.True(t, ed25519.Verify(publicOf(keyOf('a')), []byte(parts[0]+"."+parts[1]), signature))
	for i, want := range []object{header(keyOf('a')), payload().with(object{"aud": []string{"buyer"}})} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		require.NoError(t, err)
		wanted, err := json.Marshal(want)
		require.NoError(t, err)
		require.JSONEq(t, string(wanted), string(raw))
	}
}

func TestVerify_takes_a_token_that_was_made_by_hand(t *testing.T) {
	t.Parallel()
	read, err := verifier(testkit.NewClock(noon), keyOf('a')).Verify(made(t, keyOf('a'), header(keyOf('a')), payload()))
	require.NoError(t, err)
	want := buyer()
	want.ID, want.IssuedAt, want.ExpiresAt = "S1", noon, noon.Add(2*time.Hour)
	require.Equal(t, want, read)
}

func TestVerify_takes_sessions_of_each_key_while_keys_change(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(noon)
	old, err := signed(clock, 'a')
	require.NoError(t, err)
	current, err := signed(clock, 'b')
	require.NoError(t, err)
	both := verifier(clock, keyOf('b'), keyOf('a'))
	for _, token := range []string{old, current} {
		_, err := both.Verify(token)
		require.NoError(t, err)
	}
	requireRefused(t, session.UnknownKey, verifier(clock, keyOf('b')), old)
	requireRefused(t, session.UnknownKey, verifier(clock), current)
}

func signed(clock *testkit.Clock, letter byte) (string, error) {
	token, _, err := session.NewSigner(keyOf(letter), time.Hour, clock.Now).Sign(buyer())
	return token, err
}

func TestVerify_lives_as_long_as_it_says_and_no_second_more(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(noon)
	v := verifier(clock, keyOf('a'))
	token, err := signed(clock, 'a')
	require.NoError(t, err)
	clock.Set(noon.Add(time.Hour - time.Millisecond))
	_, err = v.Verify(token)
	require.NoError(t, err)
	clock.Set(noon.Add(time.Hour))
	requireRefused(t, session.Expired, v, token)
	clock.Set(noon.Add(-30 * time.Second)) // the signer's clock is a little ahead
	_, err = v.Verify(token)
	require.NoError(t, err)
	clock.Set(noon.Add(-31 * time.Second))
	requireRefused(t, session.NotYetValid, v, token)
}

func TestSign_refuses_what_no_verifier_would_take(t *testing.T) {
	t.Parallel()
	s := session.NewSigner(keyOf('a'), time.Hour, testkit.NewClock(noon).Now)
	for name, break1 := range map[string]func(*session.Claims){
		"account": func(c *session.Claims) { c.AccountID = "" }, "mchid": func(c *session.Claims) { c.MchID = "" },
		"appid": func(c *session.Claims) { c.AppID = "" }, "openid": func(c *session.Claims) { c.OpenID = "" },
	} {
		c := buyer()
		break1(&c)
		_, _, err := s.Sign(c)
		require.ErrorContains(t, err, "must be set", name)
	}
	_, _, err := session.NewSigner(keyOf('a'), time.Millisecond, testkit.NewClock(noon).Now).Sign(buyer())
	require.ErrorContains(t, err, "one second")
}

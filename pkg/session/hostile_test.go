package session_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/session"
	"github.com/fenflow/fenflow/pkg/testkit"
)

func TestVerify_refuses_whatever_is_not_signed_with_the_key_that_it_names(t *testing.T) {
	t.Parallel()
	v := verifier(testkit.NewClock(noon), keyOf('a'))
	key, head := keyOf('a'), header(keyOf('a'))
	good := made(t, key, head, payload())
	_, err := v.Verify(good)
	require.NoError(t, err)
	unsigned := part(t, head.with(object{"alg": "none"})) + "." + part(t, payload()) + "."
	requireRefused(t, session.Algorithm, v, unsigned)
	// The public key is no secret, and the key of an HMAC for whoever believes the header.
	confused := part(t, head.with(object{"alg": "HS256"})) + "." + part(t, payload())
	mac := hmac.New(sha256.New, publicOf(key))
	mac.Write([]byte(confused))
	requireRefused(t, session.Algorithm, v, confused+"."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
	for _, alg := range []string{"none", "None", "ES256", "RS256", "eddsa", "Ed25519", ""} {
		requireRefused(t, session.Algorithm, v, made(t, key, head.with(object{"alg": alg}), payload()))
	}
	requireRefused(t, session.Signature, v, made(t, keyOf('b'), head, payload()))
	requireRefused(t, session.UnknownKey, v, made(t, keyOf('b'), header(keyOf('b')), payload()))
	requireRefused(t, session.UnknownKey, v, made(t, key, head.with(object{"kid": nil}), payload()))
	requireRefused(t, session.UnknownKey, v, made(t, key, head.with(object{"kid": 7}), payload()))
	requireRefused(t, session.Signature, v, part(t, head)+"."+part(t, payload().with(object{"sub": "another"}))+good[strings.LastIndex(good, "."):])
}

func TestVerify_refuses_claims_that_are_missing_or_of_another(t *testing.T) {
	t.Parallel()
	v := verifier(testkit.NewClock(noon), keyOf('a'))
	for _, name := range []string{"sub", "mchid", "appid", "openid", "iat", "exp", "jti"} {
		requireRefused(t, session.ClaimMissing, v, made(t, keyOf('a'), header(keyOf('a')), payload().with(object{name: nil})))
	}
	for _, c := range []struct {
		why    session.Reason
		change object
	}{
		{session.WrongIssuer, object{"iss": "somebody"}},
		{session.WrongIssuer, object{"iss": nil}},
		{session.WrongAudience, object{"aud": "operator"}},
		{session.WrongAudience, object{"aud": nil}},
		{session.WrongAudience, object{"aud": []string{"operator", "buyer"}}},
		{session.ClaimMissing, object{"sub": ""}},
		{session.Expired, object{"exp": noon.Unix()}},
		{session.NotYetValid, object{"iat": noon.Add(time.Minute).Unix()}},
		{session.NotYetValid, object{"nbf": noon.Add(time.Minute).Unix()}},
		{session.Malformed, object{"exp": "tomorrow"}},
		{session.Malformed, object{"mchid": 1900000109}},
	} {
		requireRefused(t, c.why, v, made(t, keyOf('a'), header(keyOf('a')), payload().with(c.change)))
	}
}

func TestVerify_refuses_what_is_no_token_or_one_with_something_added(t *testing.T) {
	t.Parallel()
	v := verifier(testkit.NewClock(noon), keyOf('a'))
	good := made(t, keyOf('a'), header(keyOf('a')), payload())
	for _, token := range []string{
		"", ".", "..", "a.b", "a.b.c", good + ".", good + ".e30", "Bearer " + good, good + "\n", " " + good, strings.Replace(good, ".", ".\n", 1),
		good + "=", good[:strings.LastIndex(good, ".")], "茶.茶.茶",
	} {
		requireRefused(t, session.Malformed, v, token)
	}
	// Another way to write the same bytes of the signature.
	last := good[len(good)-1]
	requireRefused(t, session.Malformed, v, good[:len(good)-1]+string(last+1))
	requireRefused(t, session.Signature, v, good+"AAAA")
	requireRefused(t, session.TooLong, v, good+strings.Repeat("A", 2048))
	requireRefused(t, session.TooLong, v, made(t, keyOf('a'), header(keyOf('a')), payload().with(object{"pad": strings.Repeat("x", 2048)})))
}

// FuzzVerify: whatever comes in, it is the one good token or a refusal with a reason.
func FuzzVerify(f *testing.F) {
	clock := testkit.NewClock(noon)
	v := verifier(clock, keyOf('a'))
	good := made(f, keyOf('a'), header(keyOf('a')), payload())
	f.Add(good)
	f.Add(made(f, keyOf('b'), header(keyOf('b')), payload()))
	f.Add(part(f, object{"alg": "none"}) + "." + part(f, payload()) + ".")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := v.Verify(token)
		if token == good {
			require.NoError(t, err)
			require.Equal(t, account, claims.AccountID)
			return
		}
		var r *session.RefusedError
		require.ErrorAs(t, err, &r)
		require.Contains(t, session.Reasons(), r.Reason)
		require.Zero(t, claims)
	})
}

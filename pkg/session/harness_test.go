package session_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/session"
	"github.com/fenflow/fenflow/pkg/testkit"
)

const account = pay.AccountID("0199c0de-7a11-7000-8000-000000000001")

var noon = time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)

// keyOf makes a key from a letter, the same each time.
func keyOf(letter byte) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte{letter})
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicOf(key ed25519.PrivateKey) ed25519.PublicKey {
	return key.Public().(ed25519.PublicKey)
}

func buyer() session.Claims {
	return session.Claims{AccountID: account, MchID: "1900000109", AppID: "wx8888888888888888", OpenID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}
}

// object is a header or a payload.
type object map[string]any

// with changes some members; nil removes one.
func (o object) with(change object) object {
	all := maps.Clone(o)
	for k, v := range change {
		if all[k] = v; v == nil {
			delete(all, k)
		}
	}
	return all
}

func header(key ed25519.PrivateKey) object {
	sum := sha256.Sum256(publicOf(key))
	return object{"alg": "EdDSA", "typ": "JWT", "kid": hex.EncodeToString(sum[:])[:16]}
}

func payload() object {
	return object{
		"iss": "fenflow", "aud": "buyer", "sub": string(account), "mchid": "1900000109", "appid": "wx8888888888888888",
		"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "iat": noon.Unix(), "exp": noon.Add(2 * time.Hour).Unix(), "jti": "S1",
	}
}

func part(t testing.TB, o object) string {
	t.Helper()
	raw, err := json.Marshal(o)
	require.NoError(t, err)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// made writes a token by hand, with nothing of the package under test.
func made(t testing.TB, key ed25519.PrivateKey, head, body object) string {
	t.Helper()
	text := part(t, head) + "." + part(t, body)
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))
}

func verifier(clock *testkit.Clock, keys ...ed25519.PrivateKey) *session.Verifier {
	public := make([]ed25519.PublicKey, len(keys))
	for i, k := range keys {
		public[i] = publicOf(k)
	}
	return session.NewVerifier(public, clock.Now)
}

func requireRefused(t *testing.T, why session.Reason, v *session.Verifier, token string) {
	t.Helper()
	claims, err := v.Verify(token)
	require.Zero(t, claims)
	var r *session.RefusedError
	require.ErrorAs(t, err, &r)
	require.Equal(t, why, r.Reason)
	require.Contains(t, session.Reasons(), r.Reason)
	require.Equal(t, "session refused: "+string(why), err.Error())
}

package session

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	// maxTokenBytes: ours have some 450. More is refused before anything is decoded.
	maxTokenBytes = 2 << 10

	// clockSkew is by how much the clock of the machine that signed may be ahead.
	// It makes no session longer.
	clockSkew = 30 * time.Second
)

// Verifier reads sessions. It is safe for concurrent use.
type Verifier struct {
	keys   map[string]ed25519.PublicKey
	now    func() time.Time
	parser *jwt.Parser
}

// NewVerifier makes a Verifier that takes sessions of any of the keys.
func NewVerifier(keys []ed25519.PublicKey, now func() time.Time) *Verifier {
	v := &Verifier{keys: make(map[string]ed25519.PublicKey, len(keys)), now: now}
	for _, k := range keys {
		v.keys[KeyID(k)] = k
	}
	// The claims are looked at below, each with its own reason.
	v.parser = jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	return v
}

// Verify says whose session a token is. An error is a *RefusedError, always.
func (v *Verifier) Verify(token string) (Claims, error) {
	if len(token) > maxTokenBytes {
		return Claims{}, refused(TooLong)
	}
	if !isCompact(token) {
		return Claims{}, refused(Malformed)
	}
	var w wire
	reason := Algorithm // unless a method is taken and a key asked for
	_, err := v.parser.ParseWithClaims(token, &w, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		key, known := v.keys[kid]
		if !known {
			reason = UnknownKey
			return nil, refused(reason)
		}
		reason = Signature
		return key, nil
	})
	if errors.Is(err, jwt.ErrTokenMalformed) {
		reason = Malformed
	}
	if err != nil {
		return Claims{}, refused(reason)
	}
	return v.read(w)
}

// read holds the claims of a token whose signature is right against the rules.
func (v *Verifier) read(w wire) (Claims, error) {
	now := v.now()
	switch {
	case w.Issuer != issuer:
		return Claims{}, refused(WrongIssuer)
	case !slices.Equal(w.Audience, jwt.ClaimStrings{audience}):
		return Claims{}, refused(WrongAudience)
	case w.ExpiresAt == nil, w.IssuedAt == nil, w.Subject == "", w.MchID == "", w.AppID == "", w.OpenID == "", w.ID == "":
		return Claims{}, refused(ClaimMissing)
	case !now.Before(w.ExpiresAt.Time):
		return Claims{}, refused(Expired)
	case w.IssuedAt.After(now.Add(clockSkew)), w.NotBefore != nil && w.NotBefore.After(now.Add(clockSkew)):
		return Claims{}, refused(NotYetValid)
	}
	return Claims{
		AccountID: pay.AccountID(w.Subject), MchID: pay.MchID(w.MchID), AppID: pay.AppID(w.AppID), OpenID: pay.OpenID(w.OpenID),
		ID: w.ID, IssuedAt: w.IssuedAt.UTC(), ExpiresAt: w.ExpiresAt.UTC(),
	}, nil
}

// isCompact: three parts of base64url and nothing else. The standard library's
// decoder passes over line breaks, so that one token could be written in many ways.
func isCompact(token string) bool {
	dots := 0
	for _, c := range []byte(token) {
		switch {
		case c == '.':
			dots++
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '-', c == '_':
		default:
			return false
		}
	}
	return dots == 2 && !strings.HasPrefix(token, ".") && !strings.Contains(token, "..")
}

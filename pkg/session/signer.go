package session

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Signer makes sessions. It is safe for concurrent use.
type Signer struct {
	key      ed25519.PrivateKey
	kid      string
	lifetime time.Duration
	now      func() time.Time
}

// NewSigner makes a Signer; sessions live that long.
func NewSigner(key ed25519.PrivateKey, lifetime time.Duration, now func() time.Time) *Signer {
	s := &Signer{key: key, lifetime: lifetime, now: now}
	if public, ok := key.Public().(ed25519.PublicKey); ok {
		s.kid = KeyID(public)
	}
	return s
}

// Sign makes a session of whom the claims name. When it begins and ends is said
// by the Signer's clock and lifetime, whatever stands in the claims.
func (s *Signer) Sign(c Claims) (token string, expiresAt time.Time, err error) {
	issued := s.now().UTC().Truncate(time.Second)
	expires := issued.Add(s.lifetime).Truncate(time.Second)
	if c.ID == "" {
		c.ID = rand.Text()
	}
	c.IssuedAt, c.ExpiresAt = issued, expires
	if err := c.check(); err != nil {
		return "", time.Time{}, err
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, wire{
		MchID: string(c.MchID), AppID: string(c.AppID), OpenID: string(c.OpenID),
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: string(c.AccountID), ID: c.ID,
			IssuedAt: jwt.NewNumericDate(issued), ExpiresAt: jwt.NewNumericDate(expires),
		},
	})
	t.Header["kid"] = s.kid
	token, err = t.SignedString(s.key)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign session: %w", err)
	}
	return token, expires, nil
}

// check keeps a Signer from making what no Verifier takes.
func (c Claims) check() error {
	if c.AccountID == "" || c.MchID == "" || c.AppID == "" || c.OpenID == "" {
		return errors.New("sign session: account, mchid, appid and openid must be set")
	}
	if !c.ExpiresAt.After(c.IssuedAt) {
		return errors.New("sign session: its lifetime must be one second or more")
	}
	return nil
}

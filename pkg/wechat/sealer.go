package wechat

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/fenflow/fenflow/pkg/pay"
)

// shelfInfo separates this key from any other that is derived from the same seed.
const shelfInfo = "fenflow wechat shelf v1"

// Sealer makes values unreadable to whoever reads the database: AES-256-GCM
// under a key derived from the session key, which only workers hold. A sealed
// value opens only for the app and kind that it was sealed for.
type Sealer struct{ aead cipher.AEAD }

// NewSealer derives the key. When the session key changes, sealed values become
// unreadable and are simply fetched again.
func NewSealer(key ed25519.PrivateKey) (*Sealer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("the shelf's key is derived from an Ed25519 private key of 64 bytes")
	}
	derived, err := hkdf.Key(sha256.New, key.Seed(), nil, shelfInfo, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the shelf's key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("derive the shelf's key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block) // a nonce that a test could fix is one that a bug could repeat
	if err != nil {
		return nil, fmt.Errorf("derive the shelf's key: %w", err)
	}
	return &Sealer{aead: aead}, nil
}

// Seal encrypts a value.
func (s *Sealer) Seal(appid pay.AppID, kind string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, boundTo(appid, kind)) //nolint:gosec // no nonce is passed: this AEAD makes a random one itself
}

// Open decrypts a value; false: it was sealed with another key, for another
// app or kind, or was changed.
func (s *Sealer) Open(appid pay.AppID, kind string, sealed []byte) ([]byte, bool) {
	plain, err := s.aead.Open(nil, nil, sealed, boundTo(appid, kind))
	return plain, err == nil
}

// boundTo: an appid has no `|` (pay.ParseAppID).
func boundTo(appid pay.AppID, kind string) []byte { return []byte(string(appid) + "|" + kind) }

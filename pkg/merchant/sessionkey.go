package merchant

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// LoadSessionKey reads the Ed25519 key that signs buyers' sessions.
func LoadSessionKey(file string) (ed25519.PrivateKey, error) {
	return parseFile("front.session_key_file", file, func(text []byte) (ed25519.PrivateKey, error) {
		block, err := decodePEM(text, "PRIVATE KEY")
		if err != nil {
			return nil, err
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		key, is := parsed.(ed25519.PrivateKey)
		if err != nil || !is {
			return nil, errors.New("the PEM block is not an Ed25519 private key: make one with `fenflow key session`")
		}
		return key, nil
	})
}

// LoadSessionPublicKey reads a key that sessions are verified with.
func LoadSessionPublicKey(file string) (ed25519.PublicKey, error) {
	return parseFile("front.session_public_key_files", file, func(text []byte) (ed25519.PublicKey, error) {
		block, err := decodePEM(text, "PUBLIC KEY")
		if err != nil {
			return nil, err
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		key, is := parsed.(ed25519.PublicKey)
		if err != nil || !is {
			return nil, errors.New("the PEM block is not an Ed25519 public key: `fenflow key session` writes it beside the private one")
		}
		return key, nil
	})
}

// SessionKeyPEM writes both halves of a session key: PKCS #8 and PKIX.
func SessionKeyPEM(key ed25519.PrivateKey) (private, public []byte, err error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode private key: %w", err)
	}
	half, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: half}), nil
}

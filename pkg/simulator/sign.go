package simulator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	signatureType   = "WECHATPAY2-SHA256-RSA2048"
	publicKeyPrefix = "PUB_KEY_ID_"
	gcmNonceBytes   = 12
)

// signers holds the platform's private keys and stamps what the platform sends.
type signers struct {
	merchant Merchant
	keyring  *keyring
	random   random
	now      func() time.Time
}

// stampKey is one key under the serial that names it on the wire.
type stampKey struct {
	serial string
	key    *rsa.PrivateKey
}

// forForgery is a key that the receiver knows, so that only what is forged is wrong.
func (s *signers) forForgery() stampKey { return s.keyring.forAnswer(s.merchant.PublicKeyID) }

// stamp sets the five signature headers for a body sent at an instant.
func (s *signers) stamp(h http.Header, k stampKey, at time.Time, body []byte) error {
	nonce, err := s.random.nonce()
	if err != nil {
		return err
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signature, err := signRSA(k.key, timestamp+"\n"+nonce+"\n"+string(body)+"\n")
	if err != nil {
		return err
	}
	h.Set("Wechatpay-Timestamp", timestamp)
	h.Set("Wechatpay-Nonce", nonce)
	h.Set("Wechatpay-Serial", k.serial)
	h.Set("Wechatpay-Signature-Type", signatureType)
	h.Set("Wechatpay-Signature", signature)
	return nil
}

// sealed is AEAD_AES_256_GCM as it appears in JSON.
type sealed struct {
	OriginalType   string `json:"original_type,omitempty"`
	Algorithm      string `json:"algorithm"`
	Ciphertext     string `json:"ciphertext"`
	AssociatedData string `json:"associated_data"`
	Nonce          string `json:"nonce"`
}

// encrypt seals a text under the APIv3 key; the nonce is 12 readable characters.
func (s *signers) encrypt(plain []byte, associated string) (sealed, error) {
	nonce, err := s.random.text(gcmNonceBytes, alphanumeric)
	if err != nil {
		return sealed{}, err
	}
	aead, err := s.aead()
	if err != nil {
		return sealed{}, err
	}
	secret := aead.Seal(nil, []byte(nonce), plain, []byte(associated))
	return sealed{Algorithm: "AEAD_AES_256_GCM", AssociatedData: associated, Nonce: nonce,
		Ciphertext: base64.StdEncoding.EncodeToString(secret)}, nil
}

func (s *signers) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher([]byte(s.merchant.APIv3Key))
	if err != nil {
		return nil, errors.New("make cipher: the APIv3 key has a wrong length")
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make AEAD: %w", err)
	}
	return aead, nil
}

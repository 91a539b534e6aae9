package simulator

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
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
	mode     KeyMode
	random   random
	now      func() time.Time
	turn     atomic.Uint64
}

// stampKey is one key under the serial that names it on the wire.
type stampKey struct {
	serial string
	key    *rsa.PrivateKey
}

func (s *signers) publicKey() stampKey {
	return stampKey{s.merchant.PublicKeyID, s.merchant.WechatpayKey}
}

func (s *signers) platform() stampKey {
	return stampKey{s.merchant.PlatformSerial, s.merchant.PlatformKey}
}

// forNotice picks the key of a notification; mixed alternates.
func (s *signers) forNotice() stampKey {
	if s.mode == KeyModePublicKey || s.mode == KeyModeMixed && s.turn.Add(1)%2 == 1 {
		return s.publicKey()
	}
	return s.platform()
}

// forAnswer follows the request's Wechatpay-Serial (WeChat Pay doc 4012791882).
// Any serial that is no public key id gets the platform certificate.
func (s *signers) forAnswer(asked string) stampKey {
	if strings.HasPrefix(asked, publicKeyPrefix) {
		return s.publicKey()
	}
	return s.platform()
}

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

func signRSA(key *rsa.PrivateKey, message string) (string, error) {
	digest := sha256.Sum256([]byte(message))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign message: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
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
	block, err := aes.NewCipher([]byte(s.merchant.APIv3Key))
	if err != nil {
		return sealed{}, errors.New("make cipher: the APIv3 key has a wrong length")
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return sealed{}, fmt.Errorf("make AEAD: %w", err)
	}
	secret := aead.Seal(nil, []byte(nonce), plain, []byte(associated))
	return sealed{Algorithm: "AEAD_AES_256_GCM", AssociatedData: associated, Nonce: nonce,
		Ciphertext: base64.StdEncoding.EncodeToString(secret)}, nil
}

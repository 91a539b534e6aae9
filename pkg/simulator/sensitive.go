package simulator

import (
	"crypto/rsa"
	"crypto/sha1" // what RSAES-OAEP is fixed to in WeChat Pay
	"encoding/base64"
	"fmt"
	"strings"
)

// openSensitive decrypts a field that the merchant encrypted (RSAES-OAEP with SHA-1)
// under the key that its Wechatpay-Serial header names.
func (s *Simulator) openSensitive(c *call, name, value string) (string, *refusal) {
	serial := c.request.Header.Get("Wechatpay-Serial")
	if serial == "" {
		return "", requestError("header", "Wechatpay-Serial must name the key that "+name+" is encrypted with")
	}
	key, known := s.signers.privateKey(serial)
	if !known {
		return "", requestError("header", "Wechatpay-Serial is neither a public key id nor a platform certificate of this merchant")
	}
	secret, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", paramError("#/properties/"+name, "is not standard base64")
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, secret, nil)
	if err != nil {
		refused := paramError("#/properties/"+name, "cannot be decrypted")
		refused.log = []any{"wechatpay_serial", serial, "expected", "RSAES-OAEP with SHA-1 and MGF1-SHA1, base64, under the public key of wechatpay_serial"}
		return "", refused
	}
	return string(plain), nil
}

// privateKey is the platform's side of a key that a merchant may encrypt with.
func (s *signers) privateKey(serial string) (*rsa.PrivateKey, bool) {
	for _, k := range s.keyring.known() {
		if strings.EqualFold(k.serial, serial) {
			return k.key, true
		}
	}
	return nil, false
}

// sealSensitive encrypts a text so that only the merchant can read it.
func (s *signers) sealSensitive(text string) (string, error) {
	secret, err := rsa.EncryptOAEP(sha1.New(), s.random.source, &s.merchant.PrivateKey.PublicKey, []byte(text), nil)
	if err != nil {
		return "", fmt.Errorf("encrypt for the merchant: %w", err)
	}
	return base64.StdEncoding.EncodeToString(secret), nil
}

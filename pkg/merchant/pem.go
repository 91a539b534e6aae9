package merchant

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// minRSABits: all keys of WeChat Pay API v3 are RSA-2048 (WeChat Pay doc 4013070756).
const minRSABits = 2048

// apiKeyBytes is the length of an APIv3 key and of an APIv2 key, both typed
// into the merchant platform (WeChat Pay doc 4012072195).
const apiKeyBytes = 32

// ParsePublicKeyPEM reads a WeChat Pay public key (pub_key.pem).
func ParsePublicKeyPEM(text []byte) (*rsa.PublicKey, error) {
	block, err := decodePEM(text, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the PEM block is not a PKIX public key: download pub_key.pem again")
	}
	return checkPublic(key)
}

// ParseCertificatePEM reads a certificate's key, serial and validity.
func ParseCertificatePEM(text []byte) (PublicKey, error) {
	block, err := decodePEM(text, "CERTIFICATE")
	if err != nil {
		return PublicKey{}, err
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return PublicKey{}, errors.New("the PEM block is not an X.509 certificate: download it again")
	}
	key, err := checkPublic(certificate.PublicKey)
	if err != nil {
		return PublicKey{}, err
	}
	return PublicKey{
		ID: Serial(certificate.SerialNumber), Key: key,
		NotBefore: certificate.NotBefore.UTC(), NotAfter: certificate.NotAfter.UTC(),
	}, nil
}

// Serial writes a certificate's serial number as WeChat Pay does.
func Serial(n *big.Int) string { return strings.ToUpper(n.Text(16)) }

// ParsePrivateKeyPEM reads a merchant's private key (apiclient_key.pem).
func ParsePrivateKeyPEM(text []byte) (*rsa.PrivateKey, error) {
	block, err := decodePEM(text, "PRIVATE KEY", "RSA PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	var parsed any
	if block.Type == "RSA PRIVATE KEY" {
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	} else {
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("the PEM block is not a private key: take apiclient_key.pem from the merchant platform's certificate tool")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it holds a %T: WeChat Pay API v3 needs an RSA key", parsed)
	}
	if _, err := checkPublic(&key.PublicKey); err != nil {
		return nil, err
	}
	return key, nil
}

// ParseAPIKey reads an APIv3 or APIv2 key: surrounding white space is cut off,
// and exactly 32 bytes must remain. crypto/aes would take 16 and 24 as well.
func ParseAPIKey(text []byte) (Secret, error) {
	key := strings.TrimSpace(string(text))
	if len(key) != apiKeyBytes {
		return "", fmt.Errorf("it holds %d bytes without surrounding white space, and a key has exactly %d: copy it from the merchant platform (account centre, API security)", len(key), apiKeyBytes)
	}
	return Secret(key), nil
}

// ParseClientCertificate joins a merchant's API certificate (apiclient_cert.pem)
// with its private key, for calls that ask for a client certificate.
func ParseClientCertificate(text []byte, key *rsa.PrivateKey) (*tls.Certificate, error) {
	block, err := decodePEM(text, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errors.New("the PEM block is not an X.509 certificate: take apiclient_cert.pem from the merchant platform's certificate tool")
	}
	if key == nil || !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("it does not belong to the private key: both files must come from the same request for a certificate")
	}
	return &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key, Leaf: leaf}, nil
}

// decodePEM finds the first block and says what is wrong in terms of what a
// person may have done: pasted another file, or none.
func decodePEM(text []byte, kinds ...string) (*pem.Block, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("it holds no PEM block: expected a file with a line \"-----BEGIN %s-----\"", kinds[0])
	}
	for _, kind := range kinds {
		if block.Type == kind {
			return block, nil
		}
	}
	return nil, fmt.Errorf("it holds a PEM block %q where %q is expected: another file was named", clip(block.Type), kinds[0])
}

func checkPublic(key any) (*rsa.PublicKey, error) {
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("it holds a %T: WeChat Pay API v3 uses RSA keys", key)
	}
	if bits := public.N.BitLen(); bits < minRSABits {
		return nil, fmt.Errorf("its RSA key has %d bits, and at least %d are needed", bits, minRSABits)
	}
	return public, nil
}

func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

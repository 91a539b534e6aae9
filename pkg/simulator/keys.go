package simulator

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

const (
	rsaBits = 2048
	// certificateYears is the life of merchant and platform certificates
	// (WeChat Pay docs 4013070756, 4012068829).
	certificateYears = 5
	apiKeyPrefix     = "fk_"
)

// rsaKeys are the three private keys that a merchant and its platform need.
type rsaKeys struct{ merchant, wechatpay, platform *rsa.PrivateKey }

func newRSAKeys() (rsaKeys, error) {
	var keys rsaKeys
	var errMerchant, errKey, errPlatform error
	keys.merchant, errMerchant = rsa.GenerateKey(rand.Reader, rsaBits)
	keys.wechatpay, errKey = newPlatformKey()
	keys.platform, errPlatform = newPlatformKey()
	if err := errors.Join(errMerchant, errKey, errPlatform); err != nil {
		return rsaKeys{}, fmt.Errorf("generate RSA key: %w", err)
	}
	return keys, nil
}

// newPlatformKey makes a key that signs fast; see platformPrimes.
func newPlatformKey() (*rsa.PrivateKey, error) {
	return rsa.GenerateMultiPrimeKey(rand.Reader, platformPrimes, rsaBits) //nolint:staticcheck // deprecated as crypto/rsa is slow with it; signMultiPrime is not
}

// testKeys is the package's one variable: RSA keys take a few hundred milliseconds
// to make, and every test of a binary may share them, as they protect nothing.
var testKeys = sync.OnceValues(newRSAKeys) //nolint:gochecknoglobals // see the comment above

// NewTestMerchant returns a merchant for tests: fresh API keys and certificates
// around RSA keys that are made once per test binary.
func NewTestMerchant() (Merchant, error) {
	keys, err := testKeys()
	if err != nil {
		return Merchant{}, err
	}
	return newMerchant(defaultMchid, defaultAppid, keys, time.Now())
}

func newMerchant(mchid, appid string, keys rsaKeys, now time.Time) (Merchant, error) {
	m := Merchant{Mchid: mchid, Appid: appid,
		PrivateKey: keys.merchant, WechatpayKey: keys.wechatpay, PlatformKey: keys.platform}
	var ca authority
	var err error
	if ca, m.CACertificate, m.CAKey, err = newAuthority(now); err != nil {
		return Merchant{}, fmt.Errorf("make certificate authority: %w", err)
	}
	if m.Serial, m.Certificate, err = ca.issueMerchant(mchid, &keys.merchant.PublicKey, now); err != nil {
		return Merchant{}, fmt.Errorf("make merchant certificate: %w", err)
	}
	if m.ServerCertificate, m.ServerKey, err = ca.issueServer(nil, now); err != nil {
		return Merchant{}, fmt.Errorf("make TLS certificate: %w", err)
	}
	if m.PlatformSerial, m.PlatformCertificate, err = selfSigned("Tenpay.com sign (simulated)", keys.platform, now); err != nil {
		return Merchant{}, fmt.Errorf("make platform certificate: %w", err)
	}
	return m, m.drawSecrets()
}

func (m *Merchant) drawSecrets() error {
	r := random{rand.Reader}
	apps, errApps := weixin.NewApps(rand.Reader, m.Appid)
	_, session, errSession := ed25519.GenerateKey(rand.Reader)
	m.Apps, m.SessionKey = apps, session
	v3, err3 := r.text(aesKeyLength, alphanumeric)
	v2, err2 := r.text(aesKeyLength, alphanumeric)
	digits, errID := r.text(40, decimal)
	api, errAPI := r.bytes(32)
	m.APIv3Key, m.APIv2Key, m.PublicKeyID = v3, v2, "PUB_KEY_ID_"+digits
	m.APIKey = apiKeyPrefix + base64.RawURLEncoding.EncodeToString(api)
	return errors.Join(err3, err2, errID, errAPI, errApps, errSession)
}

// selfSigned makes a certificate with a serial of 40 upper-case hex digits.
func selfSigned(name string, key *rsa.PrivateKey, now time.Time) (string, []byte, error) {
	template, serial, err := newTemplate(name, now)
	if err != nil {
		return "", nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", nil, fmt.Errorf("create certificate: %w", err)
	}
	return serial, toPEM("CERTIFICATE", der), nil
}

func toPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func privatePEM(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("marshal PKCS#8 key: %w", err)
	}
	return toPEM("PRIVATE KEY", der), nil
}

func publicPEM(key any) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("marshal PKIX key: %w", err)
	}
	return toPEM("PUBLIC KEY", der), nil
}

func parsePrivatePEM(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse PKCS#8 key: %w", err)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	return private, nil
}

func certificateSerial(text []byte) (string, error) {
	certificate, err := parseCertificate(text)
	if err != nil {
		return "", err
	}
	return strings.ToUpper(certificate.SerialNumber.Text(16)), nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	return certificate, nil
}

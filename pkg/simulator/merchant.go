package simulator

import (
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
)

// aesKeyLength is that of both API keys: 32 characters (WeChat Pay doc 4012551764).
const aesKeyLength = 32

// Merchant is a complete test merchant with both sides of every key: what a real
// merchant holds, and what a real WeChat Pay would keep to itself.
type Merchant struct {
	Mchid    string
	Appid    string
	APIv3Key string
	APIv2Key string
	// APIKey is the plain key of the merchant's own shop at its payment system.
	APIKey string

	// Apps are the merchant's appids, Appid's among them. A merchant that was made
	// before the stand-in had a WeChat side has none.
	Apps []App
	// ShopURL is where the shop's pages are, FrontURL where buyers reach the payment
	// system: messages go there.
	ShopURL, FrontURL string
	// SessionKey signs the sessions of buyers at the payment system.
	SessionKey ed25519.PrivateKey

	// Serial and Certificate belong to PrivateKey: the merchant API certificate.
	Serial      string
	Certificate []byte // PEM
	PrivateKey  *rsa.PrivateKey

	// The platform's sides. PublicKeyID names WechatpayKey's public part.
	PublicKeyID         string
	WechatpayKey        *rsa.PrivateKey
	PlatformSerial      string
	PlatformCertificate []byte // PEM
	PlatformKey         *rsa.PrivateKey

	// CACertificate issued Certificate and ServerCertificate, the one of the TLS
	// listener. All PEM; empty if init was run before there was TLS.
	CACertificate     []byte
	CAKey             []byte
	ServerCertificate []byte
	ServerKey         []byte
}

func (m Merchant) check() error {
	var problems []error
	if m.Mchid == "" || m.Appid == "" || m.Serial == "" || m.PublicKeyID == "" || m.PlatformSerial == "" {
		problems = append(problems, errors.New("mchid, appid, serials and public key id must be set"))
	}
	if len(m.APIv3Key) != aesKeyLength || len(m.APIv2Key) != aesKeyLength {
		problems = append(problems, fmt.Errorf("both API keys must have %d characters", aesKeyLength))
	}
	if m.PrivateKey == nil || m.WechatpayKey == nil || m.PlatformKey == nil || len(m.PlatformCertificate) == 0 {
		problems = append(problems, errors.New("keys and platform certificate must be set"))
	}
	return errors.Join(problems...)
}

// String names the merchant and none of its secrets.
func (m Merchant) String() string { return "merchant " + m.Mchid }

// GoString keeps %#v from printing secrets.
func (m Merchant) GoString() string { return m.String() }

// LogValue keeps secrets out of logs.
func (m Merchant) LogValue() slog.Value {
	return slog.GroupValue(slog.String("mchid", m.Mchid), slog.String("appid", m.Appid))
}

// MarshalJSON keeps secrets out of documents; merchant.json has a type of its own.
func (m Merchant) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"mchid":%q,"appid":%q}`, m.Mchid, m.Appid), nil
}

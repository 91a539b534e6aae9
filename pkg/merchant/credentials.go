package merchant

import (
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Credentials are a merchant with its secrets. Only the worker and the
// reconciler hold them.
type Credentials struct {
	Merchant          Merchant
	PrivateKey        *rsa.PrivateKey  // signs our calls and what a buyer's client needs
	APIv3Keys         []Secret         // the first is current; all are tried
	APIv2Keys         []Secret         // the same, of protocol v2
	Keyring           *Keyring         // what WeChat Pay signs with
	ClientCertificate *tls.Certificate // of calls that ask for one; may be nil
	Apps              map[pay.AppID]AppSecrets
}

// String names the merchant and hides everything else.
func (c Credentials) String() string {
	return fmt.Sprintf("credentials of merchant %s", c.Merchant.MchID)
}

// GoString hides the secrets from %#v.
func (c Credentials) GoString() string { return c.String() }

// Format hides the secrets from every verb.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue hides the secrets from slog.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText hides the secrets, the RSA key among them, from JSON and YAML.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

package merchant

import (
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"github.com/fenflow/fenflow/pkg/pay"
)

// maxFileBytes bounds a key file: a PEM chain is a few KiB.
const maxFileBytes = 64 << 10

// Files name where a merchant's secrets are kept.
type Files struct {
	PrivateKey        string   // apiclient_key.pem
	ClientCertificate string   // apiclient_cert.pem; may be empty
	APIv3Keys         []string // the first is current
	APIv2Keys         []string
	PublicKeys        []PublicKeyFile // not secret
	Apps              []AppFiles
}

// PublicKeyFile names a WeChat Pay public key and the file that holds it.
type PublicKeyFile struct {
	ID   string // PUB_KEY_ID_…
	File string
}

// LoadCredentials reads a merchant's secrets and public keys. It tells all
// that is wrong at once; each message names the file and the way out.
func LoadCredentials(m Merchant, files Files) (*Credentials, error) {
	c := &Credentials{Merchant: m}
	var problems problems
	c.PrivateKey = problems.privateKey(files.PrivateKey)
	c.APIv3Keys = problems.apiKeys("api_v3_key_files", files.APIv3Keys)
	c.APIv2Keys = problems.apiKeys("api_v2_key_files", files.APIv2Keys)
	public, err := LoadPublicKeys(files.PublicKeys)
	problems.add(err)
	c.Keyring = NewKeyring(public...)
	problems.clientCertificate(c, files.ClientCertificate)
	c.Apps = problems.apps(files.Apps)
	problems.missing(c, files)
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("credentials of merchant %s: %w", m.MchID, err)
	}
	return c, nil
}

// LoadPublicKeys reads WeChat Pay public keys. They are not secret: the public
// edge reads these files and no others.
func LoadPublicKeys(files []PublicKeyFile) ([]PublicKey, error) {
	var keys []PublicKey
	var problems problems
	for _, f := range files {
		if (PublicKey{ID: f.ID}).IsPlatform() {
			problems.addf("wechatpay_public_keys: id %q must begin with %s: the merchant platform shows it beside the key", clip(f.ID), PublicKeyIDPrefix)
			continue
		}
		key, err := parseFile("wechatpay_public_keys", f.File, ParsePublicKeyPEM)
		if err != nil {
			problems.add(err)
			continue
		}
		keys = append(keys, PublicKey{ID: f.ID, Key: key})
	}
	return keys, errors.Join(problems...)
}

// problems gathers what is wrong.
type problems []error

func (p *problems) add(err error) {
	if err != nil {
		*p = append(*p, err)
	}
}

func (p *problems) addf(format string, args ...any) { p.add(fmt.Errorf(format, args...)) }

func (p *problems) privateKey(file string) *rsa.PrivateKey {
	if file == "" {
		return nil
	}
	key, err := parseFile("private_key_file", file, ParsePrivateKeyPEM)
	p.add(err)
	return key
}

func (p *problems) apiKeys(setting string, files []string) []Secret {
	var keys []Secret
	for _, file := range files {
		key, err := parseFile(setting, file, ParseAPIKey)
		if err != nil {
			p.add(err)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func (p *problems) clientCertificate(c *Credentials, file string) {
	if file == "" || c.PrivateKey == nil { // without the key, missing or privateKey has said so
		return
	}
	certificate, err := parseFile("client_certificate_file", file, func(text []byte) (*tls.Certificate, error) {
		return ParseClientCertificate(text, c.PrivateKey)
	})
	if err != nil {
		p.add(err)
		return
	}
	if serial := Serial(certificate.Leaf.SerialNumber); c.Merchant.Serial != "" && serial != c.Merchant.Serial {
		p.addf("client_certificate_file: %s has serial %s, and merchant_serial says %s: correct the one that is wrong", file, serial, clip(c.Merchant.Serial))
		return
	}
	c.ClientCertificate = certificate
}

// missing names what the merchant's protocol cannot do without.
func (p *problems) missing(c *Credentials, files Files) {
	if files.ClientCertificate != "" && files.PrivateKey == "" {
		p.addf("private_key_file is not set: client_certificate_file is of no use without the key that belongs to it")
	}
	if c.Merchant.Protocol == pay.ProtocolV2 {
		if len(files.APIv2Keys) == 0 {
			p.addf("api_v2_key_files is empty: protocol v2 signs with an APIv2 key")
		}
		return
	}
	if files.PrivateKey == "" {
		p.addf("private_key_file is not set: calls to WeChat Pay are signed with apiclient_key.pem")
	}
	if c.Merchant.Serial == "" {
		p.addf("merchant_serial is not set: it is the serial of the certificate that belongs to private_key_file")
	}
	if len(files.APIv3Keys) == 0 {
		p.addf("api_v3_key_files is empty: notifications are encrypted under the APIv3 key")
	}
	if len(files.PublicKeys) == 0 && !c.Merchant.PlatformCertificates {
		p.addf("there is neither a wechatpay_public_keys entry nor platform_certificates: true: nothing that WeChat Pay sends could be verified")
	}
}

// parseFile reads and parses one file; the error names setting and file, never
// what the file holds.
func parseFile[T any](setting, file string, parse func([]byte) (T, error)) (T, error) {
	var none T
	info, err := os.Stat(file)
	if err != nil {
		return none, fmt.Errorf("%s: %w: correct the path, or make the file readable for this user", setting, err)
	}
	if info.Size() > maxFileBytes {
		return none, fmt.Errorf("%s: %s has %d bytes, more than any key file: another file was named", setting, file, info.Size())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return none, fmt.Errorf("%s: %w: make the file readable for this user", setting, err)
	}
	parsed, err := parse(text)
	if err != nil {
		return none, fmt.Errorf("%s: %s: %w", setting, file, err)
	}
	return parsed, nil
}

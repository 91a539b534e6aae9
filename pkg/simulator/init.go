package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"
)

// What a test merchant is called, and where its neighbours listen, unless told.
const (
	defaultMchid = "1900000109"
	defaultAppid = "wx8888888888888888"
)

// File names below a merchant's directory.
const (
	merchantFileName   = "merchant.json"
	configFileName     = "fenflow.yaml"
	merchantKeyFile    = "secrets/apiclient_key.pem"
	merchantCertFile   = "secrets/apiclient_cert.pem"
	apiV3KeyFile       = "secrets/apiv3.key"
	apiV2KeyFile       = "secrets/apiv2.key"
	wechatpayPubFile   = "secrets/pub_key.pem"
	wechatpayKeyFile   = "platform/wechatpay_key.pem"
	platformKeyFile    = "platform/platform_key.pem"
	platformCertFile   = "platform/platform_cert.pem"
	caFile             = "secrets/ca.pem"
	caKeyFile          = "platform/ca_key.pem"
	serverCertFile     = "platform/tls_cert.pem"
	serverKeyFile      = "platform/tls_key.pem"
	journalFile        = "platform/journal.jsonl"
	previousJournal    = journalFile + ".previous"
	secretMode         = 0o600
	configMode         = 0o644
	secretDirMode      = 0o700
	merchantDirMode    = 0o755
	refuseToOverwrite  = "exists; use --force to replace the merchant, its keys and its ledger"
	journalInStateDir  = "journal.jsonl"
	platformStateInDir = "platform"
)

// ErrMerchantExists says that Init would overwrite a merchant.
var ErrMerchantExists = errors.New(refuseToOverwrite)

// InitOptions say what fenflow.yaml points to. Zero values mean loopback defaults.
type InitOptions struct {
	Mchid, Appid    string
	BaseURL         string // where the simulator will listen
	PublicURL       string // where notifications go
	ListenNotify    string
	ListenAPI       string
	ListenFront     string
	FrontURL        string // where buyers reach the front door
	OpenURL         string // where browsers reach the simulator; BaseURL unless set
	ShopURL         string // where the shop's pages are
	ListenAdmin     string
	PostgresURL     string
	NATSURL         string
	NATSMonitorURLs []string
	RedisURL        string
	// Force replaces the merchant that is there; its ledger is set aside unless
	// KeepLedger says that it is the same merchant under new addresses.
	Force      bool
	KeepLedger bool
	// Readable lets every user of the machine read what the payment system needs,
	// for containers that run as another user. The platform's own keys stay closed.
	Readable bool
	// Merchant is written as it is, if given; otherwise a new one is made.
	Merchant *Merchant
	Now      func() time.Time
}

// WithDefaults fills what is empty; a command line takes its defaults from here.
func (o InitOptions) WithDefaults() InitOptions {
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	fill(&o.Mchid, defaultMchid)
	fill(&o.Appid, defaultAppid)
	fill(&o.BaseURL, "http://127.0.0.1:8090")
	fill(&o.PublicURL, "http://127.0.0.1:8080")
	fill(&o.ListenNotify, "127.0.0.1:8080")
	fill(&o.ListenAPI, "127.0.0.1:8081")
	fill(&o.ListenFront, "127.0.0.1:8082")
	fill(&o.FrontURL, "http://127.0.0.1:8082")
	fill(&o.ShopURL, "http://127.0.0.1:8095")
	fill(&o.ListenAdmin, "127.0.0.1:9090")
	fill(&o.PostgresURL, "postgres://fenflow@127.0.0.1:5432/fenflow?sslmode=disable")
	fill(&o.NATSURL, "nats://127.0.0.1:4222")
	fill(&o.RedisURL, "redis://127.0.0.1:6379/0")
	if len(o.NATSMonitorURLs) == 0 {
		o.NATSMonitorURLs = []string{"http://127.0.0.1:8222"}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Init makes a complete test merchant in dir. merchant.json is written last, so
// that a directory that has it is complete.
func Init(dir string, o InitOptions) (Merchant, error) {
	o = o.WithDefaults()
	if err := makeRoom(dir, o.Force, o.KeepLedger); err != nil {
		return Merchant{}, fmt.Errorf("prepare %s: %w", dir, err)
	}
	m, err := o.merchant()
	if err != nil {
		return Merchant{}, fmt.Errorf("make merchant: %w", err)
	}
	m = m.withDomains(o.FrontURL, o.ShopURL)
	files, err := merchantFiles(m)
	if err != nil {
		return Merchant{}, fmt.Errorf("encode keys: %w", err)
	}
	for _, name := range sortedKeys(files) {
		if err := writeFile(filepath.Join(dir, name), files[name], secretMode); err != nil {
			return Merchant{}, err
		}
	}
	if o.Readable {
		if err := openSecrets(dir, m); err != nil {
			return Merchant{}, err
		}
	}
	config, err := yaml.Marshal(configOf(m, o))
	if err != nil {
		return Merchant{}, fmt.Errorf("encode %s: %w", configFileName, err)
	}
	if err := writeFile(filepath.Join(dir, configFileName), config, configMode); err != nil {
		return Merchant{}, err
	}
	return m, writeMerchantFile(dir, m)
}

func (o InitOptions) merchant() (Merchant, error) {
	if o.Merchant != nil {
		if err := o.Merchant.check(); err != nil || len(o.Merchant.CACertificate) == 0 {
			return *o.Merchant, err
		}
		return o.Merchant.withServer(o.BaseURL, o.Now())
	}
	keys, err := newRSAKeys()
	if err != nil {
		return Merchant{}, err
	}
	m, err := newMerchant(o.Mchid, o.Appid, keys, o.Now())
	if err != nil {
		return Merchant{}, err
	}
	return m.withServer(o.BaseURL, o.Now())
}

// makeRoom makes room for a merchant. The ledger of a merchant that is replaced is
// set aside, not deleted: its orders belong to keys that no longer exist.
func makeRoom(dir string, force, keepLedger bool) error {
	if err := os.MkdirAll(dir, merchantDirMode); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	path := filepath.Join(dir, merchantFileName)
	switch _, err := os.Stat(path); {
	case err == nil && !force:
		return fmt.Errorf("%s %w", path, ErrMerchantExists)
	case err == nil:
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove %s: %w", merchantFileName, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for %s: %w", merchantFileName, err)
	}
	if keepLedger {
		return nil
	}
	err := os.Rename(filepath.Join(dir, journalFile), filepath.Join(dir, previousJournal))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set journal aside: %w", err)
	}
	return nil
}

// openSecrets makes the merchant's side readable for all; merchant.json, with the
// API key in plain, is not the payment system's and stays closed.
func openSecrets(dir string, m Merchant) error {
	modes := map[string]fs.FileMode{"secrets": merchantDirMode, merchantKeyFile: configMode, merchantCertFile: configMode,
		apiV3KeyFile: configMode, apiV2KeyFile: configMode, wechatpayPubFile: configMode, caFile: configMode}
	if m.SessionKey != nil {
		modes[sessionKeyFile], modes[sessionPublicFile] = configMode, configMode
	}
	for name := range m.appFiles() {
		modes[name] = configMode
	}
	for _, name := range sortedKeys(modes) {
		if err := os.Chmod(filepath.Join(dir, name), modes[name]); err != nil {
			return fmt.Errorf("make readable: %w", err)
		}
	}
	return nil
}

func merchantFiles(m Merchant) (map[string][]byte, error) {
	private, err1 := privatePEM(m.PrivateKey)
	wechatpay, err2 := privatePEM(m.WechatpayKey)
	platform, err3 := privatePEM(m.PlatformKey)
	public, err4 := publicPEM(&m.WechatpayKey.PublicKey)
	files := map[string][]byte{
		caFile: m.CACertificate, caKeyFile: m.CAKey, serverCertFile: m.ServerCertificate, serverKeyFile: m.ServerKey,
		merchantKeyFile: private, merchantCertFile: m.Certificate, wechatpayPubFile: public,
		apiV3KeyFile: []byte(m.APIv3Key), apiV2KeyFile: []byte(m.APIv2Key),
		wechatpayKeyFile: wechatpay, platformKeyFile: platform, platformCertFile: m.PlatformCertificate,
	}
	for name, text := range m.appFiles() {
		files[name] = []byte(text)
	}
	return files, errors.Join(err1, err2, err3, err4, m.addSessionKeys(files))
}

// merchantFile is merchant.json; its paths are relative to its directory.
type merchantFile struct {
	Mchid                  string `json:"mchid"`
	Appid                  string `json:"appid"`
	MerchantSerial         string `json:"merchant_serial"`
	PrivateKeyFile         string `json:"private_key_file"`
	APIv3Key               string `json:"api_v3_key"`
	APIv2Key               string `json:"api_v2_key"`
	WechatpayPublicKeyID   string `json:"wechatpay_public_key_id"`
	WechatpayPublicKeyFile string `json:"wechatpay_public_key_file"`
	APIKey                 string `json:"api_key"`
	CertificateFile        string `json:"certificate_file"`
	CAFile                 string `json:"ca_file"`
	ShopURL                string `json:"shop_url,omitempty"`
	FrontURL               string `json:"front_url,omitempty"`
	SessionKeyFile         string `json:"session_key_file,omitempty"`
	SessionPublicKeyFile   string `json:"session_public_key_file,omitempty"`

	Apps []appFile `json:"apps,omitempty"`
}

func writeMerchantFile(dir string, m Merchant) error {
	file := merchantFile{
		Mchid: m.Mchid, Appid: m.Appid, MerchantSerial: m.Serial, PrivateKeyFile: merchantKeyFile,
		APIv3Key: m.APIv3Key, APIv2Key: m.APIv2Key, APIKey: m.APIKey,
		WechatpayPublicKeyID: m.PublicKeyID, WechatpayPublicKeyFile: wechatpayPubFile,
		CertificateFile: merchantCertFile, CAFile: caFile, ShopURL: m.ShopURL, FrontURL: m.FrontURL, Apps: appsOf(m),
	}
	if m.SessionKey != nil {
		file.SessionKeyFile, file.SessionPublicKeyFile = sessionKeyFile, sessionPublicFile
	}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", merchantFileName, err)
	}
	return writeFile(filepath.Join(dir, merchantFileName), append(text, '\n'), secretMode)
}

// writeFile replaces a file in one step, with its mode right from the start.
func writeFile(path string, text []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), secretDirMode); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove leftover: %w", err)
	}
	if err := os.WriteFile(temporary, text, mode); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("put file in place: %w", err)
	}
	return nil
}

func hashHex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

package simulator

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

// Names below a merchant's directory; an app's secrets are named by its appid.
const (
	sessionKeyFile    = "secrets/session.key"
	sessionPublicFile = "secrets/session.pub"
)

func appSecretFile(a App) string { return "secrets/" + a.Appid + ".secret" }
func appTokenFile(a App) string  { return "secrets/" + a.Appid + ".token" }
func appAESFile(a App) string    { return "secrets/" + a.Appid + ".aes" }

// appFiles are the files with the apps' secrets.
func (m Merchant) appFiles() map[string]string {
	files := map[string]string{}
	for _, a := range m.Apps {
		files[appSecretFile(a)] = a.Secret
		if a.Token != "" {
			files[appTokenFile(a)], files[appAESFile(a)], files[appAESFile(a)+".previous"] = a.Token, a.AESKey, a.AESKeyPrevious
		}
	}
	return files
}

func (m Merchant) addSessionKeys(files map[string][]byte) error {
	if m.SessionKey == nil {
		return nil
	}
	private, err1 := privatePEM(m.SessionKey)
	public, err2 := publicPEM(m.SessionKey.Public())
	files[sessionKeyFile], files[sessionPublicFile] = private, public
	return errors.Join(err1, err2)
}

// appFile is an app in merchant.json, secrets included.
type appFile struct {
	Appid          string   `json:"appid"`
	Kind           string   `json:"kind"`
	Secret         string   `json:"secret"`
	Token          string   `json:"token,omitempty"`
	AESKey         string   `json:"aes_key,omitempty"`
	AESKeyPrevious string   `json:"aes_key_previous,omitempty"`
	OAuthDomains   []string `json:"oauth_domains,omitempty"`
	JSDomains      []string `json:"js_domains,omitempty"`
}

func appsOf(m Merchant) []appFile {
	var files []appFile
	for _, a := range m.Apps {
		files = append(files, appFile{a.Appid, string(a.Kind), a.Secret, a.Token, a.AESKey, a.AESKeyPrevious, a.OAuthDomains, a.JSDomains})
	}
	return files
}

func loadApps(files []appFile) []App {
	var apps []App
	for _, f := range files {
		a := App{Appid: f.Appid, Kind: weixin.Kind(f.Kind), Secret: f.Secret, Token: f.Token, AESKey: f.AESKey, AESKeyPrevious: f.AESKeyPrevious,
			OAuthDomains: f.OAuthDomains, JSDomains: f.JSDomains}
		apps = append(apps, a)
	}
	return apps
}

// loadSessionKey leaves out what an init without buyers' sessions did not write.
func (m *Merchant) loadSessionKey(dir, file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("parse PKCS#8 key: %w", err)
	}
	private, is := key.(ed25519.PrivateKey)
	if !is {
		return errors.New("not an Ed25519 key")
	}
	m.SessionKey = private
	return nil
}

package simulator

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Load reads the merchant that Init wrote to dir.
func Load(dir string) (Merchant, error) {
	text, err := os.ReadFile(filepath.Join(dir, merchantFileName))
	if err != nil {
		return Merchant{}, fmt.Errorf("read merchant (run \"simulator init\" first?): %w", err)
	}
	var file merchantFile
	if err := json.Unmarshal(text, &file); err != nil {
		return Merchant{}, fmt.Errorf("parse %s: %w", merchantFileName, err)
	}
	m := Merchant{
		Mchid: file.Mchid, Appid: file.Appid, Serial: file.MerchantSerial, PublicKeyID: file.WechatpayPublicKeyID,
		APIv3Key: file.APIv3Key, APIv2Key: file.APIv2Key, APIKey: file.APIKey, ShopURL: file.ShopURL, FrontURL: file.FrontURL, Apps: loadApps(file.Apps),
	}
	if err := m.loadKeys(dir, file.PrivateKeyFile); err != nil {
		return Merchant{}, fmt.Errorf("load keys: %w", err)
	}
	if err := m.loadTLS(dir, file.CAFile); err != nil {
		return Merchant{}, fmt.Errorf("load TLS certificates: %w", err)
	}
	if err := m.loadSessionKey(dir, file.SessionKeyFile); err != nil {
		return Merchant{}, fmt.Errorf("load session key: %w", err)
	}
	if err := m.check(); err != nil {
		return Merchant{}, fmt.Errorf("check merchant: %w", err)
	}
	return m, nil
}

// StateDir is where a simulator of this merchant directory keeps its journal.
func StateDir(dir string) string { return filepath.Join(dir, platformStateInDir) }

func (m *Merchant) loadKeys(dir, privateKeyFile string) error {
	var err1, err2, err3, err4, err5 error
	m.PrivateKey, err1 = readKey(filepath.Join(dir, privateKeyFile))
	m.WechatpayKey, err2 = readKey(filepath.Join(dir, wechatpayKeyFile))
	m.PlatformKey, err3 = readKey(filepath.Join(dir, platformKeyFile))
	m.Certificate, _, err4 = readCertificate(filepath.Join(dir, merchantCertFile))
	m.PlatformCertificate, m.PlatformSerial, err5 = readCertificate(filepath.Join(dir, platformCertFile))
	return errors.Join(err1, err2, err3, err4, err5)
}

// loadTLS leaves out what an init without TLS did not write.
func (m *Merchant) loadTLS(dir, caFile string) error {
	if caFile == "" {
		return nil
	}
	var err1, err2, err3, err4 error
	m.CACertificate, err1 = os.ReadFile(filepath.Join(dir, caFile))
	m.CAKey, err2 = os.ReadFile(filepath.Join(dir, caKeyFile))
	m.ServerCertificate, err3 = os.ReadFile(filepath.Join(dir, serverCertFile))
	m.ServerKey, err4 = os.ReadFile(filepath.Join(dir, serverKeyFile))
	return errors.Join(err1, err2, err3, err4)
}

func readKey(path string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, err := parsePrivatePEM(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func readCertificate(path string) (text []byte, serial string, err error) {
	if text, err = os.ReadFile(path); err != nil {
		return nil, "", fmt.Errorf("read certificate: %w", err)
	}
	if serial, err = certificateSerial(text); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return text, serial, nil
}

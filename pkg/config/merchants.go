package config

import (
	"encoding/hex"
	"errors"
	"strings"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
)

// Merchants are the public parts of all merchants, in the order of the file.
func (c Config) Merchants() []merchant.Merchant {
	all := make([]merchant.Merchant, len(c.Entries))
	for i := range c.Entries {
		all[i] = c.Entries[i].merchant()
	}
	return all
}

// Directory is the public parts of all merchants, ready for look-ups.
func (c Config) Directory() (*merchant.Directory, error) {
	d, err := merchant.NewDirectory(c.Merchants())
	if err != nil {
		return nil, problem.Wrap(problem.Config, err, "merchants")
	}
	return d, nil
}

// PublicKeys reads the WeChat Pay public keys of a merchant; none of the files
// is secret. The keys that could be read come back even when others fail.
func (c Config) PublicKeys(id pay.MchID) ([]merchant.PublicKey, error) {
	e, err := c.entry(id)
	if err != nil {
		return nil, err
	}
	keys, err := merchant.LoadPublicKeys(e.files().PublicKeys)
	if err != nil {
		return keys, unreadable(id, err)
	}
	return keys, nil
}

// Credentials opens the secret files of a merchant. It refuses to for a role
// that may not hold them, whose configuration does not even name the files.
func (c Config) Credentials(id pay.MchID) (*merchant.Credentials, error) {
	if !c.loaded.role.holdsSecrets() {
		return nil, problem.Newf(problem.Config, "role %q holds no secrets of merchants", c.loaded.role)
	}
	e, err := c.entry(id)
	if err != nil {
		return nil, err
	}
	credentials, err := merchant.LoadCredentials(e.merchant(), e.files())
	if err != nil {
		return nil, unreadable(id, err)
	}
	return credentials, nil
}

// AllCredentials opens the secret files of all merchants and reports all that
// is wrong with them at once; what could be read comes back all the same.
func (c Config) AllCredentials() (map[pay.MchID]*merchant.Credentials, error) {
	all := make(map[pay.MchID]*merchant.Credentials, len(c.Entries))
	var problems []error
	for _, m := range c.Merchants() {
		credentials, err := c.Credentials(m.MchID)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		all[m.MchID] = credentials
	}
	return all, errors.Join(problems...)
}

// NotifyURL is where WeChat Pay sends notifications about a merchant's payments.
func (c Config) NotifyURL(m merchant.Merchant) string {
	base := strings.TrimRight(c.PublicURL, "/")
	if m.Protocol == pay.ProtocolV2 {
		return base + "/notify/v2/" + string(m.MchID) + "/pay"
	}
	return base + "/notify/v3/" + string(m.MchID)
}

// unreadable tells each broken file of a merchant on its own.
func unreadable(id pay.MchID, err error) error {
	e := problem.New(problem.SecretUnreadable, "")
	all := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		all = joined.Unwrap()
	}
	for _, one := range all {
		e.Fields = append(e.Fields, problem.Field{Field: "merchant " + string(id), Message: one.Error()})
	}
	return e
}

func (c Config) entry(id pay.MchID) (Entry, error) {
	for _, e := range c.Entries {
		if e.MchID == string(id) {
			return e, nil
		}
	}
	return Entry{}, problem.Newf(problem.UnknownMerchant, "merchant %s", id)
}

func (e Entry) merchant() merchant.Merchant {
	m := merchant.Merchant{
		MchID: pay.MchID(e.MchID), Name: e.Name, Protocol: pay.Protocol(e.Protocol),
		Serial: strings.ToUpper(e.MerchantSerial), PlatformCertificates: e.PlatformCertificates,
		SignTypeV2: e.SignType, RefundFunds: e.RefundFunds,
		Policies: pay.Policies{
			LatePayment:    pay.Policy(e.Anomalies.LatePayment),
			DoublePayment:  pay.Policy(e.Anomalies.DoublePayment),
			AmountMismatch: pay.Policy(e.Anomalies.AmountMismatch),
		},
	}
	for _, a := range e.Apps {
		m.Apps = append(m.Apps, merchant.App{
			AppID: pay.AppID(a.AppID), Kind: merchant.AppKind(a.Kind), RedirectURLs: a.RedirectURLs, JSDomains: a.JSDomains,
		})
	}
	for _, k := range e.APIKeys {
		key := merchant.APIKey{Name: k.Name}
		if raw, err := hex.DecodeString(k.SHA256); err == nil && copy(key.SHA256[:], raw) == len(key.SHA256) {
			m.APIKeys = append(m.APIKeys, key) // the shape was checked; a broken one never matches
		}
	}
	return m
}

func (e Entry) files() merchant.Files {
	files := merchant.Files{
		PrivateKey: e.PrivateKeyFile, ClientCertificate: e.ClientCertificateFile,
		APIv3Keys: e.APIv3KeyFiles, APIv2Keys: e.APIv2KeyFiles,
	}
	for _, a := range e.Apps {
		files.Apps = append(files.Apps, a.files())
	}
	for _, k := range e.WeChatPayPublicKeys {
		files.PublicKeys = append(files.PublicKeys, merchant.PublicKeyFile{ID: k.ID, File: k.File})
	}
	return files
}

func (a AppEntry) files() merchant.AppFiles {
	files := merchant.AppFiles{
		AppID: pay.AppID(a.AppID), Secret: a.SecretFile, MessageToken: a.MessageTokenFile, MessageAESKeys: a.MessageAESKeyFiles,
	}
	for _, r := range a.MessageReplies {
		files.Replies = append(files.Replies, merchant.Reply{
			On: r.On, Contains: r.Contains, Text: r.Text, ImageMediaID: r.ImageMediaID, TransferToService: r.TransferToService,
		})
	}
	return files
}

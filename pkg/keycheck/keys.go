package keycheck

import (
	"context"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

const day = 24 * time.Hour

// Keys lists every merchant with its keys, in the order of their numbers.
func (s *Service) Keys(context.Context) []Merchant {
	all := []Merchant{}
	for _, mchid := range s.Merchants.All() {
		if cred, known := s.Merchants.Credentials(mchid); known {
			all = append(all, s.merchant(cred))
		}
	}
	return all
}

// merchant describes a merchant and its keys as of now.
func (s *Service) merchant(cred *merchant.Credentials) Merchant {
	m, now := cred.Merchant, s.Now().UTC()
	d := Merchant{MchID: string(m.MchID), Name: m.Name, Protocol: string(m.Protocol), Apps: []App{}, Keys: []Key{}, Missing: []string{}}
	for _, a := range m.Apps {
		d.Apps = append(d.Apps, App{AppID: string(a.AppID), Kind: string(a.Kind)})
	}
	for _, k := range cred.Keyring.All() {
		d.Keys = append(d.Keys, describe(k, now))
	}
	for i := range cred.APIv2Keys {
		d.Keys = append(d.Keys, Key{ID: placeV2(i + 1), Kind: KindAPIv2, State: StateCurrent})
	}
	d.Certificate = ownCertificate(cred, now)
	d.Expires = d.soonest(now)
	d.Missing = append(d.Missing, missing(cred, d.Keys)...)
	return d
}

func describe(k merchant.PublicKey, now time.Time) Key {
	d := Key{ID: k.ID, Kind: kindOf(k), State: StateCurrent, ExpiresAt: k.NotAfter}
	if k.NotAfter.IsZero() {
		return d
	}
	d.DaysLeft = daysLeft(k.NotAfter, now)
	switch {
	case now.After(k.NotAfter):
		d.State = StateRetired
	case now.Before(k.NotBefore):
		d.State = StateLater
	}
	return d
}

func ownCertificate(cred *merchant.Credentials, now time.Time) *Certificate {
	c := &Certificate{Serial: cred.Merchant.Serial}
	if own := cred.ClientCertificate; own != nil && own.Leaf != nil {
		c.Serial, c.ExpiresAt = merchant.Serial(own.Leaf.SerialNumber), own.Leaf.NotAfter.UTC()
		c.DaysLeft = daysLeft(c.ExpiresAt, now)
	}
	if c.Serial == "" {
		return nil
	}
	return c
}

// soonest is what expires first: the merchant's own certificate, or the last of
// WeChat Pay's. An earlier one is followed by it.
func (m Merchant) soonest(now time.Time) *Expiry {
	var last, first *Expiry
	for _, k := range m.Keys {
		if k.Kind == KindCertificate && k.State != StateRetired && (last == nil || k.ExpiresAt.After(last.ExpiresAt)) {
			last = &Expiry{What: KindCertificate, ID: k.ID, ExpiresAt: k.ExpiresAt}
		}
	}
	first = last
	if c := m.Certificate; c != nil && !c.ExpiresAt.IsZero() && (first == nil || c.ExpiresAt.Before(first.ExpiresAt)) {
		first = &Expiry{What: "api_certificate", ID: c.Serial, ExpiresAt: c.ExpiresAt}
	}
	if first != nil {
		first.DaysLeft = *daysLeft(first.ExpiresAt, now)
	}
	return first
}

// missing says what a merchant cannot do without.
func missing(cred *merchant.Credentials, keys []Key) (lacks []string) {
	if cred.Merchant.Protocol == pay.ProtocolV2 {
		if len(cred.APIv2Keys) == 0 {
			lacks = append(lacks, "no APIv2 key: its notifications are answered 503")
		}
		return lacks
	}
	if !has(keys, KindPublicKey) && !has(keys, KindCertificate) {
		lacks = append(lacks, "no key of WeChat Pay that is valid now: its notifications are answered 503")
	}
	if len(cred.APIv3Keys) == 0 {
		lacks = append(lacks, "no APIv3 key: its notifications cannot be decrypted")
	}
	if cred.PrivateKey == nil {
		lacks = append(lacks, "no private key: WeChat Pay cannot be called")
	}
	return lacks
}

// has says whether there is a key of a kind that is valid now.
func has(keys []Key, kind string) bool {
	for _, k := range keys {
		if k.Kind == kind && k.State == StateCurrent {
			return true
		}
	}
	return false
}

func kindOf(k merchant.PublicKey) string {
	if k.IsPlatform() {
		return KindCertificate
	}
	return KindPublicKey
}

// daysLeft counts whole days; what expired has fewer than none.
func daysLeft(at, now time.Time) *int {
	left := at.Sub(now)
	days := int(left / day)
	if left < 0 && left%day != 0 {
		days--
	}
	return &days
}

// placeV2 is how wechatpay names a shared key, without how it was used.
func placeV2(place int) string { return fmt.Sprintf("apiv2#%d", place) }

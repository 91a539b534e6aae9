package merchant

import (
	"slices"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Merchant is what anybody here may know about a merchant: nothing secret.
// Its slices are shared; whoever holds one does not write to them.
type Merchant struct {
	MchID                pay.MchID
	Name                 string
	Apps                 []App
	Protocol             pay.Protocol
	Serial               string // of the merchant's API certificate, upper-case hex; signs our calls
	SignTypeV2           string // how calls of protocol v2 are signed: HMAC-SHA256 (also if empty) or MD5
	PlatformCertificates bool   // fetch WeChat Pay's certificates for this merchant
	APIKeys              []APIKey
	Policies             pay.Policies
	RefundFunds          string // "default" or "available"
}

// App is an official account, mini program or app that the merchant takes payments in.
type App struct {
	AppID pay.AppID
	Kind  string
}

// APIKey is a key of the business API, kept as its hash.
type APIKey struct {
	Name   string
	SHA256 [32]byte
}

// Rules are what the merchant wants done with money that does not fit, and where
// a refund that follows from them is paid from.
func (m Merchant) Rules() pay.Policies {
	rules := m.Policies
	rules.RefundFunds = m.RefundFunds
	return rules
}

// HasApp says whether the merchant takes payments in an app.
func (m Merchant) HasApp(id pay.AppID) bool {
	return slices.ContainsFunc(m.Apps, func(a App) bool { return a.AppID == id })
}

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

// App is an official account, mini program, website or app that the merchant
// takes payments or logins in.
type App struct {
	AppID        pay.AppID
	Kind         AppKind
	RedirectURLs []string // where a login may lead back to
	JSDomains    []string // host[:port] of pages that may call wx.config
}

// AppKind is what WeChat has an app registered as.
type AppKind string

// The kinds of apps.
const (
	KindMiniProgram     AppKind = "mini_program"
	KindOfficialAccount AppKind = "official_account"
	KindWebsite         AppKind = "website"
	KindApp             AppKind = "app"
)

// AppSecrets are what only the worker holds of an app.
type AppSecrets struct {
	Secret         Secret   // AppSecret
	MessageToken   Secret   // signs the server messages
	MessageAESKeys []Secret // EncodingAESKey; the first is current, all are tried
	Replies        []Reply  // passive replies to messages, the first that fits
}

// Reply is a passive reply to a message or event.
type Reply struct {
	On                string // message type, or name of an event, in lower case
	Contains          string // text that the message's content must hold; empty: any
	Text              string
	ImageMediaID      string
	TransferToService bool // hand the buyer over to customer service
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

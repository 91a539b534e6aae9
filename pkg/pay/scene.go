package pay

import (
	"errors"
	"fmt"
	"net/netip"
)

// Scene is where a buyer pays on a page outside WeChat (ClientH5), which WeChat
// wants to be told. It lives in the bytes of the prepay call and nowhere else.
type Scene struct {
	PayerClientIP string // the buyer's address, as the shop's server saw it
	Type          H5Type // what the page runs in
	AppName       string // all below may be empty
	AppURL        string // of Wap
	BundleID      string // of iOS
	PackageName   string // of Android
}

// H5Type is what an H5 page runs in, in the words of protocol v3.
type H5Type string

// The H5 types.
const (
	H5Wap     H5Type = "Wap"     // a mobile browser
	H5iOS     H5Type = "iOS"     // a view in an app
	H5Android H5Type = "Android" // likewise
)

// Known says whether WeChat knows the type.
func (t H5Type) Known() bool { return t == H5Wap || t == H5iOS || t == H5Android }

// MaxPayerIP bounds a payer's address as text (WeChat Pay doc 4012791834).
const MaxPayerIP = 45

// CheckPayerIP says what is wrong with a buyer's address, if anything. WeChat Pay
// compares it with where the buyer comes from, so that of the shop's own machine
// would fail later, at the buyer's. Addresses of private networks pass: some
// shops are tried out in one.
func CheckPayerIP(s string) error {
	at, err := netip.ParseAddr(s)
	switch {
	case err != nil || at.Zone() != "" || len(s) > MaxPayerIP:
		return errors.New("must be the buyer's IPv4 or IPv6 address")
	case at.Unmap().IsLoopback() || at.Unmap().IsUnspecified() || at.IsMulticast():
		return fmt.Errorf("must be the buyer's address as your server sees it, not %s: behind a proxy, take it from X-Forwarded-For", at)
	}
	return nil
}

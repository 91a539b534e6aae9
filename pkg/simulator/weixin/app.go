package weixin

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// Kind says what an appid belongs to.
type Kind string

// The kinds, spelled as fenflow.yaml spells them.
const (
	KindMiniProgram     Kind = "mini_program"
	KindOfficialAccount Kind = "official_account"
	KindWebsite         Kind = "website"
	KindApp             Kind = "app"
)

// The appids that a test merchant has beside its mini program.
const (
	officialAccountAppid = "wx8888888888888801"
	websiteAppid         = "wx8888888888888802"
	appAppid             = "wx8888888888888803"
)

// App is one appid with all that WeChat and its owner share about it.
type App struct {
	Appid  string
	Kind   Kind
	Secret string
	// Token and the AES keys (43 characters each) belong to server messages; websites
	// and apps get none.
	Token          string
	AESKey         string
	AESKeyPrevious string
	// OAuthDomains are the hosts that a login may lead back to, JSDomains those whose
	// pages may call wx.config. Ports do not count, as at WeChat.
	OAuthDomains []string
	JSDomains    []string
}

// NewApps makes one appid of each kind, with fresh secrets. Their domains are loopback.
func NewApps(source io.Reader, miniProgram string) ([]App, error) {
	r := random{source}
	apps := []App{
		{Appid: miniProgram, Kind: KindMiniProgram},
		{Appid: officialAccountAppid, Kind: KindOfficialAccount},
		{Appid: websiteAppid, Kind: KindWebsite},
		{Appid: appAppid, Kind: KindApp},
	}
	for i := range apps {
		a := &apps[i]
		a.OAuthDomains, a.JSDomains = loopback(), loopback()
		var err error
		if a.Secret, err = r.text(32, hexDigits); err != nil {
			return nil, err
		}
		if a.receivesMessages() {
			if err = a.drawMessageKeys(r); err != nil {
				return nil, err
			}
		}
	}
	return apps, nil
}

func loopback() []string { return []string{"127.0.0.1", "localhost"} }

func (a *App) drawMessageKeys(r random) (err error) {
	if a.Token, err = r.text(24, alphanumeric); err != nil {
		return err
	}
	if a.AESKey, err = drawAESKey(r); err != nil {
		return err
	}
	a.AESKeyPrevious, err = drawAESKey(r)
	return err
}

// drawAESKey is base64 of 32 bytes without its "=". WeChat's keys have letters and
// digits only, so others are thrown away; one in four remains.
func drawAESKey(r random) (string, error) {
	for {
		key, err := r.bytes(32)
		if err != nil {
			return "", err
		}
		text := strings.TrimSuffix(base64.StdEncoding.EncodeToString(key), "=")
		if !strings.ContainsAny(text, "+/") {
			return text, nil
		}
	}
}

func (a App) receivesMessages() bool {
	return a.Kind == KindOfficialAccount || a.Kind == KindMiniProgram
}

// originalID is the account's name in messages: gh_ and twelve digits.
func (a App) originalID() string { return "gh_" + digestOf("gh", a.Appid)[:12] }

func (a App) mayLeadTo(host string) bool { return slices.Contains(a.OAuthDomains, host) }

// String names the app and none of its secrets.
func (a App) String() string { return string(a.Kind) + " " + a.Appid }

// GoString keeps %#v from printing secrets.
func (a App) GoString() string { return a.String() }

// LogValue keeps secrets out of logs.
func (a App) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalJSON keeps secrets out of documents; merchant.json has a type of its own.
func (a App) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"appid":%q,"kind":%q}`, a.Appid, a.Kind), nil
}

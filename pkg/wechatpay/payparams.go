package wechatpay

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
)

// PayParams is what a shop's back end is handed to pay an order with: the six
// fields of JSAPI and mini programs, or a URL to draw as a QR code for Native; and
// beside them what the calls of each client take, as they take it.
type PayParams struct {
	AppID     string `json:"appId,omitempty"`
	TimeStamp string `json:"timeStamp,omitempty"`
	NonceStr  string `json:"nonceStr,omitempty"`
	Package   string `json:"package,omitempty"`
	SignType  string `json:"signType,omitempty"`
	PaySign   string `json:"paySign,omitempty"`
	CodeURL   string `json:"code_url,omitempty"`

	*ClientPay
}

// ClientParams makes what the client of an order pays with. An empty nonce is drawn.
//
// It signs with what signed the prepay call, as WeChat Pay asks: the private
// key (WeChat Pay doc 4012365341), or of protocol v2 the APIv2 key and the sign
// type of the stored request.
func ClientParams(o pay.Order, cred *merchant.Credentials, now time.Time, nonce string) (PayParams, error) {
	if nonce == "" {
		nonce = rand.Text()
	}
	params, err := clientParams(signing{order: o, cred: cred, at: strconv.FormatInt(now.Unix(), 10), nonce: nonce})
	if err != nil {
		return PayParams{}, fmt.Errorf("make pay parameters: %w", err)
	}
	return params, nil
}

func clientParams(s signing) (PayParams, error) {
	if !holdsCredential(s.order) {
		return PayParams{}, errors.New("the order has no credential")
	}
	switch s.order.Client {
	case pay.ClientNative:
		return nativeParams(s.order.Credential.CodeURL)
	case pay.ClientH5:
		return PayParams{ClientPay: &ClientPay{Client: pay.ClientH5, H5: &H5Params{URL: s.order.Credential.H5URL}}}, nil
	case pay.ClientApp:
		return appParams(s)
	case pay.ClientJSAPI, pay.ClientMiniProgram:
	}
	return insideWeChat(s)
}

// holdsCredential says whether there is the one that the order's client pays with.
func holdsCredential(o pay.Order) bool {
	switch o.Client {
	case pay.ClientNative:
		return o.Credential.CodeURL != ""
	case pay.ClientH5:
		return o.Credential.H5URL != ""
	case pay.ClientJSAPI, pay.ClientMiniProgram, pay.ClientApp:
		return o.Credential.PrepayID != ""
	}
	return false
}

// signing is an order whose parameters are signed, at an instant.
type signing struct {
	order pay.Order
	cred  *merchant.Credentials
	at    string // Unix seconds
	nonce string
}

// keys says which keys are missing, if any.
func (s signing) keys() error {
	switch {
	case s.order.Protocol == pay.ProtocolV2 && (s.cred == nil || !signsV2(s.cred)):
		return errors.New("there is no APIv2 key")
	case s.order.Protocol != pay.ProtocolV2 && (s.cred == nil || s.cred.PrivateKey == nil):
		return errors.New("there is no private key")
	}
	return nil
}

// typeV2 is how the order was signed, which configuration may have changed since:
// an order without sign_type was signed with MD5.
func (s signing) typeV2() (string, error) {
	sent, rejected := parseXML(s.order.PrepayRequest, "xml")
	if rejected != nil {
		return "", fmt.Errorf("the stored request is no message of protocol v2: %w", rejected)
	}
	if sent["sign_type"] == signTypeHMAC {
		return signTypeHMAC, nil
	}
	return signTypeMD5, nil
}

// insideWeChat are the parameters of a page or a mini program.
func insideWeChat(s signing) (PayParams, error) {
	if err := s.keys(); err != nil {
		return PayParams{}, err
	}
	p := PayParams{
		AppID: string(s.order.AppID), TimeStamp: s.at, NonceStr: s.nonce,
		Package: "prepay_id=" + s.order.Credential.PrepayID, SignType: "RSA",
	}
	var err error
	if s.order.Protocol == pay.ProtocolV2 {
		p, err = p.signedV2(s)
	} else {
		p.PaySign, err = signRSA(s.cred.PrivateKey, p.AppID, p.TimeStamp, p.NonceStr, p.Package)
	}
	if err != nil {
		return PayParams{}, err
	}
	p.ClientPay = p.shaped(s.order.Client)
	return p, nil
}

func (p PayParams) signedV2(s signing) (PayParams, error) {
	var err error
	if p.SignType, err = s.typeV2(); err != nil {
		return PayParams{}, err
	}
	p.PaySign = signV2(fieldsV2{
		"appId": p.AppID, "nonceStr": p.NonceStr, "package": p.Package, "signType": p.SignType, "timeStamp": p.TimeStamp,
	}, currentKeyV2(s.cred), p.SignType)
	return p, nil
}

// signRSA signs lines, each ended by a line feed.
func signRSA(key *rsa.PrivateKey, lines ...string) (string, error) {
	digest := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

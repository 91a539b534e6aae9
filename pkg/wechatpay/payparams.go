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

// PayParams is exactly what a buyer's client needs, in its own spelling: six
// fields for JSAPI and mini programs, a URL to draw as a QR code for Native.
type PayParams struct {
	AppID     string `json:"appId,omitempty"`
	TimeStamp string `json:"timeStamp,omitempty"`
	NonceStr  string `json:"nonceStr,omitempty"`
	Package   string `json:"package,omitempty"`
	SignType  string `json:"signType,omitempty"`
	PaySign   string `json:"paySign,omitempty"`
	CodeURL   string `json:"code_url,omitempty"`
}

// ClientParams makes what the client of an order pays with. An empty nonce is drawn.
//
// It signs with what signed the prepay call, as WeChat Pay asks: the private
// key (WeChat Pay doc 4012365341), or of protocol v2 the APIv2 key and the sign
// type of the stored request.
func ClientParams(o pay.Order, cred *merchant.Credentials, now time.Time, nonce string) (PayParams, error) {
	switch {
	case o.Client == pay.ClientNative && o.Credential.CodeURL != "":
		return PayParams{CodeURL: o.Credential.CodeURL}, nil
	case o.Client == pay.ClientNative || o.Credential.PrepayID == "":
		return PayParams{}, errors.New("make pay parameters: the order has no credential")
	case cred == nil || o.Protocol == pay.ProtocolV2 && !signsV2(cred):
		return PayParams{}, errors.New("make pay parameters: there is no APIv2 key")
	case o.Protocol != pay.ProtocolV2 && cred.PrivateKey == nil:
		return PayParams{}, errors.New("make pay parameters: there is no private key")
	}
	if nonce == "" {
		nonce = rand.Text()
	}
	p := PayParams{
		AppID: string(o.AppID), TimeStamp: strconv.FormatInt(now.Unix(), 10), NonceStr: nonce,
		Package: "prepay_id=" + o.Credential.PrepayID, SignType: "RSA",
	}
	if o.Protocol == pay.ProtocolV2 {
		return p.signedV2(o, cred)
	}
	var err error
	if p.PaySign, err = signRSA(cred.PrivateKey, p.AppID, p.TimeStamp, p.NonceStr, p.Package); err != nil {
		return PayParams{}, fmt.Errorf("make pay parameters: %w", err)
	}
	return p, nil
}

// signedV2 signs as the order was signed, which configuration may have changed
// since: an order without sign_type was signed with MD5.
func (p PayParams) signedV2(o pay.Order, cred *merchant.Credentials) (PayParams, error) {
	sent, rejected := parseXML(o.PrepayRequest, "xml")
	if rejected != nil {
		return PayParams{}, fmt.Errorf("make pay parameters: the stored request is no message of protocol v2: %w", rejected)
	}
	p.SignType = signTypeMD5
	if sent["sign_type"] == signTypeHMAC {
		p.SignType = signTypeHMAC
	}
	p.PaySign = signV2(fieldsV2{
		"appId": p.AppID, "nonceStr": p.NonceStr, "package": p.Package, "signType": p.SignType, "timeStamp": p.TimeStamp,
	}, currentKeyV2(cred), p.SignType)
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

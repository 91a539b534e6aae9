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
// It signs with the key that signed the prepay call, as WeChat Pay asks (WeChat
// Pay doc 4012365341).
func ClientParams(o pay.Order, cred *merchant.Credentials, now time.Time, nonce string) (PayParams, error) {
	switch {
	case o.Client == pay.ClientNative && o.Credential.CodeURL != "":
		return PayParams{CodeURL: o.Credential.CodeURL}, nil
	case o.Client == pay.ClientNative || o.Credential.PrepayID == "":
		return PayParams{}, errors.New("make pay parameters: the order has no credential")
	case cred == nil || cred.PrivateKey == nil:
		return PayParams{}, errors.New("make pay parameters: there is no private key")
	}
	if nonce == "" {
		nonce = rand.Text()
	}
	p := PayParams{
		AppID: string(o.AppID), TimeStamp: strconv.FormatInt(now.Unix(), 10), NonceStr: nonce,
		Package: "prepay_id=" + o.Credential.PrepayID, SignType: "RSA",
	}
	var err error
	if p.PaySign, err = signRSA(cred.PrivateKey, p.AppID, p.TimeStamp, p.NonceStr, p.Package); err != nil {
		return PayParams{}, fmt.Errorf("make pay parameters: %w", err)
	}
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

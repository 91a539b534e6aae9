package wechatpay

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/qrcode"
)

// ClientPay is an order's pay parameters in the shapes that the client's own calls
// take. Those of its client are there, and no others.
type ClientPay struct {
	Client         pay.Client            `json:"client"`
	JSBridge       *JSBridgeParams       `json:"wei_xin_js_bridge,omitempty"` // WeixinJSBridge.invoke("getBrandWCPayRequest", …)
	ChooseWXPay    *ChooseWXPayParams    `json:"choose_wx_pay,omitempty"`     // wx.chooseWXPay of the JS-SDK
	RequestPayment *RequestPaymentParams `json:"request_payment,omitempty"`   // wx.requestPayment, uni.requestPayment
	App            *AppParams            `json:"app,omitempty"`               // PayReq of the OpenSDK
	H5             *H5Params             `json:"h5,omitempty"`
	Native         *NativeParams         `json:"native,omitempty"`
}

// JSBridgeParams are for WeixinJSBridge, which is there on every page in WeChat.
type JSBridgeParams struct {
	AppID     string `json:"appId"`
	TimeStamp string `json:"timeStamp"`
	NonceStr  string `json:"nonceStr"`
	Package   string `json:"package"`
	SignType  string `json:"signType"`
	PaySign   string `json:"paySign"`
}

// ChooseWXPayParams are for wx.chooseWXPay, whose timestamp has a small s; what is
// signed is the same. The appId is that of wx.config.
type ChooseWXPayParams struct {
	Timestamp string `json:"timestamp"`
	NonceStr  string `json:"nonceStr"`
	Package   string `json:"package"`
	SignType  string `json:"signType"`
	PaySign   string `json:"paySign"`
}

// RequestPaymentParams are for wx.requestPayment of a mini program, which knows its appId.
type RequestPaymentParams struct {
	TimeStamp string `json:"timeStamp"`
	NonceStr  string `json:"nonceStr"`
	Package   string `json:"package"`
	SignType  string `json:"signType"`
	PaySign   string `json:"paySign"`
}

// AppParams are for the PayReq of an app.
type AppParams struct {
	AppID     string `json:"appid"`
	PartnerID string `json:"partnerid"`
	PrepayID  string `json:"prepayid"`
	Package   string `json:"package"`
	NonceStr  string `json:"noncestr"`
	Timestamp string `json:"timestamp"`
	Sign      string `json:"sign"`
}

// H5Params lead a browser to WeChat. The page that goes there must lie under the
// domain that the merchant registered for H5: WeChat looks at its Referer.
type H5Params struct {
	URL string `json:"url"`
}

// BackTo is the same, and WeChat leads the buyer to a page afterwards.
func (h H5Params) BackTo(page string) H5Params {
	sign := "&"
	if !strings.Contains(h.URL, "?") {
		sign = "?"
	}
	return H5Params{URL: h.URL + sign + "redirect_url=" + url.QueryEscape(page)}
}

// NativeParams are a code to be scanned, as text and drawn.
type NativeParams struct {
	CodeURL string `json:"code_url"`
	QRSVG   string `json:"qr_svg"`
	QRPNG   string `json:"qr_png"` // a data: URL
}

// PNGPrefix begins QRPNG; base64 follows.
const PNGPrefix = "data:image/png;base64,"

// shaped puts the six signed fields into the shapes of a client inside WeChat.
func (p PayParams) shaped(client pay.Client) *ClientPay {
	if client == pay.ClientMiniProgram {
		return &ClientPay{Client: client, RequestPayment: &RequestPaymentParams{p.TimeStamp, p.NonceStr, p.Package, p.SignType, p.PaySign}}
	}
	return &ClientPay{
		Client: client, JSBridge: &JSBridgeParams{p.AppID, p.TimeStamp, p.NonceStr, p.Package, p.SignType, p.PaySign},
		ChooseWXPay: &ChooseWXPayParams{p.TimeStamp, p.NonceStr, p.Package, p.SignType, p.PaySign},
	}
}

// appPackage is all that an app's package says.
const appPackage = "Sign=WXPay"

// appParams signs for an app: of protocol v3 the bare prepay_id, of v2 its fields
// by their names, which are in lower case.
func appParams(s signing) (PayParams, error) {
	if err := s.keys(); err != nil {
		return PayParams{}, err
	}
	a := AppParams{
		AppID: string(s.order.AppID), PartnerID: string(s.order.MchID), PrepayID: s.order.Credential.PrepayID,
		Package: appPackage, NonceStr: s.nonce, Timestamp: s.at,
	}
	var err error
	if s.order.Protocol == pay.ProtocolV2 {
		a.Sign, err = a.signV2(s)
	} else {
		a.Sign, err = signRSA(s.cred.PrivateKey, a.AppID, a.Timestamp, a.NonceStr, a.PrepayID)
	}
	if err != nil {
		return PayParams{}, err
	}
	return PayParams{ClientPay: &ClientPay{Client: pay.ClientApp, App: &a}}, nil
}

func (a AppParams) signV2(s signing) (string, error) {
	signType, err := s.typeV2()
	if err != nil {
		return "", err
	}
	return signV2(fieldsV2{
		"appid": a.AppID, "partnerid": a.PartnerID, "prepayid": a.PrepayID, "package": a.Package, "noncestr": a.NonceStr, "timestamp": a.Timestamp,
	}, currentKeyV2(s.cred), signType), nil
}

func nativeParams(codeURL string) (PayParams, error) {
	code, err := qrcode.New(codeURL)
	if err != nil {
		return PayParams{}, fmt.Errorf("draw code_url: %w", err)
	}
	native := &NativeParams{CodeURL: codeURL, QRSVG: code.SVG(), QRPNG: PNGPrefix + base64.StdEncoding.EncodeToString(code.PNG())}
	return PayParams{CodeURL: codeURL, ClientPay: &ClientPay{Client: pay.ClientNative, Native: native}}, nil
}

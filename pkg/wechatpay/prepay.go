package wechatpay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// How long prepay_id and code_url can be paid with, and how long an h5_url
// (WeChat Pay doc 4012791834).
const (
	credentialLifetime = 2 * time.Hour
	h5Lifetime         = 5 * time.Minute
)

// prepayBody is a prepay call on the wire. Unknown fields and nulls are refused
// by WeChat Pay, so what is empty is left out.
type prepayBody struct {
	AppID       pay.AppID      `json:"appid"`
	MchID       pay.MchID      `json:"mchid"`
	Description string         `json:"description"`
	OutTradeNo  pay.OutTradeNo `json:"out_trade_no"`
	TimeExpire  string         `json:"time_expire,omitempty"`
	Attach      string         `json:"attach,omitempty"`
	NotifyURL   string         `json:"notify_url"`
	Amount      prepayAmount   `json:"amount"`
	Payer       *prepayPayer   `json:"payer,omitempty"`
	Scene       *prepayScene   `json:"scene_info,omitempty"`
}

type prepayAmount struct {
	Total    pay.Fen `json:"total"`
	Currency string  `json:"currency"`
}

type prepayPayer struct {
	OpenID pay.OpenID `json:"openid"`
}

type prepayScene struct {
	PayerClientIP string       `json:"payer_client_ip"`
	H5            prepayH5Info `json:"h5_info"`
}

type prepayH5Info struct {
	Type        pay.H5Type `json:"type"`
	AppName     string     `json:"app_name,omitempty"`
	AppURL      string     `json:"app_url,omitempty"`
	BundleID    string     `json:"bundle_id,omitempty"`
	PackageName string     `json:"package_name,omitempty"`
}

// sceneOf is what WeChat is told of where an H5 order is paid; nil for others.
func sceneOf(o pay.Order) *prepayScene {
	if o.Client != pay.ClientH5 {
		return nil
	}
	s := o.Scene
	return &prepayScene{s.PayerClientIP, prepayH5Info{s.Type, s.AppName, s.AppURL, s.BundleID, s.PackageName}}
}

// PrepayBody makes the bytes of an order's prepay call. They are made once and
// stored: the same number with other parameters is refused. Of protocol v2 they
// are a whole signed message.
func (c *Client) PrepayBody(o pay.Order, notifyURL string) ([]byte, error) {
	if err := c.usable(o.MchID, o.Protocol); err != nil {
		return nil, fmt.Errorf("make prepay body: %w", err)
	}
	if o.Protocol == pay.ProtocolV2 {
		return c.prepayBodyV2(o, notifyURL)
	}
	if _, err := prepayPath(o); err != nil {
		return nil, err
	}
	body := prepayBody{
		AppID: o.AppID, MchID: o.MchID, Description: o.Description, OutTradeNo: o.OutTradeNo,
		Attach: o.Attach, NotifyURL: notifyURL, Amount: prepayAmount{Total: o.Amount, Currency: o.Currency}, Scene: sceneOf(o),
	}
	if !o.ExpiresAt.IsZero() {
		body.TimeExpire = o.ExpiresAt.In(beijing()).Format(time.RFC3339)
	}
	if o.Client.NamesPayer() {
		body.Payer = &prepayPayer{OpenID: o.OpenID}
	}
	text, err := toJSON(body)
	if err != nil {
		return nil, fmt.Errorf("make prepay body: %w", err)
	}
	return text, nil
}

// toJSON writes without the escapes that only HTML needs.
func toJSON(body any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func prepayPath(o pay.Order) (string, error) {
	switch o.Client {
	case pay.ClientJSAPI, pay.ClientMiniProgram:
		return "/v3/pay/transactions/jsapi", nil
	case pay.ClientNative:
		return "/v3/pay/transactions/native", nil
	case pay.ClientApp:
		return "/v3/pay/transactions/app", nil
	case pay.ClientH5:
		return "/v3/pay/transactions/h5", nil
	}
	return "", fmt.Errorf("there is no prepay call for client %q", o.Client)
}

func parseCredential(client pay.Client, answer Answer) (pay.Credential, error) {
	var w struct {
		PrepayID string `json:"prepay_id"`
		CodeURL  string `json:"code_url"`
		H5URL    string `json:"h5_url"`
	}
	if err := json.Unmarshal(answer.Body, &w); err != nil {
		return pay.Credential{}, answer.unknown(errors.New("read credential: the answer is not JSON of the documented shape"))
	}
	return credentialOf(client, pay.Credential{PrepayID: w.PrepayID, CodeURL: w.CodeURL, H5URL: w.H5URL}, answer)
}

// credentialOf takes of what was given the one that the order's client pays with.
func credentialOf(client pay.Client, given pay.Credential, answer Answer) (pay.Credential, error) {
	credential := pay.Credential{ExpiresAt: answer.ReceivedAt.Add(credentialLifetime)}
	var text string
	switch client {
	case pay.ClientNative:
		credential.CodeURL, text = given.CodeURL, given.CodeURL
	case pay.ClientH5:
		if leads(given.H5URL) {
			credential.H5URL, text = given.H5URL, given.H5URL
		}
		credential.ExpiresAt = answer.ReceivedAt.Add(h5Lifetime)
	case pay.ClientJSAPI, pay.ClientMiniProgram, pay.ClientApp:
		credential.PrepayID, text = given.PrepayID, given.PrepayID
	}
	if text == "" || len(text) > maxTextBytes || !printable(text) {
		return pay.Credential{}, answer.unknown(errors.New("read credential: the answer holds none for this client"))
	}
	return credential, nil
}

// leads says whether a browser can be sent there.
func leads(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// OrderAnswer is a verified answer to a query.
type OrderAnswer struct {
	State       TradeState
	Transaction Transaction
	Answer      Answer
}

// Observation is what the answer means for the order. ok is always true; it
// matches that of a notification.
func (a OrderAnswer) Observation(source pay.Source) (obs pay.Observation, ok bool) {
	obs = a.Transaction.observation()
	obs.Source, obs.ObservedAt, obs.KeyID = source, a.Answer.ReceivedAt, a.Answer.KeyID
	return obs, true
}

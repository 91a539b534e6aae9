package wechatpay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

// credentialLifetime is how long prepay_id and code_url can be paid with
// (WeChat Pay doc 4012791834).
const credentialLifetime = 2 * time.Hour

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
}

type prepayAmount struct {
	Total    pay.Fen `json:"total"`
	Currency string  `json:"currency"`
}

type prepayPayer struct {
	OpenID pay.OpenID `json:"openid"`
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
		Attach: o.Attach, NotifyURL: notifyURL, Amount: prepayAmount{Total: o.Amount, Currency: o.Currency},
	}
	if !o.ExpiresAt.IsZero() {
		body.TimeExpire = o.ExpiresAt.In(beijing()).Format(time.RFC3339)
	}
	if o.Client != pay.ClientNative {
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
	}
	return "", fmt.Errorf("there is no prepay call for client %q", o.Client)
}

func parseCredential(client pay.Client, answer Answer) (pay.Credential, error) {
	var w struct {
		PrepayID string `json:"prepay_id"`
		CodeURL  string `json:"code_url"`
	}
	if err := json.Unmarshal(answer.Body, &w); err != nil {
		return pay.Credential{}, answer.unknown(errors.New("read credential: the answer is not JSON of the documented shape"))
	}
	return credentialOf(client, w.PrepayID, w.CodeURL, answer)
}

// credentialOf takes the one of both that the order's client pays with.
func credentialOf(client pay.Client, prepayID, codeURL string, answer Answer) (pay.Credential, error) {
	credential := pay.Credential{PrepayID: prepayID, ExpiresAt: answer.ReceivedAt.Add(credentialLifetime)}
	given := prepayID
	if client == pay.ClientNative {
		given = codeURL
		credential.PrepayID, credential.CodeURL = "", codeURL
	}
	if given == "" || len(given) > maxTextBytes || !printable(given) {
		return pay.Credential{}, answer.unknown(errors.New("read credential: the answer holds none for this client"))
	}
	return credential, nil
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

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
// stored: the same number with other parameters is refused.
func (c *Client) PrepayBody(o pay.Order, notifyURL string) ([]byte, error) {
	if _, err := prepayPath(o); err != nil {
		return nil, err
	}
	if o.MchID != c.cred.Merchant.MchID {
		return nil, fmt.Errorf("make prepay body: the order is of merchant %s, the client of %s", o.MchID, c.cred.Merchant.MchID)
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
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return nil, fmt.Errorf("make prepay body: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func prepayPath(o pay.Order) (string, error) {
	if o.Protocol == pay.ProtocolV2 {
		return "", errors.New("orders are placed over protocol v3 only: set protocol: v3 for this merchant")
	}
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
	credential := pay.Credential{ExpiresAt: answer.ReceivedAt.Add(credentialLifetime)}
	given := w.PrepayID
	if client == pay.ClientNative {
		given = w.CodeURL
		credential.CodeURL = w.CodeURL
	} else {
		credential.PrepayID = w.PrepayID
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

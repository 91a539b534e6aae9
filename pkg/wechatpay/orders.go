package wechatpay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Prepay sends the stored bytes of an order, unchanged each time, and returns
// what a buyer's client pays with.
func (c *Client) Prepay(ctx context.Context, o pay.Order) (pay.Credential, Answer, error) {
	if err := c.usable(o.MchID, o.Protocol); err != nil {
		return pay.Credential{}, Answer{}, err
	}
	if len(o.PrepayRequest) == 0 {
		return pay.Credential{}, Answer{}, misuse("the order has no stored prepay request")
	}
	if o.Protocol == pay.ProtocolV2 {
		return c.prepayV2(ctx, o)
	}
	path, err := prepayPath(o)
	if err != nil {
		return pay.Credential{}, Answer{}, &CallError{Class: ClassConfig, err: err}
	}
	answer, err := c.call(ctx, c.api, http.MethodPost, path, o.PrepayRequest)
	if err != nil {
		return pay.Credential{}, answer, err
	}
	credential, err := parseCredential(o.Client, answer)
	return credential, answer, err
}

// QueryOrder asks what became of an order, over the protocol that it was made
// with. What WeChat Pay does not know is an error that IsNotExist knows.
func (c *Client) QueryOrder(ctx context.Context, o pay.Order) (OrderAnswer, error) {
	if err := c.usable(o.MchID, o.Protocol); err != nil {
		return OrderAnswer{}, err
	}
	if o.Protocol == pay.ProtocolV2 {
		return c.queryOrderV2(ctx, o)
	}
	answer, err := c.call(ctx, c.api, http.MethodGet, orderPath(o.OutTradeNo)+"?mchid="+url.QueryEscape(string(c.cred.Merchant.MchID)), nil)
	if err != nil {
		return OrderAnswer{Answer: answer}, err
	}
	t, rejected := parseTransaction(answer.Body)
	return orderAnswer(o, t, rejected, answer)
}

// orderAnswer believes an answer that could be read and is about this order.
func orderAnswer(o pay.Order, t Transaction, rejected *VerifyError, answer Answer) (OrderAnswer, error) {
	switch {
	case rejected != nil:
		return OrderAnswer{Answer: answer}, answer.unknown(fmt.Errorf("read order: %w", rejected))
	case t.MchID != o.MchID || t.OutTradeNo != o.OutTradeNo:
		return OrderAnswer{Answer: answer}, answer.unknown(errors.New("read order: the answer is about another order"))
	}
	return OrderAnswer{State: t.State, Transaction: t, Answer: answer}, nil
}

// CloseOrder asks WeChat Pay to let nobody pay an order any more. Without an
// error it was accepted, which proves nothing: numbers that nobody has ever
// seen are accepted, too. Whoever closes queries before and after; an order
// that is paid or closed already is an error of ClassQueryFirst.
func (c *Client) CloseOrder(ctx context.Context, o pay.Order) (Answer, error) {
	if err := c.usable(o.MchID, o.Protocol); err != nil {
		return Answer{}, err
	}
	if o.Protocol == pay.ProtocolV2 {
		return c.closeOrderV2(ctx, o)
	}
	body, err := json.Marshal(struct {
		MchID pay.MchID `json:"mchid"`
	}{c.cred.Merchant.MchID})
	if err != nil {
		return Answer{}, fmt.Errorf("make close body: %w", err)
	}
	return c.call(ctx, c.api, http.MethodPost, orderPath(o.OutTradeNo)+"/close", body)
}

// orderPath escapes what numbers may hold ("|" and "*"); the SDK signs the path
// as it is sent.
func orderPath(no pay.OutTradeNo) string {
	return "/v3/pay/transactions/out-trade-no/" + url.PathEscape(string(no))
}

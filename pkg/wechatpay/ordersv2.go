package wechatpay

import (
	"context"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	unifiedOrderPath = "/pay/unifiedorder"
	orderQueryPath   = "/pay/orderquery"
	closeOrderPath   = "/pay/closeorder"
)

// Lengths of unifiedorder's fields (WeChat Pay v2, unified order), which differ
// from v3's.
const (
	maxBodyV2   = 128
	maxAttachV2 = 127
)

// ownAddress stands in for spbill_create_ip. Of Native orders that is the
// address of whoever calls the API; an order of ours does not know its buyer's.
// Only H5 orders are held against it (WeChat Pay v2, unified order).
const ownAddress = "127.0.0.1"

// prepayBodyV2 makes the signed message of an order's prepay call.
func (c *Client) prepayBodyV2(o pay.Order, notifyURL string) ([]byte, error) {
	tradeType, err := tradeTypeV2(o.Client)
	switch {
	case err != nil:
		return nil, err
	case utf8.RuneCountInString(o.Description) > maxBodyV2:
		return nil, fmt.Errorf("make prepay body: description has more than %d characters, which is what protocol v2 takes", maxBodyV2)
	case utf8.RuneCountInString(o.Attach) > maxAttachV2:
		return nil, fmt.Errorf("make prepay body: attach has more than %d characters, which is what protocol v2 takes (v3 takes one more)", maxAttachV2)
	}
	fields := fieldsV2{
		"body": o.Description, "attach": o.Attach, "out_trade_no": string(o.OutTradeNo),
		"fee_type": o.Currency, "total_fee": strconv.FormatInt(int64(o.Amount), 10),
		"spbill_create_ip": ownAddress, "notify_url": notifyURL, "trade_type": tradeType,
	}
	if !o.ExpiresAt.IsZero() {
		fields["time_expire"] = o.ExpiresAt.In(beijing()).Format(layoutV2)
	}
	if o.Client == pay.ClientNative {
		fields["product_id"] = string(o.OutTradeNo) // must be there; it is the shop's own
	} else {
		fields["openid"] = string(o.OpenID)
	}
	body, err := c.message(o.AppID, fields)
	if err != nil {
		return nil, fmt.Errorf("make prepay body: %w", err)
	}
	return body, nil
}

func tradeTypeV2(client pay.Client) (string, error) {
	switch client {
	case pay.ClientJSAPI, pay.ClientMiniProgram:
		return "JSAPI", nil
	case pay.ClientNative:
		return "NATIVE", nil
	}
	return "", fmt.Errorf("there is no prepay call for client %q", client)
}

func (c *Client) prepayV2(ctx context.Context, o pay.Order) (pay.Credential, Answer, error) {
	sent, text, err := c.stored(o.PrepayRequest)
	if err != nil {
		return pay.Credential{}, Answer{}, err
	}
	if sent["out_trade_no"] != string(o.OutTradeNo) || sent["appid"] != string(o.AppID) {
		return pay.Credential{}, Answer{}, misuse("the stored request is of another order")
	}
	fields, answer, err := c.callV2(ctx, c.plain, unifiedOrderPath, sent, text)
	if err != nil {
		return pay.Credential{}, answer, err
	}
	credential, err := credentialOf(o.Client, fields["prepay_id"], fields["code_url"], answer)
	return credential, answer, err
}

func (c *Client) queryOrderV2(ctx context.Context, o pay.Order) (OrderAnswer, error) {
	fields, answer, err := c.ask(ctx, orderQueryPath, o.AppID, fieldsV2{"out_trade_no": string(o.OutTradeNo)})
	if err != nil {
		return OrderAnswer{Answer: answer}, err
	}
	t, rejected := fields.transaction(TradeState(fields["trade_state"]))
	return orderAnswer(o, t, rejected, answer)
}

func (c *Client) closeOrderV2(ctx context.Context, o pay.Order) (Answer, error) {
	_, answer, err := c.ask(ctx, closeOrderPath, o.AppID, fieldsV2{"out_trade_no": string(o.OutTradeNo)})
	return answer, err
}

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
	maxSceneV2  = 256
)

// ownAddress stands in for spbill_create_ip. Of Native orders that is the
// address of whoever calls the API; an order of ours does not know its buyer's.
// Only H5 orders are held against it, and know it (WeChat Pay v2, unified order).
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
	if err := fields.addClient(o); err != nil {
		return nil, err
	}
	body, err := c.message(o.AppID, fields)
	if err != nil {
		return nil, fmt.Errorf("make prepay body: %w", err)
	}
	return body, nil
}

// addClient adds what each trade type wants beyond the rest.
func (f fieldsV2) addClient(o pay.Order) error {
	switch o.Client {
	case pay.ClientNative:
		f["product_id"] = string(o.OutTradeNo) // must be there; it is the shop's own
	case pay.ClientH5:
		scene, err := SceneV2(o.Scene)
		if err != nil {
			return err
		}
		f["spbill_create_ip"], f["scene_info"] = o.Scene.PayerClientIP, scene
	case pay.ClientJSAPI, pay.ClientMiniProgram:
		f["openid"] = string(o.OpenID)
	case pay.ClientApp:
	}
	return nil
}

// sceneV2 is where an H5 order is paid, in the words of protocol v2: a browser's
// page has a wap_url, and iOS is in capitals.
type sceneV2 struct {
	H5 struct {
		Type        string `json:"type"`
		WapURL      string `json:"wap_url,omitempty"`
		WapName     string `json:"wap_name,omitempty"`
		AppName     string `json:"app_name,omitempty"`
		BundleID    string `json:"bundle_id,omitempty"`
		PackageName string `json:"package_name,omitempty"`
	} `json:"h5_info"`
}

// SceneV2 writes scene_info of protocol v2, which takes 256 characters in all.
func SceneV2(from pay.Scene) (string, error) {
	var scene sceneV2
	h5 := &scene.H5
	h5.Type = string(from.Type)
	switch from.Type {
	case pay.H5Wap:
		h5.WapURL, h5.WapName = from.AppURL, from.AppName
	case pay.H5iOS:
		h5.Type, h5.AppName, h5.BundleID = "IOS", from.AppName, from.BundleID
	case pay.H5Android:
		h5.AppName, h5.PackageName = from.AppName, from.PackageName
	}
	text, err := toJSON(scene)
	switch {
	case err != nil:
		return "", fmt.Errorf("make scene_info: %w", err)
	case utf8.RuneCount(text) > maxSceneV2:
		return "", fmt.Errorf("make scene_info: what tells of the page or app has %d characters, and protocol v2 takes %d", utf8.RuneCount(text), maxSceneV2)
	}
	return string(text), nil
}

func tradeTypeV2(client pay.Client) (string, error) {
	switch client {
	case pay.ClientJSAPI, pay.ClientMiniProgram:
		return "JSAPI", nil
	case pay.ClientNative:
		return "NATIVE", nil
	case pay.ClientApp:
		return "APP", nil
	case pay.ClientH5:
		return "MWEB", nil
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
	credential, err := credentialOf(o.Client, pay.Credential{PrepayID: fields["prepay_id"], CodeURL: fields["code_url"], H5URL: fields["mweb_url"]}, answer)
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

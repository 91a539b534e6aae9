package simulator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

// prepayLife is how long a prepay_id opens the cashier (WeChat Pay doc 4012791834).
// It is wall-clock time whatever Speed says: somebody has to read the page.
const prepayLife = 2 * time.Hour

// clockAhead is how far the clock of a shop may be ahead.
const clockAhead = 5 * time.Minute

// cashier opens for parameters that a page, a mini program or an app was given, and
// for no others.
type cashier struct{ s *Simulator }

// invocation is a call for the cashier in one spelling for all clients.
type invocation struct {
	appid, stamp, nonce, pack, prepayID, signType, sign string
	// text is what v3 signs, fields are what v2 signs.
	text   string
	fields v2Fields
}

// Offer checks a call and says what would be paid.
func (c cashier) Offer(i weixin.Invocation) (weixin.Bill, error) {
	order, err := c.orderOf(i)
	if err != nil {
		return weixin.Bill{}, err
	}
	return weixin.Bill{OutTradeNo: order.OutTradeNo, Merchant: "Merchant " + order.Mchid, Description: order.Description, AmountFen: order.AmountFen}, nil
}

// Charge checks a call once more and pays as the person at the phone.
func (c cashier) Charge(i weixin.Invocation) error {
	order, err := c.orderOf(i)
	if err != nil {
		return err
	}
	_, err = c.s.Pay(order.OutTradeNo, PayRequest{Openid: i.Openid(order.Appid)})
	return err
}

// orderOf finds the order that a call may pay.
func (c cashier) orderOf(i weixin.Invocation) (Order, error) {
	call, err := readInvocation(i)
	if err != nil {
		return Order{}, err
	}
	order, live := c.s.books.byPrepay(call.prepayID)
	app, isApp := c.s.merchant.app(i.Appid)
	switch {
	case order.OutTradeNo == "":
		return Order{}, fmt.Errorf("no order has the prepay_id %q", call.prepayID)
	case !live:
		return Order{}, errors.New("the prepay_id is not the order's last one: a later prepay replaced it")
	case c.s.now().Sub(order.CredentialAt) > prepayLife:
		return Order{}, errors.New("the prepay_id is older than two hours: ask for a fresh one with the same parameters")
	case order.Appid != i.Appid:
		return Order{}, fmt.Errorf("the order belongs to appid %s, the call came from %q", order.Appid, i.Appid)
	case isApp && !opensIn(app.Kind, i.Kind):
		return Order{}, fmt.Errorf("%s is a %s, which has no such cashier", app.Appid, app.Kind)
	case order.TradeType == tradeJSAPI && order.Openid != i.Openid(order.Appid):
		return Order{}, fmt.Errorf("the order is for openid %s, and %s has another", order.Openid, i.User)
	case !order.payable(c.s.now()):
		return Order{}, errNotPayable
	}
	if err := c.checkTime(call.stamp); err != nil {
		return Order{}, err
	}
	return order, c.checkSign(order, call)
}

func opensIn(kind weixin.Kind, call weixin.PayKind) bool {
	return map[weixin.PayKind]weixin.Kind{weixin.PayJSAPI: KindOfficialAccount, weixin.PayRequestPayment: KindMiniProgram, weixin.PayApp: KindApp}[call] == kind
}

// readInvocation wants each parameter of its client, in that client's spelling.
func readInvocation(i weixin.Invocation) (invocation, error) {
	names := []string{"timeStamp", "nonceStr", "package", "signType", "paySign"}
	switch i.Kind {
	case weixin.PayJSAPI:
		names = append(names, "appId")
	case weixin.PayApp:
		names = []string{"appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign"}
	case weixin.PayRequestPayment:
	}
	for _, name := range names {
		if i.Params[name] == "" {
			return invocation{}, fmt.Errorf("the parameter %s is missing (缺少参数)", name)
		}
	}
	if i.Kind == weixin.PayApp {
		return readAppInvocation(i.Params)
	}
	p := i.Params
	c := invocation{appid: i.Appid, stamp: p["timeStamp"], nonce: p["nonceStr"], pack: p["package"], signType: p["signType"], sign: p["paySign"]}
	id, found := strings.CutPrefix(c.pack, "prepay_id=")
	if !found {
		return c, fmt.Errorf("package must be prepay_id=…, not %q", c.pack)
	}
	c.prepayID = id
	c.text = c.appid + "\n" + c.stamp + "\n" + c.nonce + "\n" + c.pack + "\n"
	c.fields = v2Fields{"appId": c.appid, "nonceStr": c.nonce, "package": c.pack, "signType": c.signType, "timeStamp": c.stamp}
	return c, nil
}

func readAppInvocation(p map[string]string) (invocation, error) {
	c := invocation{appid: p["appid"], stamp: p["timestamp"], nonce: p["noncestr"], pack: p["package"], prepayID: p["prepayid"], sign: p["sign"]}
	if c.pack != "Sign=WXPay" {
		return c, fmt.Errorf("package must be Sign=WXPay, not %q", c.pack)
	}
	c.text = c.appid + "\n" + c.stamp + "\n" + c.nonce + "\n" + c.prepayID + "\n"
	c.fields = v2Fields{"appid": c.appid, "noncestr": c.nonce, "package": c.pack, "partnerid": p["partnerid"], "prepayid": c.prepayID, "timestamp": c.stamp}
	return c, nil
}

// checkTime wants seconds of the last two hours.
func (c cashier) checkTime(stamp string) error {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	age := c.s.now().Sub(time.Unix(seconds, 0))
	if err != nil || len(stamp) != len("1795256085") || age > prepayLife || age < -clockAhead {
		return fmt.Errorf("the time stamp %q is not in seconds of the last two hours", stamp)
	}
	return nil
}

// checkSign holds the signature against the protocol that the order was made with.
func (c cashier) checkSign(o Order, call invocation) error {
	if o.Protocol == ProtocolV2 {
		return c.checkSignV2(o, call)
	}
	if call.signType != "" && call.signType != "RSA" {
		return fmt.Errorf("signType must be RSA for an order of API v3, not %q", call.signType)
	}
	digest := sha256.Sum256([]byte(call.text))
	signature, err := base64.StdEncoding.DecodeString(call.sign)
	if err == nil {
		err = rsa.VerifyPKCS1v15(&c.s.merchant.PrivateKey.PublicKey, crypto.SHA256, digest[:], signature)
	}
	if err != nil {
		c.s.log.Warn("the signature of a page's pay parameters is wrong", "out_trade_no", o.OutTradeNo, "expected_string_to_sign", call.text)
		return errors.New("支付验证签名失败: the signature is wrong; the stand-in's log has the expected string")
	}
	return nil
}

func (c cashier) checkSignV2(o Order, call invocation) error {
	signType := o.SignType
	if signType == "" {
		signType = SignMD5
	}
	if call.signType != "" && call.signType != string(signType) {
		return fmt.Errorf("signType must be that of the order, %s, not %q", signType, call.signType)
	}
	if signV2(call.fields, c.s.merchant.APIv2Key, signType) != call.sign {
		c.s.log.Warn("the signature of a page's pay parameters is wrong", "out_trade_no", o.OutTradeNo, "sign_type", signType,
			"expected_string_to_sign", v2Text(call.fields, sortedKeys(call.fields), keep)+"key=<the APIv2 key>")
		return errors.New("支付验证签名失败: the signature is wrong; the stand-in's log has the expected string")
	}
	return nil
}

// notePrepay remembers which order a prepay_id belongs to. The lock must be held.
func (b *books) notePrepay(o *Order) {
	if o.TradeType == tradeJSAPI || o.TradeType == tradeApp {
		b.prepays[o.Credential] = o.OutTradeNo
	}
}

// byPrepay finds the order of a prepay_id, and whether it is the order's last one.
func (b *books) byPrepay(prepayID string) (o Order, live bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, _ = copyOf(b.orders[b.prepays[prepayID]])
	return o, o.Credential == prepayID
}

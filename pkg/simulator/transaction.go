package simulator

// transaction is an order as the query answers it and as a notification carries it
// (WeChat Pay doc 4012791861).
type transaction struct {
	Appid          string         `json:"appid"`
	Mchid          string         `json:"mchid"`
	OutTradeNo     string         `json:"out_trade_no"`
	TransactionID  string         `json:"transaction_id,omitempty"`
	TradeType      string         `json:"trade_type,omitempty"`
	TradeState     string         `json:"trade_state"`
	TradeStateDesc string         `json:"trade_state_desc"`
	BankType       string         `json:"bank_type,omitempty"`
	Attach         string         `json:"attach"`
	SuccessTime    string         `json:"success_time,omitempty"`
	Payer          *payer         `json:"payer,omitempty"`
	Amount         amount         `json:"amount"`
	Scene          *sceneDoc      `json:"scene_info,omitempty"`
	Promotions     []promotionDoc `json:"promotion_detail,omitempty"`
}

type payer struct {
	Openid string `json:"openid"`
}

type sceneDoc struct {
	DeviceID string `json:"device_id"`
}

type amount struct {
	Total         int64  `json:"total"`
	PayerTotal    int64  `json:"payer_total,omitempty"`
	Currency      string `json:"currency"`
	PayerCurrency string `json:"payer_currency,omitempty"`
}

type promotionDoc struct {
	CouponID            string `json:"coupon_id"`
	Name                string `json:"name"`
	Scope               string `json:"scope"`
	Type                string `json:"type"`
	Amount              int64  `json:"amount"`
	StockID             string `json:"stock_id"`
	WechatpayContribute int64  `json:"wechatpay_contribute"`
	MerchantContribute  int64  `json:"merchant_contribute"`
	OtherContribute     int64  `json:"other_contribute"`
	Currency            string `json:"currency"`
}

// bankType is what WeChat writes for the payer's balance and lesser-known banks.
const bankType = "OTHERS"

func transactionOf(o Order, p *Payment) transaction {
	t := transaction{
		Appid: o.Appid, Mchid: o.Mchid, OutTradeNo: o.OutTradeNo, Attach: o.Attach,
		TradeState: "NOTPAY", TradeStateDesc: "订单未支付",
		Amount: amount{Total: o.AmountFen, Currency: "CNY", PayerCurrency: "CNY"},
	}
	if o.DeviceInfo != "" {
		t.Scene = &sceneDoc{o.DeviceInfo}
	}
	if p == nil {
		if o.State == StateClosed {
			t.TradeState, t.TradeStateDesc = "CLOSED", "订单已关闭"
		}
		return t
	}
	t.TransactionID, t.TradeType, t.BankType = p.TransactionID, o.TradeType, bankType
	t.TradeState, t.TradeStateDesc = "SUCCESS", "支付成功"
	t.SuccessTime, t.Payer = wireTime(p.PaidAt), &payer{p.Openid}
	t.Amount.Total, t.Amount.PayerTotal = p.AmountFen, p.PayerFen
	if p.CouponFen > 0 {
		t.Promotions = []promotionDoc{{CouponID: "109519", Name: "单品惠-6", Scope: "GLOBAL", Type: "CASH",
			Amount: p.CouponFen, StockID: "931386", WechatpayContribute: p.CouponFen, Currency: "CNY"}}
	}
	return t
}

// queriedTransaction is an order as a query shows it: REFUND from its first refund
// on, whereas the notification of its payment says SUCCESS for ever.
func queriedTransaction(o Order) transaction {
	t := transactionOf(o, o.Payment)
	if o.Payment != nil && o.RefundCount > 0 {
		t.TradeState, t.TradeStateDesc = "REFUND", "转入退款"
	}
	return t
}
